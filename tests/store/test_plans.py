"""Plans: neither the writer nor a page walks a table that grows with the traffic.

Of the writer only SQLite is asked, because it keeps no statistics here and so plans from the
text alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from arrivals.store.checks import CHECKS, SHAPES, SUMS
from arrivals.store.queries import Reader, ReportFilters
from arrivals.store.sqlite import connect, migrate
from arrivals.store.statements import SQLITE, statements
from arrivals.store.trace_statements import trace_statements
from arrivals.store.traces import MessageFilter
from arrivals.store.transaction import MESSAGE_COLUMNS
from tests.core.timelines import message, trace
from tests.store.ground import Ground

FRAGMENTS = {"not_paused"}
GROWING = "messages|orders|events|handoffs|postings|adjustments|idempotency|parked_forms"
# Scans that are bounded all the same.
BOUNDED = {
    "any_parked": "one row",
    "under_way_provider": "when one is removed, over indexes of what is open",
    "under_way_route": "the same",
    "under_way_account": "the same",
    "lane_ranks": "when an installation opens, over an index of what is ready",
}


def _plan(tmp_path: Path, name: str) -> list[str]:
    texts = statements("write")
    parts = {"message_columns": MESSAGE_COLUMNS, "not_paused": texts["not_paused"]}
    return _explained(
        tmp_path, re.sub(r"\{(\w+)\}", lambda found: parts[found[1]], texts[name])
    )


def _explained(tmp_path: Path, text: str) -> list[str]:
    connection = connect(tmp_path / "plans.db")
    migrate(connection)
    names = re.findall(r":([a-z]+)", text)
    numbered = {int(each) for each in re.findall(r"\?(\d)", text)}
    count = max(numbered) if numbered else text.count("?")
    values: Any = dict.fromkeys(names) if names else [None] * count
    rows = connection.execute(f"EXPLAIN QUERY PLAN {text}", values).fetchall()
    connection.close()
    return [str(row[3]) for row in rows]


@pytest.mark.parametrize("name", sorted(statements("write").keys() - FRAGMENTS))
def test_no_statement_walks_a_growing_table(tmp_path: Path, name: str):
    scans = [row for row in _plan(tmp_path, name) if re.match(rf"SCAN ({GROWING})\b", row)]
    assert not scans or name in BOUNDED


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("claim", "messages_ready (provider_id=? AND lane=? AND rank>?)"),
        ("sending", "messages_in_doubt (provider_id=?)"),
        ("put_off", "messages_wake (wake_at<?)"),
        ("possible_handoffs", "PRIMARY KEY (message_id=?)"),
        ("told", "PRIMARY KEY (message_id=?)"),
        ("due", "messages_wake (wake_at<?)"),
        ("in_doubt", "messages_in_doubt (provider_id=? AND msisdn=?)"),
        ("in_doubt", "messages_late_doubt (provider_id=? AND msisdn=?)"),
        ("match", "PRIMARY KEY (provider_id=? AND external_id=? AND message_id>?)"),
        ("first_ready", "messages_ready (provider_id=? AND lane=? AND rank>?)"),
        ("parked_before", "parked_by_age (received_at<?)"),
        ("parked_under", "PRIMARY KEY (provider_id=? AND form=? AND parked_id>?"),
        ("parked_between", "parked_by_age (received_at"),
        ("take_heard", "parked_heard_by_turn"),
        ("parked_after", "INTEGER PRIMARY KEY (rowid>?)"),
        ("parked", "INTEGER PRIMARY KEY (rowid=?)"),
        ("unpark_forms", "parked_forms_by_receipt (parked_id=?)"),
        ("stored_answers", "PRIMARY KEY (account_id=? AND scope=? AND key=?)"),
        ("posted", "postings_reference (account_id=? AND reference=?)"),
        ("forget_answers", "idempotency_by_age (at<?)"),
        ("forget_answerable", "answerable_by_age (at<?)"),
        (
            "answerable",
            "USING PRIMARY KEY (msisdn=? AND sender=? AND account_id=? AND at>?)",
        ),
    ],
)
def test_a_look_up_goes_straight_to_its_rows(tmp_path: Path, name: str, index: str):
    plan = _plan(tmp_path, name)
    assert any(index in row for row in plan), plan
    order = [row for row in plan if "TEMP B-TREE" in row]
    assert not order, "what is limited comes in the index's order, and isn't sorted first"


@pytest.mark.parametrize(
    ("room", "name"),
    [("checks", "epochs_ahead"), ("checks", "abandoned_sending"), ("traces", "sending_count")],
)
def test_what_is_being_sent_is_found_without_reading_all(tmp_path: Path, room: str, name: str):
    """Beside a live process: only what is in doubt is read, whatever else there is."""
    plan = _explained(tmp_path, statements(room)[name])
    messages = [row for row in plan if "messages" in row or " m" in row]
    assert messages
    assert all("messages_in_doubt" in each for each in messages), messages


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("scanned", "messages_by_account (account_id=? AND id>? AND id<?)"),
        ("lookalikes", "messages_by_account (account_id=? AND id>? AND id<?)"),
        ("rolled_up", "INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
        ("order_near", "orders_by_account (account_id=? AND id>?)"),
        ("first_accepted_from", "orders_by_account (account_id=? AND id>?)"),
        ("last_accepted_before", "orders_by_account (account_id=? AND id<?)"),
    ],
)
def test_a_page_steps_through_an_index(tmp_path: Path, name: str, index: str):
    """It sorts nothing but itself, and looks no message up twice."""
    plan = _explained(tmp_path, trace_statements(SQLITE)[name])
    assert any(index in row for row in plan), plan


KEYED = [each for each in (*CHECKS, SHAPES) if each.walk not in {"once", "postings"}]
KEYED_NAMES = [each.statement for each in KEYED] + [each.single_parts for each in SUMS]
KEYED_NAMES += ["ids_given", "missing_handoffs", "streams_of_orders", "changed", "due_long_ago"]


def test_a_run_of_what_changed_reads_nothing_else(tmp_path: Path):
    """It looks each message up, and everything that hangs on it."""
    texts = statements("checks")
    scans = []
    for name in KEYED_NAMES:
        text = texts[name].replace("{within handoffs}", texts["within answers"])
        for column in re.findall(r"{within ([\w.]+)}", text):
            keys = texts["within keys"].replace("{column}", column)
            text = text.replace(f"{{within {column}}}", keys)
        scans += [
            (name, row)
            for row in _explained(tmp_path, text)
            if re.match(r"SCAN (?!pair|legal|json_each|jsonb_each|due|sleeping|CONSTANT)", row)
            and "messages_in_doubt" not in row
        ]
    assert scans == []


class Explaining:
    """A reader's connection that keeps the plan of every statement."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self.plans: list[str] = []

    def execute(self, statement: str, values: Any = ()) -> Any:
        rows = self._session.execute(f"EXPLAIN {statement}", values).fetchall()
        self.plans.append("\n".join(line for (line,) in rows))
        return self._session.execute(statement, values)

    def __enter__(self) -> Any:
        return self._session.__enter__()

    def __exit__(self, *about: Any) -> Any:
        return self._session.__exit__(*about)


ORDER_BY_ID = r"Index Cond: \(id = \(\w+\.id >> 17\)\)"
MESSAGES_BY_ID = r"Index Cond: \(\(id >= \(.+ << 17\)\) AND \(id < \(.+ << 17\)\)\)"


ASKED: dict[str, tuple[Callable[[Reader], Any], str]] = {
    "trace": (lambda reader: reader.trace(1, 9), ORDER_BY_ID),
    "report": (lambda reader: reader.report(1, 9), ORDER_BY_ID),
    "reports": (lambda reader: reader.reports(1, ReportFilters(from_us=1), 9, 0), ORDER_BY_ID),
    "page": (lambda reader: reader.message_page(1, MessageFilter(), 9), ORDER_BY_ID),
    "span": (lambda reader: reader.message_page(1, MessageFilter(from_us=1), 9), ORDER_BY_ID),
    "reference": (
        lambda reader: reader.message_page(1, MessageFilter(client_ref="x"), 9),
        MESSAGES_BY_ID,
    ),
    "lookalikes": (
        lambda reader: reader.lookalikes(1, trace(message()), 1, 1 << 60),
        ORDER_BY_ID,
    ),
    "roll-up": (lambda reader: reader.rolled_up(1, [1]), MESSAGES_BY_ID),
}


@pytest.mark.parametrize("name", ASKED)
async def test_the_wall_between_tenants_stands_in_no_index_s_way(funded: Ground, name: str):
    """What a policy may not be preceded by is looked up by its value all the same."""
    if not funded.backend.walls_tenants:
        pytest.skip("nothing stands between a statement and its index there")
    await funded.accept()
    ask, index = ASKED[name]

    def plans(reader: Reader) -> list[str]:
        explaining = Explaining(reader._connection)
        explaining._session.execute("SET enable_seqscan = off")
        reader._connection = explaining
        ask(reader)
        return explaining.plans

    found = "\n".join(await funded.store.read(plans))
    assert re.search(index, found), found
    assert not re.search(rf"Seq Scan on ({GROWING})\b", found), found
