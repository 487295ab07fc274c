"""Say how far along its way a message is vouched for by the word of a receipt.

A receipt can be the provider's own word, the carrier's, or the handset's. Which it is, no
receipt says: the provider's profile does (`receipt_depth`), its word may mean less, and in some
countries no receipt can mean more, whoever passes it on. LIMITS has those; data with sources.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from functools import lru_cache
from typing import Final

import msgspec

# From least to most. A receipt speaks for the handset at most: users speak for themselves.
DEPTHS: Final = ("none", "submitted", "carrier", "handset", "user")
RECEIPT_DEPTHS: Final = ("submitted", "carrier", "handset")

# What a word can vouch for at most. ACCEPTD and the words of failure are the carrier's, never
# the handset's; any other word says no more than that somebody has it.
_OF_WORDS: Final = {
    "DELIVRD": "handset",
    **dict.fromkeys(("ACCEPTD", "UNDELIV", "REJECTD", "DELETED", "EXPIRED"), "carrier"),
}

SHORT_CODE_DIGITS_MAX: Final = 6
_TOLL_FREE: Final = frozenset({"800", "833", "844", "855", "866", "877", "888"})  # behind +1
_NATIONAL_DIGITS: Final = 10  # of a number behind +1


class SenderClass(StrEnum):
    """What carriers treat differently."""

    ALPHANUMERIC = "alphanumeric"
    SHORT_CODE = "short_code"
    TOLL_FREE = "toll_free"  # behind +1
    LONG_CODE = "long_code"


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """What receipts of some messages vouch for at most, and who says so."""

    countries: frozenset[str]
    senders: frozenset[SenderClass]
    depth: str
    why: str
    source: str
    as_of: str  # when the source was read


# Where a source doesn't say it of a whole country and a kind of sender there is no row: of
# carriers that send none at all we don't know which numbers are theirs.
LIMITS: Final = (
    Limit(
        countries=frozenset({"US", "CA"}),
        senders=frozenset({SenderClass.LONG_CODE}),
        depth="carrier",
        why="in the US and Canada a long code's receipts come before the carrier's filters",
        source="support.bandwidth.com 213713877; support.goconvey.com 47674172744723",
        as_of="2026-11",
    ),
    Limit(
        countries=frozenset({"PH"}),
        senders=frozenset(SenderClass),
        depth="submitted",
        why="in the Philippines networks invent receipts, or send none",
        source="api.support.vonage.com 204014863",
        as_of="2026-11",
    ),
)


@lru_cache(maxsize=256)  # of few words and fewer settings, for every receipt
def depth_of_word(
    word: str, receipt_depth: str, *, intermediate: bool = False, acceptd_is_own: bool = False
) -> str:
    """Return what a provider's receipt with this word vouches for.

    `receipt_depth` is the provider's; `acceptd_is_own` says that it makes its ACCEPTD itself.
    """
    if intermediate or (word == "ACCEPTD" and acceptd_is_own):
        return "submitted"
    return shallowest((_OF_WORDS.get(word, "submitted"), receipt_depth))


def limit_of(country: str, sender: str) -> Limit | None:
    """Return what receipts mean at most in a country for a sender; None if nobody says so."""
    kind = sender_class(sender)
    return next(
        (each for each in LIMITS if country in each.countries and kind in each.senders), None
    )


def sender_class(sender: str) -> SenderClass:
    """Return what kind of sender this is, by its looks."""
    digits = sender.removeprefix("+")
    if not (digits.isascii() and digits.isdigit()):
        return SenderClass.ALPHANUMERIC
    if len(digits) <= SHORT_CODE_DIGITS_MAX:
        return SenderClass.SHORT_CODE
    national = digits[1:] if digits[0] == "1" else digits
    if len(national) == _NATIONAL_DIGITS and national[:3] in _TOLL_FREE:
        return SenderClass.TOLL_FREE
    return SenderClass.LONG_CODE


def shallowest(depths: Iterable[str]) -> str:
    """Return the depth that vouches for least."""
    return min(depths, key=DEPTHS.index)


def deepest(depths: Iterable[str]) -> str:
    """Return the depth that vouches for most; `none` where there is no depth."""
    return max(depths, key=DEPTHS.index, default="none")
