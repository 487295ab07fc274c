"""`arrivals calibrate`: how good forecasts were, and how much nobody knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from arrivals.cli.connection import AsJson
from arrivals.cli.database import Config, Data, Installation, place_of
from arrivals.cli.output import ExitCode, Stop, on_stdout, put_json, put_table, say

if TYPE_CHECKING:
    from pathlib import Path

    from arrivals.http.calibration import CalibrationView, GroupView, ReliabilityRow

BAR: Final = 30  # characters for a share of one
LONGEST_UNITS: Final = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"))
RATES: Final = (
    "provider", "country", "hand-offs#", "delivered#", "failed#", "unknown#", "rate at least#",
    "at most#", "confirmed#",
)  # fmt: skip
SCORES: Final = (
    "provider", "country", "age#", "messages#", "said#", "arrived#", "Brier#", "±#",
    "log loss#", "ECE#", "by chance#",
)  # fmt: skip


def calibrate(
    age: Annotated[
        float,
        typer.Option(
            "--age",
            metavar="SECONDS",
            min=0,
            help="Whose forecasts are drawn: the nearest age.",
        ),
    ] = 60.0,
    data: Data = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show what was said of messages beside what came of them, and what nobody knows.

    It reads what the server kept a minute ago at most.
    """
    found = _read(place_of(data, config))
    if as_json:
        put_json(found)
        return
    _tell_rates(found)
    scored = [each for each in found.groups if each.why is None]
    if scored:
        _tell_scores(scored)
        _draw(scored[0], age)
    console = on_stdout()
    if found.why is not None:
        console.print(found.why, style="yellow", markup=False)
    console.print(f"{found.waiting} held-out messages aren't a day old yet.", markup=False)
    for note in found.notes:
        console.print(note, style="dim", markup=False)


def _read(place: str | Path) -> CalibrationView:
    from arrivals.clock import SystemClock
    from arrivals.flows.learning import kept_calibration
    from arrivals.flows.platform import nothing_checked
    from arrivals.http.calibration import shown

    now_us = SystemClock().now_us()
    kept = Installation(place).learnt()
    if kept is None:
        return shown(nothing_checked(), now_us)
    try:
        return shown(kept_calibration(kept, now_us), now_us)
    except ValueError as error:
        raise Stop(
            f"what was learnt can't be read: {error}",
            "start the server with this version: it begins anew",
            code=ExitCode.UNCHECKED,
        ) from None


def _tell_rates(found: CalibrationView) -> None:
    put_table(
        RATES,
        [
            (
                *_named(group),
                f"{rate.handoffs:.0f}",
                f"{rate.delivered:.1%}",
                f"{rate.failed:.1%}",
                f"{rate.unknown:.1%}",
                f"{rate.low:.1%}",
                f"{rate.high:.1%}",
                f"{rate.confirmed:.1%}",
            )
            for group in found.groups
            if (rate := group.rate) is not None
        ],
        "Nothing was handed off yet.",
    )
    say()


def _tell_scores(groups: list[GroupView]) -> None:
    put_table(
        SCORES,
        [
            (
                *_named(group),
                _age(each.age_s),
                f"{score.messages:.0f}",
                f"{score.said:.3f}",
                f"{score.arrived:.3f}",
                f"{score.brier:.3f}",
                f"{score.brier_error:.3f}",
                f"{score.log_loss:.3f}",
                f"{score.ece:.3f}",
                f"{score.ece_by_chance:.3f}",
            )
            for group in groups
            for each in group.ages
            if (score := each.score) is not None
        ],
        "",
    )
    say()


def _draw(group: GroupView, age_s: float) -> None:
    """Draw what came of the messages of each row, with a mark at what was said."""
    scored = [each for each in group.ages if each.score is not None]
    nearest = min(scored, key=lambda each: abs(each.age_s - age_s))
    if nearest.score is None:
        return
    say(f"Of all messages {_age(nearest.age_s)} after hand-off; bar: arrived, |: said")
    for row in nearest.score.reliability:
        between = f"{row.arrived_low:.2f} to {row.arrived_high:.2f}"
        say(
            f"  {row.low:.2f} to {row.high:.2f}  {bar(row)}"
            f"  {row.messages:6.0f} messages, {between}"
        )
    say()


def bar(row: ReliabilityRow) -> str:
    """Return a share as a bar, with a mark where what was said would end."""
    filled = round(min(max(row.arrived, 0.0), 1.0) * BAR)
    cells = list("█" * filled + "·" * (BAR - filled))
    cells[min(round(row.said * BAR), BAR - 1)] = "|"
    return "".join(cells)


def _named(group: GroupView) -> tuple[str, str]:
    return group.provider or "all", group.country or ""


def _age(age_s: float) -> str:
    for seconds, unit in LONGEST_UNITS:
        if age_s >= seconds:
            return f"{age_s / seconds:g} {unit}"
    return f"{age_s:g} s"
