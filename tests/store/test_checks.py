"""Verify: a sound database passes every check, and every check sees what it is for."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw
import psycopg
import pytest

from arrivals.clock import SystemClock
from arrivals.core.ids import MessageIds
from arrivals.store import checks
from arrivals.store.api import StoreError, StoreUnavailable
from arrivals.store.beside import DATABASE_NAME
from arrivals.store.checks import (
    CHECKS,
    SENTENCE_OF_BALANCES,
    SENTENCE_OF_COSTS,
    SENTENCE_OF_SHAPES,
    SENTENCE_OF_TRIGGERS,
    SUMS,
    Finding,
    run_checks,
)
from tests.backends import POSTGRESQL, SQLITE
from tests.flows.installation import Installation
from tests.postgres.server import create_database, drop_database, execute
from tests.store.inhabited import home, inhabit, settle_all

DAY_US = 86_400_000_000
SENTENCES = {each.statement: each.sentence for each in CHECKS}
SENTENCES |= {each.parts: each.sentence for each in SUMS}
SENTENCES |= {
    "balances": SENTENCE_OF_BALANCES,
    "costs": SENTENCE_OF_COSTS,
    "shapes": SENTENCE_OF_SHAPES,
    "triggers": SENTENCE_OF_TRIGGERS,
}

DELIVERED = "(SELECT min(id) FROM messages WHERE state = 'delivered')"
QUEUED = "(SELECT min(id) FROM messages WHERE rank IS NOT NULL)"
FAILED = "(SELECT min(id) FROM messages WHERE state = 'failed' AND reach = 0)"
SENDING = "(SELECT min(id) FROM messages WHERE state = 'sending')"
ADJUSTED = "(SELECT min(message_id) FROM adjustments)"

# What turns each check red, and no more than it has to. Triggers are out of the way.
PLANTS = {
    "posting_accounts": "UPDATE postings SET credit = 'revenue:EUR' WHERE kind = 'hold'",
    "posting_currency": "UPDATE postings SET currency = 'USD' WHERE id = 1",
    "posting_integers": "UPDATE postings SET amount = amount + 0.5 WHERE id = 1",
    "balance_integers": "UPDATE balances SET available = 0.5 WHERE account_id = 1",
    "message_integers": f"UPDATE messages SET price = 0.5 WHERE id = {DELIVERED}",
    "triggers": "DROP TRIGGER messages_resolve_once",
    "overdrawn": "UPDATE balances SET available = -1 WHERE account_id = 1",
    "balances": "UPDATE balances SET held = held + 1 WHERE account_id = 2",
    "resolution_posting": f"UPDATE messages SET resolution_posting = 1 WHERE id = {DELIVERED}",
    "resolved_open": "UPDATE messages SET resolution = 'released', resolution_posting = 1 "
    f"WHERE id = {QUEUED}",
    "adjustments_in_turn": "UPDATE adjustments SET kind = 'refund'",
    "price_snapshot": f"UPDATE messages SET segments = 2 WHERE id = {DELIVERED}",
    "shapes": f"UPDATE messages SET encoding = 'ucs2' WHERE id = {DELIVERED}",
    "uncharged_parts": f"UPDATE handoffs SET part = 2 WHERE message_id = {DELIVERED}",
    "unresolved_ends": "UPDATE messages SET resolution = NULL, resolution_posting = NULL, "
    f"changed_at = changed_at - {DAY_US} WHERE id = {DELIVERED}",
    "charged_unsent": f"UPDATE messages SET resolution = 'captured' WHERE id = {FAILED}",
    "unexplained_cost": f"UPDATE messages SET provider_cost = 1 WHERE id = {QUEUED}",
    "costs": f"UPDATE messages SET provider_cost = 1 WHERE id = {DELIVERED}",
    "whole_orders": "UPDATE orders SET hold_posting = 1 WHERE id = 1",
    "messages_of_orders": f"UPDATE messages SET route_id = 7 WHERE id = {DELIVERED}",
    "order_totals": "UPDATE orders SET count = count + 1 WHERE id = 1",
    "batch_totals": "UPDATE batches SET accepted = accepted + 1",
    "orphans": f"UPDATE messages SET rank = NULL, wake_at = NULL WHERE id = {QUEUED}",
    "illegal_moves": "UPDATE events SET from_state = 'delivered' WHERE kind = 'claimed'",
    "event_gaps": f"DELETE FROM events WHERE message_id = {DELIVERED} AND seq = 2",
    "state_is_fold": f"UPDATE messages SET state = 'waiting' WHERE id = {SENDING}",
    "broken_chains": "UPDATE events SET to_state = 'scheduled' WHERE seq = 1",
    "events_without_message": "INSERT INTO events VALUES (9, 1, 1, 'accepted', NULL, "
    "'accepted', 'api', '{}')",
    "epochs_ahead": f"UPDATE messages SET epoch = 99 WHERE id = {SENDING}",
    "unintended_handoffs": f"UPDATE messages SET attempts = 9 WHERE id = {DELIVERED}",
    "resends_without_policy": f"UPDATE messages SET resends = 1 WHERE id = {DELIVERED}",
    "second_handoffs": f"UPDATE messages SET attempts = 2 WHERE id = {DELIVERED}; "
    f"INSERT INTO events SELECT {DELIVERED}, 99, 1, 'claimed', 'submitted', 'submitted', "
    """'worker', '{"attempt":2}'""",
    "overdue": f"UPDATE orders SET outcome_deadline = accepted_at - {DAY_US}, "
    f"expires_at = accepted_at - {DAY_US} WHERE id = {QUEUED} >> 17",
    "delivered_without_evidence": "UPDATE events SET kind = 'receipt' "
    f"WHERE message_id = {DELIVERED}",
    "parked_too_long": f"UPDATE parked_receipts SET received_at = received_at - 4 * {DAY_US}",
    "parked_without_form": "DELETE FROM parked_forms",
    "foreign_handoffs": "UPDATE handoffs SET provider_id = 'elsewhere' "
    f"WHERE message_id = {DELIVERED}",
    "times_go_back": f"UPDATE events SET at = 1 WHERE message_id = {DELIVERED} AND seq = 2",
    "wrong_environment": "UPDATE catalogue SET body = json_set(body, '$.environment', 'live') "
    "WHERE kind = 'key'",
    "abandoned_sending": f"UPDATE messages SET epoch = 0, changed_at = 1 WHERE id = {SENDING}",
    "held_by_orders": "UPDATE orders SET cost = cost + 1 WHERE id = 2",
    "settled_by_messages": f"UPDATE messages SET price = price + 1 WHERE id = {DELIVERED}",
    "adjusted_by_messages": "UPDATE adjustments SET amount = amount + 1",
}


# PostgreSQL's words for the same, where it has its own.
IN_POSTGRESQL = {
    "posting_integers": "ALTER TABLE postings ALTER amount TYPE NUMERIC; "
    + PLANTS["posting_integers"],
    "balance_integers": "ALTER TABLE balances ALTER available TYPE NUMERIC; "
    + PLANTS["balance_integers"],
    # A price's type can't be changed: a trigger names it.
    "message_integers": "ALTER TABLE messages ALTER provider_cost TYPE NUMERIC; "
    f"UPDATE messages SET provider_cost = 0.5 WHERE id = {DELIVERED}",
    "triggers": "DROP TRIGGER messages_resolve_once ON messages",
    "wrong_environment": "UPDATE catalogue SET "
    """body = jsonb_set(body::jsonb, '{environment}', '"live"')::json WHERE kind = 'key'""",
}


@dataclass(frozen=True)
class Sound:
    """An installation in which everything is right, and how to have a copy and spoil it."""

    place: str
    copied: Callable[[Path], AbstractContextManager[str]]
    ask: Callable[[str, str], Any]  # (place, query): the first value
    spoil: Callable[[str, str], int]  # (place, plant): how many rows it changed
    plants: Mapping[str, str]


def sqlite_sound(folder: Path) -> Sound:
    @contextmanager
    def copied(to: Path) -> Iterator[str]:
        shutil.copytree(folder, to / "data")
        yield str(to / "data")

    def ask(place: str, query: str) -> Any:
        connection = apsw.Connection(str(Path(place) / DATABASE_NAME))
        try:
            return connection.execute(query).get
        finally:
            connection.close()

    return Sound(str(folder), copied, ask, spoil_sqlite, PLANTS)


def spoil_sqlite(place: str, text: str) -> int:
    connection = apsw.Connection(str(Path(place) / DATABASE_NAME))
    connection.execute("PRAGMA ignore_check_constraints = ON")
    schema = "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'"
    triggers = connection.execute(schema).fetchall()
    for name, _ in triggers:
        if f"DROP TRIGGER {name}" not in text:
            connection.execute(f"DROP TRIGGER {name}")
    connection.execute(text)
    changed = connection.changes()
    for name, created in triggers:
        if f"DROP TRIGGER {name}" not in text:
            connection.execute(str(created))
    connection.close()
    return changed


def postgresql_sound(server_url: str, url: str) -> Sound:
    @contextmanager
    def copied(_to: Path) -> Iterator[str]:
        name = f"arrivals_test_{os.urandom(8).hex()}"
        template = url.rpartition("/")[2]
        execute(server_url, f'create database "{name}" template "{template}"')
        try:
            yield url.rpartition("/")[0] + f"/{name}"
        finally:
            drop_database(server_url, name)

    def ask(place: str, query: str) -> Any:
        return execute(place, query)[0][0]

    return Sound(url, copied, ask, spoil_postgresql, PLANTS | IN_POSTGRESQL)


def spoil_postgresql(place: str, text: str) -> int:
    checks_of = (
        "SELECT conrelid::regclass::text, conname FROM pg_constraint"
        " WHERE contype = 'c' AND coninhcount = 0 AND conrelid <> 0"
    )
    with psycopg.connect(place) as connection:
        connection.execute("SET session_replication_role = replica")  # no trigger fires
        for table, name in connection.execute(checks_of).fetchall():
            connection.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"')
        cursor = connection.execute(text)
        while cursor.nextset():
            pass
        return cursor.rowcount


# A database is a second where a folder is a few milliseconds.
SOUND = [
    pytest.param(SQLITE, id="sqlite"),
    pytest.param(POSTGRESQL, id="postgresql", marks=pytest.mark.slow),
]


@pytest.fixture(scope="module", params=SOUND)
def sound(request, tmp_path_factory) -> Iterator[Sound]:
    """An installation in which everything is right, made once for the module."""
    if request.param is SQLITE:
        made = sqlite_sound(tmp_path_factory.mktemp("sound"))
        asyncio.run(inhabit(made.place))
        yield made
        return
    server_url = request.getfixturevalue("postgres_server")
    name = f"arrivals_test_{os.urandom(8).hex()}"
    made = postgresql_sound(server_url, create_database(server_url, name))
    asyncio.run(inhabit(made.place))
    yield made
    drop_database(server_url, name)


@pytest.fixture
def copy(sound, tmp_path) -> Iterator[str]:
    """A copy of it, to be spoilt."""
    with sound.copied(tmp_path) as place:
        yield place


def spoil(sound: Sound, place: str, text: str) -> None:
    """Do to a database what its own rules forbid."""
    changed = sound.spoil(place, text)
    assert changed > 0 or "TRIGGER" in text, "the plant found nothing to spoil"


def findings(place: str | Path) -> dict[str, Finding]:
    """Return every finding by its sentence."""
    return {each.sentence: each for each in run_checks(place, SystemClock())}


def broken(place: str | Path) -> dict[str, tuple[str, ...]]:
    """Return the samples of what doesn't hold."""
    return {each.sentence: each.samples for each in findings(place).values() if each.count}


def test_a_sound_database_passes_every_check(sound) -> None:
    """Nothing is found where everything was done by the flows (invariants 1 to 48)."""
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


@pytest.mark.parametrize("name", [*PLANTS])
def test_stretches_of_one_row_find_the_same(sound, copy, name, monkeypatch) -> None:
    """However a table is cut, each check finds the same number."""
    spoil(sound, copy, sound.plants[name])
    whole = findings(copy)[SENTENCES[name]]
    monkeypatch.setattr(checks, "ROWS_A_STRETCH", 1)
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

        monkeypatch.setattr("arrivals.store.checks.sleep", commit_late)
        assert broken(place) == {}
        assert waited


@pytest.mark.parametrize("backend", [POSTGRESQL], ids=["postgresql"])
async def test_a_transaction_that_stays_open_is_told(ground, place, monkeypatch) -> None:
    """Neither clean nor broken, after a bounded wait."""
    await ground.fund(1)
    monkeypatch.setattr(checks, "HORIZON_WAIT_S", 0.0)
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
    assert broken(copy) == {SENTENCE_OF_TRIGGERS: ("trigger messages_keep_their_price",)}


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
