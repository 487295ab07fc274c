"""What a request's first line and headers may be, before anybody asks what they say."""

from __future__ import annotations

from typing import Final

from arrivals.core.errors import Code, Refusal, refuse

# Of a request's first line and headers, give or take what one read brings; proxies take 8 to
# 32 KiB. Trailers may be as long as headers.
HEAD_OCTETS_MAX: Final = 64 * 1024
# Whoever reads two of these as one, or the other one, than a proxy did, can be tricked.
_ONCE: Final = {
    b"host": "Host",
    b"content-length": "Content-Length",
    b"content-type": "Content-Type",
    b"idempotency-key": "Idempotency-Key",
    b"x-api-key": "X-API-KEY",
}


def too_long(url: bytes, headers: list[tuple[bytes, bytes]]) -> Refusal | None:
    """Return the refusal of a head that is larger than its bound, or None."""
    octets = len(url) + sum(len(name) + len(value) + 4 for name, value in headers)
    return refuse(Code.HTTP_INVALID) if octets > HEAD_OCTETS_MAX else None


def refusal_of(
    version: str, headers: dict[bytes, bytes], given: list[tuple[bytes, bytes]]
) -> Refusal | None:
    """Return why a head isn't taken, or None."""
    if len(headers) != len(given):
        seen: dict[bytes, bytes] = {}
        for name, value in given:
            same = name == b"x-api-key" and seen.get(name) == value
            if name in seen and name in _ONCE and not same:
                return refuse(Code.HEADER_REPEATED, field=_ONCE[name], name=_ONCE[name])
            seen[name] = value
    coding = headers.get(b"transfer-encoding")
    if b"host" in headers or version == "1.0":
        known = coding is None or (version != "1.0" and coding.strip().lower() == b"chunked")
        return None if known else refuse(Code.HTTP_INVALID)
    return refuse(Code.HOST_MISSING)
