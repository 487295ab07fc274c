"""Alarms are kept: begun once, changed while they stand, listed, and bounded."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from arrivals.outcome.episodes import Episode, Trouble, TroubleKind
from arrivals.store import alarms
from arrivals.store.alarms import AlarmCursor
from tests.store.ground import BEGIN_US, Ground


def episode(*cell: str, **changes: Any) -> Episode:
    trouble = Trouble(
        kind=TroubleKind.RECEIPTS_FELL,
        cell=cell,
        began_us=BEGIN_US,
        words="receipts fell",
        goes_with="sender SHOP's",
        expected=50.5,
        observed=10,
        messages_at_risk=40,
        money_at_risk=4_000,
    )
    found = Episode(
        began_us=BEGIN_US, raised_us=BEGIN_US + 1, seen_us=BEGIN_US + 2, trouble=trouble
    )
    return msgspec.structs.replace(found, **changes)


async def standing(ground: Ground) -> list[Episode]:
    return await ground.run(lambda tx: tx.standing_alarms())


async def save(ground: Ground, *episodes: Episode) -> None:
    await ground.run(lambda tx: tx.save_alarms(episodes))


async def page(
    ground: Ground, cursor: AlarmCursor | None, limit: int
) -> tuple[list[Episode], AlarmCursor | None]:
    place = cursor or AlarmCursor()
    found: tuple[list[Episode], AlarmCursor | None] = await ground.store.read(
        lambda reader: reader.alarm_page(place, limit)
    )
    return found


async def test_an_alarm_is_read_as_it_was_saved(ground: Ground) -> None:
    await save(ground, episode("NL", "kpn"))
    (found,) = await standing(ground)
    assert found.alarm_id > 0
    assert msgspec.structs.replace(found, alarm_id=0) == episode("NL", "kpn")


async def test_an_alarm_stands_once_and_can_begin_again(ground: Ground) -> None:
    await save(ground, episode("NL", "kpn"), episode("NL", "kpn", raised_us=BEGIN_US + 9))
    (first,) = await standing(ground)
    ended = msgspec.structs.replace(first, ended_us=first.seen_us)
    await save(ground, ended)
    assert await standing(ground) == []
    # What another process still thinks of it doesn't wake it up.
    await save(ground, msgspec.structs.replace(first, seen_us=BEGIN_US + 99))
    assert await standing(ground) == []
    await save(ground, episode("NL", "kpn"))
    (second,) = await standing(ground)
    assert second.alarm_id > first.alarm_id
    assert (await page(ground, None, 10))[0] == [second, ended]


async def test_an_alarm_changes_its_name_and_evidence(ground: Ground) -> None:
    await save(ground, episode("NL", "kpn"))
    (found,) = await standing(ground)
    narrower = episode("NL", "kpn", "north", alarm_id=found.alarm_id, began_us=BEGIN_US - 5)
    await save(ground, msgspec.structs.replace(narrower, raised_us=found.raised_us))
    (found,) = await standing(ground)
    assert found.trouble.cell == ("NL", "kpn", "north")
    assert found.began_us == BEGIN_US - 5
    await save(ground, episode("NL", "kpn"))
    assert len(await standing(ground)) == 2


@pytest.mark.parametrize("limit", [1, 2, 3, 10])
async def test_pages_show_what_stands_first_and_each_alarm_once(
    ground: Ground, limit: int
) -> None:
    await save(ground, *(episode("NL", str(n)) for n in range(6)))
    found = await standing(ground)
    over = [msgspec.structs.replace(each, ended_us=each.seen_us) for each in found[::2]]
    await save(ground, *over)
    wanted = [each.alarm_id for each in (*found[::-2], *over[::-1])]
    seen: list[int] = []
    cursor: AlarmCursor | None = AlarmCursor()
    while cursor is not None:
        shown, cursor = await page(ground, cursor, limit)
        assert len(shown) <= limit
        seen += [each.alarm_id for each in shown]
    assert seen == wanted


async def test_the_oldest_that_ended_are_forgotten(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    await save(ground, *(episode("NL", str(n)) for n in range(6)))
    found = await standing(ground)
    monkeypatch.setattr(alarms, "ALARMS_KEPT", 3)
    over = [msgspec.structs.replace(each, ended_us=each.seen_us) for each in found[1:5]]
    await save(ground, *over)
    left = [each.alarm_id - found[0].alarm_id for each in (await page(ground, None, 10))[0]]
    assert left == [5, 0, 4, 3]


async def test_nothing_is_saved_of_nothing(ground: Ground) -> None:
    await save(ground)
    assert await page(ground, None, 10) == ([], None)
