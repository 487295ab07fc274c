"""What is sent: in time, on different numbers, and the same whoever sends beside it."""

from __future__ import annotations

import itertools

from arrivals.world.traffic import Traffic, sends


def stream(**fields: object) -> Traffic:
    return Traffic(**{"name": "one", "text": "Your code is {code}", "count": 500, **fields})  # type: ignore[arg-type]


def test_sends_come_in_the_order_of_time_and_within_it() -> None:
    two = (stream(from_s=100, over_s=200), stream(name="two", over_s=300, copies=2, gap_s=40))
    times = [send.at_s for send in sends(two, 1)]
    assert times == sorted(times)
    assert len(times) == 1_500
    ours = [send.at_s for send in sends(two[:1], 1)]
    assert 100 <= min(ours) < 105
    assert 295 < max(ours) <= 300


def test_all_at_once_is_at_once() -> None:
    assert {send.at_s for send in sends((stream(over_s=0, from_s=7),), 1)} == {7.0}


def test_numbers_differ_and_a_pool_comes_round() -> None:
    numbers = [send.number for send in sends((stream(numbers="4477######"),), 1)]
    assert len(set(numbers)) == 500
    assert all(len(number) == 10 and number.startswith("4477") for number in numbers)
    pooled = [send.number for send in sends((stream(pool=20),), 1)]
    assert pooled[:20] == pooled[20:40]
    listed = [send.number for send in sends((stream(numbers=("1", "2", "3"), count=5),), 1)]
    assert listed == ["1", "2", "3", "1", "2"]
    assert {send.number for send in sends((stream(numbers="99900000001"),), 1)} == {
        "99900000001"
    }


def test_codes_are_codes_and_copies_are_the_same() -> None:
    pairs = list(sends((stream(copies=2, gap_s=5, text="{n}: {code}"),), 1))
    by_place = sorted(pairs, key=lambda send: (send.nth, send.copy))
    for one, two in zip(by_place[::2], by_place[1::2], strict=True):
        assert (one.number, one.text) == (two.number, two.text)
        assert two.at_s - one.at_s == 5
        place, code = one.text.split(": ")
        assert (int(place), len(code)) == (one.nth, 6)
    assert len({send.text for send in pairs}) == 500


def test_a_stream_doesnt_depend_on_its_neighbours_or_its_length() -> None:
    alone = list(sends((stream(),), 1))
    beside = [s for s in sends((stream(name="two"), stream()), 1) if s.stream.name == "one"]
    assert alone == beside
    longer = list(itertools.islice(sends((stream(count=1_000, over_s=172_800),), 1), 500))
    assert [(s.number, s.text, s.at_s) for s in longer] == [
        (s.number, s.text, s.at_s) for s in alone
    ]
    assert [s.number for s in sends((stream(),), 2)] != [s.number for s in alone]
