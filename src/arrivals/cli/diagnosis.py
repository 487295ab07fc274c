"""What doctor says of one thing that it looked at."""

from __future__ import annotations

from dataclasses import dataclass

GOOD, LOOK, BAD = "good", "look", "bad"


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """One thing that was looked at."""

    what: str
    state: str  # good | look | bad
    found: str
    fix: str = ""
