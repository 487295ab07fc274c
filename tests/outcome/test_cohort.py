"""Look-alikes: how mixed their ends are, and what goes with them beyond chance."""

from __future__ import annotations

import math
import random
import statistics
from collections import Counter
from itertools import permutations
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrivals.core.message import State
from arrivals.outcome.cohort import (
    BEYOND_CHANCE_Z,
    ENDED_MIN,
    FACTORS,
    OTHERS,
    VALUES_MAX,
    VALUES_SHOWN_MAX,
    VERDICTS,
    Member,
    chi_squared,
    cohort,
    deviations,
    entropy_bits,
    mutual_bits,
    of_one_shape,
    says,
    shuffled,
)

BEGIN_US = 1_800_000_000_000_000
HOUR_US = 3_600_000_000


def member(key: int = 1, state: str = "delivered", **changes: Any) -> Member:
    plain = Member(
        key, state, 3, "north", "31612345678", "NL", "ARRIVALS", 1, "gsm7", "otp", 1, BEGIN_US,
        "Your code is 4821",
    )  # fmt: skip
    return msgspec.structs.replace(plain, **changes)


def many(count: int, state: str = "delivered", **changes: Any) -> list[Member]:
    return [member(key, state, **changes) for key in range(count)]


# --- whose text is alike --------------------------------------------------------------


def test_a_shape_is_a_text_but_for_what_differs_by_message() -> None:
    texts = ["Your code is 77", "Your code is 1234", "Your key is 77", None, "Your code is 77"]
    members = [member(key, text=text) for key, text in enumerate(texts)]
    assert [each.key for each in of_one_shape(members, "Your code is 000000")] == [0, 1, 4]
    assert of_one_shape(members, None) == []


# --- how mixed, and what it goes with -------------------------------------------------


def test_where_all_end_alike_nothing_is_left_to_chance() -> None:
    found = cohort(many(20))
    assert (found.determinism, found.entropy_bits) == (1.0, 0.0)
    assert says(found) == [
        "20 messages of this shape: 20 delivered.",
        "They all had the same fate (determinism 1.00 of 1).",
    ]


@pytest.mark.parametrize(
    ("shares", "words"),
    [
        ((99, 1), "Nearly all had the same fate (determinism 0.97 of 1)."),
        ((80, 20), "Most had the same fate, and some another (determinism 0.69 of 1)."),
        ((20, 20, 20, 20, 20),
         "They had different fates, though they asked for the same (determinism 0.00 of 1)."),
    ],
)  # fmt: skip
def test_how_alike_they_ended_is_said_in_words(shares: tuple[int, ...], words: str) -> None:
    members = [
        each
        for count, verdict in zip(shares, VERDICTS, strict=False)
        for each in many(count, verdict)
    ]
    assert says(cohort(members))[1] == words


def test_where_every_end_is_as_likely_it_is_0() -> None:
    found = cohort([each for verdict in VERDICTS for each in many(10, verdict)])
    assert found.determinism == pytest.approx(0.0)
    assert found.entropy_bits == pytest.approx(math.log2(5))


def test_what_is_open_or_cancelled_has_had_no_fate() -> None:
    found = cohort([*many(12), *many(3, "submitted"), *many(2, "cancelled")])
    assert (found.messages, found.open, found.cancelled) == (17, 3, 2)
    assert found.determinism == 1.0
    assert says(found)[0] == (
        "17 messages of this shape: 12 delivered; 3 still open; 2 cancelled."
    )


def test_of_few_nothing_is_claimed() -> None:
    found = cohort([*many(ENDED_MIN - 2), *many(1, "failed", provider_id="south")])
    assert (found.determinism, found.factors) == (None, [])
    assert says(found)[1:] == ["Only 9 have ended: too few to say what their ends go with."]
    assert says(cohort(many(1, "accepted")))[0] == (
        "1 messages of this shape: none has ended; 1 still open."
    )
    assert says(cohort([])) == [
        "There is no message of this shape to compare with, or its text was erased."
    ]


def test_the_factor_that_decides_comes_first() -> None:
    """It tells all there is to tell; what goes with it tells as much, what doesn't nothing."""
    members = []
    for key in range(200):
        south = key % 4 == 0
        members.append(
            member(
                key,
                "unknown" if south else "delivered",
                provider_id="south" if south else "north",
                segments=1 + key % 3,
            )
        )
    found = cohort(members)
    best = found.factors[0]
    assert best.factor == "provider"
    assert best.beyond_chance
    assert best.bits == pytest.approx(found.entropy_bits)
    assert [(each.value, each.verdicts) for each in best.values] == [
        ("north", {"delivered": 150}), ("south", {"unknown": 50}),
    ]  # fmt: skip
    assert [each.factor for each in found.factors] == ["provider", "segments"]
    assert not found.factors[1].beyond_chance
    assert says(found)[2:] == [
        "The provider goes with 100% of the difference (0% would be chance):"
        " north 100% delivered of 150; south 0% delivered of 50. A correlation, not a cause."
    ]


def test_where_nothing_tells_that_is_said() -> None:
    """Ends that are mixed alike in every slice."""
    members = [
        member(key, "failed" if key % 4 == 0 else "delivered", segments=1 + key // 4 % 2)
        for key in range(80)
    ]
    found = cohort(members)
    assert [(each.factor, each.bits) for each in found.factors] == [("segments", 0.0)]
    assert says(found)[2:] == ["Nothing that we saw goes with their ends beyond chance."]


@pytest.mark.parametrize(
    ("factor", "changes"),
    [
        ("provider", {"provider_id": "south"}),
        ("route", {"route_id": 4}),
        ("carrier", {"msisdn": "31655555555"}),
        ("attempts", {"attempts": 2}),
        ("segments", {"segments": 2}),
        ("encoding", {"encoding": "ucs2"}),
        ("category", {"category": "bulk"}),
        ("hour", {"accepted_at_us": BEGIN_US + HOUR_US}),
    ],
)
def test_each_factor_is_seen(factor: str, changes: dict[str, Any]) -> None:
    found = cohort([*many(50), *many(50, "failed", **changes)])
    assert [each.factor for each in found.factors] == [factor]
    assert found.factors[0].bits == pytest.approx(1.0)
    assert factor in FACTORS


def test_values_are_bounded() -> None:
    """The most frequent are kept, the rest is one value, and few are shown."""
    members = [member(key, route_id=key % (VALUES_MAX + 30)) for key in range(400)]
    [found] = cohort([*members, *many(200, "failed", route_id=1)]).factors
    assert len(found.values) == VALUES_SHOWN_MAX
    assert found.values[0].value == "1"
    assert OTHERS in {each.value for each in found.values}
    assert found.by_chance == pytest.approx(VALUES_MAX / (2 * 600 * math.log(2)))


@pytest.mark.slow
def test_chance_is_seldom_taken_for_a_factor() -> None:
    """Of cohorts whose ends go with nothing, one in a hundred shows anything."""
    dice = random.Random(20)
    wrong = 0
    for _ in range(300):
        members = [
            member(
                key,
                dice.choices(["delivered", "failed", "unknown"], [85, 5, 10])[0],
                provider_id=dice.choice(["north", "south"]),
                msisdn=f"316{dice.randrange(10)}1234567",
                segments=dice.randint(1, 3),
                attempts=dice.choices([1, 2], [9, 1])[0],
                accepted_at_us=BEGIN_US + dice.randrange(24) * HOUR_US,
            )
            for key in range(120)
        ]
        wrong += any(each.beyond_chance for each in cohort(members).factors)
    assert wrong <= 9, "one in a hundred is wanted; three in a hundred is surely more"


def test_a_real_difference_is_seen() -> None:
    """A provider that loses three in ten of what the other delivers, among 200 messages."""
    dice = random.Random(21)
    seen = 0
    for _ in range(100):
        members = []
        for key in range(200):
            south = dice.random() < 0.5
            fine = dice.random() < (0.65 if south else 0.95)
            members.append(
                member(
                    key,
                    "delivered" if fine else "unknown",
                    provider_id="south" if south else "north",
                )
            )
        seen += any(each.beyond_chance for each in cohort(members).factors)
    assert seen >= 97


# --- the numbers ----------------------------------------------------------------------

TABLES = st.dictionaries(
    st.tuples(st.sampled_from("abc"), st.sampled_from("xyz")), st.integers(1, 50), min_size=1
)


@given(TABLES)
def test_information_is_information(table: dict[tuple[str, str], int]) -> None:
    """Never below nothing, never above what either holds, and the same both ways."""
    rows, columns = Counter[str](), Counter[str]()
    for (row, column), count in table.items():
        rows[row] += count
        columns[column] += count
    bits = mutual_bits(table)
    joint = entropy_bits({f"{row}{column}": n for (row, column), n in table.items()})
    assert bits == pytest.approx(entropy_bits(rows) + entropy_bits(columns) - joint, abs=1e-9)
    assert 0.0 <= bits <= min(entropy_bits(rows), entropy_bits(columns)) + 1e-9
    turned = {(column, row): n for (row, column), n in table.items()}
    assert mutual_bits(turned) == pytest.approx(bits)
    assert chi_squared(turned) == pytest.approx(chi_squared(table), abs=1e-9)


def test_pearsons_statistic_is_that_of_the_book() -> None:
    """A table of two by two: n(ad - bc)² over the product of its margins."""
    table = {("a", "x"): 10, ("a", "y"): 20, ("b", "x"): 30, ("b", "y"): 5}
    assert chi_squared(table) == pytest.approx(
        65 * (10 * 5 - 20 * 30) ** 2 / (30 * 35 * 40 * 25)
    )
    assert mutual_bits({("a", "x"): 5, ("a", "y"): 0, ("b", "x"): 5}) == 0.0
    assert entropy_bits({"a": 4, "b": 0}) == 0.0


@pytest.mark.parametrize(
    ("values", "verdicts"),
    [("aaabbbcc", "xxyyyyyz"), ("aaaabbbbb", "xxxxxxyyy"), ("abcddddd", "xyyyyyyy")],
)
def test_what_chance_does_is_counted_out(values: str, verdicts: str) -> None:
    """The moments are those over every pairing there is."""
    found = [
        chi_squared(Counter(zip(values, each, strict=True)))
        for each in set(permutations(verdicts))
    ]
    table = Counter(zip(values, verdicts, strict=True))
    mean, variance = shuffled(table)
    assert mean == pytest.approx(statistics.fmean(found))
    assert variance == pytest.approx(statistics.pvariance(found))


@pytest.mark.parametrize(
    ("freedom", "critical"), [(1, 10.828), (4, 18.467), (10, 29.588), (40, 73.402)]
)
def test_chi_squared_is_as_rare_as_the_tables_say(freedom: int, critical: float) -> None:
    """What one in a thousand exceeds is 3.09 deviations above."""
    assert deviations(critical, freedom, 2 * freedom) == pytest.approx(3.09, abs=0.05)
    assert deviations(critical * 0.8, freedom, 2 * freedom) < BEYOND_CHANCE_Z
    assert deviations(5.0, 0.0, 0.0) == 0.0


def test_verdicts_are_the_ends_but_for_a_cancellation() -> None:
    assert set(VERDICTS) == {"delivered", "failed", "filtered", "expired", "unknown"}
    assert State.CANCELLED not in VERDICTS
