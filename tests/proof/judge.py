"""An independent judge: what was promised to the outside, held against what the database says.

It shares no code with the flows. It knows the wishes, what callers were told, what carriers
got and which receipts were acknowledged; money it adds up by rules of its own. `losses` can be
asked at any moment, above all right after a restart, before anybody asks again; `verdict` when
all has ended. `arrivals verify` is asked by whoever holds the place.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from arrivals.providers.api import Receipt
from tests.proof.carriers import PROVED_NOT_TAKEN, fate
from tests.proof.errands import (
    BASE_PRICE,
    OPENING_FUNDS,
    PRICE_STEP,
    REFUND_ON,
    SENDS,
    Outside,
    Wish,
)

Query = Callable[[str], list[tuple[Any, ...]]]

# Events that prove an attempt not taken, and those that tell of any answer at all.
NOES = frozenset(
    {"throttled", "not_sent", "not_bound", "refused", "refused_retryable", "failed_over"}
)
ANSWERS = NOES | {"taken", "part_refused", "unanswered"}
# A part that turns up late is told with the resend that it stops.
FACTS = ANSWERS | {"resend_dropped"}
TERMINAL = frozenset({"delivered", "failed", "filtered", "expired", "cancelled", "unknown"})


@dataclass
class Row:
    """A message as the database has it, with its events."""

    key: int
    account_id: int
    msisdn: str
    segments: int
    price: int
    state: str
    reach: int
    confirmed: str
    resolution: str | None
    order_ref: str
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)

    def attempts(self, kinds: frozenset[str]) -> set[int]:
        return {body.get("attempt", 0) for kind, body in self.events if kind in kinds}

    @property
    def intents(self) -> set[int]:
        return self.attempts(frozenset({"claimed"}))

    def has_evidence_of(self, receipt: Receipt) -> bool:
        """Tell whether it was counted; progress of a part in doubt is an event only."""
        said = (receipt.external_id, receipt.word)
        return receipt.fingerprint in self.seen or any(
            (body.get("id"), body.get("stat")) == said
            for kind, body in self.events
            if kind == "receipt_progress" and "inferred" in body
        )

    @property
    def guessed_parts(self) -> bool:
        """Whether a receipt was counted for a part without an answer that named the parts.

        Then the other parts' receipts may find nothing, and the outcome is a guess as well.
        """
        return self.segments > 1 and any("inferred" in body for _, body in self.events)

    @property
    def resends(self) -> int:
        return sum(kind == "resend_allowed" for kind, _ in self.events)


class Judge:
    """One look at a database."""

    def __init__(self, query: Query, outside: Outside) -> None:
        self._query = query
        self._outside = outside
        self._rows = {
            row[0]: Row(*row)
            for row in query(
                "SELECT m.id, m.account_id, m.msisdn, m.segments, m.price, m.state, m.reach,"
                " m.confirmed, m.resolution, coalesce(o.client_ref, 'no order')"
                " FROM messages AS m LEFT JOIN orders AS o ON o.id = m.id >> 17"
            )
        }
        for key, kind, body in query(
            "SELECT message_id, kind, body FROM events ORDER BY message_id, seq"
        ):
            if key in self._rows:
                self._rows[key].events.append((kind, json.loads(body)))
        for key, seen in query("SELECT message_id, seen FROM handoffs"):
            if key in self._rows:
                self._rows[key].seen.update(json.loads(seen))
        self._by_number: dict[str, list[Row]] = defaultdict(list)
        for each in self._rows.values():
            self._by_number[each.msisdn].append(each)

    def losses(self) -> list[str]:
        """Return what was promised, acknowledged or handed off, and isn't there."""
        return [
            *self._lost_wishes(),
            *self._lost_handoffs(),
            *self._lost_answers(),
            *self._lost_receipts(),
        ]

    def verdict(self) -> list[str]:
        """Return everything that is wrong once all has ended."""
        return [
            *self.losses(),
            *self._done_otherwise(),
            *self._handed_off_twice(),
            *self._doubted_without_need(),
            *self._wrong_ends(),
            *self._wrong_money(),
        ]

    # --- promised and not there: 15, 16, 20, 24, 37 -----------------------------------

    def _lost_wishes(self) -> Iterator[str]:
        for n, answer in self._outside.told.items():
            wish = self._outside.wish(n)
            if not self._is_kept(wish, answer):
                yield f"{wish.name} ({wish.kind}) was told {answer}, which isn't so"

    def _is_kept(self, wish: Wish, answer: Any) -> bool:
        order = self._orders().get(wish.name, [])
        if isinstance(answer, str):  # refused: nothing of it may be there
            return wish.kind not in SENDS or not order
        match wish.kind:
            case "stream":
                return self._is_streamed(wish, answer)
            case "cancel" | "confirm":
                return self._is_amended(wish)
            case "fund":
                found = self._query(
                    "SELECT amount FROM postings"
                    f" WHERE reference = '{wish.name}' AND account_id = {wish.account_id}"
                )
                return found == [(wish.amount,)]
            case "prices":
                [(version,)] = self._query("SELECT max(version) FROM price_lists")
                return bool(version >= answer["version"])
            case _:
                numbers = [each.msisdn for each in order]
                whole = numbers == answer["numbers"] and len(numbers) > 0
                in_order = all(each.key >> 17 == answer["order"] for each in order)
                return (
                    whole and in_order and sum(each.price for each in order) == answer["cost"]
                )

    def _is_streamed(self, wish: Wish, answer: dict[str, Any]) -> bool:
        numbers = sorted(each for each in wish.numbers if each.isdigit())
        found = self._orders().get(wish.name, [])
        return (
            sorted(each.msisdn for each in found) == numbers
            and sum(each.price for each in found) == answer["cost"]
            and answer["accepted"] == len(numbers)
            and answer["accepted"] + answer["refused"] == len(wish.numbers)
        )

    def _is_amended(self, wish: Wish) -> bool:
        number = self._outside.told[wish.about]["numbers"][0]
        [row] = self._by_number[number]
        return (
            row.state == "cancelled" if wish.kind == "cancel" else row.confirmed == "confirmed"
        )

    def _orders(self) -> dict[str, list[Row]]:
        orders: dict[str, list[Row]] = defaultdict(list)
        for key in sorted(self._rows):
            orders[self._rows[key].order_ref].append(self._rows[key])
        return orders

    def _lost_handoffs(self) -> Iterator[str]:
        for (key, attempt), (provider_id, msisdn) in self._outside.handed.items():
            row = self._rows.get(key)
            if row is None or row.msisdn != msisdn or attempt not in row.intents:
                yield f"{provider_id} got attempt {attempt} at {msisdn}, and no intent is there"

    def _lost_answers(self) -> Iterator[str]:
        for (key, attempt), kind in self._outside.heard.items():
            row = self._rows.get(key)
            if kind != "NotSent" and (row is None or attempt not in row.attempts(FACTS)):
                yield f"the answer {kind} to attempt {attempt} of {key} was kept and is gone"

    def _lost_receipts(self) -> Iterator[str]:
        parked = {each for (each,) in self._query("SELECT fingerprint FROM parked_receipts")}
        for name, receipt in self._outside.acknowledged.items():
            rows = self._by_number.get(receipt.msisdn, [])
            if receipt.fingerprint in parked:
                continue
            if not any(row.has_evidence_of(receipt) for row in rows):
                yield f"receipt {name} {receipt.word} was acknowledged and is gone"

    # --- once, and the same: 17, 18 ---------------------------------------------------

    def _done_otherwise(self) -> Iterator[str]:
        outside = self._outside
        yield from (f"wish {n} was told two different things" for n in outside.told_otherwise)
        for msisdn, rows in self._by_number.items():
            if len(rows) > 1:
                yield f"{msisdn} was accepted {len(rows)} times"
        wanted: dict[str, str] = {}
        for n in range(outside.asked):
            wish, answer = outside.wish(n), outside.told.get(n)
            if answer is None:
                yield f"{wish.name} was never answered"
            elif wish.kind in SENDS and isinstance(answer, dict):
                wanted |= dict.fromkeys(answer["numbers"], wish.name)
            elif wish.kind == "stream":
                wanted |= dict.fromkeys((e for e in wish.numbers if e.isdigit()), wish.name)
        found = {each.msisdn: each.order_ref for each in self._rows.values()}
        if found != wanted:
            odd = sorted(set(found.items()) ^ set(wanted.items()))
            yield f"not what was wanted and accepted: {odd[:3]}"

    # --- hand-offs: 24, 25, 26 --------------------------------------------------------

    def _handed_off_twice(self) -> Iterator[str]:
        outside = self._outside
        yield from (f"attempt {each} left twice" for each in outside.handed_again)
        handed: dict[int, set[int]] = defaultdict(set)
        for key, attempt in outside.handed:
            handed[key].add(attempt)
        for key, attempts in handed.items():
            row = self._rows.get(key)
            if row is None:
                continue  # among the losses
            possible = attempts - row.attempts(NOES)
            if len(possible) > 1 + row.resends:
                yield f"{row.msisdn} may have arrived {len(possible)} times without a policy"
            if row.resends and not self._may_resend(row):
                yield f"{row.msisdn} was sent again, and nobody allowed it"
            for attempt in row.attempts(NOES) & attempts:
                if self._fate(row, attempt).answer not in PROVED_NOT_TAKEN:
                    yield f"attempt {attempt} at {row.msisdn} is said not to be taken"

    def _may_resend(self, row: Row) -> bool:
        wish = self._outside.wish(int(row.order_ref.removeprefix("wish-")))
        return wish.options["on_ambiguous"] == "resend" and row.resends == 1

    def _fate(self, row: Row, attempt: int) -> Any:
        return fate(self._outside.seed, row.msisdn, attempt, row.segments)

    def _doubted_without_need(self) -> Iterator[str]:
        """In doubt is only what had an intent and no answer when its process ended."""
        for row in self._rows.values():
            answered: set[int] = set()
            for kind, body in row.events:
                if kind == "lease_lost" and body["attempt"] in answered:
                    attempt = body["attempt"]
                    yield f"attempt {attempt} at {row.msisdn} was answered, then in doubt"
                if kind in ANSWERS:
                    answered.add(body.get("attempt", 0))

    # --- ends: 20, 32, 33, 36, 37 -----------------------------------------------------

    def _wrong_ends(self) -> Iterator[str]:
        """A receipt that stays parked is wrong, unless which hand-off it was about is a guess.

        After a resend, and with the parts of a long message in doubt, there may be two.
        """
        words: dict[str, dict[tuple[str, ...], set[str]]] = defaultdict(
            lambda: defaultdict(set)
        )
        for name, receipt in self._outside.acknowledged.items():
            for row in self._by_number.get(receipt.msisdn, []):
                _, attempt, part, _ = name.split("/")
                if receipt.fingerprint in row.seen:
                    words[receipt.msisdn][attempt, part].add(receipt.word)
                elif not (row.has_evidence_of(receipt) or row.guessed_parts or row.resends):
                    yield f"receipt {name} is parked, and its message is there"
        for row in self._rows.values():
            said = words[row.msisdn]
            arrived = Counter(
                attempt for (attempt, _), each in said.items() if "DELIVRD" in each
            )
            delivered = row.segments in arrived.values()
            if row.state not in TERMINAL:
                yield f"{row.msisdn} is left {row.state}"
            elif not row.guessed_parts and delivered != (row.state == "delivered"):
                yield f"{row.msisdn} is {row.state}; its carrier said {dict(said)}"
            if row.state == "cancelled" and row.intents - row.attempts(NOES):
                yield f"{row.msisdn} was cancelled after it went out"

    # --- money by the judge's own arithmetic: 1, 2, 6, 7, 9, 13 ------------------------

    def _wrong_money(self) -> Iterator[str]:
        spent: Counter[int] = Counter()
        [(version,)] = self._query("SELECT max(version) FROM price_lists")
        known = {BASE_PRICE + PRICE_STEP * each for each in range(version)}
        for row in self._rows.values():
            if row.price % row.segments or row.price // row.segments not in known:
                yield f"{row.msisdn} costs {row.price} for {row.segments} parts"
            if self._is_charged(row):
                spent[row.account_id] += row.price
        funds = Counter(OPENING_FUNDS)
        for wish in map(self._outside.wish, self._outside.told):
            if wish.kind == "fund":
                funds[wish.account_id] += wish.amount
        for account_id in OPENING_FUNDS:
            yield from self._wrong_balance(account_id, funds[account_id] - spent[account_id])
        [(sums,)] = self._query(
            "SELECT count(*) FROM postings WHERE amount < 0 OR debit = credit"
        )
        if sums:
            yield f"{sums} postings don't move money from one place to another"

    def _is_charged(self, row: Row) -> bool:
        """Tell whether a message that ended is paid for in the end."""
        possible = row.intents - row.attempts(NOES)
        if not possible or row.state == "cancelled":
            return False
        return row.state == "delivered" or row.state not in REFUND_ON.get(row.account_id, ())

    def _wrong_balance(self, account_id: int, expected: int) -> Iterator[str]:
        cached = self._query(
            f"SELECT sum(available), sum(held) FROM balances WHERE account_id = {account_id}"
        )
        posted = self._query(
            f"SELECT sum(CASE 'funds:{account_id}' WHEN credit THEN amount"
            " WHEN debit THEN -amount ELSE 0 END),"
            f" sum(CASE 'held:{account_id}' WHEN credit THEN amount"
            " WHEN debit THEN -amount ELSE 0 END)"
            f" FROM postings WHERE account_id = {account_id}"
        )
        for what, [(available, held)] in (("balance", cached), ("ledger", posted)):
            if (int(available), int(held)) != (expected, 0):
                yield (
                    f"account {account_id}: the {what} has {available} and holds {held};"
                    f" it should be {expected} and 0"
                )
