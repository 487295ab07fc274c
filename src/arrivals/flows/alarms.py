"""Keep the list of alarms: what is found wrong begins there, goes on, and ends.

The list is in the database, and there is one. Whoever owns a provider's bind says how it is;
every process that sweeps says what waits; the model of outcomes says what receipts tell. What
`/readyz`, the metrics, the log and `GET /api/v1/alarms` have is read from that list.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from arrivals.core.catalogue import LANE_OF_CATEGORY, Flow
from arrivals.core.instants import rfc3339
from arrivals.flows.ailing import (
    KINDS,
    Bearing,
    View,
    cell_of,
    in_words,
    signs_of,
    trouble_of,
)
from arrivals.flows.platform import Platform
from arrivals.outcome.episodes import (
    LEARNT,
    Episode,
    Name,
    Sight,
    Trouble,
    TroubleKind,
    attend,
)
from arrivals.outcome.hierarchy import ANY
from arrivals.store.api import Step, Transaction
from arrivals.store.queries import Reader
from arrivals.store.traces import Backlog

_log = logging.getLogger("arrivals.alarms")

ATTEND_ORDER: Final = 70
READY_MAX_S: Final = 60.0

# A condition must hold for this many looks before it's an alarm, and be gone for as many
# before it's over: what comes and goes between two looks is traffic.
LOOKS: Final = 2

LANE_NAMES: Final = {lane: name for name, lane in LANE_OF_CATEGORY.items()}

Changes = tuple[list[Episode], list[Episode]]  # what began or ended here, and all that stand


def record(tx: Transaction, changes: Sequence[Episode]) -> Changes:
    """Write changes of alarms; return what began or ended by them, and all that stand."""
    known = {each.alarm_id for each in changes}
    # In one order: two processes that change the same ones never wait in a circle.
    written = tx.save_alarms(sorted(changes, key=lambda each: each.alarm_id))
    told = [each for each in written if each.ended_us is not None or each.alarm_id not in known]
    return told, tx.standing_alarms()


def _attend(tx: Transaction, sights: Sequence[Sight]) -> list[Changes]:
    return [record(tx, attend(tx.standing_alarms(), each, tx.now_us)) for each in sights]


ATTEND: Final[Step[Sight, Changes]] = Step("attend to alarms", ATTEND_ORDER, _attend)


def tell(changed: Iterable[Episode]) -> None:
    """Log alarms that began or ended."""
    for each in changed:
        trouble = each.trouble
        if each.ended_us is None:
            more = [part for part in (trouble.cost, trouble.fix) if part]
            words = ". ".join([trouble.words, " ".join(more)] if more else [trouble.words])
            _log.warning("alarm %d: %s", each.alarm_id, words)
        else:
            _log.warning("alarm %d is over: %s", each.alarm_id, trouble.words)


def in_full(episode: Episode) -> str:
    """Say of an alarm what, since when, what it costs and what to do, and of no customer."""
    trouble = episode.trouble
    said = f"{trouble.public_words}, since {rfc3339(episode.began_us)}."
    return " ".join(part for part in (said, trouble.cost, trouble.fix) if part)


async def read_alarms(platform: Platform) -> tuple[Episode, ...]:
    """Return the alarms that stand, whoever raised them, and show those from now on."""
    found = await platform.store.read(lambda reader: reader.standing_alarms())
    platform.alarms = tuple(found)
    return platform.alarms


class Alarms:
    """The look-out of one process."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._looks: dict[Name, int] = {}  # how often in a row each was there, or was gone
        self._since_us = platform.clock.now_us()

    async def look(self) -> None:
        """Look once, and record what begins, goes on and ends."""
        platform = self._platform
        now_us = platform.clock.now_us()
        lanes = [
            (name, lane)
            for name, provider in platform.catalogue.providers.items()
            if provider.flow is not Flow.PAUSED
            for lane in LANE_NAMES
        ]

        def read(reader: Reader) -> tuple[Backlog, list[Episode]]:
            paused = platform.catalogue.paused()
            return reader.backlog(lanes, now_us, paused), reader.standing_alarms()

        backlog, standing = await platform.store.read(read)
        sight = self._weigh(self._see(backlog, now_us), standing)
        changed: list[Episode] = []
        if sight.found or any(each.trouble.kind not in LEARNT for each in standing):
            changed, standing = await platform.store.write(ATTEND, sight)
        platform.alarms = tuple(standing)
        tell(changed)

    def _see(self, backlog: Backlog, now_us: int) -> Sight:
        """Return what this look tells, before anybody knows whether it lasts."""
        platform = self._platform
        now = platform.clock.monotonic()
        found = waiting(backlog, now_us)
        lingers: set[Name] = set()
        over: set[Name] = set()
        count = _waiting_of(backlog)
        for name in platform.conditions.owned:
            at = View(name, platform.conditions, platform.inbound, now)
            for kind, sign in signs_of(at).items():
                if sign.bearing is Bearing.FOUND:
                    found.append(trouble_of(kind, name, sign, now_us, count))
                elif sign.bearing is Bearing.LINGERS:
                    lingers.add((kind, cell_of(name)))
                else:
                    over.add((kind, cell_of(name)))
        return Sight(
            found=tuple(found),
            lingers=frozenset(lingers),
            over=frozenset(over),
            since_us=self._since_us,
        )

    def _weigh(self, seen: Sight, standing: Collection[Episode]) -> Sight:
        """Leave out what wasn't so at the look before, for it may be gone at the next."""
        found = {each.name: each for each in seen.found}
        stand = {each.trouble.name for each in standing if each.trouble.kind not in LEARNT}
        # What waits is seen by everybody: what isn't found of it is over.
        gone = {
            name for name in stand - found.keys() if name in seen.over or name[0] not in KINDS
        }
        fresh = found.keys() - stand
        self._looks = {name: self._looks.get(name, 0) + 1 for name in fresh | gone}
        lasting = {name for name, looks in self._looks.items() if looks >= LOOKS}
        return Sight(
            found=tuple(
                trouble for name, trouble in found.items() if name in stand or name in lasting
            ),
            lingers=seen.lingers,
            over=frozenset(gone & lasting),
            since_us=seen.since_us,
        )


def waiting(backlog: Backlog, now_us: int) -> list[Trouble]:
    """Return what a backlog gives cause to say."""
    found = [
        Trouble(
            kind=TroubleKind.MESSAGES_WAIT,
            cell=cell_of(each.provider_id, ANY, LANE_NAMES[each.lane]),
            began_us=each.since_us,
            words=f"messages wait long in the {LANE_NAMES[each.lane]} lane of provider"
            f" {each.provider_id}",
            cost=in_words(each.waiting, "waits there", "wait there")
            + " Each expires when its validity ends, and costs nothing then.",
            fix=f"If nothing is wrong with provider {each.provider_id}, it takes less than is"
            " sent: ask for more throughput or window, or name a further provider.",
            messages_at_risk=each.waiting,
        )
        for each in backlog.lane_heads
        if now_us - each.since_us > READY_MAX_S * 1_000_000
    ]
    if backlog.overdue:
        found.append(
            Trouble(
                kind=TroubleKind.OUTCOMES_OVERDUE,
                cell=(),
                began_us=now_us,
                words="messages are past their outcome deadline",
                cost=f"{backlog.overdue:,} messages are open that should have ended, and hold"
                " their money.",
                fix="The sweep isn't keeping up: the log says what it thinks of the store.",
                messages_at_risk=backlog.overdue,
            )
        )
    found += [
        Trouble(
            kind=TroubleKind.RECEIPTS_PARKED,
            cell=cell_of(name),
            began_us=now_us,
            words=f"receipts of provider {name} match no message",
            cost="Their messages stay open, and end as unknown if nothing else comes.",
            fix="Look at its ids_of, and at id_form in its dialect.",
            messages_at_risk=0,
        )
        for name in backlog.parked_of
    ]
    return found


def _waiting_of(backlog: Backlog) -> Mapping[str, int]:
    count: dict[str, int] = {}
    for each in backlog.lane_heads:
        count[each.provider_id] = count.get(each.provider_id, 0) + each.waiting
    return count
