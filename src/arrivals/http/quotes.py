"""Quotes: an estimate that a send can commit to, signed instead of stored.

A quote names its account, what was asked, the price and until when; all of it is under an
HMAC, so nothing has to be remembered and any process of the installation can check it.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import struct
from typing import Final

import msgspec

from arrivals.core.errors import Code, body_invalid, refuse
from arrivals.core.money import Micros, format_amount
from arrivals.flows.plan import Plan, SendRequest

QUOTE_VALID_US: Final = 10 * 60 * 1_000_000

_LABEL: Final = b"arrivals quote signing key 1"
_PREFIX: Final = "quote_"
_HEAD: Final = struct.Struct(">QQ")  # expiry in microseconds, cost in micro-units
_MAC_OCTETS: Final = 16
_QUOTE_OCTETS: Final = _HEAD.size + _MAC_OCTETS
_encode: Final = msgspec.json.Encoder().encode


class Quotes:
    """Sign quotes and check them."""

    def __init__(self, secret: bytes) -> None:
        self._key = hmac.digest(secret, _LABEL, "sha256")

    def give(self, plan: Plan, now_us: int) -> tuple[str, int]:
        """Return a quote for a plan's price, and when it expires."""
        expires_at_us = now_us + QUOTE_VALID_US
        head = _HEAD.pack(expires_at_us, plan.cost)
        token = base64.urlsafe_b64encode(head + self._mac(head, plan.request))
        return _PREFIX + token.decode(), expires_at_us

    def hold(self, quote: str, plan: Plan, now_us: int) -> None:
        """Let a planned send pass if the quote holds for it, or raise the Refusal."""
        raw = _decoded(quote)
        if raw is None or not hmac.compare_digest(
            raw[_HEAD.size :], self._mac(raw[: _HEAD.size], plan.request)
        ):
            raise body_invalid([("quote_id", "isn't a quote for this request", "quote")])
        expires_at_us, cost = _HEAD.unpack_from(raw)
        if now_us >= expires_at_us:
            raise refuse(Code.QUOTE_EXPIRED)
        if cost != plan.cost:
            refusal = refuse(Code.QUOTE_EXPIRED)
            refusal.detail = (
                f"The price has changed since the quote: it was {format_amount(Micros(cost))},"
                f" it is {format_amount(plan.cost)} {plan.account.currency}"
            )
            raise refusal

    def _mac(self, head: bytes, request: SendRequest) -> bytes:
        asked = _encode(
            (
                request.account_id,
                request.environment,
                request.route_id,
                request.sender,
                request.text,
                [(each.to, each.text) for each in request.recipients],
                *((True,) if request.deduplicate else ()),
            )
        )
        return hmac.digest(self._key, head + asked, "sha256")[:_MAC_OCTETS]


def _decoded(quote: str) -> bytes | None:
    if not quote.startswith(_PREFIX) or len(quote) > 100:
        return None
    try:
        raw = base64.b64decode(quote[len(_PREFIX) :], altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if len(raw) == _QUOTE_OCTETS else None
