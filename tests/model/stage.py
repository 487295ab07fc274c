"""What the machine stands on: an installation that can crash, and how all of it is compared.

A step may be torn: its transaction fails at its end, the process dies and another one opens the
store; then it is run again.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, ExitStack
from typing import Any

import msgspec
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
)

from arrivals.clock import SystemChance
from arrivals.flows.accept import accept_step
from arrivals.flows.amend import amend_step
from arrivals.flows.answer import answer_step
from arrivals.flows.claim import claim_step, recover_step
from arrivals.flows.lease import TAKE, BindOwner
from arrivals.flows.opening import open_platform
from arrivals.flows.plan import Defaults
from arrivals.flows.receive import receive_step
from arrivals.flows.sweep import Sweeper, sweep_step
from arrivals.providers.api import Submission
from arrivals.store.api import Refused as NoFunds
from arrivals.store.api import RuleBroken, Step, Transaction
from tests.backends import Backend
from tests.flows.installation import Installation
from tests.flows.script import SetClock
from tests.model import reference
from tests.model.places import ACCOUNTS, COST, Place
from tests.model.reference import Reference

GRACE_S = 3_600


class Stage(RuleBasedStateMachine):
    """One installation and its reference, for one example."""

    backend: Backend  # set by who runs it
    new_place: Callable[[], Place]
    steps_in_all = 0

    # --- the installation ------------------------------------------------------------

    @initialize()
    def begin(self) -> None:
        self.runner = asyncio.Runner()
        self.opened = AsyncExitStack()
        self.clock = SetClock()
        self.reference = Reference(COST)
        self.out: list[Submission] = []
        self.answered: dict[tuple[int, int], tuple[str, str]] = {}
        self.reports: list[reference.Receipt] = []
        self.references = 0
        self.torn = False
        self.lent = ExitStack()
        self.place = self.lent.enter_context(self.new_place())
        self.reference.accounts = copy.deepcopy(ACCOUNTS)
        self._open()
        self.take_over()

    def _open(self) -> None:
        """Be the next process."""

        async def begin() -> None:
            store = await self.opened.enter_async_context(
                self.backend.open_at(self.place, self.clock)
            )
            defaults = Defaults(outcome_grace_s=GRACE_S)
            platform, _ = await open_platform(store, self.clock, SystemChance(), defaults)
            self.here = Installation(self.place, self.backend, store, platform)

        self.runner.run(begin())
        platform = self.here.platform
        ranks, defaults = platform.ranks, platform.defaults
        self.steps: dict[str, Step[Any, Any]] = {
            "accept": accept_step(ranks),
            "claim": claim_step(lambda: platform.catalogue, ranks),
            "answer": answer_step(lambda: platform.catalogue, ranks, defaults),
            "receive": receive_step(lambda: platform.catalogue),
            "recover": recover_step(lambda: platform.catalogue, ranks, defaults),
            "sweep": sweep_step(lambda: platform.catalogue, ranks, defaults),
            "amend": amend_step(lambda: platform.catalogue),
            "forget": Step("forget", 90, Sweeper(platform)._run_forget),
            "take": TAKE,
            "money": Step("money", 5, lambda tx, works: [work(tx) for work in works]),
        }

    def _close(self) -> None:
        self.runner.run(self.opened.aclose())
        self.opened = AsyncExitStack()

    def take_over(self) -> None:
        """Let a new owner take the bind, and recover what the last one was sending."""
        epoch = self._write("take", BindOwner("north", "test"))
        assert epoch > self.reference.epoch
        self._write("recover", ("north", epoch))
        self.reference.take_bind(epoch)

    def teardown(self) -> None:
        if not hasattr(self, "here"):
            return
        try:
            if self.agreed:  # a disagreement before is told, and nothing that follows from it
                self.settle()
                self.drop_old()
                found = self.runner.run(self.here.unsound())
                assert not found, found
        finally:
            self._close()
            self.runner.close()
            self.lent.close()

    def _write(self, name: str, item: Any) -> Any:
        """Run a step; if it is torn, for a first time in a transaction that fails."""
        if self.torn:
            self.torn = False
            self._tick()
            self._tear(self.steps[name], item)
            self._close()
            self._open()
        self._tick()
        self.agreed = False
        return self.runner.run(self.here.store.write(self._timed(self.steps[name]), item))

    def _timed(self, step: Step[Any, Any]) -> Step[Any, Any]:
        """Let the reference live by the time of the transaction."""

        def run(tx: Transaction, items: Sequence[Any]) -> Sequence[Any]:
            self.reference.now = tx.now_us
            return step.run(tx, items)

        return Step(step.name, step.order, run)

    def _tear(self, step: Step[Any, Any], item: Any) -> None:
        def fail(tx: Transaction, items: Sequence[Any]) -> list[Any]:
            step.run(tx, items)
            raise InterruptedError

        try:
            self.runner.run(self.here.store.write(Step(step.name, step.order, fail), item))
        except (InterruptedError, NoFunds, RuleBroken):
            return
        raise AssertionError("a transaction that fails was committed")

    def _tick(self, seconds: float = 0.001) -> None:
        """Let time pass; before each transaction a little, so that no two have one time."""
        self.clock.tick(seconds)

    # --- what must agree -------------------------------------------------------------

    @invariant()
    def they_agree(self) -> None:
        """Compare all that can be seen."""
        if not hasattr(self, "here"):
            return
        type(self).steps_in_all += 1
        self._pin()
        self._compare_messages()
        self._compare_receipts()
        self._compare_accounts()
        self.agreed = True

    def _messages(self) -> dict[int, dict[str, Any]]:
        names = ("state", "reach", "attempts", "tries", "resends", "wake_at", "epoch",
                 "resolution", "confirmed", "provider_cost", "rank", "changed_at")  # fmt: skip
        rows = self._rows(f"SELECT id, {', '.join(names)} FROM messages")
        return {key: dict(zip(names, rest, strict=True)) for key, *rest in rows}

    def _rows(self, sql: str) -> list[Any]:
        return self.runner.run(self.here.rows(sql))

    def _compare_messages(self) -> None:
        stored = self._messages()
        assert stored.keys() == self.reference.messages.keys()
        for key, row in stored.items():
            message = self.reference.messages[key]
            ready = row.pop("rank") is not None
            del row["changed_at"]
            expected = {
                "state": message.state,
                "reach": message.reach,
                "attempts": len(message.begun),
                "tries": message.tries,
                "resends": message.resends,
                "wake_at": None if message.wake is None else message.wake[0],
                "epoch": message.epoch,
                "resolution": message.resolution,
                "confirmed": message.confirmed,
                "provider_cost": message.cost,
            }
            assert (row, ready) == (expected, message.ready), key

    def _compare_receipts(self) -> None:
        parked = self._rows("SELECT provider_id, fingerprint, received_at FROM parked_receipts")
        expected = [(each.provider, each.fingerprint, at) for at, each in self.reference.parked]
        assert sorted(map(tuple, parked)) == sorted(expected)
        rows = self._rows(
            "SELECT provider_id, external_id, message_id, attempt, seen FROM handoffs"
        )
        seen = {tuple(row[:4]): msgspec.json.decode(row[4]) for row in rows}
        [(told,)] = self._rows("SELECT count(*) FROM events WHERE actor LIKE 'carrier:%'")
        assert told == sum(len(each.seen) for each in self.reference.handoffs)  # one each
        assert seen == {
            (each.provider, each.id, each.message.key, each.attempt): dict(each.seen)
            for each in self.reference.handoffs
        }

    def _compare_accounts(self) -> None:
        rows = self._rows(
            "SELECT account_id, sum(available), sum(held) FROM balances GROUP BY account_id"
        )
        assert {key: (int(available), int(held)) for key, available, held in rows} == {
            key: (each.available, each.held) for key, each in self.reference.accounts.items()
        }
        answers = self._rows("SELECT account_id, key, body_hash, answer FROM idempotency")
        assert {(row[0], row[1]): (row[2], msgspec.json.decode(row[3])) for row in answers} == {
            name: (body, keys) for name, (_, body, keys) in self.reference.answers.items()
        }
        [(attempts,)] = self._rows("SELECT count(*) FROM events WHERE kind = 'claimed'")
        assert attempts == len(self.out)

    # --- what time does ---

    def settle(self) -> None:
        """Do all that is due."""
        more = 1
        while more:
            self._pin()
            more = self._write("sweep", 500)[2]
            before = copy.deepcopy(self.reference.messages)
            assert more == self.reference.sweep(), before

    def drop_old(self) -> None:
        """Drop what has outlived its keeping."""
        while self._write("forget", 1_000):
            pass
        self.reference.forget()

    def _pin(self) -> None:
        """Agree on when each retry comes: the reference knows only between which times."""
        for key, row in self._messages().items():
            message = self.reference.messages[key]
            wake, message.changed = row["wake_at"], row["changed_at"]
            if message.wake is not None and wake is not None:
                assert message.wake[0] <= wake <= message.wake[1], (message, row)
                message.wake = (wake, wake)
