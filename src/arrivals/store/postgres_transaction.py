"""A writing transaction on PostgreSQL, among those of other processes.

Balances are kept in slots, one for each process that writes, so that no process waits for
another to spend. A transaction that finds its own slot short while the account is not goes on
as if it weren't, and says all that was short with SlotShort before it writes any money; the
writer then moves funds between slots, and the transaction runs again.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from arrivals.core.message import Message
from arrivals.store.api import RuleBroken, StaleWrite
from arrivals.store.postgres_connection import PostgresConnection
from arrivals.store.rows import Balance, Event, Handoff, Match, NewMessage, Outgoing
from arrivals.store.running import as_text
from arrivals.store.statements import POSTGRESQL, statements
from arrivals.store.transaction import (
    MESSAGE_COLUMNS,
    MESSAGES,
    SqlTransaction,
)

POSTING_IDS_AT_ONCE: Final = 16  # the increment of the sequence
TELL_EVERY_US: Final = 250_000
FULL_LOOK_PAUSE: Final = 50  # times as long as the last look from the beginning took
ORDER_FLOOR: Final = "order_floor"
CATALOGUE_VERSION: Final = "catalogue_version"

SQL: Final = {
    name: text.replace("{message_columns}", MESSAGE_COLUMNS)
    for name, text in statements("write", POSTGRESQL).items()
}
SQL["first_ready"] = SQL["first_ready"].replace("{not_paused}", SQL["not_paused"])
SQL["claim_not_paused"] = SQL["claim"].replace("{not_paused}", SQL["not_paused"])
SQL["claim"] = SQL["claim"].replace("{not_paused}", "")

_DUE: Final = ("due",)
_SLOTS: Final = msgspec.json.Decoder(list[tuple[int, str, int, int, int, int, int, int]])


class SlotShort(Exception):
    """Accounts' funds reach, but not those in this process's slot: what each needs in it."""

    def __init__(self, wanted: dict[int, int]) -> None:
        super().__init__(f"{len(wanted)} accounts")
        self.wanted = wanted


class Waters:
    """From where on each queue is looked through, so as not to wade through the dead.

    While somebody holds an old snapshot open, what was claimed or done since stays in an index,
    and every look from the beginning would pass it again. What this process puts below the
    water lowers it. For what others put there a look from the beginning is still needed: it
    is taken often while it costs next to nothing, and takes no more than a fiftieth of the
    time however much lies dead.
    """

    def __init__(self) -> None:
        self._told: dict[tuple[str, int], int] = {}
        self._of: dict[tuple[Any, ...], _Water] = {}
        self._moved: set[tuple[Any, ...]] = set()  # by the transaction that is open

    def of(self, queue: tuple[Any, ...], without: object = None) -> int:
        """Return the place to look from; 0 for the beginning.

        `without` is what is passed over: where that changed, it has to be looked for.
        """
        water = self._of.get(queue)
        if water is None or water.without != without:
            self._of.pop(queue, None)
            return 0
        return water.place if time.monotonic() < water.until else 0

    def looked(
        self,
        queue: tuple[Any, ...],
        asked: int,
        place: int | None,
        began: float,
        without: object = None,
    ) -> None:
        """Note what a look from `asked` found first, if anything, and how long it took."""
        before = self._of.get(queue, _Water(0, 0.0, without))
        until = before.until
        if not asked:
            now = time.monotonic()
            until = now + FULL_LOOK_PAUSE * (now - began)
        self._of[queue] = _Water(before.place if place is None else place, until, without)
        self._moved.add(queue)

    def put(self, queue: tuple[Any, ...], place: int | None) -> None:
        """Look at a place again, if something that was put there could be missed."""
        water = self._of.get(queue)
        if water is not None and place is not None and place < water.place:
            del self._of[queue]

    def may_tell(self, provider_id: str, lane: int, now_us: int) -> bool:
        """Tell whether it is time to let the other processes know how far a lane is."""
        told_us = self._told.get((provider_id, lane), 0)
        if now_us - told_us < TELL_EVERY_US:
            return False
        self._told[provider_id, lane] = now_us
        return True

    def end(self, *, committed: bool) -> None:
        """Forget where a transaction was that came to nothing: what it took is still there."""
        if not committed:
            for queue in self._moved:
                self._of.pop(queue, None)
        self._moved.clear()


class _Water(NamedTuple):
    place: int
    until: float  # monotonic: when the beginning is looked at again
    without: object


class PostgresTransaction(SqlTransaction):
    """One transaction of one of the writers."""

    def __init__(
        self, connection: PostgresConnection, now_us: int, slot: int, waters: Waters
    ) -> None:
        super().__init__(now_us)
        self._connection = connection
        self._slot = slot
        self._waters = waters
        self._own: dict[int, int] = {}  # what this slot can spend, with its share of the limit
        self._short: dict[int, int] = {}  # where that is less than this
        self._seen: dict[tuple[Any, ...], dict[str, int]] = {}  # as they are in the database
        self._posting_ids: list[int] = []
        self.met: set[int] = set()  # the messages that were loaded, or tried to be

    # --- money -----------------------------------------------------------------------

    def _reaches(self, before: Balance, change: int) -> bool:
        if not super()._reaches(before, change):
            return False
        account_id = before.account_id
        moved = self._moved.get(account_id)
        wanted = -change - (moved[0] if moved else 0)
        if change < 0 and self._own[account_id] < wanted:
            self._short[account_id] = max(wanted, self._short.get(account_id, 0))
        return True

    def read_balances(self, account_ids: Any) -> None:
        wanted = sorted(set(account_ids) - self._read.keys())
        if not wanted:
            return
        self._read |= dict.fromkeys(wanted)
        missing = self._read_slots(wanted)
        if missing:
            self._run("open_slots", self._slot, as_text(missing))
            self._read_slots(missing)

    def _read_slots(self, account_ids: Sequence[int]) -> list[int]:
        """Lock and read this process's slots; return the accounts that have none yet."""
        missing = set(account_ids)
        self._run("lock_balances", self._slot, as_text(account_ids))
        found = self._rows(_SLOTS, "balances", self._slot, as_text(account_ids))
        for account_id, currency, available, held, limit, *others in found:
            missing.discard(account_id)
            self._own[account_id] = available + limit
            self._read[account_id] = Balance(
                account_id,
                currency,
                available + others[0],
                held + others[1],
                limit + others[2],
            )
        return sorted(missing)

    def open_balance(self, account_id: int, currency: str, credit_limit: int) -> None:
        self._flush_money()
        self._run("open_balance", account_id, currency, 0)
        # Everything into one slot, so that a limit can be compared with all there is. A slot
        # that somebody opens meanwhile isn't among these, and keeps what is put into it.
        slots = {slot: available for slot, available, _ in self._all("lock_slots", account_id)}
        moves = [(slot, -available) for slot, available in slots.items() if slot and available]
        if moves:
            moves.append((0, -sum(change for _, change in moves)))
            self._run("move_funds", as_text(moves), account_id)
        self._run("set_limit", credit_limit, account_id)
        self._read.pop(account_id, None)

    def _next_posting_id(self) -> int:
        if not self._posting_ids:
            first = int(self._all("next_posting_ids")[0][1])
            self._posting_ids = list(range(first + POSTING_IDS_AT_ONCE - 1, first - 1, -1))
        return self._posting_ids.pop()

    def _write_balances(self, rows: Sequence[tuple[int, int, int]]) -> None:
        if self._short:
            raise SlotShort(self._short)
        unread = [account_id for account_id, _, _ in rows if account_id not in self._own]
        if unread:
            self._run("open_slots", self._slot, as_text(unread))
        if self._changed("update_balances", as_text(rows), self._slot) != len(rows):
            raise RuleBroken("money moves between accounts that have a balance")
        for account_id, _, _ in rows:
            self._own.pop(account_id, None)

    # --- accept and dispatch ---------------------------------------------------------

    def next_order_ids(self, count: int) -> Sequence[int]:
        return sorted(self._plain("next_order_ids", count))

    def set_setting(self, name: str, value: str) -> None:
        super().set_setting(name, value)
        if name == ORDER_FLOOR:
            self._all("raise_order_ids", int(value))

    def put(self, kind: str, document_id: str, body: str) -> None:
        self._lock_catalogue()
        super().put(kind, document_id, body)

    def add_price_list(
        self, route_id: int, currency: str, rates: Sequence[tuple[str, str, int]]
    ) -> int:
        self._lock_catalogue()
        return super().add_price_list(route_id, currency, rates)

    def _lock_catalogue(self) -> None:
        """Let one change it at a time: two of the same version would be taken for one."""
        if not self._catalogue_changed:
            self._run("lock_setting", CATALOGUE_VERSION)

    def claim(
        self,
        provider_id: str,
        lane: int,
        limit: int,
        paused: tuple[Sequence[int], Sequence[int]],
    ) -> list[Outgoing]:
        # What is passed over now may go on at any time.
        queue, without = (provider_id, lane), (tuple(paused[0]), tuple(paused[1]))
        began, asked = time.monotonic(), self._waters.of(queue, without)
        claimed = self._claim((*queue, asked), limit, paused)
        lowest = claimed[0].message.rank if claimed else None
        self._waters.looked(queue, asked, lowest, began, without)
        return claimed

    def take_bind(self, provider_id: str, owner: str, lease_us: int) -> int | None:
        epoch = self._value("take_bind", provider_id, owner, self.now_us, lease_us)
        return None if epoch is None else int(epoch)

    def renew_bind(self, provider_id: str, epoch: int, lease_us: int, *, up: bool) -> bool:
        return bool(self._changed("renew_bind", lease_us, up, provider_id, epoch))

    def release_bind(self, provider_id: str, epoch: int) -> None:
        self._run("release_bind", provider_id, epoch)

    def leased_elsewhere(self, owner: str) -> dict[str, bool]:
        return dict(self._plain("leased_elsewhere", owner))

    def note_lane(self, provider_id: str, lane: int, rank: int) -> None:
        if self._waters.may_tell(provider_id, lane, self.now_us):
            self._run("note_lane", provider_id, lane, rank)

    def lane_times(self) -> list[tuple[str, int, int]]:
        return self._all("lane_times")

    # --- messages --------------------------------------------------------------------

    def load(self, keys: Iterable[int]) -> dict[int, Message]:
        wanted = set(keys)
        self.met |= wanted
        return super().load(wanted)

    def due(self, limit: int) -> list[Message]:
        began, asked = time.monotonic(), self._waters.of(_DUE)
        found = self._rows(MESSAGES, "due", self.now_us, asked, limit)
        found.sort(key=lambda each: each.wake_at_us or 0)
        earliest = found[0].wake_at_us if found else self.now_us
        self._waters.looked(_DUE, asked, earliest, began)
        return found

    def insert_messages(self, messages: Sequence[NewMessage]) -> None:
        super().insert_messages(messages)
        self._wet(messages)

    def save(self, messages: Sequence[Message], events: Sequence[Event]) -> None:
        super().save(messages, events)
        self._wet(messages)

    def _wet(self, messages: Sequence[NewMessage] | Sequence[Message]) -> None:
        for each in messages:
            self._waters.put(_DUE, each.wake_at_us)
            self._waters.put((each.provider_id, each.lane), each.rank)

    def meet(self, keys: set[int]) -> None:
        """Lock messages at once, in order, that will be loaded in several turns."""
        self._all("lock_messages", as_text(sorted(keys)))

    # --- receipts --------------------------------------------------------------------

    def _matches(self, name: str, *values: Any) -> list[Match]:
        found = super()._matches(name, *values)
        for each in found:
            self._seen.setdefault(_name_of(each.handoff), dict(each.seen))
        return found

    def see(self, handoffs: Sequence[tuple[Handoff, dict[str, int]]]) -> None:
        rows = [
            (*_name_of(each), seen, self._seen.get(_name_of(each))) for each, seen in handoffs
        ]
        read = [row for row in rows if row[6] is not None]
        if read and self._changed("see", as_text(read)) != len(read):
            raise StaleWrite("another process counted a receipt of the same hand-off")
        added = [row for row in rows if row[6] is None]
        if added:
            self._run("see", as_text(added))
        self._seen |= {_name_of(each): dict(seen) for each, seen in handoffs}

    # --- the connection --------------------------------------------------------------

    def finish(self) -> None:
        if self._short:
            raise SlotShort(self._short)
        super().finish()

    def _run(self, name: str, *values: Any) -> None:
        self._connection.execute(SQL[name], values)

    def _changed(self, name: str, *values: Any) -> int:
        return self._connection.execute(SQL[name], values).changes

    def _all(self, name: str, *values: Any) -> list[Any]:
        return self._connection.execute(SQL[name], values).fetchall()

    def _value(self, name: str, *values: Any) -> Any:
        return self._connection.execute(SQL[name], values).get


def _name_of(handoff: Handoff) -> tuple[Any, ...]:
    return (
        handoff.provider_id,
        handoff.external_id,
        handoff.message_id,
        handoff.attempt,
        handoff.part,
    )
