"""Answers of a provider that couldn't be recorded, for no fault of the store but one of ours.

What a provider answered is said once. So an answer that a step fails on is tried again, after
longer and longer pauses, until somebody has mended what is wrong; and it is written down, so
that the next process tries it too: a crash between must not cost the ids that receipts will
name. Its message meanwhile is what it was, being sent, and then in doubt.

A mistake could concern every answer. Where so many wait, nothing more is handed off to that
provider: each hand-off would only be one more that nobody can account for.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from typing import Final

import msgspec

from arrivals.flows.platform import Platform
from arrivals.providers.api import Answer
from arrivals.store.api import Step, StoreError, Transaction

_log = logging.getLogger("arrivals.unrecorded")

KEPT_MAX: Final = 100  # of one provider; then nothing more is handed off to it
AGAIN_FIRST_S: Final = 1.0
AGAIN_MAX_S: Final = 60.0
KEEP_ORDER: Final = 96

_ANSWERS: Final = msgspec.json.Decoder(list[Answer])


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What to write down of one provider's answers, and what to strike out."""

    provider_id: str
    kept: tuple[Answer, ...] = ()
    done: tuple[Answer, ...] = ()


def _change(tx: Transaction, changes: Sequence[Change]) -> list[list[Answer]]:
    return [_changed(tx, each) for each in changes]


def _changed(tx: Transaction, change: Change) -> list[Answer]:
    name = f"unrecorded_answers:{change.provider_id}"
    before = _ANSWERS.decode(tx.setting(name) or "[]")
    after = [each for each in before if each not in change.done]
    after += [each for each in change.kept if each not in after]
    after = after[:KEPT_MAX]
    if after != before:
        tx.set_setting(name, msgspec.json.encode(after).decode())
    return after


CHANGE: Final = Step("unrecorded answers", KEEP_ORDER, _change)


class Unrecorded:
    """One dispatcher's answers that wait to be recorded."""

    def __init__(self, platform: Platform, provider_id: str) -> None:
        self._platform = platform
        self._provider_id = provider_id
        self._tries: dict[tuple[int, int, int], int] = {}

    @property
    def waits(self) -> bool:
        """Whether any waits."""
        return bool(self._tries)

    @property
    def is_full(self) -> bool:
        """Whether so many wait that nothing more should be handed off."""
        return len(self._tries) >= KEPT_MAX

    async def left(self) -> list[Answer]:
        """Return what an earlier process couldn't record; raises a StoreError."""
        return await self._platform.store.write(CHANGE, Change(provider_id=self._provider_id))

    async def keep(self, answer: Answer) -> float:
        """Write an answer down, and return after how many seconds to try it again."""
        tries = self._tries[_name(answer)] = self._tries.get(_name(answer), 0) + 1
        if tries == 1:
            if self.is_full:
                text = "provider %s: %d answers can't be recorded: nothing more is handed off"
                _log.error(text, self._provider_id, KEPT_MAX)
            await self._write(kept=(answer,))
        return min(AGAIN_FIRST_S * 2.0 ** (tries - 1), AGAIN_MAX_S)

    async def recorded(self, answers: Sequence[Answer]) -> None:
        """Strike out those that were written down."""
        done = tuple(each for each in answers if self._tries.pop(_name(each), 0))
        if done:
            text = "provider %s: answers are recorded at last: %d"
            _log.warning(text, self._provider_id, len(done))
            await self._write(done=done)

    def resumed(self, answers: Sequence[Answer]) -> None:
        """Take over what was written down before."""
        self._tries.update({_name(each): 1 for each in answers})

    async def _write(
        self, *, kept: tuple[Answer, ...] = (), done: tuple[Answer, ...] = ()
    ) -> None:
        # One that can't be written down either is tried again from memory.
        with contextlib.suppress(StoreError, TypeError):
            for each in kept:
                msgspec.json.encode(each)
            change = Change(provider_id=self._provider_id, kept=kept, done=done)
            await self._platform.store.write(CHANGE, change)


def _name(answer: Answer) -> tuple[int, int, int]:
    """Return which attempt it is about; of a late one too, beside the first."""
    return answer.key, answer.attempt, int(answer.late)
