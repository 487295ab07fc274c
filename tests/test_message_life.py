"""The page about the life of a message says what the table says."""

from __future__ import annotations

from arrivals.core.message import TRANSITIONS, State
from scripts.draw_message_life import ABOUT, PAGE, diagram, page


def test_the_page_is_current() -> None:
    """If this fails: python scripts/draw_message_life.py."""
    assert PAGE.read_text("utf-8") == page()


def test_every_state_is_told_about() -> None:
    assert set(ABOUT) == set(State)


def test_the_diagram_has_every_pair_of_states_once() -> None:
    drawn = [line.strip().partition(":")[0] for line in diagram().splitlines() if ": " in line]
    assert sorted(drawn) == sorted({f"{at} --> {to}" for (at, _), to in TRANSITIONS.items()})
