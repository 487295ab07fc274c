"""One process of an installation, played step by step: no loop, no threads, a clock to set.

It does what the flows do, by the same steps and through the same writer: several items of
several steps in one transaction, then the answers to those who wait, then the bytes. Which
items, how many and in which order is chance's, so every seed is another life.

    begin, steps, commit ──▶ tell callers, acknowledge receipts, hand bytes over ──▶ …
          └ every statement ┴─────────── and every one of these ─┴─▶ may be the last thing

`live` goes on until it is killed. `end` is for whoever comes after: everybody who wasn't
answered asks again, every receipt that is still owed comes, and time passes until nothing is
open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from random import Random
from typing import Any, cast

from arrivals.clock import SystemChance
from arrivals.core.catalogue import Catalogue
from arrivals.flows.administer import (
    ENSURE_INSTALLATION,
)
from arrivals.flows.answer import answer_step
from arrivals.flows.applying import APPLY_CONFIGURATION
from arrivals.flows.claim import ClaimRequest, claim_step, recover_step
from arrivals.flows.divert import Diversion, divert_step
from arrivals.flows.fleet import CATALOGUE
from arrivals.flows.lease import TAKE, BindOwner
from arrivals.flows.opening import _BEGIN
from arrivals.flows.plan import Defaults
from arrivals.flows.platform import Platform
from arrivals.flows.receive import receive_step
from arrivals.flows.sweep import FORGET_MAX, Sweeper, sweep_step
from arrivals.providers.api import Answer, Submission
from arrivals.store.api import Store
from arrivals.store.group_commit import Backend, _attempt, _Waiting
from tests.flows.script import SetClock, answer
from tests.proof.callers import Callers, Errand
from tests.proof.carriers import fate
from tests.proof.errands import (
    PROVIDERS,
    Line,
    Outside,
    configuration,
)

DEFAULTS = Defaults(valid_for_s=3_600, outcome_grace_s=3_600, resend_after_s=60)
ITEMS_MAX = 7  # in one transaction
HABITS = {  # and how often each comes up
    "ask": 30, "ask_again": 6, "claim": 24, "answer": 24, "receive": 22, "sweep": 14,
    "divert": 2, "take": 2, "recover": 2, "forget": 1,
}  # fmt: skip
ENDING_TURNS_MAX = 80
FIRST_LEAP_S = 20.0


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
        self._answers: list[Answer] = []  # on their way to this process, and lost with it
        self._epochs: dict[str, int] = {}
        self._again: set[int] = (
            set()
        )  # wishes asked with the same key though they were answered
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
        self._callers = Callers(self.platform, outside, self._read_catalogue)
        self._name_steps()
        for each in PROVIDERS:
            self._do([self._take(each)])
            while self._do([self._recover(each)]) != [0]:
                pass

    def _name_steps(self) -> None:
        ranks = self.platform.ranks

        def catalogue() -> Catalogue:
            return self.platform.catalogue

        self._claim_step = claim_step(catalogue, ranks)
        self._answer_step = answer_step(catalogue, ranks, DEFAULTS)
        self._receive = receive_step(catalogue)
        self._recover_step = recover_step(catalogue, ranks, DEFAULTS)
        self._sweep = sweep_step(catalogue, ranks, DEFAULTS)
        self._divert = divert_step(catalogue, ranks)
        self._forget = Sweeper(self.platform)._forget

    def _read_catalogue(self) -> None:
        [self.platform.catalogue] = self._do([Errand(CATALOGUE, -1)])

    # --- transactions ----------------------------------------------------------------

    def _do(self, errands: list[Errand]) -> list[Any]:
        """Commit errands together, then tell the outside what came of each."""
        batch = [_Waiting(each.step, each.item, cast("Any", None)) for each in errands]
        error = _attempt(self._writer, batch, {})
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

    def _something(self, chance: Random) -> Iterable[Errand]:
        [habit] = chance.choices(list(HABITS), list(HABITS.values()))
        found: Iterable[Errand] = getattr(self, f"_by_chance_{habit}")(chance)
        return found

    def _by_chance_ask(self, _: Random) -> Iterator[Errand]:
        n = self.outside.asked
        self._say(["asks", n])
        yield from self._callers.ask(n)

    def _by_chance_ask_again(self, chance: Random) -> Iterator[Errand]:
        if self.outside.asked:
            yield from self._callers.ask(chance.randrange(self.outside.asked))

    def _by_chance_claim(self, chance: Random) -> Iterator[Errand]:
        yield self._claim(chance.choice(PROVIDERS), chance.randint(1, 5))

    def _by_chance_answer(self, chance: Random) -> Iterator[Errand]:
        if self._answers:
            yield self._answer(self._some(self._answers, chance))

    def _by_chance_receive(self, chance: Random) -> Iterator[Errand]:
        """Take what is owed, and now and then once more what was acknowledged already."""
        names = [*self.outside.owed, *list(self.outside.acknowledged)[-3:]]
        if names:
            yield self._received(self._some(names, chance))

    def _by_chance_sweep(self, chance: Random) -> Iterator[Errand]:
        yield Errand(self._sweep, chance.choice((1, 3, 500)))

    def _by_chance_divert(self, chance: Random) -> Iterator[Errand]:
        yield Errand(self._divert, Diversion(chance.choice(PROVIDERS)))

    def _by_chance_take(self, chance: Random) -> Iterator[Errand]:
        yield self._take(chance.choice(PROVIDERS))

    def _by_chance_recover(self, chance: Random) -> Iterator[Errand]:
        yield self._recover(chance.choice(PROVIDERS))

    def _by_chance_forget(self, _: Random) -> Iterator[Errand]:
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
                yield from self._callers.ask(n)
        if self._answers:
            yield self._answer(list(self._answers))
        if self.outside.owed:
            yield self._received(list(self.outside.owed))

    # --- providers -------------------------------------------------------------------

    def _take(self, provider_id: str) -> Errand:
        def then(epoch: int) -> tuple[()]:
            self._epochs[provider_id] = epoch
            return ()

        return Errand(TAKE, BindOwner(provider_id, "proof"), then)

    def _recover(self, provider_id: str) -> Errand:
        return Errand(self._recover_step, (provider_id, self._epochs[provider_id]))

    def _claim(self, provider_id: str, limit: int) -> Errand:
        wish = ClaimRequest(
            provider_id=provider_id, epoch=self._epochs[provider_id], limit=limit
        )
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
                yield [
                    "handed",
                    provider_id,
                    each.key,
                    each.attempt,
                    each.msisdn,
                    each.segments,
                ]
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
        if (error := _attempt(writer, batch, {})) is not None:
            raise error
