"""Verify again: what changed is looked at, what didn't isn't, and what is broken stays so."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from arrivals.clock import SystemClock
from arrivals.store import checking, stretches, verifying
from arrivals.store.api import StoreUnavailable
from arrivals.store.beside import looking_into
from arrivals.store.checks import COSTS
from arrivals.store.stretches import Stretches
from arrivals.store.verified import Finding, Verified, last_run, note_run
from arrivals.store.verifying import Verdict, verify, verify_in_turn
from tests.backends import POSTGRESQL
from tests.store.damage import DAY_US, DELIVERED, PLANTS, SENTENCES, spoil
from tests.store.inhabited import home, settle_all
from tests.store.test_checks import keep_busy

# What a run looks at whole, or finds by its index, however old it is.
ALWAYS_SEEN = {
    "balance_integers",
    "triggers",
    "overdrawn",
    "balances",
    "epochs_ahead",
    "parked_too_long",
    "parked_without_form",
    "abandoned_sending",
}


def run(place: str, *, full: bool = False) -> Verdict:
    return verify(place, SystemClock(), full=full)


def broken(verdict: Verdict) -> dict[str, Finding]:
    return {each.sentence: each for each in verdict.findings if each.count}


def kept(place: str) -> Verified | None:
    with looking_into(place) as (connection, dialect):
        return last_run(connection, dialect)


def nothing(_seconds: float) -> None:
    pass


# --- what changed ------------------------------------------------------------------------


def test_everything_that_changed_is_looked_at(sound, copy) -> None:
    """All messages are met, no check is red, and the run is kept for the next."""
    verdict = run(copy)
    assert verdict.run.kind == "incremental"
    assert verdict.run.looked_at == sound.ask(copy, "SELECT count(*) FROM messages")
    assert broken(verdict) == {}
    assert verdict.left_out == (COSTS.sentence,)
    assert {each.sentence for each in verdict.findings} == {*SENTENCES.values()} - {
        COSTS.sentence
    }
    assert kept(copy) == verdict.run


@pytest.mark.slow
@pytest.mark.parametrize("name", [each for each in PLANTS if each != "costs"])
def test_damage_to_what_changed_is_found(sound, copy, name) -> None:
    """As a full run finds it."""
    spoil(sound, copy, sound.plants[name])
    verdict = run(copy)
    assert verdict.run.kind == "incremental"
    if name == "foreign_handoffs":  # one that isn't where it was given can only be missed there
        assert SENTENCES["missing_handoffs"] in broken(verdict)
        return
    found = broken(verdict)[SENTENCES[name]]
    assert found.samples
    assert broken(run(copy, full=True))[SENTENCES[name]].count == found.count


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["settled_by_messages", "held_by_orders", "adjusted_by_messages", "event_gaps", ""]
)
def test_small_runs_find_the_same(sound, copy, name, monkeypatch) -> None:
    """However little a run looks at, nothing falls between two runs, and no sum is cut."""
    if name:
        spoil(sound, copy, sound.plants[name])
    monkeypatch.setattr(stretches, "EVENTS_A_RUN", 5)
    monkeypatch.setattr(stretches, "FIRST_LOOK_AHEAD", 1)
    verdicts = [run(copy)]
    while verdicts[-1].more:
        verdicts.append(run(copy))
        assert len(verdicts) < 100
    assert len(verdicts) > 3
    assert (SENTENCES[name] in broken(verdicts[-1])) if name else not broken(verdicts[-1])


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANTS)
def test_history_is_not_read_again(sound, copy, name) -> None:
    """What happened to old rows only a full run sees."""
    before = run(copy)
    spoil(sound, copy, sound.plants[name])
    if name not in ALWAYS_SEEN:
        # An event without a message is new wherever events are numbered as they are written.
        new = name in {"events_without_message", "second_handoffs"} and "://" in copy
        assert (broken(run(copy)) == {}) != new
    else:
        assert SENTENCES[name] in broken(run(copy))
    assert SENTENCES[name] in broken(run(copy, full=True))
    assert before.run.looked_at > 0


@pytest.mark.slow
def test_an_idle_run_reads_no_message(sound, copy, monkeypatch) -> None:
    """Nothing but what is looked at whole is asked for."""
    run(copy)
    asked: list[dict[str, Any]] = []
    ask = Stretches._run

    def asking(self: Stretches, text: str, values: Any) -> Any:
        rows = ask(self, text, values)
        if "keys" in values or "high" in values:
            asked.append(dict(values))
        return rows

    monkeypatch.setattr(Stretches, "_run", asking)
    assert run(copy).run.looked_at == 0
    assert len(asked) <= 40


async def test_what_happens_later_is_looked_at_later(new_place, backend) -> None:
    """Each run meets the messages that moved since the one before, and adds up their money."""
    place = new_place()
    async with backend.open_at(place, SystemClock()) as store, home(place, store) as here:
        assert run(place).run.kind == "full"
        for _ in range(3):
            await here.send("31600000001", "31600000002", account_id=1)
            assert 2 <= run(place).run.looked_at <= 4
            await settle_all(here)
            verdict = run(place)
            assert verdict.run.kind == "incremental"
            assert broken(verdict) == {}
    assert broken(run(place, full=True)) == {}


# --- what is broken ----------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", ["price_snapshot", "order_totals", "uncharged_parts"])
def test_what_is_broken_stays_so_until_it_holds(sound, copy, name) -> None:
    """A run that would look at nothing looks at it again; a hand-off waits for a full one."""
    mend = {
        "price_snapshot": f"UPDATE messages SET segments = 1 WHERE id = {DELIVERED}",
        "order_totals": "UPDATE orders SET count = count - 1 WHERE id = 1",
        "uncharged_parts": f"UPDATE handoffs SET part = 1 WHERE message_id = {DELIVERED}",
    }
    spoil(sound, copy, sound.plants[name])
    first = broken(run(copy))[SENTENCES[name]]
    for _ in range(2):
        again = broken(run(copy))[SENTENCES[name]]
        assert (again.count, again.samples) == (first.count, first.samples)
    spoil(sound, copy, mend[name])
    if name == "uncharged_parts":
        assert SENTENCES[name] in broken(run(copy))
        assert broken(run(copy, full=True)) == {}
    assert broken(run(copy)) == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["costs", "settled_by_messages"])
def test_a_sum_stands_until_a_full_run_sees_it_mended(sound, copy, name) -> None:
    """It can't be looked at in part, so it is reported as it was last seen."""
    spoil(sound, copy, sound.plants[name])
    found = broken(run(copy, full=True))[SENTENCES[name]]
    assert broken(run(copy))[SENTENCES[name]].count == found.count
    column = "provider_cost = 4000" if name == "costs" else "price = price - 1"
    spoil(sound, copy, f"UPDATE messages SET {column} WHERE id = {DELIVERED}")
    assert SENTENCES[name] in broken(run(copy))
    assert broken(run(copy, full=True)) == {}
    assert broken(run(copy)) == {}


@pytest.mark.slow
def test_too_much_that_is_broken_stands(sound, copy, monkeypatch) -> None:
    """More than can be kept by its ids is reported with the whole count all the same."""
    monkeypatch.setattr(checking, "BROKEN_MAX", 2)
    spoil(sound, copy, "UPDATE messages SET attempts = 9")
    count = sound.ask(copy, "SELECT count(*) FROM messages")
    for _ in range(2):
        assert broken(run(copy))[SENTENCES["unintended_handoffs"]].count == count


@pytest.mark.slow
def test_what_goes_wrong_by_time_is_found(sound, copy) -> None:
    """A deadline passes though nothing happens: the index of what is due tells."""
    run(copy)
    waiting = "(SELECT min(id) FROM messages WHERE wake_at IS NOT NULL)"
    spoil(
        sound,
        copy,
        f"UPDATE orders SET outcome_deadline = accepted_at - {DAY_US}, "
        f"expires_at = accepted_at - {DAY_US} WHERE id = {waiting} >> 17",
    )
    spoil(sound, copy, f"UPDATE messages SET wake_at = 1 WHERE id = {waiting}")
    assert SENTENCES["overdue"] in broken(run(copy))


@pytest.mark.slow
def test_a_finding_says_what_was_asked(sound, copy) -> None:
    """The query runs as it is shown, and finds what was found."""
    spoil(sound, copy, sound.plants["price_snapshot"])
    key = sound.ask(copy, f"SELECT {DELIVERED}")
    for full in (False, True):
        found = broken(run(copy, full=full))[SENTENCES["price_snapshot"]]
        assert sound.ask(copy, found.query) == key
    assert all(each.query for each in run(copy).findings)


# --- the run that is kept ----------------------------------------------------------------


@pytest.mark.slow
def test_a_run_that_breaks_off_loses_nothing(sound, copy, monkeypatch) -> None:
    """Nothing is kept before the end, so the next run looks at the same."""
    spoil(sound, copy, sound.plants["price_snapshot"])
    before = kept(copy)

    def dies(*_: object) -> None:
        raise StoreUnavailable("gone")

    with monkeypatch.context() as broken_off:
        broken_off.setattr(checking.Checking, "_shapes", dies)
        with pytest.raises(StoreUnavailable):
            run(copy)
    assert kept(copy) == before
    assert SENTENCES["price_snapshot"] in broken(run(copy))


def test_of_two_runs_from_one_state_one_is_kept(sound, copy, monkeypatch) -> None:
    """The other has told what it found, and the next run goes on from the one that is kept."""

    def overtaken(*words: Any) -> bool:
        monkeypatch.setattr(verifying, "note_run", note_run)
        assert run(copy).noted
        return note_run(*words)

    monkeypatch.setattr(verifying, "note_run", overtaken)
    assert not run(copy).noted
    assert run(copy).noted


@pytest.mark.slow
def test_a_place_that_cannot_be_is_not_gone_on_from(sound, copy) -> None:
    """Loaded into a server that numbers transactions anew, a database is checked whole."""
    run(copy)
    progress = sound.ask(copy, "SELECT progress FROM verified")
    lost = progress.replace('"place":', '"place":1')
    spoil(sound, copy, f"UPDATE verified SET progress = '{lost}'")
    assert run(copy).run.kind == "full"
    spoil(sound, copy, "UPDATE verified SET progress = '{}'")
    assert run(copy).run.kind == "full"


# --- beside a server ---------------------------------------------------------------------


@pytest.mark.slow
async def test_runs_beside_writers_raise_no_alarm(new_place, backend) -> None:
    """Nor is a posting missed: at the end a full run agrees (invariants 6 and 7)."""
    place, stop = new_place(), asyncio.Event()
    sent = [0] * (3 if backend.many_write else 1)
    async with contextlib.AsyncExitStack() as stack:
        homes = []
        for _ in sent:
            store = await stack.enter_async_context(backend.open_at(place, SystemClock()))
            homes.append(await stack.enter_async_context(home(place, store)))
        assert (await asyncio.to_thread(run, place)).run.kind == "full"
        writing = [
            asyncio.create_task(keep_busy(each, n, sent, stop)) for n, each in enumerate(homes)
        ]
        looked_at = 0
        try:
            while min(sent) < 200:
                verdict = await asyncio.to_thread(run, place)
                assert broken(verdict) == {}
                assert verdict.run.kind == "incremental"
                looked_at += verdict.run.looked_at
                assert not any(each.done() for each in writing)
        finally:
            stop.set()
            await asyncio.gather(*writing)
    last = await asyncio.to_thread(run, place)
    assert looked_at + last.run.looked_at >= sum(sent)
    assert broken(last) == {}
    assert broken(await asyncio.to_thread(lambda: run(place, full=True))) == {}


@pytest.mark.slow
def test_a_turn_comes_when_it_is_due(sound, copy) -> None:
    """Whoever ran last, the next run is due so many seconds later."""
    assert verify_in_turn(copy, SystemClock(), 3_600.0, nothing) is None  # it was, just now
    verdict = verify_in_turn(copy, SystemClock(), 0.0, nothing)
    assert verdict is not None
    assert kept(copy) == verdict.run


@pytest.mark.slow
@pytest.mark.parametrize("backend", [POSTGRESQL], ids=["postgresql"])
def test_one_process_at_a_time_takes_its_turn(new_place, backend) -> None:
    """As long as another one has the lock."""
    place = new_place()
    asyncio.run(_open_once(backend, place))
    with looking_into(place) as (connection, _):
        connection.execute("SELECT pg_advisory_lock(CAST(5 AS BIGINT) << 60)")
        assert verify_in_turn(place, SystemClock(), 0.0, nothing) is None
    assert verify_in_turn(place, SystemClock(), 0.0, nothing) is not None


async def _open_once(backend: Any, place: str) -> None:
    async with backend.open_at(place, SystemClock()):
        pass


@pytest.mark.slow
@pytest.mark.parametrize("mended", [True, False])
def test_what_looks_broken_for_a_moment_is_not_kept(sound, copy, mended) -> None:
    """It is looked at again before it counts."""
    spoil(sound, copy, sound.plants["price_snapshot"])

    def pause(seconds: float) -> None:
        if mended and seconds == verifying.LOOK_AGAIN_AFTER_S:
            spoil(sound, copy, f"UPDATE messages SET segments = 1 WHERE id = {DELIVERED}")

    verdict = verify_in_turn(copy, SystemClock(), 0.0, pause)
    assert verdict is not None
    assert (broken(verdict) == {}) == mended
    found = kept(copy)
    assert found is not None
    assert (found.violations == 0, found.found[10] == 0) == (mended, mended)
    assert found.kind == "incremental"
