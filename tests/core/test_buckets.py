"""Durations counted by how long they were."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from arrivals.core.buckets import Buckets, place_in

BOUNDS = (0.1, 1.0, 10.0)
values = st.lists(st.floats(0, 100), max_size=30)


@given(values)
def test_each_bound_counts_what_is_at_most_as_much(found: list[float]) -> None:
    buckets = Buckets(BOUNDS)
    for each in found:
        buckets.add(each)
    expected = [(str(bound), sum(each <= bound for each in found)) for bound in BOUNDS]
    assert buckets.cumulative() == [*expected, ("+Inf", len(found))]
    assert buckets.total == sum(found)


@given(st.floats(0, 100))
def test_a_place_is_where_a_value_is_counted(value: float) -> None:
    buckets = Buckets(BOUNDS)
    buckets.add(value)
    assert buckets.counts[place_in(buckets.bounds, value)] == 1
    assert sum(buckets.counts) == 1
