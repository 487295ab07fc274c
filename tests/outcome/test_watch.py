"""A fall is noticed, said once, and told apart by what it goes with; and then it is over."""

from __future__ import annotations

import random

import pytest

from arrivals.outcome import watch as watching
from arrivals.outcome.attribution import Tally
from arrivals.outcome.change import Chart, Kind, Run
from arrivals.outcome.recent import Recent
from arrivals.outcome.watch import Waiting, Watch

KEY = b"a key of this test"
SECOND_US = 1_000_000
USUAL = 0.9
PATHS = [("NL alphanumeric", "kpn", provider, "SHOP") for provider in ("north", "south")]


def messages(
    watch: Watch, first: int, count: int, *, chance: dict[str, float], link_chance: float = 1.0
) -> int:
    """Send messages, one a second; return the time of the last one's checkpoint."""
    dice = random.Random(first)
    for n in range(first, first + count):
        path = PATHS[n % 2]
        linked = dice.random() < 0.3
        text = "See https://shop.example/x" if linked else "Your parcel 1234 has left"
        at_us = n * SECOND_US
        waiting = Waiting(path, USUAL, at_us, 1_000, text)
        watch.sent(n, at_us + 5 * SECOND_US, waiting)
        if dice.random() < chance[path[2]] * (link_chance if linked else 1.0):
            watch.heard(n)
    now_us = (first + count + 5) * SECOND_US
    watch.look(now_us)
    return now_us


def test_a_fall_of_one_provider_is_said_of_that_provider_and_ends() -> None:
    watch = Watch(KEY)
    now_us = messages(watch, 0, 2_000, chance={"north": USUAL, "south": USUAL})
    assert watch.troubles(now_us) == []
    assert watch.alarmed(PATHS[0]) is None
    now_us = messages(watch, 2_000, 400, chance={"north": 0.5, "south": USUAL})
    (said,) = watch.troubles(now_us)
    assert said.words.startswith("receipts of carrier kpn, provider north")
    assert said.cell[:3] == PATHS[0][:3]
    assert 0 < said.messages_at_risk < 200
    assert said.money_at_risk == pytest.approx(said.messages_at_risk * 1_000, rel=0.02)
    assert said.expected == pytest.approx(180, abs=40)
    assert said.observed is not None
    assert said.observed < (said.expected or 0)
    assert watch.kept()
    again = Watch(KEY)
    again.restore(watch.kept())
    assert again.alarmed(PATHS[0]) == watch.alarmed(PATHS[0])
    assert again.kept() == watch.kept()
    assert watch.alarmed(PATHS[0]) is not None
    assert watch.alarmed(PATHS[1]) in {None, PATHS[1][:2]}
    now_us = messages(watch, 2_400, 600, chance={"north": USUAL, "south": USUAL})
    assert watch.troubles(now_us) == []
    assert len(watch) == 0


def test_an_alarm_that_outlasts_its_cause_says_that_receipts_are_back() -> None:
    """Never that more came than were expected, of what fell or of all carriers."""
    charts = [
        (
            key,
            Chart(
                cell=key,
                kind=Kind.RECEIPTS,
                messages=9_000,
                raised_message=50,
                fall=Run(began_message=1, messages=9_000, expected=4_378.0, observed=6_695),
            ),
            Recent(),
        )
        for key in (PATHS[0][:2], PATHS[0])
    ]
    watch = Watch(KEY)
    watch.restore(charts)
    (said,) = watch.troubles(60 * SECOND_US)
    assert said.cell == PATHS[0]
    assert said.words == (
        "receipts of carrier kpn, provider north, sender SHOP fell at "
        "1970-01-01T00:00:00.000000Z, and come as before again"
    )
    assert said.messages_at_risk == 0


def test_an_alarm_says_what_it_goes_with() -> None:
    watch = Watch(KEY)
    messages(watch, 0, 1_000, chance={"north": USUAL, "south": USUAL})
    fair = {"north": USUAL, "south": USUAL}
    now_us = messages(watch, 1_000, 3_000, chance=fair, link_chance=0.2)
    said = " ".join(each.goes_with or "" for each in watch.troubles(now_us))
    assert "link shop.example goes with" in said
    assert "a correlation, not a cause" in said


LINKED = "Again: https://shop.example/y"
PLAIN = "Your parcel 9 has left"


@pytest.mark.parametrize("link_chance", [0.0, 0.05, 0.5])
def test_silence_of_what_goes_with_an_alarm_is_told_from_any_other(link_chance: float) -> None:
    """Texts with one link lack their receipts; all others of the cell have theirs."""
    watch = Watch(KEY)
    fair = {"north": USUAL, "south": USUAL}
    now_us = messages(watch, 0, 1_000, chance=fair)
    assert not watch.alike_lack(PATHS[0], LINKED, now_us)
    now_us = messages(watch, 1_000, 3_000, chance=fair, link_chance=link_chance)
    assert watch.alike_lack(PATHS[0], LINKED, now_us)
    assert not watch.alike_lack(PATHS[0], PLAIN, now_us)
    assert not watch.alike_lack(PATHS[0], None, now_us)
    assert not watch.alike_lack((*PATHS[0][:2], "west", "SHOP"), LINKED, now_us)


def test_those_an_alarm_may_be_about_are_remembered_until_settled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watching, "SILENT_MAX", 20)
    watch = Watch(KEY)
    assert not watch.is_alarmed
    fair = {"north": USUAL, "south": USUAL}
    messages(watch, 0, 1_000, chance=fair)
    assert watch.silent() == []
    fallen = {"north": 0.2, "south": USUAL}
    messages(watch, 1_000, 1_000, chance=fallen)
    found = watch.silent()
    assert watch.is_alarmed
    norths = [key for key in found if key % 2 == 0]
    assert len(norths) == 20
    assert min(norths) >= 1_000
    watch.settled(norths[:5])
    assert [key for key in watch.silent() if key % 2 == 0] == norths[5:]
    messages(watch, 2_000, 600, chance=fair)
    assert watch.silent() == []


def test_an_outage_of_all_receipts_says_nothing_of_one_message() -> None:
    watch = Watch(KEY)
    messages(watch, 0, 1_000, chance={"north": USUAL, "south": USUAL})
    now_us = messages(watch, 1_000, 1_000, chance={"north": 0.0, "south": 0.0})
    assert watch.alarmed(PATHS[0]) is not None
    assert not watch.alike_lack(PATHS[0], LINKED, now_us)


def test_a_slice_that_lacks_few_doesnt_say_that_one_was_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watch = Watch(KEY)
    fair = {"north": USUAL, "south": USUAL}
    messages(watch, 0, 1_000, chance=fair)
    now_us = messages(watch, 1_000, 3_000, chance=fair, link_chance=0.5)
    assert watch.alike_lack(PATHS[0], LINKED, now_us)
    monkeypatch.setattr(watching, "MISSING_MIN", 0.95)
    assert not watch.alike_lack(PATHS[0], LINKED, now_us)


def test_one_cause_on_many_carriers_is_one_alarm() -> None:
    """A link is kept back for every carrier: it is said once, with the link and the money."""
    watch = Watch(KEY)
    dice = random.Random(1)
    for n in range(6_000):
        at_us = n * SECOND_US
        linked = dice.random() < 0.3
        text = "See https://shop.example/x" if linked else "Your parcel 1234 has left"
        path = ("NL alphanumeric", f"NL 3161{n % 10}", "north", "SHOP")
        watch.sent(n, at_us + 5 * SECOND_US, Waiting(path, USUAL, at_us, 1_000, text))
        if dice.random() < (0.1 if linked and n > 3_000 else USUAL):
            watch.heard(n)
    now_us = 6_006 * SECOND_US
    watch.look(now_us)
    (found,) = watch.troubles(now_us)
    assert found.words.startswith("receipts of provider north, all carriers (NL alphanumeric)")
    assert found.goes_with is not None
    assert found.goes_with.startswith("link shop.example")
    assert 500 <= found.messages_at_risk <= 900
    assert found.money_at_risk == pytest.approx(found.messages_at_risk * 1_000, abs=1_000)
    # What another country lacks has no part in it.
    watch._tallies["DE alphanumeric", "DE 49151", "north"] = Tally()
    assert watch.troubles(now_us) == [found]
    # What the carriers ring for is still known of each.
    assert watch.alarmed(("NL alphanumeric", "NL 31610", "north", "SHOP")) is not None


def test_what_is_watched_is_bounded(monkeypatch) -> None:
    monkeypatch.setattr(watching, "WAITING_MAX", 1)
    monkeypatch.setattr(watching, "CHARTS_MAX", 1)
    watch = Watch(KEY)
    for key in (1, 1, 2):
        watch.sent(key, SECOND_US, Waiting(PATHS[0], USUAL, 0, 0, None))
    assert len(watch) == 1
    watch.heard(2)
    assert watch.look(2 * SECOND_US) == []
    assert watch.troubles(2 * SECOND_US) == []


def test_a_cause_without_an_alarm_of_its_own_says_what_is_at_risk() -> None:
    """A route's alarm is on, and one of its senders lacks nearly all of it."""
    watch = Watch(KEY)
    other = (*PATHS[0][:3], "BANK")
    for n in range(3_000):
        at_us = n * SECOND_US
        path = PATHS[0] if n % 5 else other
        watch.sent(n, at_us + 5 * SECOND_US, Waiting(path, USUAL, at_us, 1_000, None))
        if n % 11 and (path is PATHS[0] or n < 2_000):
            watch.heard(n)
    now_us = 3_006 * SECOND_US
    watch.look(now_us)
    watch._charts[other][0].raised_message = 0  # as if it hadn't rung yet
    found = {each.cell: each for each in watch.troubles(now_us)}
    assert 150 <= found[other].messages_at_risk <= 250
    assert found[other].money_at_risk == found[other].messages_at_risk * 1_000
