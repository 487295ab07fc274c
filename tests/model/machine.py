"""A real store beside the reference: whatever happens, in any order, they must agree.

Each rule is one thing that can happen to an installation; the flows' own steps are run on the
store, and the reference is told the same.

Erasing what is kept of a person isn't here, because nothing does it yet.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import (
    precondition,
    rule,
)

from arrivals.core.ids import handoff_reference, message_key
from arrivals.core.ledger import funding
from arrivals.core.message import Message as Stored
from arrivals.core.money import Micros
from arrivals.flows.accept import Accepted, Idempotency, Replay, Request
from arrivals.flows.amend import Amendment
from arrivals.flows.claim import ClaimRequest
from arrivals.flows.plan import Recipient, SendRequest
from arrivals.providers.api import Submission
from arrivals.store.api import Refused as NoFunds
from arrivals.store.api import RuleBroken
from tests.backends import Backend
from tests.flows.script import answer, receipt, result_of
from tests.model import reference
from tests.model.places import ACCOUNTS, Place
from tests.model.reference import SAYS, SECOND
from tests.model.stage import GRACE_S, Stage

PRICES = {"31": 50_000, "999": 10_000}
NUMBERS = ("31612345678", "31687654321", "99900000001")
IDS = ("00b8be19", "7f3a0c11", "e0000042")  # providers use them again
LANES = {"otp": 0, "alert": 1, "bulk": 2}
WAITS = (0, 1, 20, 70, 310, 700, 5_000, 30_000)  # seconds
NEVER_LEFT = ("cancelled", "expired")  # of which nobody can say that it arrived
A_LITTLE_US = 10_000  # more than passes within a rule

picks = st.integers(0, 20)  # one of what is there
ids = st.sampled_from((*IDS, ""))
words = st.sampled_from(
    ("taken", "taken", "unanswered", "unanswered", "throttled", "not_sent", "not_bound",
     "refused", "refused_now")
)  # fmt: skip
said_first = st.sampled_from((*SAYS, ("UNKNOWN", "000")))
number_lists = st.lists(st.sampled_from(NUMBERS), min_size=1, max_size=3)
rewritten = st.sampled_from(
    (str, str.upper, lambda id_: id_.lstrip("0"), lambda id_: str(int(id_, 16)))
)


class Model(Stage):
    """Everything that can happen, one step after another."""

    @rule()
    def own_bind(self) -> None:
        """Let a new owner take the bind, and recover what the last one was sending."""
        self.take_over()

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
            _assert_replayed(result, body, before)
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
        elif word is not None and message.state in NEVER_LEFT and not message.reach:
            assert result.code == "never_handed_off"
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
        self.settle()

    @rule()
    def forget(self) -> None:
        """Drop what has outlived its keeping."""
        self.drop_old()

    # --- crashes ---------------------------------------------------------------------

    @rule(torn=st.booleans())
    def crash(self, torn: bool) -> None:
        """Stop, and be the next process: now, or in the middle of the next transaction."""
        if torn:
            self.torn = True
            return
        self._close()
        self._open()


def _assert_replayed(result: Any, body: str, before: tuple[int, str, list[int]]) -> None:
    _, its_body, keys = before
    if its_body != body:
        assert result.code == "idempotency_key_mismatch"
    else:
        assert isinstance(result, Replay)
        assert msgspec.json.decode(result.answer) == keys


def _keys(accepted: Accepted) -> list[int]:
    return [message_key(accepted.order.order_id, n) for n in range(len(accepted.messages))]


def _rendered(accepted: Accepted) -> tuple[int, bytes]:
    return 200, msgspec.json.encode(_keys(accepted))


def machine(backend: Backend, new_place: Callable[[], Place]) -> type[Model]:
    """Return the machine for one backend; `new_place` prepares one example's place."""
    return type("Here", (Model,), {"backend": backend, "new_place": staticmethod(new_place)})
