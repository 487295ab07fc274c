"""One process of an installation, played step by step: no loop, no threads, a clock that is set.

It does what the flows do, by the same steps and through the same writer: several items of
several steps in one transaction, then the answers to those who wait, then the bytes. Which
items, how many and in which order is chance's, so every seed is another life.

    begin, steps, commit ──▶ tell callers, acknowledge receipts, hand bytes over ──▶ …
          └ every statement ┴─────────── and every one of these ─┴─▶ may be the last thing

`live` goes on until it is killed. `end` is for whoever comes after: everybody who wasn't
answered asks again, every receipt comes that is still owed, and time passes until nothing is open.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, cast

import msgspec

from arrivals.clock import SystemChance
from arrivals.core.catalogue import Catalogue
from arrivals.core.errors import Refusal
from arrivals.core.ids import message_key
from arrivals.core.money import Micros
from arrivals.flows.accept import Accepted, Idempotency, Replay, Request, accept_step
from arrivals.flows.administer import (
    APPLY_CONFIGURATION,
    ENSURE_INSTALLATION,
    FUND,
    IMPORT_PRICES,
    Funding,
    Impossible,
    NewPrices,
)
from arrivals.flows.amend import Amendment, amend_step
from arrivals.flows.answer import answer_step
from arrivals.flows.batches import FINISH_STREAM, OPEN_STREAM, Chunk, Opening, chunk_step
from arrivals.flows.dispatch import ClaimRequest, claim_step, recover_step
from arrivals.flows.divert import Diversion, divert_step
from arrivals.flows.fleet import CATALOGUE
from arrivals.flows.lease import TAKE, BindOwner
from arrivals.flows.opening import _BEGIN
from arrivals.flows.plan import Defaults, Recipient, SendRequest
from arrivals.flows.platform import Platform
from arrivals.flows.receive import receive_step
from arrivals.flows.sweep import FORGET_MAX, Sweeper, sweep_step
from arrivals.providers.api import Answer, Submission
from arrivals.store.api import Step, Store
from arrivals.store.group_commit import Backend, _attempt, _Waiting
from arrivals.store.rows import Batch
from tests.flows.script import SetClock, answer
from tests.proof.carriers import fate
from tests.proof.errands import (
    LINES_A_CHUNK,
    PROVIDERS,
    Line,
    Outside,
    Wish,
    configuration,
    prices,
)

DEFAULTS = Defaults(valid_for_s=3_600, outcome_grace_s=3_600, resend_after_s=60)
ITEMS_MAX = 7  # in one transaction
ENDING_TURNS_MAX = 80
FIRST_LEAP_S = 20.0
SEND_SCOPE, AMEND_SCOPE = "POST /send", "POST /amend"


@dataclass(frozen=True, slots=True)
class Errand:
    """An item for a step, and the lines that its result makes known to the outside."""

    step: Step[Any, Any]
    item: Any
    then: Callable[[Any], Iterable[Line]] = lambda _: ()


class Life:
    """One process between its start and its end."""

    def __init__(
        self,
        writer: Backend,
        clock: SetClock,
        outside: Outside,
        witness: Callable[[Line], None] = lambda _: None,
        pause: Callable[[], None] = lambda: None,
    ) -> None:
        """Open what the writer holds; `pause` is called wherever a process may die."""
        self.clock = clock
        self.outside = outside
        self._writer = writer
        self._witness = witness
        self._pause = pause
        self._streams: dict[int, Batch] = {}
        self._answers: list[Answer] = []  # on their way to this process, and lost with it
        self._epochs: dict[str, int] = {}
        self._again: set[int] = set()  # wishes asked with the same key though they were answered
        self._do([Errand(ENSURE_INSTALLATION, lambda octets: b"\x07" * octets)])
        catalogue, begin = self._do([Errand(CATALOGUE, -1), Errand(_BEGIN, None)])
        self.platform = Platform(
            store=cast("Store", None),  # the steps are run here
            clock=clock,
            chance=SystemChance(),
            catalogue=catalogue,
            secret=begin.secret,
            pepper=begin.pepper,
            defaults=DEFAULTS,
            ranks=begin.ranks,
        )
        self._name_steps()
        for each in PROVIDERS:
            self._do([self._take(each)])
            while self._do([self._recover(each)]) != [0]:
                pass

    def _name_steps(self) -> None:
        ranks = self.platform.ranks

        def catalogue() -> Catalogue:
            return self.platform.catalogue

        self._accept = accept_step(ranks)
        self._amend = amend_step(catalogue)
        self._chunk = chunk_step(ranks)
        self._claim_step = claim_step(catalogue, ranks)
        self._answer_step = answer_step(catalogue, ranks, DEFAULTS)
        self._receive = receive_step(catalogue)
        self._recover_step = recover_step(catalogue, ranks, DEFAULTS)
        self._sweep = sweep_step(catalogue, ranks, DEFAULTS)
        self._divert = divert_step(catalogue, ranks)
        self._forget = Sweeper(self.platform)._forget

    # --- transactions ----------------------------------------------------------------

    def _do(self, errands: list[Errand]) -> list[Any]:
        """Commit errands together, then tell the outside what came of each."""
        batch = [_Waiting(each.step, each.item, cast("Any", None)) for each in errands]
        error = _attempt(self._writer, batch)
        if error is not None:
            raise error
        self._pause()
        for errand, waiting in zip(errands, batch, strict=True):
            for line in errand.then(waiting.result):
                self._say(line)
        return [each.result for each in batch]

    def _say(self, line: Line) -> None:
        self._pause()
        self._witness(line)
        self.outside.hear(line)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a query of the judge's on the writer's connection."""
        found: list[tuple[Any, ...]] = self._writer._connection.execute(statement).fetchall()  # type: ignore[attr-defined]
        return found

    # --- living ----------------------------------------------------------------------

    def live(self, chance: Random) -> None:
        """Do one transaction of this and that."""
        self.clock.tick(chance.choice((0.001, 0.02, 1.0, 12.0, 70.0, 400.0)))
        errands: list[Errand] = []
        for _ in range(chance.randint(1, ITEMS_MAX)):
            errands += self._something(chance)
        if errands:
            chance.shuffle(errands)
            self._do(errands)

    def _something(self, chance: Random) -> Iterator[Errand]:
        provider_id = chance.choice(PROVIDERS)
        kinds = {
            "ask": 30, "ask again": 6, "claim": 24, "answer": 24, "receive": 22, "sweep": 14,
            "divert": 2, "take": 2, "recover": 2, "forget": 1,
        }  # fmt: skip
        match chance.choices(list(kinds), list(kinds.values()))[0]:
            case "ask":
                n = self.outside.asked
                self._say(["asks", n])
                yield from self._asked(n)
            case "ask again" if self.outside.asked:
                yield from self._asked(chance.randrange(self.outside.asked))
            case "claim":
                yield self._claim(provider_id, chance.randint(1, 5))
            case "answer" if self._answers:
                yield self._answer(self._some(self._answers, chance))
            case "receive":
                again = list(self.outside.acknowledged)[-3:]
                names = [*self.outside.owed, *again]
                if names:
                    yield self._received(self._some(names, chance))
            case "sweep":
                yield Errand(self._sweep, chance.choice((1, 3, 500)))
            case "divert":
                yield Errand(self._divert, Diversion(provider_id))
            case "take":
                yield self._take(provider_id)
            case "recover":
                yield self._recover(provider_id)
            case "forget":
                yield Errand(self._forget, FORGET_MAX)

    @staticmethod
    def _some(among: list[Any], chance: Random) -> list[Any]:
        return chance.sample(among, min(len(among), chance.choice((1, 1, 2, 5))))

    # --- ending ----------------------------------------------------------------------

    def end(self) -> None:
        """Let everybody be answered, every receipt arrive and every message end."""
        leap_s = FIRST_LEAP_S
        self._again = {n for n in self.outside.told if self.outside.order_of(n)}
        for _ in range(ENDING_TURNS_MAX):
            errands = list(self._unfinished())
            if errands:
                self._do(errands)
            ready, wake_at_us = self.rows(
                "SELECT count(rank), min(wake_at) FROM messages WHERE resolution IS NULL"
            )[0]
            if ready:
                self._do([self._claim(each, 500) for each in PROVIDERS])
            elif self._answers:
                continue
            elif wake_at_us is not None:
                self.clock.us = max(self.clock.us, wake_at_us) + round(leap_s * 1e6)
                leap_s *= 2
                self._do([Errand(self._sweep, 500)])
            elif not errands:
                return
        raise AssertionError("the script doesn't come to its end")

    def _unfinished(self) -> Iterator[Errand]:
        for n in range(self.outside.asked):
            if n not in self.outside.told or n in self._again:
                self._again.discard(n)
                yield from self._asked(n)
        if self._answers:
            yield self._answer(list(self._answers))
        if self.outside.owed:
            yield self._received(list(self.outside.owed))

    # --- callers ---------------------------------------------------------------------

    def _asked(self, n: int) -> Iterator[Errand]:
        """Ask for a wish, the first time or again; nothing if its time hasn't come."""
        wish = self.outside.wish(n)
        refused = isinstance(self.outside.told.get(n), str)
        match wish.kind:
            case "stream":
                yield self._streamed(wish)
            case "fund":
                yield self._funded(wish)
            case "prices":
                yield from self._priced(wish)
            case "cancel" | "confirm" if wish.about in self.outside.told:
                if not refused:
                    yield self._amended(wish)
            case "cancel" | "confirm":
                pass
            case _ if not refused:  # a refusal isn't kept: the next one may be another
                yield self._sent(wish)

    def _sent(self, wish: Wish) -> Errand:
        send_at_us = None if wish.delay_s is None else self.clock.us + wish.delay_s * 1_000_000
        partial = wish.kind == "partial"
        request = self._request(wish, wish.numbers, send_at_us=send_at_us, partial=partial)

        def then(result: Any) -> Iterator[Line]:
            if isinstance(result, Refusal):
                yield ["told", wish.n, result.code]
            elif isinstance(result, Replay):
                yield ["told", wish.n, msgspec.json.decode(result.answer)]
            else:
                yield ["told", wish.n, msgspec.json.decode(_rendered(result)[1])]

        promise = Idempotency(SEND_SCOPE, wish.name, wish.name)
        plan = self.platform.plan(request)
        return Errand(
            self._accept, Request(plan=plan, idempotency=promise, render=_rendered), then
        )

    def _request(self, wish: Wish, numbers: Iterable[str], **changes: Any) -> SendRequest:
        return SendRequest(
            account_id=wish.account_id,
            key_id="aa000001",
            environment="test",
            request_id=f"request-{wish.n}",
            route_id=1,
            sender="ARRIVALS",
            recipients=[Recipient(number) for number in numbers],
            text=wish.text,
            client_ref=wish.name,
            **wish.options,
            **changes,
        )

    def _streamed(self, wish: Wish) -> Errand:
        """Go one step on with a stream: open it, send its next chunk, or finish it."""
        stream = self._streams.get(wish.n)
        if stream is None:
            opening = Opening(account_id=wish.account_id, key=wish.name, options=wish.text)
            return Errand(OPEN_STREAM, opening, lambda found: self._moved_on(wish, found))
        if stream.lines < len(wish.numbers):
            chunk = self._next_chunk(wish, stream)
            return Errand(self._chunk, chunk, lambda found: self._moved_on(wish, found))
        return Errand(FINISH_STREAM, stream, lambda found: self._finished(wish, found))

    def _moved_on(self, wish: Wish, found: Batch | Refusal) -> tuple[()]:
        if isinstance(found, Refusal):  # its twin of the same transaction was first
            self._streams.pop(wish.n, None)
        else:
            self._streams[wish.n] = found
        return ()

    def _finished(self, wish: Wish, found: Batch | Refusal) -> Iterator[Line]:
        self._streams.pop(wish.n, None)
        if isinstance(found, Batch):
            facts = {"accepted": found.accepted, "refused": found.refused, "cost": found.cost}
            yield ["told", wish.n, {"stream": found.batch_id, **facts}]

    def _next_chunk(self, wish: Wish, stream: Batch) -> Chunk:
        end = min(len(wish.numbers), stream.lines + LINES_A_CHUNK)
        numbers = wish.numbers[stream.lines : end]
        wanted = self._request(wish, numbers, partial=True, batch_id=stream.batch_id)
        try:
            request = Request(plan=self.platform.plan(wanted))
        except Refusal:  # no line of it can be accepted
            request = None
        return Chunk(
            stream=stream,
            start=stream.lines,
            lines=len(numbers),
            prefix_hash=hashlib.sha256("\n".join(wish.numbers[:end]).encode()).hexdigest(),
            numbers=tuple(range(stream.lines + 1, end + 1)),
            request=request,
        )

    def _amended(self, wish: Wish) -> Errand:
        order = self.outside.order_of(wish.about)
        amendment = Amendment(
            account_id=wish.account_id,
            key=message_key(order["order"], 0) if order else 1,
            confirmed=None if wish.kind == "cancel" else True,
            idempotency=Idempotency(AMEND_SCOPE, wish.name, wish.name),
        )

        def then(result: Any) -> Iterator[Line]:
            refused = isinstance(result, Refusal)
            yield ["told", wish.n, result.code if refused else {"amended": wish.kind}]

        return Errand(self._amend, amendment, then)

    # --- operators -------------------------------------------------------------------

    def _funded(self, wish: Wish) -> Errand:
        funding = Funding(
            account_id=wish.account_id,
            amount=Micros(wish.amount),
            reason="top up",
            reference=wish.name,
        )
        return Errand(FUND, funding, lambda done: [_told(wish, done, {"posting": done.posting_id})])

    def _priced(self, wish: Wish) -> Iterator[Errand]:
        """Import the next prices; they hold for whoever is planned after the commit."""
        version = self.platform.catalogue.prices[1].version
        wanted = NewPrices(route_id=1, rows=prices(version))

        def then(done: Any) -> Iterator[Line]:
            [self.platform.catalogue] = self._do([Errand(CATALOGUE, -1)])
            yield _told(wish, done, {"version": version + 1})

        if wish.n not in self.outside.told:
            yield Errand(IMPORT_PRICES, wanted, then)

    # --- providers -------------------------------------------------------------------

    def _take(self, provider_id: str) -> Errand:
        def then(epoch: int) -> tuple[()]:
            self._epochs[provider_id] = epoch
            return ()

        return Errand(TAKE, BindOwner(provider_id, "proof"), then)

    def _recover(self, provider_id: str) -> Errand:
        return Errand(self._recover_step, (provider_id, self._epochs[provider_id]))

    def _claim(self, provider_id: str, limit: int) -> Errand:
        wish = ClaimRequest(provider_id=provider_id, epoch=self._epochs[provider_id], limit=limit)
        return Errand(
            self._claim_step,
            wish,
            lambda claimed: self._hand_over(provider_id, claimed),
        )

    def _hand_over(self, provider_id: str, claimed: list[Submission]) -> Iterator[Line]:
        """Let bytes leave, message by message; the answers come later, in any order."""
        for each in claimed:
            destiny = fate(self.outside.seed, each.msisdn, each.attempt, each.segments)
            if destiny.answer != "not_sent":
                yield ["handed", provider_id, each.key, each.attempt, each.msisdn, each.segments]
            result = destiny.result(each.msisdn, each.attempt)
            self._answers.append(answer(each, result, provider_id))
            late = destiny.late_result(each.msisdn, each.attempt)
            if late is not None:
                self._answers.append(answer(each, late, provider_id, late=True))

    def _answer(self, answers: list[Answer]) -> Errand:
        """Record answers; a late one never comes before it was given up."""
        answers.sort(key=lambda each: each.late)
        first = [
            each
            for each in answers
            if not each.late
            or (each.key, each.attempt) in self.outside.heard
            or any((each.key, each.attempt, False) == _place(one) for one in answers)
        ]
        self._answers = [each for each in self._answers if each not in first]

        def then(_: Any) -> Iterator[Line]:
            for each in first:
                kind = type(each.result).__name__
                yield ["heard", each.key, each.attempt, kind]

        return Errand(self._answer_step, first, then)

    def _received(self, names: list[str]) -> Errand:
        outside = self.outside
        receipts = [outside.owed.get(each) or outside.acknowledged[each] for each in names]
        return Errand(
            self._receive, receipts, lambda _: (["acknowledged", each] for each in names)
        )


def _place(answer: Answer) -> tuple[int, int, bool]:
    return answer.key, answer.attempt, answer.late


def prepare(writer: Backend, clock: SetClock) -> None:
    """Make an empty database the installation that every script begins with."""
    for step, item in (
        (ENSURE_INSTALLATION, lambda octets: b"\x07" * octets),
        (APPLY_CONFIGURATION, configuration()),
    ):
        batch = [_Waiting(cast("Any", step), item, cast("Any", None))]
        if (error := _attempt(writer, batch)) is not None:
            raise error


def _rendered(accepted: Accepted) -> tuple[int, bytes]:
    answered = {
        "order": accepted.order.order_id,
        "numbers": [each.msisdn for each in accepted.messages],
        "cost": accepted.order.cost,
    }
    return 200, msgspec.json.encode(answered)


def _told(wish: Wish, done: Any, answered: Any) -> Line:
    if isinstance(done, Impossible):
        raise AssertionError(f"{wish.name}: {done}")
    return ["told", wish.n, answered]
