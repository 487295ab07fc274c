"""What was said beside what came: sums of known answer, that fade, merge and are bounded."""

from __future__ import annotations

import math
import random

import pytest

from arrivals.outcome.calibration import AGES_S
from arrivals.outcome.cells import UnreadableCell
from arrivals.outcome.fading import HALF_US, SEASON_US, season_of
from arrivals.outcome.record import ALL, EDGES, AtAge, TrackRecord

NOW_US = 1_790_000_000_000_000
DAY_US = 86_400_000_000
NL, DE = ("north", "NL"), ("south", "DE")


def every(p: float | None) -> list[float | None]:
    return [p] * len(AGES_S)


def at(record: TrackRecord, group: tuple[str, ...] = ALL, now_us: int = NOW_US) -> AtAge:
    (found,) = [each for each in record.groups(now_us) if each.group == group]
    return found.ages[1]


def test_figures_by_hand() -> None:
    """Half of those that arrive are confirmed, so each of them counts as two."""
    record = TrackRecord()
    for p, arrivals in ((0.9, 2.0), (0.9, 0.0), (0.2, 0.0)):
        record.came(NL, NOW_US, every(p), arrivals)
    record.came(NL, NOW_US, every(None), 2.0)
    found = at(record, NL)
    assert found.age_s == 60.0
    assert found.without_forecast == pytest.approx(1.0)
    score = found.score
    assert score is not None
    assert score.count == pytest.approx(3.0)
    assert score.arrived == pytest.approx(2 / 3)
    assert score.brier == pytest.approx((0.81 - 3.6 + 2 + 0.81 + 0.04) / 3)
    assert score.log_loss == pytest.approx(
        -(2 * math.log(0.9) - math.log(0.1) + math.log(0.1) + math.log(0.8)) / 3
    )
    low, high = score.rows
    assert (low.low, low.high, low.said, low.arrived) == pytest.approx((0.2, 0.3, 0.2, 0.0))
    assert (high.low, high.high, high.said, high.arrived) == pytest.approx(
        (0.9, 0.95, 0.9, 1.0)
    )
    assert 0.0 < low.arrived_high <= 1.0
    assert score.ece == pytest.approx((2 * 0.1 + 0.2) / 3)
    assert at(record) == found  # there is no other group


@pytest.mark.slow
def test_a_perfect_forecast_is_off_only_by_chance() -> None:
    """Three in ten who receive it say so; what is said of all is still found to be true."""
    dice, honest, stretched = random.Random(5), TrackRecord(), TrackRecord()
    for _ in range(20_000):
        p = dice.random()
        confirmed = dice.random() < p and dice.random() < 0.3
        honest.came(NL, NOW_US, every(p), confirmed / 0.3)
        stretched.came(NL, NOW_US, every(min(1.3 * p, 1.0)), confirmed / 0.3)
    good, bad = at(honest).score, at(stretched).score
    assert good is not None
    assert bad is not None
    assert good.arrived == pytest.approx(0.5, abs=0.02)
    assert good.brier == pytest.approx(1 / 6, abs=3 * good.brier_error)
    assert 0.3 * good.ece_by_chance < good.ece < 2.5 * good.ece_by_chance
    assert bad.ece > 0.08
    assert bad.brier - good.brier > 2 * good.brier_error
    assert sum(row.arrived_low <= row.said <= row.arrived_high for row in good.rows) >= 14
    assert len(good.rows) == len(EDGES) + 1


def test_a_rate_has_both_its_bounds() -> None:
    record = TrackRecord()
    for _ in range(10):
        record.handed_off(NL, NOW_US)
    for _ in range(6):
        record.received(NL, NOW_US, positive=True)
    record.received(NL, NOW_US, positive=False)
    record.confirmed(NL, NOW_US)
    known = record.groups(NOW_US)[1].known
    assert known.handoffs == pytest.approx(10)
    assert (known.delivered, known.failed, known.unknown) == pytest.approx((0.6, 0.1, 0.3))
    assert (known.low, known.high, known.confirmed) == pytest.approx((0.6, 0.9, 0.1))
    record.received(NL, NOW_US, -1, positive=True)  # it was another's word in the end
    record.received(NL, NOW_US, positive=False)
    assert record.groups(NOW_US)[1].known.failed == pytest.approx(0.2)


def test_nothing_has_no_rate() -> None:
    """What was closed without a hand-off of its own is counted, and no share is made up."""
    record = TrackRecord()
    record.unresolved(NL, NOW_US)
    found = record.groups(NOW_US)[1]
    assert found.unresolved == pytest.approx(1)
    assert (found.known.handoffs, found.known.low) == (0.0, 0.0)
    assert all(each.score is None for each in found.ages)
    assert TrackRecord().groups(NOW_US) == []


def fill(record: TrackRecord, seed: int) -> None:
    dice = random.Random(seed)
    for n in range(300):
        sent_us = NOW_US - dice.randrange(40) * DAY_US
        group = (NL, DE)[n % 2]
        record.handed_off(group, sent_us)
        record.received(group, sent_us, positive=dice.random() < 0.8)
        record.came(group, sent_us, every(dice.random()), 2.0 * (dice.random() < 0.4))


def flat(record: TrackRecord, now_us: int) -> list[float]:
    found = []
    for group in sorted(record.groups(now_us), key=lambda each: each.group):
        score = group.ages[2].score
        assert score is not None
        found += [group.known.handoffs, group.known.low, score.count, score.brier, score.ece]
        found += [row.arrived for row in score.rows]
    return found


def test_two_records_add_up_to_one() -> None:
    """Whichever is ahead in time; and what is added fades as if it had been here."""
    one, two, both = TrackRecord(), TrackRecord(), TrackRecord()
    fill(one, 1)
    fill(two, 2)
    two.handed_off(NL, (season_of(NOW_US) + 1) * SEASON_US)  # its landmark is a later one
    for seed in (1, 2):
        fill(both, seed)
    both.handed_off(NL, (season_of(NOW_US) + 1) * SEASON_US)
    now_us = NOW_US + DAY_US
    one.merge(two)
    assert flat(one, now_us) == pytest.approx(flat(both, now_us))
    three, four = TrackRecord(), TrackRecord()
    fill(three, 1)
    fill(four, 3)
    three.merge(four)
    four.merge(TrackRecord())
    assert len(three) == 2


def test_old_messages_count_less() -> None:
    record = TrackRecord()
    record.handed_off(NL, NOW_US)
    record.received(NL, NOW_US, positive=True)
    later_us = NOW_US + round(HALF_US)
    record.handed_off(NL, later_us)
    known = record.groups(later_us)[0].known
    assert known.handoffs == pytest.approx(1.5)
    assert known.delivered == pytest.approx(1 / 3)


def test_a_record_is_kept_and_read_back() -> None:
    record = TrackRecord()
    fill(record, 4)
    again = TrackRecord.decode(record.encode())
    assert again.groups(NOW_US) == record.groups(NOW_US)
    assert again.encode() == record.encode()
    with pytest.raises(UnreadableCell):
        TrackRecord.decode(b"junk")


def test_groups_are_bounded_and_all_of_them_are_kept_in_sum() -> None:
    record = TrackRecord(groups_max=5)
    for n in range(12):
        for _ in range(1 + n % 3):
            record.handed_off((f"provider {n}", "NL"), NOW_US)
    assert len(record) <= 5
    assert record.groups(NOW_US)[0].group == ALL
    assert record.groups(NOW_US)[0].known.handoffs == pytest.approx(24)
