"""Tell what a handset's message answers: one of those that its own number was sent from ours.

A reply names two numbers and no message, so it is the newest that was handed off between them.
The numbers fit as they are, without `+` and `00`; and where one is national, as it is in the
other's country. A short code has no country, and a name can't be answered.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from arrivals.core.message import Message, Reach, State, is_inferred
from arrivals.core.phone import DIGITS_MIN, calling_code_of

REPLY_WINDOW_US: Final = 72 * 3600 * 1_000_000  # as long as carriers keep a message
NATIONAL_DIGITS_MIN: Final = 7  # shorter numbers are a network's own, and the same everywhere

_SAID_NOT_TO_HAVE_COME: Final = frozenset({State.FAILED, State.FILTERED, State.EXPIRED})


def digits_of(address: str) -> str:
    """Return a number as it is kept, without `+` or `00`; "" of anything that is none."""
    digits = address.strip().lstrip("+").removeprefix("00")
    return digits if digits.isascii() and digits.isdigit() else ""


def readings(number: str, other: str) -> tuple[str, ...]:
    """Return what a number may stand for when it writes to another, the likeliest first."""
    national = number.lstrip("0")
    code = calling_code_of(other) if len(other) >= DIGITS_MIN else None
    if code is None or number.startswith(code) or len(national) < NATIONAL_DIGITS_MIN:
        return (number,)
    return (number, code + national)


def answered_by_reply(messages: Sequence[Message]) -> Message | None:
    """Return the one of these, newest first, that a reply answers; None if none was handed off.

    What is said not to have come gives way to what may have.
    """
    taken = [each for each in messages if each.reach is Reach.HANDED_OFF]
    likely = [
        each for each in taken if each.state not in _SAID_NOT_TO_HAVE_COME or is_inferred(each)
    ]
    return next(iter(likely or taken), None)
