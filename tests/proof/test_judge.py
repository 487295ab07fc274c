"""The judge under test: it is content with what is right, and sees each thing that isn't."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from arrivals.store.folders import DATABASE_NAME
from arrivals.store.sqlite import SqliteWriter
from tests.flows.script import SetClock
from tests.proof.errands import Line, Outside
from tests.proof.judge import Judge
from tests.proof.life import Life, prepare

SEED = 11  # a life in which everything below is there
TURNS = 30

Ended = tuple[apsw.Connection, list[Line]]


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ended]:
    """A life that was lived to its end, and what the outside heard of it."""
    path: Path = tmp_path_factory.mktemp("judged") / DATABASE_NAME
    clock = SetClock()
    writer = SqliteWriter(path, clock)
    prepare(writer, clock)
    lines: list[Line] = []
    life = Life(writer, clock, Outside(SEED), lines.append)
    chance = random.Random(SEED)
    for _ in range(TURNS):
        life.live(chance)
    life.end()
    connection = writer._connection
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
    yield connection, lines
    writer.close()


def _judged(connection: apsw.Connection, lines: list[Line]) -> list[str]:
    outside = Outside(SEED)
    for line in lines:
        outside.hear(line)
    return Judge(lambda text: connection.execute(text).fetchall(), outside).verdict()


def test_what_is_right_is_found_right(ended: Ended):
    assert _judged(*ended) == []


# What happens to the database behind everybody's back, and the words of the judge about it.
DAMAGES = {
    "an order is lost": ("DELETE FROM orders WHERE id = 1", "isn't so"),
    "a message is lost": ("DELETE FROM messages WHERE id = {first}", "isn't so"),
    "a message came twice": (
        "INSERT INTO messages SELECT id + 50, account_id, route_id, msisdn, country, text,"
        " client_ref, encoding, segments, rate_id, price, provider_id, lane, state, reach,"
        " reason, seq, changed_at, attempts, tries, resends, rank, wake_at, epoch, resolution,"
        " resolution_posting, provider_cost, confirmed, parts, verdict FROM messages"
        " WHERE id = {first}",
        "accepted 2 times",
    ),
    "a price is another": ("UPDATE messages SET price = price + 1 WHERE id = {first}", "costs"),
    "a balance is another": (
        "UPDATE balances SET available = available + 1 WHERE account_id = 1",
        "account 1: the balance",
    ),
    "a posting is another": (
        "UPDATE postings SET amount = amount + 1 WHERE kind = 'capture' AND account_id = 1",
        "account 1: the ledger",
    ),
    "a posting is lost": (
        "DELETE FROM postings WHERE kind = 'hold' AND account_id = 1",
        "account 1: the ledger",
    ),
    "a funding is lost": ("DELETE FROM postings WHERE reference LIKE 'wish-%'", "isn't so"),
    "an intent is lost": ("DELETE FROM events WHERE kind = 'claimed'", "no intent is there"),
    "an answer is lost": (
        "DELETE FROM events WHERE kind = 'taken'",
        "was kept and is gone",
    ),
    "receipts are lost": ("UPDATE handoffs SET seen = '{{}}'", "is gone"),
    "parked receipts are lost": ("DELETE FROM parked_receipts", "was acknowledged and is gone"),
    "an outcome is another": (
        "UPDATE messages SET state = 'failed' WHERE state = 'delivered'",
        "its carrier said",
    ),
    "a message is left open": (
        "UPDATE messages SET state = 'submitted', resolution = NULL, resolution_posting = NULL,"
        " wake_at = 1 WHERE id = {first}",
        "is left submitted",
    ),
    "an answer was doubted": (
        "INSERT INTO events SELECT message_id, seq + 100, at, 'lease_lost', from_state,"
        " to_state, actor, body FROM events WHERE kind = 'taken'",
        "was answered, then in doubt",
    ),
    "an attempt went again": (
        "UPDATE events SET kind = 'noted' WHERE kind IN ('throttled', 'refused_retryable',"
        " 'failed_over')",
        "times without a policy",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_seen(ended: Ended, damage: str):
    connection, lines = ended
    statement, words = DAMAGES[damage]
    first = connection.execute("SELECT min(id) FROM messages").get
    connection.execute("SAVEPOINT damage").fetchall()
    try:
        connection.execute(statement.format(first=first)).fetchall()
        assert connection.changes(), "the life has nothing that could be damaged so"
        wrong = _judged(connection, lines)
    finally:
        connection.execute("ROLLBACK TO damage").fetchall()
        connection.execute("RELEASE damage").fetchall()
    assert any(words in each for each in wrong), wrong


def _of(lines: list[Line], kind: str) -> Line:
    return next(each for each in lines if each[0] == kind)


# What the outside heard besides.
RUMOURS: dict[str, tuple[Callable[[list[Line]], Line], str]] = {
    "told otherwise": (
        lambda lines: ["told", _of(lines, "told")[1], {"order": 99}],
        "two different things",
    ),
    "asked and never answered": (lambda lines: ["asks", 500], "never answered"),
    "handed off again": (lambda lines: _of(lines, "handed"), "left twice"),
    "handed off without an intent": (
        lambda lines: ["handed", "north", 1, 1, "31600000000", 1],
        "no intent is there",
    ),
    "an answer that nobody kept": (
        lambda lines: ["heard", _of(lines, "heard")[1], 9, "Taken"],
        "was kept and is gone",
    ),
}


@pytest.mark.parametrize("rumour", RUMOURS)
def test_what_the_outside_heard_must_be_there(ended: Ended, rumour: str):
    connection, lines = ended
    make, words = RUMOURS[rumour]
    wrong = _judged(connection, [*lines, make(lines)])
    assert any(words in each for each in wrong), wrong


def test_a_life_does_everything_there_is_to_do():
    """Every kind of wish, answer and receipt comes up soon: the points aren't all alike."""
    wished: set[Any] = set()
    for seed in range(20):
        outside = Outside(seed)
        wished |= {outside.wish(n).kind for n in range(20)}
    assert wished == {
        "send", "several", "partial", "too_dear", "scheduled", "stream", "cancel", "confirm",
        "fund", "prices",
    }  # fmt: skip
