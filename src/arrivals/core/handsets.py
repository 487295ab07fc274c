"""Tell whether a number that a carrier writes is a handset of ours, and how surely.

Carriers write numbers their own way: nationally, with a routing prefix, with a mobile digit
that a country dropped or keeps (Mexico's 521, Argentina's 549), and at times in the other
address. So a number never overrules an id; it chooses among the messages that have it.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

# As a national number, or behind another prefix: these many last digits must agree.
NATIONAL_DIGITS_MIN: Final = 7


class Fit(IntEnum):
    """How a receipt's addresses fit a message's destination, the surest first."""

    SOURCE = 0  # its source is the handset, as it should be
    OTHER = 1  # its destination is: the addresses stand as in the submit_sm
    ALIKE = 2  # the last digits of one agree: its prefix was rewritten
    UNTOLD = 3  # its source is no number
    APART = 4  # neither


def is_same_handset(ours: str, theirs: str) -> bool:
    """Tell whether a carrier's number is our destination; some write it nationally, or not."""
    national = theirs.lstrip("0")
    if ours == national:
        return True
    return len(national) >= NATIONAL_DIGITS_MIN and ours.endswith(national)


def fit_of(ours: str, source: str, other: str) -> Fit:
    """Return how a receipt fits a destination; its addresses are digits, or empty if none."""
    if ours == source or (source and is_same_handset(ours, source)):
        return Fit.SOURCE
    if other and is_same_handset(ours, other):
        return Fit.OTHER
    if not source:
        return Fit.UNTOLD
    tail = ours[-NATIONAL_DIGITS_MIN:]
    alike = tail in {each[-NATIONAL_DIGITS_MIN:] for each in (source, other)}
    return Fit.ALIKE if alike and len(tail) == NATIONAL_DIGITS_MIN else Fit.APART
