"""Keep alarms: those that stand, and the newest that ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from arrivals.outcome.episodes import ATTENDED_MAX, STANDING_MAX, Episode

ALARMS_KEPT: Final = 10_000  # of all that ever began the newest, and whatever stands
ALL_STANDING_MAX: Final = STANDING_MAX + ATTENDED_MAX
ID_MAX: Final = (1 << 63) - 1

_EPISODES: Final = msgspec.json.Decoder(list[Episode])
_encode: Final = msgspec.json.Encoder().encode


class AlarmCursor(NamedTuple):
    """Where a list of alarms goes on: below these ids, of those that stand and that ended."""

    standing: int = ID_MAX
    ended: int = ID_MAX


def read_standing(value: Callable[..., Any]) -> list[Episode]:
    """Return the alarms that stand; `value` runs a named statement and returns its value."""
    return decode_alarms(value("standing_alarms", ALL_STANDING_MAX))


def decode_alarms(found: str) -> list[Episode]:
    """Return alarms as a statement gave them."""
    return _EPISODES.decode(found)


def write_alarms(
    value: Callable[..., Any], run: Callable[..., None], episodes: Sequence[Episode]
) -> list[Episode]:
    """Write alarms that begin, go on or end; `value` and `run` run a named statement.

    Returns those that were written, with their ids: others ended or began elsewhere meanwhile.
    """
    written: list[Episode] = []
    for each in episodes:
        trouble = each.trouble
        cell, body = _encode(trouble.cell).decode(), _encode(trouble).decode()
        if each.alarm_id:
            times = each.began_us, each.seen_us, each.ended_us
            alarm_id = value("change_alarm", cell, *times, body, each.alarm_id)
        else:
            times = each.began_us, each.raised_us, each.seen_us
            alarm_id = value("begin_alarm", trouble.kind.value, cell, *times, body)
        if alarm_id is not None:
            written.append(msgspec.structs.replace(each, alarm_id=alarm_id))
    if episodes:
        run("forget_alarms", ALARMS_KEPT)
    return written


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
