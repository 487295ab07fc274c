"""Put on a code's timeline that another one was asked for, as soon as that shows.

Events are read where outcomes are learnt from, so some are read twice: by every worker on a
shared database, and again after a restart. What is on a timeline already isn't put there again.

What is remembered of codes isn't kept for a restart: it would be people's numbers, for a hint.
What is missed is the second requests, after the restart, for codes of the two minutes before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from arrivals.core.catalogue import Catalogue
from arrivals.core.ids import MessageIds
from arrivals.core.timeline import ASKED_AGAIN
from arrivals.flows.journal import Journal
from arrivals.flows.platform import Platform
from arrivals.outcome.cells import HORIZON_S
from arrivals.outcome.learner import Subject
from arrivals.outcome.second_requests import CATEGORY, AskedAgain, Code, SecondRequests
from arrivals.store.api import Step, StoreError, Transaction
from arrivals.store.feed import FeedEvent

NOTICE_ORDER: Final = 41  # behind what customers say themselves
UNTOLD_MAX: Final = 10_000  # that wait for a store that can't be written to; then the newest
# Of what went out longer ago there is nothing left to learn, as in an installation's history.
NOTICED_WITHIN_US: Final = round(HORIZON_S * 1e6)


def notice_step(
    catalogue: Callable[[], Catalogue], ids: MessageIds
) -> Step[AskedAgain, int | None]:
    """Return the step that notes second requests; its result is the message, if it is news."""

    def run(tx: Transaction, wanted: Sequence[AskedAgain]) -> list[int | None]:
        keys = {each.key for each in wanted}
        journal = Journal(tx, catalogue())
        journal.load(keys)  # locked, so whoever noticed it too has written it or waits
        known = tx.asked_again(keys)
        results: list[int | None] = []
        for each in wanted:
            message = journal.get(each.key)
            news = message is not None and message.confirmed != "confirmed"
            if message is None or not news or each.key in known:
                results.append(None)
                continue
            known.add(each.key)
            body = {
                "kind": ASKED_AGAIN,
                "noticed": ids.encode(each.second),
                "after_us": each.after_us,
            }
            journal.note(message, "feedback", "worker", body)
            results.append(each.key)
        journal.flush()
        return results

    return Step("notice", NOTICE_ORDER, run)


class Noticing:
    """What one process noticed of second requests."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._codes = SecondRequests()
        self._untold: list[AskedAgain] = []
        self._step = notice_step(lambda: platform.catalogue, platform.ids)

    async def notice(
        self, events: Sequence[FeedEvent], subjects: Sequence[tuple[Subject, str]]
    ) -> None:
        """Look for second requests among events, and write down those that are found.

        Raises StoreError if that can't be written now; the next call writes it, too.
        """
        self._look(events, subjects)
        if not self._untold:
            return
        wanted, self._untold = self._untold[-UNTOLD_MAX:], []
        write = self._platform.store.write
        try:
            noted = await asyncio.gather(*(write(self._step, each) for each in wanted))
        except StoreError:
            self._untold = wanted
            raise
        self._platform.changes.publish(key for key in noted if key is not None)

    def _look(
        self, events: Sequence[FeedEvent], subjects: Sequence[tuple[Subject, str]]
    ) -> None:
        probes = self._platform.defaults.probes  # a test phone is sent code after code
        codes = {
            each.key: each
            for each, _ in subjects
            if each.category == CATEGORY and each.msisdn not in probes
        }
        since_us = self._platform.clock.now_us() - NOTICED_WITHIN_US
        for event in events:
            code = codes.get(event.message_id) if event.kind == "taken" else None
            if code is None or code.sent_us is None or code.sent_us < since_us:
                continue
            told = Code(code.key, code.accepted_us, code.sent_us)
            self._untold += self._codes.told(code.account, code.msisdn, told)
