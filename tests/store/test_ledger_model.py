"""The ledger beside a model: a dict of balances and the real store agree after every step."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from arrivals.core.ledger import Posting, PostingKind, funding, posting
from arrivals.core.money import Micros
from arrivals.store.api import Refused, RuleBroken, Transaction
from tests.backends import Backend
from tests.store.ground import Ground, StillClock

ACCOUNTS = (1, 2, 3)
_amounts = st.integers(0, 60)
_works = st.lists(
    st.tuples(
        st.sampled_from(
            [PostingKind.HOLD, PostingKind.CAPTURE, PostingKind.RELEASE, PostingKind.REFUND,
             PostingKind.RECHARGE, PostingKind.FUNDING, PostingKind.WITHDRAWAL]
        ),
        st.sampled_from(ACCOUNTS),
        _amounts,
    ),
    min_size=1,
    max_size=6,
)  # fmt: skip

# What each kind does to (available, held).
EFFECTS = {
    PostingKind.HOLD: (-1, 1),
    PostingKind.CAPTURE: (0, -1),
    PostingKind.RELEASE: (1, -1),
    PostingKind.REFUND: (1, 0),
    PostingKind.RECHARGE: (-1, 0),
    PostingKind.FUNDING: (1, 0),
    PostingKind.WITHDRAWAL: (-1, 0),
}


class Ledger(RuleBasedStateMachine):
    """A dict of balances beside the real store; transactions commit, fail and refuse."""

    backend: Backend  # set by the test
    new_place: Callable[[], str]

    @initialize()
    def open(self) -> None:
        self.runner = asyncio.Runner()
        self.opened = AsyncExitStack()
        self.model = dict.fromkeys(ACCOUNTS, (100, 0))
        self.limits = dict.fromkeys(ACCOUNTS, 0)
        self.references = 0

        async def begin() -> Ground:
            clock = StillClock()
            store = await self.opened.enter_async_context(
                self.backend.open_at(self.new_place(), clock)
            )
            ground = Ground(store=store, backend=self.backend, clock=clock)
            for account_id in ACCOUNTS:
                await ground.fund(account_id, amount=100)
            return ground

        self.ground = self.runner.run(begin())

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.runner.run(self.opened.aclose())
            self.runner.close()

    @rule(works=_works, fails=st.booleans())
    def transact(self, works: list[tuple[PostingKind, int, int]], fails: bool) -> None:
        model = dict(self.model)

        def work(tx: Transaction) -> None:
            for kind, account_id, amount in works:
                self._one(tx, model, kind, account_id, amount)
                found = tx.balance(account_id)
                assert found is not None
                assert (found.available, found.held) == model[account_id]
            if fails:
                raise LookupError

        try:
            self.runner.run(self.ground.run(work))
        except LookupError:
            return
        self.model = model

    def _one(
        self,
        tx: Transaction,
        model: dict[int, Any],
        kind: PostingKind,
        account_id: int,
        amount: int,
    ) -> None:
        available, held = model[account_id]
        on_available, on_held = EFFECTS[kind]
        if held + on_held * amount < 0:
            return  # nobody settles more than is held: flows load the message first
        after = available + on_available * amount
        reaches = on_available * amount >= 0 or after + self.limits[account_id] >= 0
        try:
            tx.post(self._posting(kind, account_id, amount))
        except Refused:
            assert not reaches
        else:
            assert reaches
            model[account_id] = (after, held + on_held * amount)

    def _posting(self, kind: PostingKind, account_id: int, amount: int) -> Posting:
        if kind in {PostingKind.FUNDING, PostingKind.WITHDRAWAL}:
            self.references += 1
            signed = amount if kind is PostingKind.FUNDING else -amount
            return funding(account_id, Micros(signed), "EUR", "", f"r{self.references}")
        return posting(kind, account_id, Micros(amount), "EUR")

    @rule(account_id=st.sampled_from(ACCOUNTS), limit=_amounts)
    def limit(self, account_id: int, limit: int) -> None:
        refused = self.model[account_id][0] + limit < 0
        try:
            self.runner.run(
                self.ground.run(lambda tx: tx.open_balance(account_id, "EUR", limit))
            )
        except RuleBroken:
            assert refused
        else:
            assert not refused
            self.limits[account_id] = limit

    @invariant()
    def cached_balances_are_the_sums_of_the_postings(self) -> None:
        """Invariants 2, 5 and 6."""
        if not hasattr(self, "ground"):
            return

        async def read() -> tuple[list[Any], list[Any]]:
            rows = await self.ground.sql(
                "SELECT account_id, sum(available), sum(held) FROM balances GROUP BY account_id"
            )
            postings = await self.ground.sql("SELECT debit, credit, amount FROM postings")
            return rows, postings

        rows, postings = self.runner.run(read())
        sums: dict[str, int] = {}
        for debit, credit, amount in postings:
            sums[debit] = sums.get(debit, 0) - amount
            sums[credit] = sums.get(credit, 0) + amount
        assert sum(sums.values()) == 0
        for account_id, available, held in rows:
            assert (available, held) == self.model[account_id]
            assert available == sums.get(f"funds:{account_id}", 0)
            assert held == sums.get(f"held:{account_id}", 0)
            assert available + self.limits[account_id] >= 0


def test_the_ledger_agrees_with_a_model(backend: Backend, new_place: Callable[[], str]):
    """Invariants 2, 5 and 6, over transactions that commit, fail and refuse in any order."""
    machine = type(
        "LedgerHere", (Ledger,), {"backend": backend, "new_place": staticmethod(new_place)}
    )
    run_state_machine_as_test(
        machine, settings=settings(max_examples=30, stateful_step_count=12, deadline=None)
    )
