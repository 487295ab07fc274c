"""A fall is noticed, said once, and told apart by what it goes with; and then it is over."""

from __future__ import annotations

import random

from arrivals.outcome import watch as watching
from arrivals.outcome.watch import Waiting, Watch

KEY = b"a key of this test"
SECOND_US = 1_000_000
USUAL = 0.9
PATHS = [("NL alphanumeric", "kpn", provider, "SHOP") for provider in ("north", "south")]


def messages(
    watch: Watch, first: int, count: int, *, chance: dict[str, float], link_chance: float = 1.0
) -> int:
    """Send messages, one a second; return the time of the last one's checkpoint."""
    dice = random.Random(first)
    for n in range(first, first + count):
        path = PATHS[n % 2]
        linked = dice.random() < 0.3
        text = "See https://shop.example/x" if linked else "Your parcel 1234 has left"
        at_us = n * SECOND_US
        waiting = Waiting(path, USUAL, at_us, 1_000, text)
        watch.sent(n, at_us + 5 * SECOND_US, waiting)
        if dice.random() < chance[path[2]] * (link_chance if linked else 1.0):
            watch.heard(n)
    now_us = (first + count + 5) * SECOND_US
    watch.look(now_us)
    return now_us


def test_a_fall_of_one_provider_is_said_of_that_provider_and_ends() -> None:
    watch = Watch(KEY)
    now_us = messages(watch, 0, 2_000, chance={"north": USUAL, "south": USUAL})
    assert watch.alarms(now_us) == []
    assert watch.alarmed(PATHS[0]) is None
    now_us = messages(watch, 2_000, 400, chance={"north": 0.5, "south": USUAL})
    (said,) = watch.alarms(now_us)
    assert said.startswith("receipts of carrier kpn, provider north")
    assert watch.alarmed(PATHS[0]) is not None
    assert watch.alarmed(PATHS[1]) in {None, PATHS[1][:2]}
    now_us = messages(watch, 2_400, 600, chance={"north": USUAL, "south": USUAL})
    assert watch.alarms(now_us) == []
    assert len(watch) == 0


def test_an_alarm_says_what_it_goes_with() -> None:
    watch = Watch(KEY)
    messages(watch, 0, 1_000, chance={"north": USUAL, "south": USUAL})
    fair = {"north": USUAL, "south": USUAL}
    now_us = messages(watch, 1_000, 3_000, chance=fair, link_chance=0.2)
    said = " ".join(watch.alarms(now_us))
    assert "link shop.example goes with" in said
    assert "a correlation, not a cause" in said


def test_what_is_watched_is_bounded(monkeypatch) -> None:
    monkeypatch.setattr(watching, "WAITING_MAX", 1)
    monkeypatch.setattr(watching, "CHARTS_MAX", 1)
    watch = Watch(KEY)
    for key in (1, 1, 2):
        watch.sent(key, SECOND_US, Waiting(PATHS[0], USUAL, 0, 0, None))
    assert len(watch) == 1
    watch.heard(2)
    assert watch.look(2 * SECOND_US) == []
    assert watch.alarms(2 * SECOND_US) == []
