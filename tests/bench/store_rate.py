"""How fast the store alone is, one process, every commit synced.

Run `python -m tests.bench.store_rate [messages] [folder]`. It prints messages a second, and how
many microseconds of each message went to SQLite (its own C, beside whoever else runs) and
how many to Python (under its lock, in everybody's way).
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from arrivals.clock import SystemClock
from arrivals.core.ids import message_key
from arrivals.core.ledger import PostingKind, funding, posting
from arrivals.core.message import Move, Reach
from arrivals.core.money import AMOUNT_MAX
from arrivals.store.rows import Event, Handoff, NewMessage, NewOrder
from arrivals.store.sqlite import SqliteWriter
from arrivals.store.sqlite_transaction import SqliteTransaction
from tests.store.ground import ENDED, HOUR_US, PRICE, move, new_message, new_order

MESSAGES = 20_000
BATCHES = (1, 10, 100, 1_000)
LIFE_BATCH = 500
ACCOUNTS = 50


class Timed:
    """A connection that counts the seconds spent in it."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.seconds = 0.0

    def execute(self, text: str, values: Sequence[Any] = ()) -> Any:
        began = time.perf_counter()
        try:
            return self._connection.execute(text, values)
        finally:
            self.seconds += time.perf_counter() - began

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


class Bench:
    """A store without its threads, and the parts of a message's life in batches."""

    def __init__(self, folder: Path) -> None:
        self.writer = SqliteWriter(folder / "arrivals.db", SystemClock())
        self.timed = Timed(self.writer._connection)
        self.writer._connection = self.timed  # type: ignore[assignment]
        self._template_order = new_order(1, 0)
        self._template = new_message(1, 1, 0)
        self._rank = 0
        self._named = 0
        with self.transaction() as tx:
            for account_id in range(1, ACCOUNTS + 1):
                tx.open_balance(account_id, "EUR", 0)
                tx.post(funding(account_id, AMOUNT_MAX, "EUR", "bench", f"begin-{account_id}"))

    @contextlib.contextmanager
    def transaction(self) -> Iterator[SqliteTransaction]:
        yield self.writer.begin()
        self.writer.commit()

    def accept(self, count: int) -> None:
        """Commit `count` orders of one message."""
        with self.transaction() as tx:
            order_ids = tx.next_order_ids(count)
            orders: list[NewOrder] = []
            messages: list[NewMessage] = []
            for n in range(count):
                order_id, account_id = order_ids[n], n % ACCOUNTS + 1
                tx.balance(account_id)
                hold = tx.post(posting(PostingKind.HOLD, account_id, PRICE, "EUR"))
                self._rank += 1
                orders.append(
                    msgspec.structs.replace(
                        self._template_order,
                        order_id=order_id,
                        account_id=account_id,
                        hold_posting=hold,
                        accepted_at_us=tx.now_us,
                        expires_at_us=tx.now_us + HOUR_US,
                        outcome_deadline_us=tx.now_us + 2 * HOUR_US,
                    )
                )
                messages.append(
                    msgspec.structs.replace(
                        self._template,
                        key=message_key(order_id, 0),
                        account_id=account_id,
                        msisdn=f"316{order_id:08d}",
                        rank=self._rank,
                        wake_at_us=tx.now_us + HOUR_US,
                        at_us=tx.now_us,
                    )
                )
            tx.insert_orders(orders)
            tx.insert_messages(messages)

    def claim(self, count: int) -> list[int]:
        """Claim and write the intents."""
        with self.transaction() as tx:
            claimed = [each.message for each in tx.claim("north", 1, count, ((), ()))]
            wake_at_us = tx.now_us + HOUR_US
            moved = [
                move(
                    each, Move.CLAIMED, tx.now_us, rank=None, attempts=1, wake_at_us=wake_at_us
                )
                for each in claimed
            ]
            _save(tx, moved, {"attempt": 1, "provider": "north", "epoch": 1})
        return [each.key for each in claimed]

    def take(self, keys: Sequence[int]) -> list[str]:
        """Record the provider's answers and ids."""
        with self.transaction() as tx:
            found = tx.load(keys)
            moved = [
                move(each, Move.TAKEN, tx.now_us, reach=Reach.HANDED_OFF)
                for each in found.values()
            ]
            names = [f"{self._named + n:08x}" for n in range(len(moved))]
            self._named += len(moved)
            tx.add_handoffs(
                [
                    Handoff("north", name, message.key, 1, 1, tx.now_us)
                    for name, (message, _) in zip(names, moved, strict=True)
                ]
            )
            _save(tx, moved, {"attempt": 1, "ids": ["00000000"]})
        return names

    def receive(self, names: Sequence[str]) -> None:
        """Match the receipts, end the messages, capture the money."""
        with self.transaction() as tx:
            matches = tx.match([("north", (name,)) for name in names])
            found = tx.load(match.handoff.message_id for match in matches)
            moved = []
            for message in found.values():
                paid = tx.post(posting(PostingKind.CAPTURE, message.account_id, PRICE, "EUR"))
                changes = {**ENDED, "resolution": "captured", "resolution_posting": paid}
                moved.append(move(message, Move.RECEIPT_DELIVERED, tx.now_us, **changes))
            _save(tx, moved, {"stat": "DELIVRD", "err": "000", "id": "00000000"})
            tx.see([(match.handoff, {"DELIVRD/000": 1}) for match in matches])
            tx.keep_raw([("north", each.handoff.message_id, "00" * 120) for each in matches])


def _save(
    tx: SqliteTransaction, moved: Sequence[tuple[Any, Event]], body: dict[str, Any]
) -> None:
    events = [msgspec.structs.replace(event, body=body) for _, event in moved]
    tx.save([message for message, _ in moved], events)


# --- measures -------------------------------------------------------------------------------


def measured(bench: Bench, name: str, count: int, work: Callable[[], None]) -> None:
    """Run a piece of work on `count` messages and print what it cost."""
    bench.timed.seconds = 0.0
    began, cpu = time.perf_counter(), time.thread_time()
    work()
    seconds, cpu = time.perf_counter() - began, time.thread_time() - cpu
    inside = bench.timed.seconds
    print(
        f"{name:<28} {count / seconds:>9,.0f}/s   {seconds / count * 1e6:6.1f} µs a message:"
        f"  SQLite {inside / count * 1e6:6.1f}  Python {(seconds - inside) / count * 1e6:5.1f}"
        f"  (CPU {cpu / count * 1e6:5.1f})"
    )


def accept_rates(folder: Path, messages: int) -> None:
    """Print the accept rate by orders a transaction."""
    for size in BATCHES:
        bench = Bench(_fresh(folder, f"accept-{size}"))
        count = min(messages, size * 2_000)

        def work(bench: Bench = bench, size: int = size, count: int = count) -> None:
            for _ in range(count // size):
                bench.accept(size)

        measured(bench, f"accept, {size} a transaction", count, work)


def life_rate(folder: Path, messages: int) -> None:
    """Print what each part of a life costs, and the whole of it."""
    bench = Bench(_fresh(folder, "life"))
    rounds = range(messages // LIFE_BATCH)
    count = len(rounds) * LIFE_BATCH
    claimed: list[list[int]] = []
    named: list[list[str]] = []

    def accept() -> None:
        for _ in rounds:
            bench.accept(LIFE_BATCH)

    def receive() -> None:
        for names in named:
            bench.receive(names)

    began = time.perf_counter()
    measured(bench, "accept", count, accept)
    measured(
        bench, "claim", count, lambda: claimed.extend(bench.claim(LIFE_BATCH) for _ in rounds)
    )
    measured(bench, "taken", count, lambda: named.extend(bench.take(keys) for keys in claimed))
    measured(bench, "receipt", count, receive)
    seconds = time.perf_counter() - began
    print(f"{'whole life':<28} {count / seconds:>9,.0f}/s   in batches of {LIFE_BATCH}")


def beside_a_loop(folder: Path, messages: int) -> None:
    """Print both ways to insert a batch, while another thread keeps Python's lock busy."""
    for busy in (False, True):
        for way in (_by_json, _by_executemany):
            bench = Bench(_fresh(folder, f"way-{way.__name__}-{busy}"))
            rows = [msgspec.structs.replace(bench._template, key=n) for n in range(messages)]
            with _busy(busy) as turns:
                before = turns[0]
                began = time.perf_counter()
                for at in range(0, messages, LIFE_BATCH):
                    bench.writer.begin()
                    way(bench, rows[at : at + LIFE_BATCH])
                    bench.writer.commit()
                seconds = time.perf_counter() - began
                kept = turns[0] - before
            print(
                f"{way.__name__[1:]:<15} {'busy loop' if busy else 'alone':<12}"
                f" {messages / seconds:>9,.0f}/s   the loop turned {kept / seconds:>9,.0f}/s"
            )


INSERT = (
    "INSERT INTO messages (id, account_id, route_id, msisdn, country, text, client_ref,"
    " encoding, segments, rate_id, price, provider_id, lane, state, rank, wake_at, changed_at,"
    " seq) "
)


def _by_json(bench: Bench, rows: Sequence[NewMessage]) -> None:
    columns = ", ".join(f"value->>{n}" for n in range(17))
    text = msgspec.json.encode(rows).decode()
    bench.timed.execute(f"{INSERT} SELECT {columns}, 1 FROM jsonb_each(?)", (text,)).fetchall()


def _by_executemany(bench: Bench, rows: Sequence[NewMessage]) -> None:
    marks = ", ".join("?" for _ in range(17))
    values = map(msgspec.structs.astuple, rows)
    bench.timed.executemany(f"{INSERT} VALUES ({marks}, 1)", values).fetchall()


@contextlib.contextmanager
def _busy(wanted: bool) -> Iterator[list[int]]:
    """Keep a thread turning Python code, as a busy event loop does."""
    turns, stop = [0], threading.Event()

    def turn() -> None:
        while not stop.is_set():
            sum(range(50))
            turns[0] += 1

    thread = threading.Thread(target=turn)
    if wanted:
        thread.start()
    try:
        yield turns
    finally:
        stop.set()
        if wanted:
            thread.join()


def _fresh(folder: Path, name: str) -> Path:
    fresh = folder / name
    fresh.mkdir()
    return fresh


def main(messages: int = MESSAGES, folder: Path | None = None) -> None:
    """Measure everything in a folder of its own, and leave nothing behind."""
    place = Path(tempfile.mkdtemp(prefix="store-rate-", dir=folder))
    try:
        accept_rates(place, messages)
        life_rate(place, messages)
        beside_a_loop(place, messages)
    finally:
        shutil.rmtree(place)


if __name__ == "__main__":
    main(
        int(sys.argv[1]) if len(sys.argv) > 1 else MESSAGES,
        Path(sys.argv[2]) if len(sys.argv) > 2 else None,
    )
