"""Notice that a person had to ask for another code, from what is sent anyway.

Whoever gets no code asks for another. So a code that is accepted for a number some time after
another one went there says something about that other one. It is a weak word (people also lose
what arrived, or need two codes), and nobody but the account and its number is in it.

Sooner than SOONEST_S nobody has waited yet: it is a program that tries again, or two codes that
were wanted both. Later than LATEST_S it is another occasion.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

CATEGORY: Final = "otp"  # of the messages that are asked for

SOONEST_S: Final = 20.0
LATEST_S: Final = 120.0
# How long a code is remembered at least: the second may wait for its own hand-off, and only
# then is it told.
REMEMBERED_S: Final = LATEST_S + 60.0
CODES_MAX: Final = 200_000  # remembered; with more in that time, the oldest are forgotten
OF_A_NUMBER_MAX: Final = 8  # the newest ones

_SOONEST_US: Final = round(SOONEST_S * 1e6)
_LATEST_US: Final = round(LATEST_S * 1e6)
_REMEMBERED_US: Final = round(REMEMBERED_S * 1e6)


class Code(NamedTuple):
    """A message with a code that a provider took."""

    key: int
    accepted_us: int
    sent_us: int


class AskedAgain(NamedTuple):
    """A code that another one was asked for after, and that other one."""

    key: int
    second: int
    after_us: int  # from the first one's hand-off until the second was accepted


class SecondRequests:
    """The codes of the last minutes, by account and number.

    They are kept in two halves. Each time the newer has lasted long enough, or is full, the
    older is dropped whole: nothing has to be looked through for what is too old.
    """

    def __init__(self) -> None:
        self._newer: dict[str, tuple[Code, ...]] = {}
        self._older: dict[str, tuple[Code, ...]] = {}
        self._began_us = 0  # when the newer half did

    def __len__(self) -> int:
        """How many numbers are remembered."""
        return len(self._newer) + len(self._older)

    def told(self, account: str, msisdn: str, code: Code) -> list[AskedAgain]:
        """Take in a code; return which were asked for again, each about once.

        In whichever order two codes are told, the first of them is found.
        """
        self._turn(code.sent_us)
        who = f"{account} {msisdn}"
        known = self._older.pop(who, ()) + self._newer.get(who, ())
        if not known:  # as nearly always
            self._newer[who] = (code,)
            return []
        found: list[AskedAgain] = []
        if all(each.key != code.key for each in known):  # or else it was read a second time
            found = [asked for each in known for asked in _asked_again(each, code)]
            done = {each.key for each in found}
            known = tuple(each for each in (*known, code) if each.key not in done)
        self._newer[who] = known[-OF_A_NUMBER_MAX:]
        return found

    def _turn(self, now_us: int) -> None:
        full = len(self._newer) >= CODES_MAX // 2
        if full or now_us - self._began_us > _REMEMBERED_US:
            self._older, self._newer = self._newer, {}
            self._began_us = now_us


def _asked_again(one: Code, other: Code) -> Iterator[AskedAgain]:
    for first, second in ((one, other), (other, one)):
        after_us = second.accepted_us - first.sent_us
        if _SOONEST_US <= after_us <= _LATEST_US:
            yield AskedAgain(first.key, second.key, after_us)
