"""The store and the flows beside a reference, on each backend.

`python -m tests.model --examples 5000` goes on for as long as one likes.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.backends import POSTGRESQL, SQLITE, Backend
from tests.model.machine import IDS, NUMBERS, machine
from tests.model.places import places
from tests.postgres.fixtures import need_programs

DELIVERED, FAILED = ("DELIVRD", "000"), ("UNDELIV", "001")


def explore(backend: Backend, examples: int, steps: int) -> None:
    wanted = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    with places(backend) as new_place:
        run_state_machine_as_test(machine(backend, new_place), settings=wanted)


def test_a_few_lives() -> None:
    explore(SQLITE, examples=8, steps=15)


def test_what_was_parked_first_counts_first_whatever_was_tried_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An id is used again, after one of two receipts that tell it was tried for its number."""
    monkeypatch.setattr("tests.model.machine.note", lambda _: None)
    early, north = "7f3a0c11", "north"
    with places(SQLITE) as new_place:
        life = machine(SQLITE, new_place)()
        life.begin()
        try:
            for step in (
                lambda: life.send_and_sweep(NUMBERS[1], "throttled", early, 0),
                lambda: life.receipt(0, DELIVERED, "any", str, early, True, False, north),
                lambda: life.receipt(0, FAILED, "any", str, early, False, False, north),
                lambda: life.send_and_sweep(NUMBERS[1], "taken", IDS[0], 0),
                lambda: life.send_and_report(2, early, "taken", DELIVERED),
            ):
                step()
                life.they_agree()
            [last] = [each for each in life.reference.messages.values() if not each.wake]
            assert (last.state, last.resolution) == ("delivered", "captured")
        finally:
            life.teardown()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_many_lives() -> None:
    """Invariants 2, 5 to 9, 13, 18, 20 to 25, 27, 35 to 40 and 48."""
    explore(SQLITE, examples=80, steps=40)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_many_lives_where_many_write() -> None:
    need_programs()
    explore(POSTGRESQL, examples=25, steps=40)
