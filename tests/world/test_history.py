"""What carriers remember: repeats, floods, pace and caps, each in its own time, bounded."""

from __future__ import annotations

from arrivals.world.history import NOTHING_SEEN, History, Seen
from arrivals.world.recent import Recent
from arrivals.world.scenario import Scenario, parse_scenario
from arrivals.world.submission import Submission

WORLD = """
name = "small"
about = "For these tests."
begins_h = 20
[expect]
[providers.default]
[senders.447700900001]
brand = "acme"
[senders.447700900002]
brand = "acme"
[[carriers]]
name = "one"
CARRIER
"""


def world(carrier: str) -> Scenario:
    return parse_scenario(WORLD.replace("CARRIER", carrier))


def send(
    at_s: float, text: str = "hello", to: str = "447700900009", source: str = "447700900001"
) -> Submission:
    return Submission(
        system_id="north",
        source=source,
        destination=to,
        octets=text.encode(),
        identity=b"one",
        group=b"one",
        at_s=at_s,
    )


def seen(carrier: str, *submissions: Submission) -> list[Seen]:
    history, scenario = History(), world(carrier)
    return [history.see(one, scenario, 1) for one in submissions]


def test_a_carrier_that_looks_at_nothing_sees_nothing() -> None:
    assert seen("", send(0), send(1)) == [NOTHING_SEEN, NOTHING_SEEN]


def test_a_repeat_is_the_same_text_to_the_same_number_within_its_time() -> None:
    told = seen(
        "duplicates = { within_s = 60 }",
        send(0), send(59), send(118), send(178), send(179, "other"),
        send(180, to="447700900008"),
        send(181, source="447700900002"),
    )  # fmt: skip
    assert [each.repeated for each in told] == [False, True, True, False, False, False, True]


def test_a_flood_is_one_text_of_one_sender_too_often_in_a_minute() -> None:
    flood = "filter = { flood = { per_minute = 2, adds = 0.3 } }"
    many = [send(at, to=f"4477009001{at:02d}") for at in (1, 2, 3, 4, 61)]
    told = seen(flood, *many, send(5, "other"), send(5, source="447700900002"))
    assert [each.flooding for each in told] == [False, False, True, True, False, False, False]


def test_who_is_too_fast_is_blocked_for_a_while() -> None:
    velocity = "velocity = { per_s = 1, burst_s = 3, blocks_s = 100 }"
    fast = [send(at) for at in (0, 0, 0, 0, 50, 99, 101)]
    told = seen(velocity, *fast, send(60, source="ACME"))
    assert [each.too_fast for each in told] == [False] * 3 + [True] * 3 + [False, False]


def test_a_cap_counts_a_brands_day() -> None:
    """The world begins at 20:00, so midnight is at 14,400 s."""
    told = seen(
        "cap = { daily = 2 }",
        send(0), send(1, source="447700900002"), send(2), send(3, source="447700900003"),
        send(14_399), send(14_400),
    )  # fmt: skip
    assert [each.over_cap for each in told] == [False, False, True, False, True, False]


def test_a_cap_of_a_sender_counts_it_alone() -> None:
    told = seen(
        'cap = { daily = 1, per = "sender" }', send(0), send(1, source="447700900002"), send(2)
    )
    assert [each.over_cap for each in told] == [False, False, True]


def test_memory_is_bounded_and_what_is_used_stays() -> None:
    recent: Recent[int, int] = Recent(10)
    for number in range(1_000):
        recent.put(number, number)
        recent.put(-1, number)
        assert recent.get(-1) == number
    assert len(recent._recent) + len(recent._older) <= 20
    assert recent.get(0) is None
    assert recent.get(999) == 999
