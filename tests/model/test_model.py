"""The store and its flows beside a reference, on each backend."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.backends import Backend
from tests.model.machine import Model


def machine(backend: Backend, new_place: Callable[[], str]) -> type[Model]:
    return type("Here", (Model,), {"backend": backend, "new_place": staticmethod(new_place)})


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_everything_that_can_happen(backend: Backend, new_place: Callable[[], str]) -> None:
    run_state_machine_as_test(
        machine(backend, new_place),
        settings=settings(max_examples=30, stateful_step_count=30, deadline=None),
    )
