"""What a run of the checks looks at, cut into parts that are each read in a moment.

A full run walks each table in stretches. An incremental one takes the messages that have events
since the place to which the run before it came, and what hangs on them: their orders, streams
and hand-offs. It looks again at what was found broken, and at what went wrong by mere time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import islice
from time import sleep
from typing import Any, Final

import msgspec

from arrivals.clock import Clock
from arrivals.core.ids import INDEX_BITS
from arrivals.core.message import TRANSITIONS
from arrivals.smpp.receipts import normal_form
from arrivals.store.api import StoreUnavailable
from arrivals.store.reading import ReadingConnection
from arrivals.store.statements import POSTGRESQL, statements
from arrivals.store.verified import Progress

ROWS_A_STRETCH: Final = 50_000  # measured: well below half a second for the dearest check
KEYS_A_STRETCH: Final = 2_000
EVENTS_A_RUN: Final = 50_000  # what changed since is looked at in runs of so many events
FIRST_LOOK_AHEAD: Final = 1 << 16  # places; the next look is wider while it finds too little
WIDER: Final = 8
DUE_MAX: Final = 10_000
SHOWN_MAX: Final = 5  # keys in a statement that is shown
HORIZON_WAIT_S: Final = 60.0  # for transactions that were open; Arrivals' own take milliseconds
HORIZON_LOOK_EVERY_S: Final = 0.005
_LAST: Final = (1 << 63) - 1

Stretch = dict[str, Any]


class Stretches:
    """What one run looks at, and the connection that it asks."""

    def __init__(
        self,
        connection: ReadingConnection,
        dialect: str,
        clock: Clock,
        since: Progress | None = None,
        breathe: Callable[[float], None] = lambda _: None,
    ) -> None:
        """Look at what changed since, or at everything.

        `breathe` is told after each stretch how many seconds it took; it may rest, or raise to
        end the run.
        """
        self._connection = connection
        self._dialect = dialect
        self._clock = clock
        self._breathe = breathe
        self._sql = statements("checks", dialect)
        self._changed: list[int] = []
        self.more = False  # that changed, and is left to the next run
        self.since = self._usable(since)
        self._begin()

    # --- what to look at --------------------------------------------------------------

    def _usable(self, since: Progress | None) -> Progress | None:
        """Return where to go on, unless this database can't have been there."""
        if since is None:
            return None
        newest, _ = self._named("newest_place", {})[0]
        if newest < since.place or self._value("last_posting") < since.posting:
            return None  # loaded from a dump into a server that numbers its transactions anew
        return since

    def _begin(self) -> None:
        """Decide up to where to look.

        A full run's place is read before its newest posting, so the next run meets again what
        comes in between; an incremental one's after it, so it has met all that names it.
        """
        if self.since is None:
            self._next_place = self._named("newest_place", {})[0][1]
            self._known = self._last_posting()
            return
        known = self._last_posting()
        newest, self._next_place = self._named("newest_place", {})[0]
        place = self.since.place
        if not self.since.behind:
            set_back = self._value("set_back", {"posting": self.since.posting})
            place = place if set_back is None else min(place, set_back)
        until = self._until(place, newest)
        self.more = until < newest
        if self.more:
            self._next_place = until
        self._known = self.since.posting if self.more else known
        rows = self._named("changed", {"place": place, "until": until})
        self._changed = sorted(key for (key,) in rows)

    def _until(self, place: int, newest: int) -> int:
        """Return the place up to which a run's worth of events is."""
        width = FIRST_LOOK_AHEAD
        while True:
            until = min(place + width, newest)
            bounds = {"place": place, "until": until, "rows": EVENTS_A_RUN}
            found = self._value("place_after", bounds)
            if found is not None or until >= newest:
                return until if found is None else int(found)
            width *= WIDER

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
            self._breathe(0.0)
        return newest

    # --- walking ---------------------------------------------------------------------

    def _walk(self, walk: str, name: str) -> Iterator[Stretch]:
        """Yield one stretch after another of all that a check has to look at."""
        if walk == "once":
            yield {}
        elif walk == "postings":
            yield from self._new_postings()
            yield from self._keyed(self._again(name))
        elif self.since is None:
            if walk == "handoffs":
                yield from self._all_handoffs()
            else:
                yield from self._stretches(walk, 0, _LAST)
        else:
            yield from self._keyed(self._changed_of(walk) | self._again(name), walk)

    def _changed_of(self, walk: str) -> set[int]:
        if walk not in {"orders", "batches"}:
            return set(self._changed)
        orders = {key >> INDEX_BITS for key in self._changed}
        if walk == "orders":
            return orders
        return {
            stream
            for stretch in self._keyed(orders)
            for (stream,) in self._named("streams_of_orders", stretch)
        }

    def _again(self, name: str) -> set[int]:
        """Return what to look at though it didn't change."""
        if self.since is None:
            return set()
        again = set(self.since.broken.get(name, ()))
        if name == "overdue":
            again.update(key for (key,) in self._named("due_long_ago", {"rows": DUE_MAX}))
        return again

    def _keyed(self, keys: Iterable[int], walk: str = "") -> Iterator[Stretch]:
        rest = iter(sorted(keys))
        while some := list(islice(rest, KEYS_A_STRETCH)):
            stretch: Stretch = {"keys": as_json(some)}
            if walk == "handoffs":
                stretch = {"pairs": self._ids_given(stretch)}
            yield from self._breathing(stretch)

    def _ids_given(self, stretch: Stretch) -> str:
        """Return the ids that providers gave for messages, as hand-offs have them."""
        return as_json(
            [
                (provider, normal, key)
                for key, provider, ids in self._named("ids_given", stretch)
                for each in msgspec.json.decode(ids)
                if (normal := normal_form(each))
            ]
        )

    def _new_postings(self) -> Iterator[Stretch]:
        first = self.since.posting if self.since else 0
        return self._stretches("postings", first, self._known)

    def _stretches(self, walk: str, low: int, last: int) -> Iterator[Stretch]:
        """Yield the bounds of one stretch after another, to past the last row."""
        while low < last:
            bounds = {"low": low, "rows": ROWS_A_STRETCH}
            end = self._value(f"end_of_{walk}", bounds)
            high = last if end is None else min(last, max(int(end), low + 1))
            yield from self._breathing({"low": low, "high": high})
            low = high

    def _all_handoffs(self) -> Iterator[Stretch]:
        low: tuple[str, str] | None = ("", "")
        while low is not None:
            start = {"low_provider": low[0], "low_id": low[1]}
            found = self._named("next_handoffs", start | {"rows": ROWS_A_STRETCH})
            low = found[0] if found else None
            high = low or (None, None)
            yield from self._breathing(start | {"high_provider": high[0], "high_id": high[1]})

    def _breathing(self, stretch: Stretch) -> Iterator[Stretch]:
        began = self._clock.monotonic()
        yield stretch
        self._breathe(self._clock.monotonic() - began)

    # --- the connection --------------------------------------------------------------

    def _worded(self, name: str, stretch: Stretch) -> str:
        """Return a statement that looks at a stretch, or at some keys."""
        kind = "keys" if "keys" in stretch else "stretch"
        handoffs = "answers" if "pairs" in stretch else "handoffs"
        text = self._sql[name].replace("{within handoffs}", self._sql[f"within {handoffs}"])
        return _WITHIN.sub(
            lambda mark: self._sql[f"within {kind}"].replace("{column}", mark[1]), text
        )

    def _shown(self, text: str, stretch: Stretch, ids: Sequence[object] = ()) -> str:
        """Return a statement with its values in it, to be run again by hand.

        Of many keys it shows those that were found broken.
        """
        values: dict[str, Any] = {
            "now": self._clock.now_us(),
            "legal": _legal_moves(),
            **stretch,
        }
        if "keys" in values:
            if ids:
                values["keys"] = f"[{','.join(map(str, ids[:SHOWN_MAX]))}]"
            else:
                del values["keys"]
        values.pop("pairs", None)
        shown = _VALUE.sub(lambda mark: _literal(mark, values), text)
        return shown.replace("%%", "%") if self._dialect == POSTGRESQL else shown

    def _named(self, name: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        return self._run(self._worded(name, dict(values)), values)

    def _value(self, name: str, values: Mapping[str, Any] | None = None) -> Any:
        rows = self._named(name, values or {})
        return rows[0][0] if rows else None

    def _run(self, text: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        nothing = dict.fromkeys(_NAMES)
        always = {"now": self._clock.now_us(), "legal": _legal_moves()}
        return self._connection.execute(text, {**nothing, **always, **values}).fetchall()


_NAMES: Final = (
    "high", "high_id", "high_provider", "keys", "known", "low", "low_id", "low_provider",
    "pairs", "place", "posting", "rows", "until",
)  # fmt: skip
_WITHIN: Final = re.compile(r"\{within ([\w.]+)\}")
_VALUE: Final = re.compile(r"(?<![:\w]):([a-z]\w*)|%\(([a-z]\w*)\)s")


def _literal(mark: re.Match[str], values: Mapping[str, Any]) -> str:
    name = mark[1] or mark[2]
    if name not in values:
        return f":{name}"
    value = values[name]
    if value is None:
        return "NULL"
    return str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"


def as_json(value: object) -> str:
    return msgspec.json.encode(value).decode()


@cache
def _legal_moves() -> str:
    """Return every legal (from, kind of event, to) as the statements take them."""
    rows = [(source, move, target) for (source, move), target in TRANSITIONS.items()]
    return as_json(rows)
