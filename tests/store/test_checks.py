"""Verify: a sound database passes every check, and every check sees what it is for."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import apsw
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
from tests.flows.installation import installed, provider
from tests.store.inhabited import inhabit

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


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    """A data folder in which everything is right, made once for the module."""
    folder = tmp_path_factory.mktemp("sound")
    asyncio.run(inhabit(folder))
    return folder


@pytest.fixture
def folder(sound, tmp_path) -> Path:
    """A copy of it, to be spoilt."""
    copy = tmp_path / "data"
    shutil.copytree(sound, copy)
    return copy


def spoil(folder: Path, text: str) -> None:
    """Do to a database what its own rules forbid."""
    connection = apsw.Connection(str(folder / DATABASE_NAME))
    connection.execute("PRAGMA ignore_check_constraints = ON")
    schema = "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'"
    triggers = connection.execute(schema).fetchall()
    for name, _ in triggers:
        if f"DROP TRIGGER {name}" not in text:
            connection.execute(f"DROP TRIGGER {name}")
    connection.execute(text)
    assert connection.changes() or "TRIGGER" in text, "the plant found nothing to spoil"
    for name, created in triggers:
        if f"DROP TRIGGER {name}" not in text:
            connection.execute(str(created))
    connection.close()


def findings(folder: Path) -> dict[str, Finding]:
    """Return every finding by its sentence."""
    return {each.sentence: each for each in run_checks(folder, SystemClock())}


def test_a_sound_database_passes_every_check(sound) -> None:
    """Nothing is found where everything was done by the flows (invariants 1 to 48)."""
    found = findings(sound)
    assert {each.sentence: each.samples for each in found.values() if each.count} == {}
    assert set(SENTENCES.values()) == set(found)


def test_every_check_has_a_plant() -> None:
    """No check stands untested."""
    assert set(PLANTS) == set(SENTENCES)


@pytest.mark.parametrize("name", PLANTS)
def test_each_check_sees_what_it_is_for(folder, name) -> None:
    """A planted violation turns its check red, with a count and a sample."""
    spoil(folder, PLANTS[name])
    finding = findings(folder)[SENTENCES[name]]
    assert finding.count >= 1
    assert finding.samples


def test_a_message_is_named_by_its_public_id(folder) -> None:
    """What is found can be looked up: explain takes it as it stands."""
    spoil(folder, PLANTS["message_integers"])
    connection = apsw.Connection(str(folder / DATABASE_NAME))
    secret = connection.execute("SELECT value FROM meta WHERE name = 'message_id_secret'").get
    key = connection.execute("SELECT min(id) FROM messages WHERE state = 'delivered'").get
    connection.close()
    expected = MessageIds(bytes.fromhex(secret)).encode(key)
    assert findings(folder)[SENTENCES["message_integers"]].samples == (expected,)


def test_counts_are_whole_and_samples_few(folder) -> None:
    """A violation everywhere is counted everywhere and shown five times."""
    spoil(folder, "UPDATE messages SET attempts = 9")
    connection = apsw.Connection(str(folder / DATABASE_NAME))
    messages = connection.execute("SELECT count(*) FROM messages").get
    connection.close()
    finding = findings(folder)[SENTENCES["unintended_handoffs"]]
    assert finding.count == messages > 5
    assert len(finding.samples) == 5


@pytest.mark.parametrize("name", [*PLANTS])
def test_stretches_of_one_row_find_the_same(folder, name, monkeypatch) -> None:
    """However a table is cut, each check finds the same number."""
    spoil(folder, PLANTS[name])
    whole = findings(folder)[SENTENCES[name]]
    monkeypatch.setattr(checks, "ROWS_A_STRETCH", 1)
    cut = findings(folder)[SENTENCES[name]]
    assert cut.count == whole.count
    assert set(cut.samples) <= set(whole.samples) or whole.count > len(whole.samples)


async def test_checks_run_beside_a_writer(sound, tmp_path) -> None:
    """A server that writes all the time makes no right sum look wrong (invariants 6 and 7)."""
    data = tmp_path / "live"
    stop = asyncio.Event()

    async def write() -> int:
        sent = 0
        async with installed(data, providers=[provider("north", 1)], started=False) as here:
            started.set()
            while not stop.is_set():
                await asyncio.gather(*(here.send("31600000001") for _ in range(20)))
                sent += 20
        return sent

    started = asyncio.Event()
    writing = asyncio.create_task(write())
    await started.wait()
    for _ in range(5):
        found = await asyncio.to_thread(findings, data)
        assert {each.sentence: each.samples for each in found.values() if each.count} == {}
    stop.set()
    assert await writing > 0


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
