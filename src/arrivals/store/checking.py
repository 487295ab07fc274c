"""Run the checks beside the server that writes: over everything, or over what changed since.

Every check is a statement that returns what breaks one invariant, and looks at one stretch
after another: each is a short read of its own, so a check of any size holds back neither
writers nor the log's checkpoint.

Sums that span transactions are compared up to the newest posting there was when the run began:
whatever names an older posting was committed with it, so a live server can't make a right sum
look wrong. Where several write at once, the newest posting isn't the last one to be committed:
then the run waits until all who were writing when it looked have ended, so that no older
posting can still turn up. A run that can't look at all that changed compares no sums: it keeps
the parts that it met, and the run that catches up adds them up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Final

import msgspec

from arrivals.clock import Clock
from arrivals.core.ids import MessageIds
from arrivals.core.parts import count_of
from arrivals.core.text import analyse, data_coding_of
from arrivals.store.api import StoreDamaged
from arrivals.store.checks import (
    BALANCES,
    CHEAP,
    CHECKS,
    COSTS,
    MISSING,
    PARTS,
    SHAPES,
    SUMS,
    TRIGGERS,
    Check,
    Sum,
)
from arrivals.store.reading import ReadingConnection
from arrivals.store.soundness import DAMAGED_FIX
from arrivals.store.statements import migrations
from arrivals.store.stretches import Stretches
from arrivals.store.verified import Finding, Progress, Unsummed

SAMPLES_MAX: Final = 5
BROKEN_MAX: Final = (
    1_000  # of a check; what is broken beyond that only a full run looks at again
)


class Checking(Stretches):
    """One run of all checks; `progress` is what the next one goes on from."""

    def __init__(
        self,
        connection: ReadingConnection,
        dialect: str,
        clock: Clock,
        since: Progress | None = None,
        breathe: Callable[[float], None] = lambda _: None,
    ) -> None:
        """Check what changed since, or everything."""
        super().__init__(connection, dialect, clock, since, breathe)
        secret = self._value("installation_secret")
        self._ids = MessageIds(_secret(secret)) if secret else None
        self._broken: dict[str, tuple[int, ...]] = {}
        self._standing: dict[str, Finding] = {}
        self._unsummed: list[Unsummed] = []
        self._moved: dict[int, tuple[int, int]] = {}
        self.looked_at = len(self._changed)  # messages

    @property
    def progress(self) -> Progress:
        """What the next run goes on from, once all findings have been made."""
        return Progress(
            place=self._next_place,
            posting=self._known,
            behind=self.more,
            moved=self._moved,
            unsummed=self._unsummed,
            broken=self._broken,
            standing=self._standing,
        )

    def findings(self) -> Iterator[Finding]:
        """Yield every finding, by the invariant's number."""
        made: list[tuple[int, Callable[[], Finding]]] = [
            *((each.invariant, lambda each=each: self._check(each)) for each in CHECKS),
            *((each.invariant, lambda each=each: self._sum(each)) for each in SUMS),
            (TRIGGERS.invariant, self._triggers),
            (BALANCES.invariant, self._balances),
            (SHAPES.invariant, self._shapes),
            (PARTS.invariant, self._parts),
            (MISSING.invariant, self._missing),
        ]
        if self.since is None:
            made.append((COSTS.invariant, self._costs))
        elif COSTS.statement in self.since.standing:
            made.append((COSTS.invariant, lambda: self._found(COSTS, [])))
        for _, make in sorted(made, key=lambda pair: pair[0]):
            began = self._clock.monotonic()
            finding = make()
            took_ms = (self._clock.monotonic() - began) * 1_000
            yield msgspec.structs.replace(finding, milliseconds=took_ms)

    def cheap(self) -> Iterator[Finding]:
        """Yield what costs one walk over the ledger and no more: rules, balances, epochs."""
        yield self._triggers()
        yield self._balances()
        for each in CHECKS:
            if each.statement in CHEAP:
                yield self._check(each)

    # --- one check -------------------------------------------------------------------

    def _check(self, check: Check) -> Finding:
        count, ids, query = 0, list[str](), ""
        for stretch in self._walk(check.walk, check.statement):
            text = self._worded(check.statement, stretch)
            sampled = self._sql["sampled"].replace("{statement}", text)
            rows = self._run(sampled, {**stretch, "rows": BROKEN_MAX + 1})
            if not query or (rows and not count):
                query = self._shown(text, stretch, [row[0] for row in rows])
            count += int(rows[0][1]) if rows else 0
            ids += [row[0] for row in rows]
        return self._found(check, ids, query, count)

    def _found(
        self, check: Check, ids: Iterable[object], query: str = "", count: int | None = None
    ) -> Finding:
        """Return what was found, and keep what has to be looked at again.

        What can't be, because it has no id or there is too much of it, stands as it was last
        seen until a full run sees it mended.
        """
        unique = list(dict.fromkeys(map(str, ids)))
        count = len(unique) if count is None else count
        finding = Finding(
            invariant=check.invariant,
            sentence=check.sentence,
            count=count,
            samples=tuple(self._name(check.of, each) for each in unique[:SAMPLES_MAX]),
            query=query or self._shown(self._worded(check.statement, {}), {}),
        )
        stood = self.since.standing.get(check.statement) if self.since else None
        if stood is not None:
            finding = stood if stood.count >= count else finding
        if check.walk == "once" or not finding.count:
            return finding
        if check.by_id and stood is None and len(unique) <= BROKEN_MAX:
            self._broken[check.statement] = tuple(map(int, unique))
        else:
            self._standing[check.statement] = finding
        return finding

    def _name(self, kind: str, found: str) -> str:
        if kind != "message":
            return found if kind == "" else f"{kind} {found}"
        return self._ids.encode(int(found)) if self._ids else f"message {found}"

    def _shapes(self) -> Finding:
        wrong: list[int] = []
        for stretch in self._walk("messages", SHAPES.statement):
            rows = self._named(SHAPES.statement, stretch)
            for key, text, encoding, segments, alphabet in rows:
                shape = analyse(text, alphabet)
                if (data_coding_of(shape), shape.segments) != (encoding, segments):
                    wrong.append(key)
        return self._found(SHAPES, wrong)

    def _parts(self) -> Finding:
        wrong: list[int] = []
        for stretch in self._walk(PARTS.walk, PARTS.statement):
            rows = self._named(PARTS.statement, stretch)
            for key, attempt, part, segments, parts in rows:
                if not 1 <= part <= count_of(parts, segments, attempt):
                    wrong.append(key)
        return self._found(PARTS, wrong)

    def _missing(self) -> Finding:
        wrong: list[int] = []
        for stretch in self._walk("messages", MISSING.statement):
            pairs = {"pairs": self._ids_given(stretch)}
            wrong += [key for (key,) in self._named(MISSING.statement, pairs)]
        return self._found(MISSING, wrong)

    def _triggers(self) -> Finding:
        present = {name for (name,) in self._named(TRIGGERS.statement, {})}
        return self._found(TRIGGERS, sorted(_triggers_of_the_schema(self._dialect) - present))

    # --- sums ------------------------------------------------------------------------

    def _sum(self, whole: Sum) -> Finding:
        sums = self._all_parts(whole) if self.since is None else self._new_parts(whole)
        wrong: list[int] = []
        if not self.more:
            # Read after the parts, for a span may have been detached meanwhile.
            given_away = int(self._value("last_given_away"))
            for stretch in self._new_postings():
                for posting_id, amount in self._named(whole.whole, stretch):
                    found = sums.pop(posting_id, 0)
                    if found > amount or (found < amount and posting_id > given_away):
                        wrong.append(posting_id)
            wrong += sums  # what names a posting that isn't there, or isn't of this kind
        query = "\n;\n".join(
            self._shown(self._worded(each, {}), {}) for each in (whole.parts, whole.whole)
        )
        return self._found(whole.check, wrong, query)

    def _all_parts(self, whole: Sum) -> dict[int, int]:
        sums: dict[int, int] = {}
        for stretch in self._walk(whole.walk, whole.parts):
            for posting_id, amount in self._named(
                whole.parts, stretch | {"known": self._known}
            ):
                sums[posting_id] = sums.get(posting_id, 0) + amount
        return sums

    def _new_parts(self, whole: Sum) -> dict[int, int]:
        """Sum the parts of postings that can be compared; leave the others to the next run.

        A message changes more than once, and is met as often: each part counts once.
        """
        if self.since is None:
            raise AssertionError("a full run meets each part once")
        met = {
            (each.posting, each.part): each.amount
            for each in self.since.unsummed
            if each.sum == whole.parts
        }
        newer = {"posting": self.since.posting}
        for stretch in self._walk(whole.walk, whole.parts):
            for posting_id, part, amount in self._named(whole.single_parts, stretch | newer):
                met[posting_id, str(part)] = amount
        sums: dict[int, int] = {}
        for (posting_id, part), amount in met.items():
            if self.more or posting_id > self._known:
                self._unsummed.append(Unsummed(whole.parts, posting_id, part, amount))
            else:
                sums[posting_id] = sums.get(posting_id, 0) + amount
        return sums

    def _balances(self) -> Finding:
        moved = dict(self.since.moved) if self.since else {}
        for stretch in self._new_postings():
            for account_id, available, held in self._named("moved_money", stretch):
                before = moved.get(account_id, (0, 0))
                moved[account_id] = (before[0] + int(available), before[1] + int(held))
        self._moved = dict(moved)
        wrong = []
        for account_id, available, held, *rest in self._named(
            BALANCES.statement, {"low": self._known}
        ):
            before = moved.pop(account_id, (0, 0))
            if (available, held) != (before[0] + rest[0], before[1] + rest[1]):
                wrong.append(account_id)
        wrong += [account_id for account_id, sums in moved.items() if any(sums)]
        query = "\n;\n".join(
            self._shown(self._worded(each, {}), {"low": self._known})
            for each in ("moved_money", BALANCES.statement)
        )
        return self._found(BALANCES, wrong, query)

    def _costs(self) -> Finding:
        """Compare costs, which grow while they are added, with the ledger before and after."""
        least, summed = self._posted_costs(self._known), 0
        for stretch in self._walk("messages", COSTS.statement):
            cost, messages = self._named(COSTS.statement, stretch)[0]
            summed += int(cost)
            self.looked_at += int(messages)
        most = self._posted_costs(self._last_posting())
        if self._value("last_given_away"):
            least = 0  # what detached messages cost is in the ledger alone
        wrong = (
            [] if least <= summed <= most else [f"messages {summed}, ledger {most} micro-units"]
        )
        return self._found(COSTS, wrong)

    def _posted_costs(self, last: int) -> int:
        stretches = self._stretches("postings", 0, last)
        return sum(int(self._named("posted_costs", each)[0][0]) for each in stretches)


def _secret(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise StoreDamaged("the installation's secret is damaged", DAMAGED_FIX) from None


@cache
def _triggers_of_the_schema(dialect: str) -> frozenset[str]:
    created: set[str] = set()
    for _, text in migrations(dialect):
        created -= set(re.findall(r"DROP TRIGGER (?:IF EXISTS )?(\w+)", text))
        created |= set(re.findall(r"CREATE TRIGGER (\w+)", text))
    return frozenset(created)
