"""What a play came to is counted right, and every kind of miss is seen."""

from __future__ import annotations

import msgspec
import pytest

from arrivals.sim.findings import Play, Seen, finding_of
from arrivals.world.scenario import Scenario, parse_scenario

WORLD = """
name = "small"
about = "For these tests."
[providers.default]
[[carriers]]
name = "one"
[expect.codes]
truth = { reached = 1 }
reported = { delivered = 1 }
verdicts = { delivered = 0.9, failed = 0.1 }
verdicts_tolerance = 0.0
"""


def scenario(shows: str = "") -> Scenario:
    return parse_scenario(f"{WORLD}\n[shows]\n{shows}")


def seen(
    truth: str, verdict: str, count: int = 1, state: str = "", **more: object
) -> list[Seen]:
    one = Seen(
        stream="codes",
        truth=truth,
        arrivals=int(truth == "reached"),
        state=state or verdict,
        verdict=verdict,
        probability=None,
        charged=True,
    )
    return [msgspec.structs.replace(one, **more)] * count


GOOD = seen("reached", "delivered", 900) + seen("failed", "failed", 100)


def play(messages: list[Seen], shows: str = "", *alarms: str, broken: str = "") -> Play:
    return Play(
        scenario=scenario(shows),
        seed=1,
        messages=tuple(messages),
        turned_away=3,
        alarms=alarms,
        broken=(broken,) if broken else (),
        days=1.0,
    )


def test_a_play_as_stated_misses_nothing() -> None:
    found = finding_of(play(GOOD))
    assert found.misses == []
    assert found.table == {"reached": {"delivered": 900}, "failed": {"failed": 100}}
    assert found.streams == {"codes": {"delivered": 0.9, "failed": 0.1}}
    assert (found.delivered_right, found.failed_right) == (1.0, 1.0)
    assert (found.messages, found.charged, found.turned_away) == (1_000, 1_000, 3)


def test_what_chance_may_do_is_no_miss_and_more_is() -> None:
    by_chance = seen("reached", "delivered", 880) + seen("failed", "failed", 120)
    assert finding_of(play(by_chance)).misses == []
    off = seen("reached", "delivered", 850) + seen("failed", "failed", 150)
    assert [miss.partition(" is ")[0] for miss in finding_of(play(off)).misses] == [
        "codes: delivered",
        "codes: failed",
    ]


def test_a_verdict_that_nobody_expected_is_a_miss() -> None:
    messages = [*GOOD, *seen("reached", "unknown")]
    assert (
        "codes: unknown is 0.001, expected 0.000 ± 0.000" in finding_of(play(messages)).misses
    )


def test_silence_is_told_apart_from_what_a_carrier_said() -> None:
    kept = seen("filtered", "likely_filtered", 3, state="unknown")
    missed = seen("filtered", "unknown", 1, state="unknown")
    said = seen("filtered", "filtered", 5)
    found = finding_of(play([*GOOD, *kept, *missed, *said]))
    assert (found.kept_in_silence, found.silence_seen) == (4, 0.75)


def test_nothing_said_is_no_precision() -> None:
    found = finding_of(play(seen("filtered", "unknown")))
    assert (found.delivered_right, found.failed_right) == (None, None)


@pytest.mark.parametrize(
    ("messages", "shows", "alarms", "broken", "miss"),
    [
        (
            seen("lost", "delivered", 20) + seen("reached", "delivered", 880) + GOOD[900:],
            "", (), "",
            "what is called delivered is so in 0.978, expected 0.990 at least",
        ),
        (
            GOOD[:900] + seen("reached", "failed", 4) + seen("failed", "failed", 96),
            "failed_right = 0.97", (), "",
            "what is called failed is so in 0.960, expected 0.970 at least",
        ),
        (GOOD[1:] + seen("reached", "delivered", arrivals=2), "", (), "",
         "1 messages arrived twice"),
        (GOOD, 'raises = ["provider budget"]', ("provider north: x",), "",
         "no alarm says 'provider budget'"),
        (GOOD, 'never_raises = ["provider north"]', ("provider north: x",), "",
         "an alarm says 'provider north'"),
        (GOOD, "", (), "invariant 9: paid twice", "invariant 9: paid twice"),
    ],
)  # fmt: skip
def test_every_kind_of_miss_is_seen(
    messages: list[Seen], shows: str, alarms: tuple[str, ...], broken: str, miss: str
) -> None:
    assert finding_of(play(messages, shows, *alarms, broken=broken)).misses == [miss]


def test_what_may_be_is_no_miss() -> None:
    twice = GOOD[1:] + seen("reached", "delivered", arrivals=2)
    shows = 'twice = 0.01\nraises = ["budget"]\nnever_raises = ["north"]'
    assert finding_of(play(twice, shows, "provider budget: x")).misses == []
