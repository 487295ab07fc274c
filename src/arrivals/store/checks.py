"""Ask the database whether it keeps the invariants, beside the server that writes to it.

Every check is a statement that returns what breaks one invariant. A large table is walked in
stretches, each its own short read, so a check of any size holds back neither writers nor the
log's checkpoint. Sums that span stretches are compared up to the newest posting there was when
the check began: whatever names an older posting was committed with it, so a live server can't
make a right sum look wrong. Where several write at once, the newest posting isn't the last one
to be committed: then the check waits until all who were writing when it looked have ended, so
that no older posting can still turn up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from time import sleep
from typing import Any, Final

import msgspec

from arrivals.clock import Clock
from arrivals.core.ids import MessageIds
from arrivals.core.message import TRANSITIONS
from arrivals.core.text import analyse
from arrivals.store.api import StoreUnavailable
from arrivals.store.beside import looking_into
from arrivals.store.reading import ReadingConnection
from arrivals.store.statements import POSTGRESQL, migrations, statements

ROWS_A_STRETCH: Final = 50_000  # measured: well below half a second for the dearest check
SAMPLES_MAX: Final = 5
HORIZON_WAIT_S: Final = 60.0  # for transactions that were open; Arrivals' own take milliseconds
HORIZON_LOOK_EVERY_S: Final = 0.005
_LAST: Final = (1 << 63) - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What one check found."""

    invariant: int
    sentence: str  # what must hold
    count: int  # how often it doesn't
    samples: tuple[str, ...]
    milliseconds: float


@dataclass(frozen=True, slots=True)
class Check:
    """One statement of sql/checks.sql, and the sentence it proves."""

    invariant: int
    statement: str
    sentence: str
    walk: str = "messages"  # messages | orders | postings | batches | handoffs | once
    of: str = "message"  # what an id in the answer is


@dataclass(frozen=True, slots=True)
class Sum:
    """Postings whose amounts must be the sums of what names them."""

    invariant: int
    parts: str
    whole: str
    sentence: str
    walk: str


CHECKS: Final = (
    Check(1, "posting_accounts", "A posting moves money between the two ledger accounts of its "
          "kind.", "postings", "posting"),
    Check(2, "posting_currency", "An account's postings are in the account's currency, so each "
          "currency sums to zero.", "postings", "posting"),
    Check(4, "posting_integers", "Amounts in the ledger are whole micro-units.", "postings",
          "posting"),
    Check(4, "balance_integers", "Balances are whole micro-units.", "once", "account"),
    Check(4, "message_integers", "Prices and costs of messages are whole micro-units."),
    Check(5, "overdrawn", "No account is below its credit limit.", "once", "account"),
    Check(7, "resolution_posting", "A message's hold is resolved by a posting of that kind and "
          "account."),
    Check(7, "resolved_open", "An open message's hold isn't resolved yet."),
    Check(8, "adjustments_in_turn", "Refunds and recharges take turns, each the message's "
          "price, and follow what settlement left."),
    Check(10, "price_snapshot", "A price is its rate times its segments, as it was at accept."),
    Check(11, "uncharged_parts", "What was handed off was charged, part by part.", "handoffs"),
    Check(12, "unresolved_ends", "An ended message's hold was resolved within 60 s."),
    Check(13, "charged_unsent", "What was never handed off is never charged."),
    Check(14, "unexplained_cost", "A provider's cost has the provider's acknowledgement."),
    Check(15, "whole_orders", "An order names the posting of its hold.", "orders", "order"),
    Check(15, "messages_of_orders", "A message belongs to an order of its account and route."),
    Check(19, "order_totals", "An order's count and cost are those of its messages.", "orders",
          "order"),
    Check(19, "batch_totals", "A stream's counts and cost are those of its orders.", "batches",
          "batch"),
    Check(20, "orphans", "An open message is in a provider's lane, being sent, or wakes at a "
          "known time."),
    Check(21, "illegal_moves", "States moved along the table of moves only."),
    Check(22, "event_gaps", "A message's events count up from 1 without a gap."),
    Check(22, "state_is_fold", "A message's state is what its newest event says."),
    Check(22, "broken_chains", "Each event starts from the state in which the one before it "
          "ended."),
    Check(22, "events_without_message", "Every event belongs to a message."),
    Check(23, "epochs_ahead", "Nobody sends under an epoch that its bind never had.", "once"),
    Check(25, "unintended_handoffs", "Every attempt has its intent, and every hand-off an "
          "attempt."),
    Check(25, "resends_without_policy", "A second hand-off was allowed by its policy, and its "
          "event says so."),
    Check(25, "second_handoffs", "No message may have been taken twice unless its policy "
          "allowed it."),
    Check(32, "overdue", "Every message reached its end by its outcome deadline."),
    Check(33, "delivered_without_evidence", "A delivered message has a receipt that says so."),
    Check(37, "parked_too_long", "No receipt is parked for more than 72 h.", "once",
          "parked receipt"),
    Check(37, "parked_without_form", "A parked receipt can still be matched.", "once",
          "parked receipt"),
    Check(38, "foreign_handoffs", "A provider's id leads to a message that it was to carry.",
          "handoffs"),
    Check(40, "times_go_back", "A message's events follow one another in time."),
    Check(46, "wrong_environment", "Test keys reached sandbox providers only, live keys live "
          "ones.", "handoffs"),
    Check(48, "abandoned_sending", "Nothing is left in the hands of a bind's former owner.",
          "once"),
)  # fmt: skip

SUMS: Final = (
    Sum(7, "held_by_orders", "hold_postings", "A hold is the sum of the orders that name it.",
        "orders"),
    Sum(7, "settled_by_messages", "settling_postings", "A capture or release is the sum of "
        "the messages that name it.", "messages"),
    Sum(8, "adjusted_by_messages", "adjusting_postings", "A refund or recharge is the sum of "
        "the adjustments that name it.", "messages"),
)  # fmt: skip

SENTENCE_OF_TRIGGERS: Final = "The database itself refuses to edit postings, prices and events."
SENTENCE_OF_BALANCES: Final = "Every balance is the sum of its account's postings."
SENTENCE_OF_SHAPES: Final = "A message's alphabet and segments are those of its text."
SENTENCE_OF_COSTS: Final = "What providers cost us is the sum of their messages' costs."


def run_checks(place: str | Path, clock: Clock) -> Iterator[Finding]:
    """Run every check on a data folder's or a URL's database, yielding each finding as made.

    Raises StoreError if the database can't be read.
    """
    with looking_into(place) as (connection, dialect):
        yield from _Checking(connection, dialect, clock).all()


class _Checking:
    """One run of all checks."""

    def __init__(self, connection: ReadingConnection, dialect: str, clock: Clock) -> None:
        self._connection = connection
        self._dialect = dialect
        self._clock = clock
        self._sql = statements("checks", dialect)
        secret = self._value("installation_secret")
        self._ids = MessageIds(bytes.fromhex(secret)) if secret else None

    def all(self) -> Iterator[Finding]:
        """Yield every finding, by the invariant's number."""
        made = [
            *((each.invariant, lambda each=each: self._check(each)) for each in CHECKS),
            *((each.invariant, lambda each=each: self._sum(each)) for each in SUMS),
            (3, self._triggers),
            (6, self._balances),
            (11, self._shapes),
            (14, self._costs),
        ]
        for _, make in sorted(made, key=lambda pair: pair[0]):
            began = self._clock.monotonic()
            finding: Finding = make()
            took_ms = (self._clock.monotonic() - began) * 1_000
            yield replace(finding, milliseconds=took_ms)

    # --- one statement ---------------------------------------------------------------

    def _check(self, check: Check) -> Finding:
        text = self._sql["sampled"].replace("{statement}", self._sql[check.statement])
        count, samples = 0, []
        for stretch in self._walk(check.walk):
            rows = self._run(text, stretch)
            count += int(rows[0][1]) if rows else 0
            samples += [row[0] for row in rows]
        named = [self._name(check.of, each) for each in dict.fromkeys(samples)]
        return _finding(check.invariant, check.sentence, count, named)

    def _name(self, kind: str, found: str) -> str:
        if kind != "message":
            return f"{kind} {found}"
        return self._ids.encode(int(found)) if self._ids else f"message {found}"

    # --- sums over many stretches ----------------------------------------------------

    def _sum(self, check: Sum) -> Finding:
        known = self._last_posting()
        sums: dict[int, int] = {}
        for stretch in self._walk(check.walk):
            for posting_id, amount in self._named(check.parts, stretch | {"known": known}):
                sums[posting_id] = sums.get(posting_id, 0) + amount
        wrong = []
        # Read after the walk, for a span may have been detached meanwhile.
        given_away = int(self._value("last_given_away"))
        for stretch in self._walk("postings", last=known):
            for posting_id, amount in self._named(check.whole, stretch):
                found = sums.pop(posting_id, 0)
                if found > amount or (found < amount and posting_id > given_away):
                    wrong.append(posting_id)
        wrong += sums  # what names a posting that isn't there, or isn't of this kind
        names = [f"posting {each}" for each in wrong]
        return _finding(check.invariant, check.sentence, len(wrong), names)

    def _balances(self) -> Finding:
        known = self._last_posting()
        moved: dict[int, tuple[int, int]] = {}
        for stretch in self._walk("postings", last=known):
            for account_id, available, held in self._named("moved_money", stretch):
                before = moved.get(account_id, (0, 0))
                moved[account_id] = (before[0] + available, before[1] + held)
        wrong = []
        for account_id, available, held, *rest in self._named(
            "balances_and_rest", {"low": known}
        ):
            before = moved.pop(account_id, (0, 0))
            if (available, held) != (before[0] + rest[0], before[1] + rest[1]):
                wrong.append(account_id)
        wrong += [account_id for account_id, sums in moved.items() if any(sums)]
        names = [f"account {each}" for each in wrong]
        return _finding(6, SENTENCE_OF_BALANCES, len(wrong), names)

    def _shapes(self) -> Finding:
        wrong: list[str] = []
        for stretch in self._walk("messages"):
            for key, text, encoding, segments in self._named("shapes", stretch):
                shape = analyse(text)
                if (shape.encoding, shape.segments) != (encoding, segments):
                    wrong.append(self._name("message", str(key)))
        return _finding(11, SENTENCE_OF_SHAPES, len(wrong), wrong)

    def _costs(self) -> Finding:
        """Compare costs, which grow while they are added, with the ledger before and after."""
        least = self._posted_costs()
        summed = sum(
            self._named("message_costs", stretch)[0][0] for stretch in self._walk("messages")
        )
        most = self._posted_costs()
        if self._value("last_given_away"):
            least = 0  # what detached messages cost is in the ledger alone
        wrong = not least <= summed <= most
        names = [f"messages {summed}, ledger {most} micro-units"] if wrong else []
        return _finding(14, SENTENCE_OF_COSTS, int(wrong), names)

    def _posted_costs(self) -> int:
        known = self._last_posting()
        return sum(
            int(self._named("posted_costs", stretch)[0][0])
            for stretch in self._walk("postings", last=known)
        )

    def _triggers(self) -> Finding:
        present = {name for (name,) in self._named("known_triggers", {})}
        missing = sorted(_triggers_of_the_schema(self._dialect) - present)
        return _finding(
            3, SENTENCE_OF_TRIGGERS, len(missing), [f"trigger {each}" for each in missing]
        )

    # --- the horizon -----------------------------------------------------------------

    def _last_posting(self) -> int:
        """Return the newest posting, when none below it can be committed any more.

        A transaction has its number before it is given ids for postings. So whoever may still
        commit an id below the newest one had a number when that was read, and a number given
        out after that is larger. (The end of the snapshot in which it was read needn't be: it
        is past those that have *ended*.)
        """
        newest = int(self._value("last_posting"))
        if self._dialect != POSTGRESQL:
            return newest
        if self._value("is_standby"):
            raise StoreUnavailable("a standby can't be checked: name the primary")
        ours = self._value("next_transaction")
        until = self._clock.monotonic() + HORIZON_WAIT_S
        while self._value("eldest_transaction") < ours:
            if self._clock.monotonic() > until:
                raise StoreUnavailable(
                    f"a transaction has been open for more than {HORIZON_WAIT_S:.0f} s, and "
                    "what it will commit can't be told; see pg_stat_activity"
                )
            sleep(HORIZON_LOOK_EVERY_S)
        return newest

    # --- walking ---------------------------------------------------------------------

    def _walk(self, walk: str, last: int = _LAST) -> Iterator[dict[str, Any]]:
        """Yield the bounds of one stretch after another, to past the last row."""
        if walk == "once":
            yield {}
        elif walk == "handoffs":
            yield from self._walk_handoffs()
        else:
            low = 0
            while low < last:
                bounds = {"low": low, "rows": ROWS_A_STRETCH}
                end = self._value(f"end_of_{walk}", bounds)
                high = last if end is None else min(last, max(int(end), low + 1))
                yield {"low": low, "high": high}
                low = high

    def _walk_handoffs(self) -> Iterator[dict[str, Any]]:
        low: tuple[str, str] | None = ("", "")
        while low is not None:
            start = {"low_provider": low[0], "low_id": low[1]}
            found = self._named("next_handoffs", start | {"rows": ROWS_A_STRETCH})
            low = found[0] if found else None
            high = low or (None, None)
            yield start | {"high_provider": high[0], "high_id": high[1]}

    # --- the connection --------------------------------------------------------------

    def _named(self, name: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        return self._run(self._sql[name], values)

    def _value(self, name: str, values: Mapping[str, Any] | None = None) -> Any:
        rows = self._named(name, values or {})
        return rows[0][0] if rows else None

    def _run(self, text: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        nothing = dict.fromkeys(_NAMES)
        always = {"now": self._clock.now_us(), "legal": _legal_moves()}
        return self._connection.execute(text, {**nothing, **always, **values}).fetchall()


_NAMES: Final = (
    "high", "high_id", "high_provider", "known", "low", "low_id", "low_provider", "rows",
)  # fmt: skip


def _finding(invariant: int, sentence: str, count: int, samples: list[str]) -> Finding:
    return Finding(
        invariant=invariant,
        sentence=sentence,
        count=count,
        samples=tuple(samples[:SAMPLES_MAX]),
        milliseconds=0.0,
    )


@cache
def _legal_moves() -> str:
    """Return every legal (from, kind of event, to) as the statements take them."""
    rows = [(source, move, target) for (source, move), target in TRANSITIONS.items()]
    return msgspec.json.encode(rows).decode()


@cache
def _triggers_of_the_schema(dialect: str) -> frozenset[str]:
    created: set[str] = set()
    for _, text in migrations(dialect):
        created -= set(re.findall(r"DROP TRIGGER (?:IF EXISTS )?(\w+)", text))
        created |= set(re.findall(r"CREATE TRIGGER (\w+)", text))
    return frozenset(created)
