"""Keep alarms: those that stand, and the newest that ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from arrivals.outcome.episodes import STANDING_MAX, Episode

ALARMS_KEPT: Final = 10_000  # of all that ever began the newest, and whatever stands
ID_MAX: Final = (1 << 63) - 1

_EPISODES: Final = msgspec.json.Decoder(list[Episode])
_encode: Final = msgspec.json.Encoder().encode


class AlarmCursor(NamedTuple):
    """Where a list of alarms goes on: below these ids, of those that stand and that ended."""

    standing: int = ID_MAX
    ended: int = ID_MAX


def read_standing(value: Callable[..., Any]) -> list[Episode]:
    """Return the alarms that stand; `value` runs a named statement and returns its value."""
    return _EPISODES.decode(value("standing_alarms", STANDING_MAX))


def write_alarms(run: Callable[..., None], episodes: Sequence[Episode]) -> None:
    """Write alarms that begin, go on or end; `run` runs a named statement."""
    for each in episodes:
        trouble = each.trouble
        cell, body = _encode(trouble.cell).decode(), _encode(trouble).decode()
        if each.alarm_id:
            times = each.began_us, each.seen_us, each.ended_us
            run("change_alarm", cell, *times, body, each.alarm_id)
        else:
            times = each.began_us, each.raised_us, each.seen_us
            run("begin_alarm", trouble.kind.value, cell, *times, body)
    if episodes:
        run("forget_alarms", ALARMS_KEPT)


def page_of(found: str, limit: int) -> tuple[list[Episode], AlarmCursor | None]:
    """Return a page from one row more than it may have, and where the next one begins."""
    episodes = sorted(_EPISODES.decode(found), key=_standing_first)
    shown = episodes[:limit]
    if len(episodes) <= limit:
        return shown, None
    last = shown[-1]
    if last.ended_us is None:
        return shown, AlarmCursor(standing=last.alarm_id)
    return shown, AlarmCursor(standing=0, ended=last.alarm_id)


def _standing_first(episode: Episode) -> tuple[bool, int]:
    return episode.ended_us is not None, -episode.alarm_id
