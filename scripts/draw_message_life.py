"""Write docs/message-life.md from the table of moves: python scripts/draw_message_life.py."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from arrivals.core.message import (
    OPEN,
    QUEUED,
    TRANSITIONS,
    Move,
    Reach,
    State,
    execution_of,
    is_terminal,
    outcome_of,
    status_of,
)

PAGE: Final = Path(__file__).parent.parent / "docs" / "message-life.md"

ABOUT: Final = {
    State.ACCEPTED: "stored, priced, funds held; visible at once as queued",
    State.SCHEDULED: "wanted later",
    State.WAITING: "to be tried again, not before a time and for a reason",
    State.SENDING: "its intent is durable; bytes may have left",
    State.AMBIGUOUS: "bytes left or may have left, and no answer came",
    State.SUBMITTED: "a provider took it and named it",
    State.DELIVERED: "a receipt says so",
    State.FAILED: "a refusal or a negative receipt, with a reason",
    State.FILTERED: "stopped on purpose",
    State.EXPIRED: "its validity passed, in our queue or upstream",
    State.CANCELLED: "by the customer, before any hand-off",
    State.UNKNOWN: "the deadline passed with no sufficient evidence",
}

BEGIN: Final = """# The life of a message

Every change of state is one row of `TRANSITIONS` in
[core/message.py](../src/arrivals/core/message.py); nothing else can happen, and the database
refuses what the table doesn't have. This page is drawn from that table by
`scripts/draw_message_life.py`, and a test keeps it current.

## States

Three layers stay apart. *execution* is where the message is, or the furthest point that it
reached; *outcome* is pending until it has ended; `status` is the one word that the published
API shows, and is made from the state alone.

| state | what it means | execution | outcome | `status` |
|---|---|---|---|---|
"""

ENDS: Final = """
## Moves

Ends are drawn to the right. What leads from one end to another is a *revision*: evidence that
came later and is stronger. Money follows a revision by new entries, never by edits.

"""

EDGES: Final = """
## Every move

| from | what happens | to |
|---|---|---|
"""


def page() -> str:
    """Return the whole page."""
    return BEGIN + "".join(map(_state_row, State)) + ENDS + diagram() + EDGES + _moves()


def diagram() -> str:
    """Return the moves as a mermaid state diagram, one arrow for each pair of states."""
    moves: dict[tuple[State, State], list[Move]] = {}
    for (at, move), to in TRANSITIONS.items():
        moves.setdefault((at, to), []).append(move)
    lines = ["```mermaid", "stateDiagram-v2", "    direction LR"]
    lines += [f"    [*] --> {state}" for state in (State.ACCEPTED, State.SCHEDULED)]
    for (at, to), names in sorted(moves.items(), key=_place):
        lines.append(f"    {at} --> {to}: {', '.join(sorted(names))}")
    return "\n".join([*lines, "```", ""])


def _place(arrow: tuple[tuple[State, State], list[Move]]) -> tuple[int, int]:
    order = list(State)
    return order.index(arrow[0][0]), order.index(arrow[0][1])


def _state_row(state: State) -> str:
    reaches = [Reach.NONE] if state in OPEN else list(Reach)
    tried = [0, 1] if state is State.EXPIRED else [0]
    words = dict.fromkeys(
        execution_of(state, reach, attempts)
        for reach in reaches
        for attempts in tried
        if _can_be(state, reach)
    )
    shown = ", ".join(words)
    return (
        f"| {state} | {ABOUT[state]} | {shown} | {outcome_of(state)} | {status_of(state)} |\n"
    )


def _can_be(state: State, reach: Reach) -> bool:
    """Leave out what no move leads to: a receipt proves a hand-off, a cancel its absence."""
    if state in {State.DELIVERED, State.FILTERED}:
        return reach is Reach.HANDED_OFF
    if state is State.UNKNOWN:
        return reach is not Reach.NONE
    if state is State.CANCELLED:
        return reach is Reach.NONE
    return state is not State.EXPIRED or reach is not Reach.HANDOFF_UNKNOWN


def _moves() -> str:
    rows: dict[tuple[Move, State], list[State]] = {}
    for (at, move), to in TRANSITIONS.items():
        rows.setdefault((move, to), []).append(at)
    text = ""
    for (move, to), sources in sorted(
        rows.items(), key=lambda row: list(Move).index(row[0][0])
    ):
        text += f"| {_named(sources)} | `{move}` | {to} |\n"
    return text


def _named(states: list[State]) -> str:
    rest = list(states)
    names = []
    if set(QUEUED) <= set(rest):
        names.append("any that is queued")
        rest = [state for state in rest if state not in QUEUED]
    open_ones = [state for state in rest if not is_terminal(state)]
    ended = [f"*{state}*" for state in rest if is_terminal(state)]
    return ", ".join([*names, *open_ones, *ended])


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
    print(f"wrote {PAGE}")
