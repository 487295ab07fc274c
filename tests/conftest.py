"""What every test shares: Hypothesis on a busy machine, order, room, and the backends."""

from __future__ import annotations

import gc
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

from tests.backends import backend, leave_the_dear_ones, new_place, place
from tests.postgres.fixtures import empty_databases, postgres_server, postgres_url

__all__ = [
    "backend",
    "empty_databases",
    "new_place",
    "place",
    "postgres_server",
    "postgres_url",
]

TESTS = Path(__file__).parent
PURE_ROOMS = ("core", "outcome", "smpp")  # whose tests must cover every branch of them

# No deadline per example: pytest-timeout bounds the whole test, and a slow second of a
# shared machine is not a failure. The blob lets anyone replay what failed elsewhere.
settings.register_profile("arrivals", deadline=None, print_blob=True)
# `make check` asks for this one: a quarter of the examples, of which `make test` tries all.
settings.register_profile("quick", settings.get_profile("arrivals"), max_examples=25)
settings.load_profile("arrivals")

# Nearly every test syncs a database of its own, and half of the time went to waiting for that:
# what a sync is for is proved by recording it, not by a disk. TMPDIR names another place.
MEMORY = Path("/dev/shm")  # noqa: S108 - Linux's; elsewhere there is none
ROOM_MIN = 4 << 30  # bytes; with less, tests live on the disk


def has_room_in_memory() -> bool:
    """Tell whether tests can live in memory, where programs may be barred from starting."""
    if not os.access(MEMORY, os.W_OK):
        return False
    found = os.statvfs(MEMORY)
    return not found.f_flag & os.ST_NOEXEC and found.f_bavail * found.f_frsize >= ROOM_MIN


if "TMPDIR" not in os.environ and has_room_in_memory():
    os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)  # for every process we start, too


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave to `make test` what `make check` has no time for, and begin with what may be long.

    Otherwise one process would still be at it when the others have nothing left to do.
    """
    leave_the_dear_ones(items)
    for item in items:
        pure = item.path.relative_to(TESTS).parts[0] in PURE_ROOMS
        if pure and item.get_closest_marker("long") is None:
            item.add_marker(pytest.mark.measured)
    items.sort(key=patience_s, reverse=True)


def patience_s(item: pytest.Item) -> float:
    """Return how long a test may take if it says so, else 0."""
    said = item.get_closest_marker("timeout")
    return float(said.args[0]) if said else 0.0


def pytest_collection_finish() -> None:
    """Let the garbage collector come seldom, and leave out the tests, which stay to the end."""
    gc.freeze()
    gc.set_threshold(10_000)
