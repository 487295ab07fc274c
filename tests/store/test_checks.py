"""Verify: a sound database passes every check, and every check sees what it is for."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

import psycopg
import pytest

from arrivals.clock import SystemClock
from arrivals.core.ids import MessageIds
from arrivals.store import stretches
from arrivals.store.api import StoreError, StoreUnavailable
from arrivals.store.checks import TRIGGERS
from arrivals.store.folders import DATABASE_NAME
from arrivals.store.verified import Finding
from arrivals.store.verifying import run_checks
from tests.backends import POSTGRESQL
from tests.flows.installation import Installation
from tests.postgres.server import execute
from tests.store.damage import DELIVERED, IN_POSTGRESQL, PLANTS, SENTENCES, spoil
from tests.store.inhabited import home, settle_all


def findings(place: str | Path) -> dict[str, Finding]:
    """Return every finding by its sentence."""
    return {each.sentence: each for each in run_checks(place, SystemClock())}


def broken(place: str | Path) -> dict[str, tuple[str, ...]]:
    """Return the samples of what doesn't hold."""
    return {each.sentence: each.samples for each in findings(place).values() if each.count}


@pytest.mark.parametrize("rows", [stretches.ROWS_A_STRETCH, 1])
def test_a_sound_database_passes_every_check(sound, monkeypatch, rows) -> None:
    """Nothing is found where everything was done by the flows (invariants 1 to 48)."""
    monkeypatch.setattr(stretches, "ROWS_A_STRETCH", rows)
    assert broken(sound.place) == {}
    assert set(SENTENCES.values()) == set(findings(sound.place))


def test_every_check_has_a_plant() -> None:
    """No check stands untested."""
    assert set(PLANTS) == set(SENTENCES)
    assert set(IN_POSTGRESQL) < set(SENTENCES)


@pytest.mark.parametrize("name", PLANTS)
def test_each_check_sees_what_it_is_for(sound, copy, name) -> None:
    """A planted violation turns its check red, with a count and a sample."""
    spoil(sound, copy, sound.plants[name])
    finding = findings(copy)[SENTENCES[name]]
    assert finding.count >= 1
    assert finding.samples


def test_a_message_is_named_by_its_public_id(sound, copy) -> None:
    """What is found can be looked up: explain takes it as it stands."""
    spoil(sound, copy, sound.plants["price_snapshot"])
    secret = sound.ask(copy, "SELECT value FROM meta WHERE name = 'message_id_secret'")
    key = sound.ask(copy, "SELECT min(id) FROM messages WHERE state = 'delivered'")
    expected = MessageIds(bytes.fromhex(secret)).encode(key)
    assert findings(copy)[SENTENCES["price_snapshot"]].samples == (expected,)


def test_counts_are_whole_and_samples_few(sound, copy) -> None:
    """A violation everywhere is counted everywhere and shown five times."""
    spoil(sound, copy, "UPDATE messages SET attempts = 9")
    messages = sound.ask(copy, "SELECT count(*) FROM messages")
    finding = findings(copy)[SENTENCES["unintended_handoffs"]]
    assert finding.count == messages > 5
    assert len(finding.samples) == 5


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANTS)
def test_stretches_of_one_row_find_the_same(sound, copy, name, monkeypatch) -> None:
    """However a table is cut, each check finds the same number."""
    spoil(sound, copy, sound.plants[name])
    whole = findings(copy)[SENTENCES[name]]
    monkeypatch.setattr(stretches, "ROWS_A_STRETCH", 1)
    cut = findings(copy)[SENTENCES[name]]
    assert cut.count == whole.count
    assert set(cut.samples) <= set(whole.samples) or whole.count > len(whole.samples)


async def test_checks_run_beside_writers(new_place, backend) -> None:
    """Servers that write all the time make no right sum look wrong (invariants 6 and 7)."""
    place, stop = new_place(), asyncio.Event()
    sent = [0] * (3 if backend.many_write else 1)
    async with contextlib.AsyncExitStack() as stack:
        homes = []
        for _ in sent:
            store = await stack.enter_async_context(backend.open_at(place, SystemClock()))
            homes.append(await stack.enter_async_context(home(place, store)))
        writing = [
            asyncio.create_task(keep_busy(each, n, sent, stop)) for n, each in enumerate(homes)
        ]
        try:
            rounds = 0
            while rounds < 5 or min(sent) < 200:
                assert await asyncio.to_thread(broken, place) == {}
                assert not any(each.done() for each in writing)
                rounds += 1
        finally:
            stop.set()
            await asyncio.gather(*writing)
    assert broken(place) == {}


async def keep_busy(here: Installation, number: int, sent: list[int], stop: asyncio.Event):
    """Send, hand off, settle and revise, with a breath in between, until told to stop."""
    while not stop.is_set():
        await asyncio.gather(
            *(here.send("31600000001", account_id=1 + n % 2) for n in range(20))
        )
        sent[number] += 20
        if not number:  # a bind has one owner
            await settle_all(here)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 0.02)


@pytest.mark.parametrize("backend", [POSTGRESQL], ids=["postgresql"])
async def test_the_horizon_waits_for_whoever_may_commit_an_older_posting(
    ground, place, monkeypatch
) -> None:
    """One took its ids first and has the larger transaction number: it is waited for too."""
    await ground.fund(1)
    commit = (
        "INSERT INTO postings (id, at, kind, account_id, debit, credit, amount, currency)"
        " VALUES (%s, 1, 'funding', 1, 'external:funding', 'funds:1', 5, 'EUR')"
    )
    move = "UPDATE balances SET available = available + 5 WHERE account_id = 1"
    with psycopg.connect(place) as quick, psycopg.connect(place) as late:
        quick.execute("SELECT pg_current_xact_id()")
        late.execute("SELECT pg_current_xact_id()")
        [(first,)] = late.execute("SELECT nextval('posting_ids')").fetchall()
        [(second,)] = quick.execute("SELECT nextval('posting_ids')").fetchall()
        assert first < second
        quick.execute(commit, [second])
        quick.execute(move)
        quick.commit()
        waited: list[bool] = []

        def commit_late(_seconds: float) -> None:
            if not waited:
                late.execute(commit, [first])
                late.execute(move)
                late.commit()
            waited.append(True)

        monkeypatch.setattr("arrivals.store.stretches.sleep", commit_late)
        assert broken(place) == {}
        assert waited


@pytest.mark.parametrize("backend", [POSTGRESQL], ids=["postgresql"])
async def test_a_transaction_that_stays_open_is_told(ground, place, monkeypatch) -> None:
    """Neither clean nor broken, after a bounded wait."""
    await ground.fund(1)
    monkeypatch.setattr(stretches, "HORIZON_WAIT_S", 0.0)
    with psycopg.connect(place) as idle:
        idle.execute("SELECT pg_current_xact_id()")
        with pytest.raises(StoreUnavailable, match="open"):
            list(run_checks(place, SystemClock()))


def test_one_who_may_not_see_every_row_is_told(sound, copy) -> None:
    """What row security would hide is an error, not a clean bill."""
    if "://" not in copy:
        pytest.skip("a file is read whole or not at all")
    role = f"watcher_{os.urandom(4).hex()}"
    execute(
        copy,
        f"CREATE ROLE {role} LOGIN",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}",
    )
    try:
        with pytest.raises(StoreError, match="row-level security"):
            list(run_checks(copy.replace("postgres@", f"{role}@"), SystemClock()))
    finally:
        execute(copy, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_a_trigger_that_is_off_in_one_partition_is_missed(sound, copy) -> None:
    """It refuses nothing there."""
    if "://" not in copy:
        pytest.skip("a table is one")
    execute(copy, "ALTER TABLE messages_1 DISABLE TRIGGER messages_keep_their_price")
    assert broken(copy) == {TRIGGERS.sentence: ("trigger messages_keep_their_price",)}


def test_a_span_that_was_given_away_is_not_missed(sound, copy) -> None:
    """Its postings, streams and costs stay, and are no violations; others would be."""
    if "://" not in copy:
        pytest.skip("a folder keeps all it has")
    tables = ("handoffs", "events", "adjustments", "messages", "orders")
    execute(
        copy,
        *(f"ALTER TABLE {each} DETACH PARTITION {each}_0" for each in tables),
        "UPDATE spans SET begun_at = n, detached_at = CASE n WHEN 0 THEN 1 END",
    )
    assert set(broken(copy)) >= {
        SENTENCES[each]
        for each in (
            "held_by_orders",
            "settled_by_messages",
            "adjusted_by_messages",
            "batch_totals",
        )
    }
    execute(
        copy,
        "UPDATE spans SET last_posting = (SELECT max(id) FROM postings) WHERE n = 0",
        f"UPDATE spans SET begun_at = {SystemClock().now_us()} WHERE n = 1",
    )
    assert broken(copy) == {}
    execute(copy, "UPDATE batches SET created_at = created_at + 3600000000")
    assert set(broken(copy)) == {SENTENCES["batch_totals"]}


def test_a_database_without_a_schema_cannot_be_checked(postgres_url) -> None:
    """Nothing is created by looking."""
    with pytest.raises(StoreUnavailable, match="holds no Arrivals database"):
        list(run_checks(postgres_url, SystemClock()))
    assert execute(
        postgres_url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
    ) == [(0,)]


def test_a_folder_without_a_database_cannot_be_checked(tmp_path) -> None:
    """Nothing is created by looking."""
    with pytest.raises(StoreUnavailable):
        list(run_checks(tmp_path, SystemClock()))
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_cannot_be_checked(tmp_path) -> None:
    """A damaged file is an error, not a clean bill."""
    (tmp_path / DATABASE_NAME).write_bytes(b"not a database at all" * 1000)
    with pytest.raises(StoreError):
        list(run_checks(tmp_path, SystemClock()))


# --- texts in other alphabets -------------------------------------------------------------

ORDER_OF_IT = f"(SELECT {DELIVERED} >> 17)"
IN_ASCII = (
    """UPDATE orders SET decision = '{"route": {"alphabet": "ascii"}}' """
    f"WHERE id = {ORDER_OF_IT}"
)


def test_a_text_is_counted_by_the_alphabet_that_its_order_names(sound, copy) -> None:
    """The same text is as sound in ASCII; in UCS-2 it isn't what was charged (invariant 11)."""
    spoil(sound, copy, IN_ASCII)
    assert broken(copy) == {}
    spoil(sound, copy, sound.plants["shapes"])
    assert SENTENCES["shapes"] in broken(copy)


def test_more_parts_than_were_charged_were_begun_as_that_many(sound, copy) -> None:
    """Where the provider that took it needs them: of that attempt, and no more than those."""
    spoil(sound, copy, sound.plants["uncharged_parts"])
    begun = f"UPDATE messages SET parts = '{{}}' WHERE id = {DELIVERED}"
    for parts, is_sound in (("1:d.", True), ("2:dd", False), ("1:d", False)):
        spoil(sound, copy, begun.format(parts))
        assert (SENTENCES["uncharged_parts"] not in broken(copy)) is is_sound, parts
