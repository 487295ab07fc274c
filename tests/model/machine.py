"""A real store beside the reference: whatever happens, in any order, they must agree.

Each rule is one thing that can happen to an installation; the flows' own steps are run on the
store, and the reference is told the same. A step may be torn: its transaction fails at its end,
the process dies and another one opens the store; then it is run again.

Erasing what is kept of a person isn't here, because nothing does it yet.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, ExitStack
from typing import Any

import msgspec
from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from arrivals.clock import SystemChance
from arrivals.core.ids import handoff_reference, message_key
from arrivals.core.ledger import funding
from arrivals.core.message import Message as Stored
from arrivals.core.money import Micros
from arrivals.flows.accept import Accepted, Idempotency, Replay, Request, accept_step
from arrivals.flows.amend import Amendment, amend_step
from arrivals.flows.answer import answer_step
from arrivals.flows.dispatch import ClaimRequest, claim_step, recover_step
from arrivals.flows.lease import TAKE, BindOwner
from arrivals.flows.opening import open_platform
from arrivals.flows.plan import Defaults, Recipient, SendRequest
from arrivals.flows.receive import receive_step
from arrivals.flows.sweep import Sweeper, sweep_step
from arrivals.providers.api import Submission
from arrivals.store.api import Refused as NoFunds
from arrivals.store.api import RuleBroken, Step, Transaction
from tests.backends import Backend
from tests.flows.installation import Installation
from tests.flows.script import SetClock, answer, receipt, result_of
from tests.model import reference
from tests.model.places import ACCOUNTS, COST, Place
from tests.model.reference import SAYS, SECOND, Reference

PRICES = {"31": 50_000, "999": 10_000}
NUMBERS = ("31612345678", "31687654321", "99900000001")
IDS = ("00b8be19", "7f3a0c11", "e0000042")  # providers use them again
LANES = {"otp": 0, "alert": 1, "bulk": 2}
GRACE_S = 3_600
WAITS = (0, 1, 20, 70, 310, 700, 5_000, 30_000)  # seconds
A_LITTLE_US = 10_000  # more than passes within a rule

picks = st.integers(0, 20)  # one of what is there
ids = st.sampled_from((*IDS, ""))
words = st.sampled_from(
    ("taken", "taken", "unanswered", "unanswered", "throttled", "not_sent", "refused",
     "refused_now")
)  # fmt: skip
said_first = st.sampled_from((*SAYS, ("UNKNOWN", "000")))
number_lists = st.lists(st.sampled_from(NUMBERS), min_size=1, max_size=3)
rewritten = st.sampled_from(
    (str, str.upper, lambda id_: id_.lstrip("0"), lambda id_: str(int(id_, 16)))
)


class Model(RuleBasedStateMachine):
    """Everything that can happen, one step after another."""

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
        self.own_bind()

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

    def teardown(self) -> None:
        if not hasattr(self, "here"):
            return
        try:
            if self.agreed:  # a disagreement before is told, and nothing that follows from it
                self.sweep(0)
                self.forget()
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

    # --- money -----------------------------------------------------------------------

    @rule(account_id=st.sampled_from(sorted(ACCOUNTS)), amount=st.integers(-300, 300))
    def fund(self, account_id: int, amount: int) -> None:
        """Bring money in, or take it out."""
        self.references += 1
        amount *= 1_000
        item = funding(account_id, Micros(amount), "EUR", "", f"model {self.references}")
        books = self.reference.accounts[account_id]
        reaches = amount >= 0 or books.available + amount + books.limit >= 0
        try:
            self._write("money", lambda tx: tx.post(item))
        except NoFunds:
            assert not reaches
        else:
            assert reaches
            books.available += amount

    @rule(account_id=st.sampled_from(sorted(ACCOUNTS)), limit=st.sampled_from((0, 60_000)))
    def limit(self, account_id: int, limit: int) -> None:
        """Change how far below zero an account may go."""
        books = self.reference.accounts[account_id]
        try:
            self._write("money", lambda tx: tx.open_balance(account_id, "EUR", limit))
        except RuleBroken:
            assert books.available + limit < 0
        else:
            assert books.available + limit >= 0
            books.limit = limit

    # --- accept ----------------------------------------------------------------------

    @rule(
        account_id=st.sampled_from(sorted(ACCOUNTS)),
        numbers=number_lists,
        policy=st.sampled_from(("wait", "resend", "fail")),
        category=st.sampled_from(sorted(LANES)),
        valid_for_s=st.sampled_from((30, 600, 20_000)),
        later_s=st.sampled_from((0, 0, 0, 120)),
        partial=st.booleans(),
        key=st.sampled_from((None, None, "k1", "k2")),
    )
    def accept(
        self,
        account_id: int,
        numbers: list[str],
        policy: str,
        category: str,
        valid_for_s: int,
        later_s: int,
        partial: bool,
        key: str | None,
    ) -> None:
        """Ask to send, perhaps under a key that was used before."""
        send_at = self.clock.us + later_s * SECOND if later_s else None
        wanted = SendRequest(
            account_id=account_id,
            key_id="aa000001",
            environment="test",
            request_id="model",
            route_id=1,
            sender="ARRIVALS",
            recipients=[Recipient(each) for each in numbers],
            text="hello",
            category=category,
            valid_for_s=valid_for_s,
            on_ambiguous=policy,
            send_at_us=send_at,
            partial=partial,
        )
        body = repr((numbers, policy, category, valid_for_s, later_s, partial))
        promise = None if key is None else Idempotency("POST /send", key, body)
        result = self._write(
            "accept",
            Request(
                plan=self.here.platform.plan(wanted), idempotency=promise, render=_rendered
            ),
        )
        before = self.reference.answers.get((account_id, key or ""))
        if before is not None:
            _, its_body, keys = before
            if its_body != body:
                assert result.code == "idempotency_key_mismatch"
            else:
                assert isinstance(result, Replay)
                assert msgspec.json.decode(result.answer) == keys
            return
        books = self.reference.accounts[account_id]
        prices = [PRICES["31" if each[:2] == "31" else "999"] for each in numbers]
        taken = self.reference.affordable(books, prices, partial=partial)
        if not taken:
            assert result.code == "insufficient_balance"
            return
        assert isinstance(result, Accepted)
        keys = _keys(result)
        assert [each.msisdn for each in result.messages] == [numbers[n] for n in taken]
        expires = (send_at or self.reference.now) + valid_for_s * SECOND
        wake = send_at or expires
        for n, its_key in zip(taken, keys, strict=True):
            self.reference.accept(
                reference.Message(
                    key=its_key,
                    account=books,
                    price=prices[n],
                    number=numbers[n],
                    policy=policy,
                    lane=LANES[category],
                    expires=expires,
                    deadline=expires + GRACE_S * SECOND,
                    state="scheduled" if later_s else "accepted",
                    wake=(wake, wake),
                    ready=not later_s,
                )
            )
        if key is not None:
            self.reference.answers[account_id, key] = (self.reference.now, body, keys)

    @rule(
        account_id=st.sampled_from(sorted(ACCOUNTS)),
        number=st.sampled_from(NUMBERS),
        policy=st.sampled_from(("wait", "resend", "fail")),
        valid_for_s=st.sampled_from((600, 20_000)),
        word=words,
        id_=ids,
    )
    def send(
        self, account_id: int, number: str, policy: str, valid_for_s: int, word: str, id_: str
    ) -> None:
        """Accept one, hand it off and have it answered, as most messages go."""
        self.accept(account_id, [number], policy, "alert", valid_for_s, 0, False, None)
        self.claim(100, 0)
        if self.out:
            self.answer(0, word, id_)

    @rule(number=st.sampled_from(NUMBERS), word=words, id_=ids, seconds=st.sampled_from(WAITS))
    def send_and_sweep(self, number: str, word: str, id_: str, seconds: int) -> None:
        """Send what may be sent again, and let some time pass."""
        self.send(2, number, "resend", 600, word, id_)
        self.sweep(seconds)

    @rule(account_id=st.sampled_from(sorted(ACCOUNTS)), id_=ids, word=words, says=said_first)
    def send_and_report(
        self, account_id: int, id_: str, word: str, says: tuple[str, str]
    ) -> None:
        """Send, and report on it at once."""
        self.send(account_id, NUMBERS[0], "fail", 600, word, id_)
        self.receipt(0, says, "its", str, IDS[0], True, False, "north")

    # --- dispatch --------------------------------------------------------------------

    @rule(limit=st.sampled_from((1, 2, 100)), behind=st.sampled_from((0, 0, 0, 1)))
    def claim(self, limit: int, behind: int) -> None:
        """Claim as the owner of the bind, or as one who was."""
        epoch = self.reference.epoch - behind
        ready = [each for each in self.reference.messages.values() if each.ready]
        if any(each.expires <= self.clock.us + A_LITTLE_US for each in ready):
            limit = 100  # which of them are looked at, and end, isn't told
        wish = ClaimRequest(provider_id="north", epoch=epoch, limit=limit)
        claimed: list[Submission] = self._write("claim", wish)
        keys = [each.key for each in claimed]
        if behind:
            assert keys == []
            return
        lanes = sorted(each.lane for each in ready)[:limit]
        taken = [each for each in ready if limit >= len(ready) or each.key in keys]
        assert sorted(each.lane for each in taken) == lanes
        begun = [each.key for each in taken if self.reference.claim(each)]
        assert sorted(keys) == sorted(begun)
        for each in claimed:
            message = self.reference.messages[each.key]
            assert (each.attempt, each.epoch) == (max(message.begun), epoch)
            assert each.msisdn == message.number
        self.out += claimed

    @rule()
    def own_bind(self) -> None:
        """Let a new owner take the bind, and recover what the last one was sending."""
        epoch = self._write("take", BindOwner("north", "test"))
        assert epoch > self.reference.epoch
        self._write("recover", ("north", epoch))
        self.reference.take_bind(epoch)

    # --- answers ---------------------------------------------------------------------

    @precondition(lambda self: self.out)
    @rule(
        pick=picks,
        word=words,
        id_=ids,
    )
    def answer(self, pick: int, word: str, id_: str) -> None:
        """Answer for an attempt: for the first time, late, or the same once more."""
        submission = self.out[-1 - pick % len(self.out)]
        which = (submission.key, submission.attempt)
        message = self.reference.messages[submission.key]
        if which in self.answered:
            word, id_ = self.answered[which]  # a provider doesn't change its mind
        elif word == "refused_now" and self._is_near_the_end(message):
            return
        if word != "unanswered":
            self.answered[which] = (word, id_)
        note(f"{word} {id_} for attempt {submission.attempt} of {submission.key}")
        ids = (id_,) if word == "taken" else ("carrier_error",)
        told = answer(submission, result_of(word, ids), "north")
        self._write("answer", [told])
        self.reference.answer(message, submission.attempt, submission.epoch, word, id_)

    def _is_near_the_end(self, message: reference.Message) -> bool:
        """Tell whether chance decides if there's time for one more try."""
        wait = self.reference.retry(message, "refused_now")
        return wait is not None and wait[1] + 1_000 >= message.expires

    # --- receipts --------------------------------------------------------------------

    @rule(
        pick=picks,
        says=said_first,
        names=st.sampled_from(("its", "its", "its", "any", "none")),
        form=rewritten,
        any_id=st.sampled_from(IDS),
        with_number=st.sampled_from((True, True, True, False)),
        echoes=st.sampled_from((False, False, True)),
        source=st.sampled_from(("north", "north", "north", "south")),
    )
    def receipt(
        self,
        pick: int,
        says: tuple[str, str],
        names: str,
        form: Callable[[str], str],
        any_id: str,
        with_number: bool,
        echoes: bool,
        source: str,
    ) -> None:
        """Report on an attempt, or on nothing that is known: early, twice, against itself."""
        number, id_, echoed = NUMBERS[pick % len(NUMBERS)], any_id, None
        if self.out:
            submission = self.out[-1 - pick % len(self.out)]
            number = submission.msisdn
            which = (submission.key, submission.attempt)
            id_ = self.answered.get(which, ("", any_id))[1] if names == "its" else any_id
            echoed = which if echoes else None
        id_ = "" if names == "none" or not id_ else form(id_)
        said = reference.Receipt(
            provider=source,
            id=id_,
            number=number if with_number else "",
            word=says[0],
            error=says[1],
            attempt_echoed=echoed,
        )
        self.reports.append(said)
        self._report(said)

    @precondition(lambda self: self.reports)
    @rule(pick=picks)
    def receipt_again(self, pick: int) -> None:
        """Report the very same once more."""
        self._report(self.reports[-1 - pick % len(self.reports)])

    def _report(self, said: reference.Receipt) -> None:
        note(repr(said))
        echoed = said.attempt_echoed
        told = receipt(
            said.provider,
            said.id or None,
            said.word,
            said.number,
            error=said.error,
            reference=None if echoed is None else handoff_reference(*echoed),
        )
        self._write("receive", [msgspec.structs.replace(told, fingerprint=said.fingerprint)])
        self.reference.receive(said)

    # --- the customer ----------------------------------------------------------------

    @precondition(lambda self: self.reference.messages)
    @rule(pick=picks, word=st.sampled_from((None, True, False)), stranger=st.booleans())
    def amend(self, pick: int, word: bool | None, stranger: bool) -> None:
        """Cancel a message, or say whether it arrived; a stranger's word counts for nothing."""
        messages = list(self.reference.messages.values())
        message = messages[-1 - pick % len(messages)]
        owner = 1 if message.account is self.reference.accounts[1] else 2
        asks = 3 - owner if stranger else owner
        result = self._write(
            "amend", Amendment(account_id=asks, key=message.key, confirmed=word)
        )
        if stranger:
            assert result.code == "not_found"
        elif word is not None:
            assert isinstance(result, Stored)
            message.confirmed = "confirmed" if word else "denied"
        else:
            assert isinstance(result, Stored) == self.reference.cancel(message)

    # --- time ------------------------------------------------------------------------

    @rule(seconds=st.sampled_from((*WAITS, 300_000)))
    def wait(self, seconds: int) -> None:
        """Let time pass; nobody looks yet."""
        self._tick(seconds)

    @rule(seconds=st.sampled_from(WAITS))
    def sweep(self, seconds: int) -> None:
        """Let time pass, and do all that is due."""
        self._tick(seconds)
        more = 1
        while more:
            self._pin()
            more = self._write("sweep", 500)[2]
            before = copy.deepcopy(self.reference.messages)
            assert more == self.reference.sweep(), before

    def _pin(self) -> None:
        """Agree on when each retry comes: the reference knows only between which times."""
        for key, row in self._messages().items():
            message = self.reference.messages[key]
            wake = row["wake_at"]
            if message.wake is not None and wake is not None:
                assert message.wake[0] <= wake <= message.wake[1], (message, row)
                message.wake = (wake, wake)

    @rule()
    def forget(self) -> None:
        """Drop what has outlived its keeping."""
        while self._write("forget", 1_000):
            pass
        self.reference.forget()

    # --- crashes ---------------------------------------------------------------------

    @rule(torn=st.booleans())
    def crash(self, torn: bool) -> None:
        """Stop, and be the next process: now, or in the middle of the next transaction."""
        if torn:
            self.torn = True
            return
        self._close()
        self._open()

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
                 "resolution", "confirmed", "provider_cost", "rank")  # fmt: skip
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


def _keys(accepted: Accepted) -> list[int]:
    return [message_key(accepted.order.order_id, n) for n in range(len(accepted.messages))]


def _rendered(accepted: Accepted) -> tuple[int, bytes]:
    return 200, msgspec.json.encode(_keys(accepted))


def machine(backend: Backend, new_place: Callable[[], Place]) -> type[Model]:
    """Return the machine for one backend; `new_place` prepares one example's place."""
    return type("Here", (Model,), {"backend": backend, "new_place": staticmethod(new_place)})
