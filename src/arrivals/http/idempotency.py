"""A caller's Idempotency-Key: a repeat of the same request gets the very same answer.

A test key and a live key are two callers, though they belong to one account: else what was
tried in the sandbox would be the answer to the real thing, which then never leaves.
"""

from __future__ import annotations

import hashlib
from typing import Final

from arrivals.core.errors import Code, Refusal, refuse
from arrivals.flows.accept import Idempotency, Replay, replayed
from arrivals.http.exchange import JSON, Request, Response
from arrivals.http.routing import normal

KEY_CHARS_MAX: Final = 255
# Stands before what a test key's records go by; no method and no Idempotency-Key holds it.
_TEST_SCOPE: Final = "test "
_TEST_STREAM: Final = "test\t"
REPLAYED: Final = (b"idempotent-replayed", b"true")


def idempotency_of(request: Request, raw: bytes) -> Idempotency | None:
    """Return the caller's promise, or None without the header.

    The scope is method and path, and which kind of key asks.
    """
    key = request.headers.get(b"idempotency-key")
    if key is None:
        return None
    if not 1 <= len(key) <= KEY_CHARS_MAX or not all(0x20 <= octet <= 0x7E for octet in key):
        raise refuse(Code.IDEMPOTENCY_KEY_INVALID)
    scope = f"{request.scope['method']} {normal(request.scope['path'])}"
    if request.key.environment == "test":
        scope = _TEST_SCOPE + scope
    return Idempotency(scope, key.decode("ascii"), hashlib.sha256(raw).hexdigest())


def stream_key(request: Request, key: str) -> str:
    """Return what a batch goes by: the caller's key, told apart where a test key asks."""
    return _TEST_STREAM + key if request.key.environment == "test" else key


def shown_key(key: str) -> str:
    """Return a batch's key as its caller wrote it."""
    return key.removeprefix(_TEST_STREAM)


async def answered_before(request: Request, promise: Idempotency) -> Response | None:
    """Return the stored answer to this very request, or None if it's new.

    Raises the refusal of a key that was used for another body.
    """
    account_id = request.account.account_id
    stored = await request.platform.store.read(
        lambda reader: reader.stored_answer(account_id, promise.scope, promise.key)
    )
    if stored is None:
        return None
    again = replayed(stored, promise)
    if isinstance(again, Refusal):
        raise again
    return replay(again)


def replay(again: Replay) -> Response:
    """Answer with the octets of the first time."""
    return Response(again.status, again.answer, JSON, [REPLAYED])
