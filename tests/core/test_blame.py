"""Whom a throttled answer concerns: rules one by one, then a bind and a provider over time."""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable, Sequence

import pytest

from arrivals.core import blame as rules
from arrivals.core.blame import Blame, Verdict
from arrivals.core.pacing import Pacer, within
from arrivals.core.retry import Cause, next_at

SECOND = 1_000_000
NOW = 1_800_000_000 * SECOND


def others_taken(blame: Blame, count: int) -> None:
    for number in range(count):
        blame.taken(f"other {number}")


def throttled(blame: Blame, *numbers: str, at: int = NOW) -> list[Verdict]:
    return [blame.throttled(each, at, held=False) for each in numbers]


# --- one answer at a time -------------------------------------------------------------


def test_a_lone_throttle_concerns_its_message() -> None:
    assert throttled(Blame(), "a") == [Verdict.MESSAGE]


def test_three_numbers_in_a_row_concern_the_bind() -> None:
    assert throttled(Blame(), "a", "b", "c") == [Verdict.MESSAGE, Verdict.MESSAGE, Verdict.BIND]


def test_one_number_throttled_again_and_again_never_concerns_the_bind() -> None:
    """A recipient whose queue is full answered "queue full" for good."""
    blame = Blame()
    assert set(throttled(blame, *["a"] * 500)) == {Verdict.MESSAGE}
    assert blame.suspects == 1


def test_a_few_numbers_among_many_that_are_taken_concern_themselves() -> None:
    blame = Blame()
    for number in range(40):
        others_taken(blame, 49)
        assert throttled(blame, f"full {number}") == [Verdict.MESSAGE]


def test_one_in_ten_that_never_was_throttled_before_concerns_the_bind() -> None:
    blame, found = Blame(), []
    for number in range(4):
        others_taken(blame, 8)
        found += throttled(blame, f"fresh {number}")
    assert found[:2] == [Verdict.MESSAGE] * 2
    assert Verdict.BIND in found


def test_only_recent_answers_count() -> None:
    blame = Blame()
    throttled(blame, "a", "b")
    others_taken(blame, rules.ANSWERS_MAX)
    assert throttled(blame, "c", "d") == [Verdict.MESSAGE] * 2


def test_what_was_under_way_when_the_hold_began_belongs_to_it() -> None:
    blame = Blame()
    throttled(blame, "a", "b", "c")
    assert blame.throttled("d", NOW, held=True) is Verdict.BIND
    assert blame.throttled("a", NOW, held=True) is Verdict.BIND
    assert throttled(blame, "d") == [Verdict.MESSAGE], "it is known, not fresh"


def test_the_offenders_remembered_are_bounded() -> None:
    blame = Blame()
    for number in range(3 * rules.ANSWERS_MAX):
        blame.throttled(str(number), NOW, held=True)
    assert len(blame._offenders) == rules.ANSWERS_MAX


def test_after_a_hold_the_evidence_begins_anew() -> None:
    blame = Blame()
    throttled(blame, "a", "b", "c")
    assert throttled(blame, "d", "e") == [Verdict.MESSAGE] * 2
    assert throttled(blame, "f") == [Verdict.BIND]


def test_a_number_that_was_taken_is_fresh_again() -> None:
    blame = Blame()
    throttled(blame, "a", "b")
    blame.taken("a")
    assert blame.suspects == 1
    assert throttled(blame, "a") == [Verdict.MESSAGE], "three throttles of two numbers"
    assert throttled(blame, "c") == [Verdict.BIND]


def test_a_load_test_to_one_number_slows_the_bind() -> None:
    """It is taken and throttled in turn: nobody else's share tells, and half is too much."""
    blame, found = Blame(), []
    for _ in range(rules.ANSWERS_MAX):
        blame.taken("mine")
        found += throttled(blame, "mine", "mine")
    assert Verdict.BIND in found


def test_suspects_are_forgotten_after_a_while_and_bounded() -> None:
    blame = Blame()
    later = NOW + rules.SUSPECT_US
    throttled(blame, "a", "b")
    assert throttled(blame, "a", "b", "c", at=later)[-1] is Verdict.BIND
    for number in range(2 * rules.SUSPECTS_MAX):
        throttled(blame, str(number), at=later)
    assert blame.suspects == rules.SUSPECTS_MAX


def test_a_bind_that_full_queues_slowed_is_absolved_when_they_meet_it_again() -> None:
    blame = Blame()
    throttled(blame, "a", "b", "c")
    others_taken(blame, rules.OTHERS_LEAST)
    assert throttled(blame, "a", "b") == [Verdict.MESSAGE] * 2
    assert throttled(blame, "c") == [Verdict.ABSOLVED]
    assert throttled(blame, "a", "b", "c") == [Verdict.MESSAGE] * 3, "once is enough"


def test_it_isn_t_absolved_when_one_of_them_is_taken() -> None:
    blame = Blame()
    throttled(blame, "a", "b", "c", "d")
    others_taken(blame, rules.OTHERS_LEAST)
    blame.taken("a")
    assert Verdict.ABSOLVED not in throttled(blame, "b", "c", "d")


def test_it_isn_t_absolved_before_others_succeeded() -> None:
    blame = Blame()
    throttled(blame, "a", "b", "c")
    others_taken(blame, rules.OTHERS_LEAST - 1)
    assert Verdict.ABSOLVED not in throttled(blame, "a", "b", "c")


def test_it_isn_t_absolved_while_others_are_throttled_too() -> None:
    blame = Blame()
    throttled(blame, "a", "b", "c")
    others_taken(blame, rules.OTHERS_LEAST)
    throttled(blame, "a", "b", "somebody else")
    assert throttled(blame, "c") == [Verdict.MESSAGE]


# --- what they have in common ----------------------------------------------------------

BAD, GOOD = ("from BAD", "to 31"), ("from GOOD", "to 31")


def slowed_by_a_sender(blame: Blame) -> None:
    verdicts = [blame.throttled(f"n{n}", NOW, held=False, traits=BAD) for n in range(3)]
    assert verdicts == [Verdict.MESSAGE, Verdict.MESSAGE, Verdict.BIND]


def absolved_by_others(blame: Blame) -> None:
    slowed_by_a_sender(blame)
    found = [blame.taken(f"good {n}", GOOD) for n in range(rules.ACQUITTED_BY)]
    assert found == [Verdict.MESSAGE] * (rules.ACQUITTED_BY - 1) + [Verdict.ABSOLVED]


def test_a_sender_that_is_throttled_for_good_is_accused_and_others_absolve_the_bind() -> None:
    """Two hundred messages of one sender, each to a fresh number, kept all others waiting."""
    blame = Blame()
    absolved_by_others(blame)
    assert not blame.accuses_traits
    for number in range(rules.ANSWERS_MAX - 1):
        verdict = blame.throttled(f"m{number}", NOW, held=False, traits=BAD)
        assert verdict is Verdict.MESSAGE


def test_what_is_accused_is_what_all_have_in_common() -> None:
    blame = Blame()
    slowed_by_a_sender(blame)
    assert blame.is_accused(BAD)
    assert blame.is_accused((*BAD, "long"))
    assert not blame.is_accused(GOOD)
    blame.throttled("x", NOW, held=True, traits=("from OTHER", "to 31"))
    assert blame.is_accused(GOOD), "it may be the country"
    blame.throttled("y", NOW, held=True, traits=("from OTHER", "to 49"))
    assert not blame.accuses_traits, "it is the bind"
    assert not blame.is_accused(BAD)


def test_a_sender_of_which_one_was_taken_beside_is_not_accused() -> None:
    blame = Blame()
    blame.throttled("a", NOW, held=False, traits=BAD)
    blame.taken("b", BAD)
    throttled_too = [blame.throttled(n, NOW, held=False, traits=BAD) for n in ("c", "d")]
    assert throttled_too[-1] is Verdict.BIND
    assert not blame.accuses_traits


def test_an_accused_sender_that_is_taken_is_cleared_and_the_bind_is_not() -> None:
    blame = Blame()
    slowed_by_a_sender(blame)
    assert [blame.taken(f"t{n}", BAD) for n in range(5)] == [Verdict.MESSAGE] * 5
    assert not blame.accuses_traits


def test_a_suspect_sender_that_is_taken_counts_again() -> None:
    blame = Blame()
    absolved_by_others(blame)
    blame.taken("x", BAD)
    found = [blame.throttled(f"m{n}", NOW, held=False, traits=BAD) for n in range(3)]
    assert Verdict.BIND in found


def test_a_sender_is_suspected_for_a_while_only() -> None:
    blame = Blame()
    absolved_by_others(blame)
    blame.throttled("m", NOW, held=False, traits=BAD)
    later = NOW + rules.SUSPECT_US
    found = [blame.throttled(f"m{n}", later, held=False, traits=BAD) for n in range(3)]
    assert Verdict.BIND in found


def test_suspects_alone_slow_the_bind_again() -> None:
    """Nobody else is there to show that it is well, so it isn't hammered."""
    blame = Blame()
    absolved_by_others(blame)
    found = [
        blame.throttled(f"m{n}", NOW, held=False, traits=BAD)
        for n in range(rules.ANSWERS_MAX + 3)
    ]
    assert Verdict.BIND in found


def test_a_number_s_load_test_accuses_no_sender() -> None:
    blame, found = Blame(), []
    for _ in range(rules.ANSWERS_MAX):
        blame.taken("mine", BAD)
        found += [blame.throttled("mine", NOW, held=False, traits=BAD) for _ in range(2)]
    assert Verdict.BIND in found
    assert not blame.accuses_traits


def test_what_is_remembered_of_senders_is_bounded() -> None:
    blame = Blame()
    slowed_by_a_sender(blame)
    blame._accused.add("long")
    for number in range(2 * rules.TRAITS_MAX):
        blame._taken_at[f"from {number}"] = 1
        blame._traits[f"from {number} too"] = NOW
    for number in range(rules.ACQUITTED_BY):
        blame.taken(f"good {number}", GOOD)
    assert len(blame._taken_at) == len(blame._traits) == rules.TRAITS_MAX


# --- a bind and a provider over time ---------------------------------------------------

STEP_US = 5_000
ROUND_TRIP_US = 50_000
Answering = Callable[[str, float], bool]  # whether a number is taken at a second


class Road:
    """A queue, a bind with its pacer, and a provider, in steps of five milliseconds."""

    def __init__(
        self, takes: Answering, *, window: int = 10, rate: float | None = None
    ) -> None:
        self.takes = takes
        self.window = window
        self.pacer = Pacer(*within(rate)) if rate else Pacer(None, window)
        self.blame = Blame()
        self.ready: deque[tuple[str, int]] = deque()  # numbers, and how often they waited
        self.waiting: list[tuple[int, int, str, int]] = []
        self.under_way: deque[tuple[int, str, int, bool]] = deque()
        self.now = 0
        self.taken_at: dict[str, list[float]] = {}
        self.seen = self.held = 0
        self.dice = random.Random(1)

    def queue(self, numbers: Sequence[str]) -> None:
        self.ready.extend((number, 0) for number in numbers)

    def run(self, seconds: float) -> None:
        until = self.now + int(seconds * SECOND)
        while self.now < until:
            self.now += STEP_US
            self._wake()
            self._hear()
            self._send()

    def taken(self, prefix: str = "") -> int:
        return sum(len(at) for name, at in self.taken_at.items() if name.startswith(prefix))

    def done_at(self, prefix: str) -> float:
        return max(max(at) for name, at in self.taken_at.items() if name.startswith(prefix))

    def _wake(self) -> None:
        while self.waiting and self.waiting[0][0] <= self.now:
            _, _, number, turns = heapq.heappop(self.waiting)
            self.ready.append((number, turns))

    def _hear(self) -> None:
        took = False
        while self.under_way and self.under_way[0][0] <= self.now:
            _, number, turns, taken = self.under_way.popleft()
            if taken:
                took = True
                self.blame.taken(number)
                self.taken_at.setdefault(number, []).append(self.now / SECOND)
                continue
            self._blamed(number)
            turns += 1
            jitter = self.dice.random()
            at = next_at(Cause.THROTTLED, turns, self.now, jitter, deadline_us=1 << 62) or 0
            heapq.heappush(self.waiting, (at, self.dice.randrange(1 << 60), number, turns))
        if took:
            self.pacer.succeeded(self.now)

    def _blamed(self, number: str) -> None:
        held = self.now < self.pacer.held_until_us
        match self.blame.throttled(number, self.now, held=held):
            case Verdict.BIND:
                self.held += not held
                self.pacer.throttled(self.now)
            case Verdict.ABSOLVED:
                self.pacer.absolve()

    def _send(self) -> None:
        while self.ready and len(self.under_way) < self.window and self.pacer.take(1, self.now):
            number, turns = self.ready.popleft()
            self.seen += 1
            taken = self.takes(number, self.now / SECOND)
            self.under_way.append((self.now + ROUND_TRIP_US, number, turns, taken))


def full_ones(number: str, _: float) -> bool:
    return not number.startswith("full")


class Thrice:
    """Numbers that are throttled three times for each message, then taken."""

    def __init__(self) -> None:
        self.seen: dict[str, int] = {}

    def __call__(self, number: str, _: float) -> bool:
        if not number.startswith("full"):
            return True
        self.seen[number] = self.seen.get(number, 0) + 1
        return self.seen[number] % 4 == 0


class Limited:
    """A provider that takes so many a second, and says "throttled" to the rest."""

    def __init__(self, per_s: float) -> None:
        self.per_s, self.tokens, self.at = per_s, per_s, 0.0

    def __call__(self, number: str, at: float) -> bool:
        self.tokens = min(self.per_s, self.tokens + (at - self.at) * self.per_s)
        self.at = at
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


def mixed(others: int, full: Sequence[str]) -> list[str]:
    numbers = [f"other {number}" for number in range(others)]
    for position, number in enumerate(full):
        numbers.insert(position * 37 % len(numbers), number)
    return numbers


def test_one_recipient_that_is_always_full_costs_twelve_thousand_others_nothing() -> None:
    alone, beside = Road(lambda *_: True, window=50), Road(full_ones, window=50)
    for road, full in ((alone, []), (beside, ["full"])):
        road.queue(mixed(12_000, full))
        road.run(20)
        assert road.taken("other") == 12_000
    assert beside.done_at("other") <= alone.done_at("other") + 0.1
    assert beside.held == 0


def test_forty_messages_to_a_number_that_is_throttled_three_times_each() -> None:
    road = Road(Thrice())
    road.queue(mixed(2_000, ["full"] * 40))
    road.run(40)
    assert road.taken("other") == 2_000
    assert road.done_at("other") <= 1.1 * 2_040 / 10 * 0.055


@pytest.mark.parametrize("window", [10, 100])
def test_forty_numbers_that_are_throttled_three_times_each_among_two_thousand(
    window: int,
) -> None:
    road = Road(Thrice(), window=window)
    road.queue(mixed(2_000, [f"full {number}" for number in range(40)]))
    road.run(60)
    assert (road.taken("other"), road.taken("full"), road.held) == (2_000, 40, 0)
    assert road.done_at("other") <= 1.2 * (2_000 / window * 0.055) + 0.5


@pytest.mark.parametrize("full", [1, 2, 3, 5, 9, 25])
@pytest.mark.parametrize("rate", [None, 100.0])
def test_full_recipients_first_on_a_fresh_bind_hold_nobody_else_up_for_long(
    full: int, rate: float | None
) -> None:
    """Five recipients that answer "queue full" for good made 200 others take a minute."""
    road = Road(full_ones, rate=rate)
    road.queue([f"full {number}" for number in range(full)])
    road.run(0.3)
    road.queue([f"other {number}" for number in range(200)])
    road.run(20)
    assert road.taken("other") == 200
    assert road.done_at("other") < (5 if full < 10 else 18)


def test_forty_full_numbers_in_a_row_slow_a_bind_for_little_more_than_a_minute() -> None:
    """A provider that throttles everything looks the same until others are tried."""
    road = Road(Thrice())
    road.queue([f"full {number}" for number in range(40)])
    road.queue([f"other {number}" for number in range(2_000)])
    road.run(120)
    assert road.taken() == 2_040
    assert road.done_at("other") < 80


@pytest.mark.parametrize("window", [10, 100])
@pytest.mark.parametrize("rate", [None, 40.0, 200.0, 1_000.0])
def test_a_provider_that_limits_is_found_and_its_limit_used(
    window: int, rate: float | None
) -> None:
    road = Road(Limited(50), window=window, rate=rate)
    road.queue([f"other {number}" for number in range(6_000)])
    road.run(100)
    assert road.taken() >= 0.8 * 100 * min(50, rate or 50)
    if (rate or 1_000) > 50:
        assert road.held > 0, "it slows"
    assert road.seen <= 2 * road.taken(), "and it doesn't hammer"


@pytest.mark.parametrize("window", [10, 100])
def test_a_storm_of_ten_minutes_in_which_nine_in_ten_are_throttled(window: int) -> None:
    dice = random.Random(2)
    road = Road(lambda *_: dice.random() < 0.1, window=window)
    road.queue([f"other {number}" for number in range(20_000)])
    road.run(600)
    assert road.held > 5
    assert road.seen < 600 * 15, "most of the time it waits"


def test_everything_is_throttled_for_half_a_minute_and_then_fine() -> None:
    road = Road(lambda _, at: at > 30)
    road.queue([f"other {number}" for number in range(2_000)])
    road.run(31)
    assert road.seen < 150
    road.run(100)
    assert road.taken() == 2_000
    assert road.done_at("other") < 100


def test_a_provider_that_limits_beside_full_recipients_is_slowed_all_the_same() -> None:
    limited = Limited(50)
    road = Road(lambda number, at: limited(number, at) and full_ones(number, at), window=50)
    road.queue(mixed(4_000, [f"full {number}" for number in range(20)]))
    road.run(70)
    assert road.taken("other") >= 0.8 * 70 * 50
    assert road.held > 0


def test_a_load_test_to_one_number_at_a_provider_that_limits() -> None:
    road = Road(Limited(50), window=100)
    road.queue(["mine"] * 6_000)
    road.run(100)
    assert road.taken() >= 0.8 * 100 * 50
    assert road.held > 0
    assert road.seen <= 3 * road.taken()
