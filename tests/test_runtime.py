"""The wiring of one process: what it does to its own threads."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from arrivals.runtime import _keep_to_one_core

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere a thread can't be kept to a core"
)


def cores() -> set[int]:
    return os.sched_getaffinity(0)


def on_a_thread(*work: object) -> set[int]:
    """Return which cores a new thread may use, after it did some work."""
    found: list[set[int]] = []

    def run() -> None:
        for each in work:
            each()  # type: ignore[operator]
        found.append(cores())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return found[0]


def test_the_loop_and_the_writer_share_a_core_and_readers_may_use_any() -> None:
    """The writer is started by the loop's thread, and so are the readers, which are freed."""
    before = cores()
    use_any_core = _keep_to_one_core()
    try:
        assert len(cores()) == 1
        assert on_a_thread() == cores()
        assert on_a_thread(use_any_core) == before
        assert len(cores()) == 1
    finally:
        use_any_core()
    assert cores() == before
