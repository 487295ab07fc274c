"""A message's parts as a test's SMSC sees them, and the answer that ends the message."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

from arrivals.providers.api import PartHeld, Refused, Taken, Unanswered
from arrivals.smpp.concat import part_of
from arrivals.smpp.pdu import Pdu
from tests.providers.smsc import News, Peer, Smsc


def taking(then: Callable[[int, int], int | None]) -> Callable[[Peer, Pdu], int | str]:
    """Take all but what `then` refuses, by the part and how often it was seen."""
    ids, seen = itertools.count(1), dict[int, int]()

    def judge(peer: Peer, pdu: Pdu) -> int | str:
        part = part_of(pdu)
        number = part.number if part else 0
        seen[number] = seen.get(number, 0) + 1
        status = then(number, seen[number])
        return f"A{next(ids)}" if status is None else status

    return judge


def parts_seen(smsc: Smsc) -> list[int]:
    return [part.number for _, pdu in smsc.submits if (part := part_of(pdu)) is not None]


async def final(news: News, key: int = 1, *, wait_s: float = 8) -> Taken | Refused | Unanswered:
    """Wait for the answer that ends a message."""

    def ended() -> bool:
        return any(not isinstance(each, PartHeld) for each in news.of(key))

    async with asyncio.timeout(wait_s):
        await news.until(ended)
    result = news.of(key)[-1]
    assert isinstance(result, Taken | Refused | Unanswered)
    return result
