"""The machine's clock as everything else sees it, whatever is done to it."""

from __future__ import annotations

import itertools
import time

import pytest

from arrivals.clock import SystemClock

SECOND_NS = 1_000_000_000
HOUR_S = 3_600


class Machine:
    """A machine whose clocks the test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wall = 1_700_000_000 * SECOND_NS
        self.up = 5 * SECOND_NS
        monkeypatch.setattr(time, "time_ns", lambda: self.wall)
        monkeypatch.setattr(time, "monotonic_ns", lambda: self.up)

    def live(self, seconds: float) -> None:
        self.wall += round(seconds * SECOND_NS)
        self.up += round(seconds * SECOND_NS)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def test_it_tells_the_machine_s_time(machine: Machine) -> None:
    clock = SystemClock()
    for seconds in (0, 0.5, HOUR_S):
        machine.live(seconds)
        assert clock.now_us() == machine.wall // 1_000


def test_it_never_goes_back_nor_stands_still(machine: Machine) -> None:
    """Invariant 40: an hour back, and what was due in a minute is due in two."""
    clock = SystemClock()
    before_us = clock.now_us()
    machine.wall -= HOUR_S * SECOND_NS
    told = [before_us]
    for _ in range(120):
        machine.live(1)
        told.append(clock.now_us())
    assert all(earlier < later for earlier, later in itertools.pairwise(told))
    assert told[-1] == before_us + 60_000_000


def test_it_meets_the_machine_s_time_again(machine: Machine) -> None:
    clock = SystemClock()
    machine.wall -= HOUR_S * SECOND_NS
    for _ in range(2 * HOUR_S):
        machine.live(1)
        clock.now_us()
    assert clock.now_us() == machine.wall // 1_000


def test_forward_it_follows_at_once(machine: Machine) -> None:
    """A machine that slept has slept: what became due is due."""
    clock = SystemClock()
    machine.wall += HOUR_S * SECOND_NS
    assert clock.now_us() == machine.wall // 1_000
