"""Set aside the one message that a claim fails on, so that its lane moves on (invariant 31).

A claim that fails for no fault of the store is tried again in halves: what lies before the
message in its way is claimed and goes out, and a claim of a single message that fails has
found it. That message ends in a transaction of its own, as FAILED for a fault of ours and
with its hold released; one that may have been handed off already goes back to being in doubt.

A mistake of ours could make every claim fail. So where several are set aside in a row and
nothing was claimed between them, claims wait longer after each: a bug empties no queue.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from arrivals.core.catalogue import Catalogue
from arrivals.core.message import QUEUED, Message, Move
from arrivals.flows.divert import LANES
from arrivals.flows.journal import Journal
from arrivals.flows.platform import Platform
from arrivals.providers.api import Submission
from arrivals.store.api import Step, StoreError, Transaction

if TYPE_CHECKING:
    from arrivals.flows.claim import ClaimRequest

_log = logging.getLogger("arrivals.poison")

SET_ASIDE_ORDER: Final = 48  # before the claims, so that the next one meets it no more
CAUSE: Final = "it could not be taken out of the queue"

WAIT_S: Final = 1.0  # after the second in a row; twice as long after each further one
WAIT_DOUBLED_MAX: Final = 6
WAIT_MAX_S: Final = 60.0

_TRACE_OCTETS: Final = 6
# The log hides digits in a row: what it may have to be searched for is written in letters.
_LETTERS: Final = str.maketrans("0123456789", "ghijklmnop")


class Trial:
    """A claim, and the message that it would take first."""

    __slots__ = ("first", "request")

    def __init__(self, request: ClaimRequest) -> None:
        self.request = request
        self.first: int | None = None


def trial_step(
    catalogue: Callable[[], Catalogue], claim: Step[ClaimRequest, list[Submission]]
) -> Step[Trial, list[Submission]]:
    """Return the step that claims as `claim` does, and notes whom a claim of one is about."""

    def run(tx: Transaction, trials: Sequence[Trial]) -> list[list[Submission]]:
        return [_try(tx, each) for each in trials]

    def _try(tx: Transaction, trial: Trial) -> list[Submission]:
        if trial.request.limit == 1:
            trial.first = _first(tx, trial.request, catalogue())
        return claim.run(tx, [trial.request])[0]

    return Step(claim.name, claim.order, run)


def _first(tx: Transaction, request: ClaimRequest, catalogue: Catalogue) -> int | None:
    paused = catalogue.paused()
    for lane in reversed(LANES) if request.bulk_first else LANES:
        key = tx.first_ready(request.provider_id, lane, paused)
        if key is not None:
            return key
    return None


class Poison(msgspec.Struct, frozen=True):
    """A message that can't be claimed, and the name under which the log tells why."""

    key: int
    trace_id: str


def set_aside_step(catalogue: Callable[[], Catalogue]) -> Step[Poison, set[int]]:
    """Return the step that ends such messages; its result is the messages it touched."""

    def run(tx: Transaction, found: Sequence[Poison]) -> list[set[int]]:
        journal = Journal(tx, catalogue())
        journal.load(each.key for each in found)
        for each in found:
            message = journal.get(each.key)
            if message is not None and message.rank is not None and message.state in QUEUED:
                _end(journal, message, {"cause": CAUSE, "trace_id": each.trace_id})
        journal.flush()
        return [journal.touched for _ in found]

    return Step("set aside", SET_ASIDE_ORDER, run)


def _end(journal: Journal, message: Message, body: dict[str, Any]) -> None:
    if not message.reach:
        journal.move(message, Move.GIVEN_UP, "worker", body, reason="internal")
        return
    # A resend: that it can't go out says nothing about the hand-off before it.
    journal.move(
        message,
        Move.RESEND_DROPPED,
        "worker",
        body,
        reason="provider_timeout_unknown",
        rank=None,
        wake_at_us=message.outcome_deadline_us,
    )


class Claimant:
    """One dispatcher's claims, past whatever can't be claimed."""

    def __init__(self, platform: Platform, claim: Step[ClaimRequest, list[Submission]]) -> None:
        self._platform = platform
        self._trial = trial_step(lambda: platform.catalogue, claim)
        self._set_aside = set_aside_step(lambda: platform.catalogue)
        self._in_a_row = 0  # set aside since something was claimed
        self._not_before = 0.0

    async def claim(self, request: ClaimRequest) -> list[Submission]:
        """Claim as `request` says, setting aside what can't be claimed.

        Raises a StoreError if nothing was claimed because of the store.
        """
        if self._platform.clock.monotonic() < self._not_before:
            return []
        claimed: list[Submission] = []
        limit = request.limit
        while (room := min(limit, request.limit - len(claimed))) > 0:
            trial = Trial(msgspec.structs.replace(request, limit=room))
            try:
                found = await self._platform.store.write(self._trial, trial)
            except StoreError:
                if claimed:
                    break  # it is durable that these are being sent; the next claim tells
                raise
            except Exception as error:  # noqa: BLE001 - one message must not hold up its lane
                if room > 1:
                    limit = room // 2
                elif await self._remove(trial.first, error):
                    limit = request.limit
                else:
                    break
                continue
            if found:
                self._in_a_row = 0
            claimed += found
            if len(found) < room:
                break
        return claimed

    async def _remove(self, key: int | None, error: Exception) -> bool:
        """Set the message aside that a claim fails on; return whether to go on at once."""
        alone = self._in_a_row == 0
        self._in_a_row += 1
        wait_s = min(WAIT_S * 2 ** min(self._in_a_row - 2, WAIT_DOUBLED_MAX), WAIT_MAX_S)
        self._not_before = self._platform.clock.monotonic() + (0.0 if alone else wait_s)
        if key is None:
            _log.error("a claim fails, and no message stands in its way", exc_info=error)
            return False
        trace_id = self._platform.chance.entropy(_TRACE_OCTETS).hex().translate(_LETTERS)
        text = "trace %s: a message that can't be claimed is set aside"
        _log.error(text, trace_id, exc_info=error)
        try:
            poison = Poison(key, trace_id)
            touched = await self._platform.store.write(self._set_aside, poison)
        except Exception:  # noqa: BLE001 - what was claimed beside it must go out all the same
            _log.exception("trace %s: it can't be set aside either", trace_id)
            return False
        self._platform.changes.publish(touched)
        return alone
