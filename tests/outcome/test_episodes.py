"""Alarms begin once, go on whoever looks, and end when they have been quiet for a while."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from arrivals.outcome import episodes
from arrivals.outcome.episodes import (
    QUIET_US,
    Episode,
    Sight,
    Trouble,
    TroubleKind,
    attend,
    follow,
)
from arrivals.outcome.hierarchy import ANY

MINUTE_US = 60_000_000
BEGIN_US = 1_790_000_000_000_000
FELL, DOUBTED = TroubleKind.RECEIPTS_FELL, TroubleKind.RECEIPTS_DOUBTED


def trouble(*cell: str, kind: TroubleKind = FELL, **changes: Any) -> Trouble:
    found = Trouble(
        kind=kind,
        cell=cell,
        began_us=BEGIN_US,
        words=f"{cell} fell",
        expected=50.0,
        observed=10,
        messages_at_risk=40,
        money_at_risk=4_000,
    )
    return msgspec.structs.replace(found, **changes)


class Log:
    """What a store would keep of alarms."""

    def __init__(self) -> None:
        self.all: dict[int, Episode] = {}
        self.before: list[tuple[TroubleKind, tuple[str, ...]]] = []

    def look(self, minute: int, *found: Trouble) -> list[Episode]:
        """Look once; return what is standing after it."""
        now_us = BEGIN_US + minute * MINUTE_US
        for each in follow(self.standing, found, self.before, now_us):
            number = each.alarm_id or len(self.all) + 1
            self.all[number] = msgspec.structs.replace(each, alarm_id=number)
        self.before = [(each.kind, each.cell) for each in found]
        return self.standing

    @property
    def standing(self) -> list[Episode]:
        return [each for each in self.all.values() if each.ended_us is None]

    def attend(self, minute: int, *found: Trouble, **more: Any) -> list[Episode]:
        """Look at what is attended to, as a process that has looked for long."""
        sight = Sight(found=found, **{"since_us": 0, **more})
        for each in attend(self.standing, sight, BEGIN_US + minute * MINUTE_US):
            number = each.alarm_id or len(self.all) + 1
            self.all[number] = msgspec.structs.replace(each, alarm_id=number)
        return self.standing


def test_a_fall_is_an_alarm_at_once_and_ends_when_it_was_last_seen() -> None:
    log = Log()
    (began,) = log.look(1, trouble("NL", "kpn"))
    assert (began.began_us, began.raised_us) == (BEGIN_US, BEGIN_US + MINUTE_US)
    worse = trouble("NL", "kpn", messages_at_risk=90, money_at_risk=9_000)
    (goes_on,) = log.look(2, worse)
    assert goes_on.trouble == worse
    better = trouble("NL", "kpn", messages_at_risk=60, money_at_risk=6_000, observed=45)
    (goes_on,) = log.look(3, better)
    assert (goes_on.trouble.observed, goes_on.trouble.messages_at_risk) == (45, 90)
    assert goes_on.trouble.money_at_risk == 9_000
    assert log.look(4) != []  # it may be back at the next look
    assert log.look(3 + QUIET_US // MINUTE_US) == []
    (over,) = log.all.values()
    assert over.ended_us == BEGIN_US + 3 * MINUTE_US
    log.look(20, trouble("NL", "kpn"))
    assert len(log.all) == 2  # another one


def test_what_is_only_doubted_is_an_alarm_when_it_is_found_twice() -> None:
    log = Log()
    fake = trouble("NL", "kpn", "south", kind=DOUBTED, money_at_risk=None)
    assert log.look(1, fake) == []
    assert log.look(2) == []
    assert log.look(3, fake) == []
    (began,) = log.look(4, fake)
    assert began.trouble.money_at_risk is None
    (goes_on,) = log.look(5, fake)
    assert goes_on.trouble.money_at_risk is None


def test_one_cause_is_one_alarm_under_whatever_name() -> None:
    """A carrier's alarm becomes its provider's there; another kind is another alarm."""
    log = Log()
    log.look(1, trouble("NL", "kpn"))
    (narrowed,) = log.look(2, trouble("NL", "kpn", "north", began_us=BEGIN_US - 1))
    assert narrowed.trouble.cell == ("NL", "kpn", "north")
    assert narrowed.began_us == BEGIN_US - 1
    fake = trouble("NL", "kpn", "north", kind=DOUBTED)
    log.look(3, fake, narrowed.trouble)
    assert len(log.look(4, fake, narrowed.trouble)) == 2
    assert len(log.look(5, fake, narrowed.trouble, trouble("NL", "odido"))) == 3


def test_an_alarm_goes_to_its_own_cell_before_any_other() -> None:
    """Two providers' alarms stand; a worse one above them doesn't take either one's place."""
    log = Log()
    north, south = trouble("NL", "kpn", "north"), trouble("NL", "kpn", "south")
    log.look(1, north, south)
    above = trouble("NL", "kpn", messages_at_risk=500)
    assert len(log.look(2, above, north, south)) == 3
    assert {each.alarm_id for each in log.standing if each.trouble.cell == north.cell} == {1}


def test_alarms_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(episodes, "STANDING_MAX", 2)
    log = Log()
    found = [trouble("NL", f"carrier {n}", messages_at_risk=n) for n in range(4)]
    standing = log.look(1, *found)
    assert [each.trouble.cell[1] for each in standing] == [
        "carrier 3",
        "carrier 2",
    ]  # the worst
    assert len(log.look(2, *found)) == 2


@pytest.mark.parametrize(
    ("cell", "kind", "words"),
    [
        ("kpn", FELL, "receipts of carrier kpn fell"),
        ("kpn south", FELL, "receipts of carrier kpn, provider south fell"),
        ("kpn south Acme", FELL, "some receipts of carrier kpn, provider south fell"),
        ("kpn south", DOUBTED, "receipts of carrier kpn, provider south are in doubt"),
    ],
)
def test_anybody_may_know_the_kind_and_the_route_and_no_customer(
    cell: str, kind: TroubleKind, words: str
) -> None:
    """What stands below a provider is a customer's; that it isn't all may be known."""
    assert trouble("NL", *cell.split(), kind=kind).public_words == words


# --- what a process attends to --------------------------------------------------------

AWAY = TroubleKind.PROVIDER_AWAY
NORTH = trouble(ANY, ANY, "north", kind=AWAY, words="provider north is away")


def test_what_is_seen_begins_goes_on_and_ends() -> None:
    log = Log()
    (began,) = log.attend(1, NORTH)
    assert (began.began_us, began.raised_us) == (BEGIN_US, BEGIN_US + MINUTE_US)
    later = msgspec.structs.replace(NORTH, began_us=BEGIN_US + MINUTE_US, words="why")
    (goes_on,) = log.attend(2, later)
    assert (goes_on.began_us, goes_on.trouble.words) == (BEGIN_US, "why")
    (lingers,) = log.attend(9, lingers=frozenset({NORTH.name}))
    assert lingers.seen_us == BEGIN_US + 9 * MINUTE_US
    assert log.attend(10, over=frozenset({NORTH.name})) == []
    assert log.all[1].ended_us == lingers.seen_us
    assert log.attend(11, lingers=frozenset({NORTH.name})) == []  # nothing stands to go on


def test_what_nobody_sees_ends_when_somebody_has_looked_for_long_enough() -> None:
    log = Log()
    log.attend(1, NORTH)
    assert log.attend(4) != []
    began_us = BEGIN_US + 100 * MINUTE_US
    assert log.attend(100, since_us=began_us) != []  # nobody looked meanwhile
    assert log.attend(100 + QUIET_US // MINUTE_US, since_us=began_us) == []


def test_the_model_and_those_who_attend_leave_each_other_s_alarms_alone() -> None:
    log = Log()
    log.look(1, trouble("NL", "kpn", "north"))
    assert len(log.attend(1, NORTH)) == 2
    assert len(log.attend(50, NORTH, over=frozenset({(FELL, ("NL", "kpn", "north"))}))) == 2
    assert [each.trouble.kind for each in log.look(60)] == [AWAY]


def test_what_is_attended_to_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(episodes, "ATTENDED_MAX", 2)
    log = Log()
    found = [trouble(ANY, ANY, f"p{n}", kind=AWAY) for n in range(3)]
    assert len(log.attend(1, *found)) == 2
    assert len(log.attend(2, *found)) == 2


def test_an_alarm_says_whose_it_is() -> None:
    assert NORTH.provider == "north"
    assert trouble("NL", "kpn", ANY, "Acme").provider is None
    assert trouble("NL").provider is None
    assert NORTH.public_words == "provider north is away"
