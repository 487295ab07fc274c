"""Messages are held out, looked at at their ages, and closed with what came of them."""

from __future__ import annotations

from typing import Any

import pytest

from arrivals.outcome import holdout
from arrivals.outcome.anchors import Said, Source
from arrivals.outcome.calibration import AGES_S
from arrivals.outcome.holdout import Held, HoldOut
from arrivals.outcome.record import TrackRecord

BEGIN_US = 1_790_000_000_000_000
SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US
PATH = ("NL alphanumeric", "kpn", "north", "SHOP")
SOURCE = Source("1", "otp", "NL")


def held(at_us: int = BEGIN_US) -> Held:
    return Held(PATH, SOURCE, ("north", "NL"), at_us)


class Bench:
    """A hold-out with a record, and a model that says what it is asked for."""

    def __init__(self) -> None:
        self.holdout = HoldOut()
        self.record = TrackRecord()
        self.asked: list[tuple[float, int, Said | None]] = []
        self.share: float | None = 0.5

    def forecast(self, message: Held, age_s: float, now_us: int) -> float | None:
        self.asked.append((age_s, now_us, message.heard))
        return 0.8 if message.heard is None else 0.95

    def look(self, now_us: int) -> None:
        self.holdout.look(now_us, self.record, self.forecast, lambda source, at_us: self.share)

    def rows(self, age: int) -> list[Any]:
        score = self.record.groups(BEGIN_US + DAY_US)[0].ages[age].score
        return score.rows if score else []


def test_a_message_is_looked_at_at_its_ages_by_what_it_had_heard_then() -> None:
    bench = Bench()
    bench.holdout.sent(1, held())
    bench.look(BEGIN_US)
    bench.holdout.heard(1, Said.SILENT)  # says nothing
    bench.look(BEGIN_US + 61 * SECOND_US)
    bench.holdout.heard(1, Said.POSITIVE)
    bench.holdout.confirmed(1)
    bench.look(BEGIN_US + DAY_US - 1)
    assert len(bench.holdout) == 1
    assert bench.record.groups(BEGIN_US) == []
    bench.look(BEGIN_US + 2 * DAY_US)
    assert [age for age, _, _ in bench.asked] == list(AGES_S)
    assert [at - BEGIN_US for _, at, _ in bench.asked] == [age * SECOND_US for age in AGES_S]
    assert [heard for _, _, heard in bench.asked] == [None, None, *[Said.POSITIVE] * 3]
    assert len(bench.holdout) == 0
    assert [row.said for row in bench.rows(0)] == pytest.approx([0.8])
    assert [(row.said, row.arrived) for row in bench.rows(4)] == [pytest.approx((0.95, 2.0))]


def test_what_nobody_confirms_counts_as_none_and_what_nobody_can_tell_as_neither() -> None:
    bench = Bench()
    bench.holdout.sent(1, held())
    bench.look(BEGIN_US + DAY_US)
    assert [row.arrived for row in bench.rows(1)] == pytest.approx([0.0])
    bench.share = None
    bench.holdout.sent(2, held())
    bench.look(BEGIN_US + DAY_US)
    (found, _) = bench.record.groups(BEGIN_US)
    assert found.unresolved == pytest.approx(1.0)
    assert found.ages[1].score is not None
    assert found.ages[1].score.count == pytest.approx(1.0)


def test_others_are_none_of_its_business() -> None:
    bench = Bench()
    bench.holdout.heard(7, Said.POSITIVE)
    bench.holdout.confirmed(7)
    bench.look(BEGIN_US + DAY_US)
    assert bench.asked == []


def test_those_that_wait_go_on_elsewhere() -> None:
    bench, again = Bench(), Bench()
    for key in (2, 1):
        bench.holdout.sent(key, held(BEGIN_US + key * SECOND_US))
    bench.look(BEGIN_US + 61 * SECOND_US)
    again.holdout = HoldOut(bench.holdout.waiting())
    again.look(BEGIN_US + 2 * DAY_US)
    assert [age for age, _, _ in again.asked] == [60.0, 600.0, 600.0, 3_600.0, 3_600.0] + [
        86_400.0
    ] * 2
    assert len(again.rows(0)) == 1


def test_a_message_is_held_once_and_no_more_than_the_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Half of them at once, and the rest only now and then."""
    monkeypatch.setattr(holdout, "HELD_MAX", 8)
    monkeypatch.setattr(holdout, "_APART_US", 100 * SECOND_US)
    bench = Bench()
    bench.holdout.sent(0, held())
    bench.holdout.sent(0, held(BEGIN_US + 50))
    assert [each.sent_us for _, each in bench.holdout.waiting()] == [BEGIN_US]
    for key in range(1, 50):
        bench.holdout.sent(key, held(BEGIN_US + key * SECOND_US))
    assert len(bench.holdout) == 4
    for key in range(100, 300):
        bench.holdout.sent(key, held(BEGIN_US + key * SECOND_US))
    assert len(bench.holdout) == 6
    for key in range(1_000, 2_000):
        bench.holdout.sent(key, held(BEGIN_US + key * SECOND_US))
    assert len(bench.holdout) == 8
