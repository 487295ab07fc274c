"""Gather what /metrics shows: what waits, how providers are, and the running totals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

from arrivals.core.catalogue import LANE_OF_CATEGORY, Catalogue, Flow
from arrivals.flows.alarms import read_alarms
from arrivals.flows.conditions import Condition
from arrivals.flows.platform import Platform
from arrivals.flows.tallies import outcomes_in, receipt_times_in
from arrivals.outcome.episodes import Episode
from arrivals.store.api import StoreError
from arrivals.store.queries import Reader
from arrivals.store.traces import Backlog
from arrivals.store.verified import Verified
from arrivals.telemetry import Telemetry

SEVERAL: Final = ""  # in place of a provider's name: of several, or of nobody

Windows = Callable[[], Mapping[str, tuple[int, int]]]


async def gather(
    platform: Platform,
    telemetry: Telemetry,
    binds: Mapping[str, bool],
    windows: Mapping[str, tuple[int, int]],
) -> None:
    """Let telemetry have what there is to be told now, of the store what it says itself."""
    telemetry.begin_anew()
    try:
        await _of_the_store(platform, telemetry)
        telemetry.store(up=True)
    except StoreError:
        telemetry.store(up=False)
    conditions, traffic = platform.conditions, platform.traffic
    for name, up in binds.items():
        telemetry.bind(name, up=up)
        telemetry.condition(
            name,
            broken=conditions.has(name, Condition.BROKEN),
            held_s=conditions.held_s.get(name, 0.0),
        )
    for name, (size, used) in windows.items():
        telemetry.window(name, size, used)
    telemetry.paused(paused_of(platform.catalogue))
    telemetry.take_over("replies", platform.replies)
    telemetry.take_over("handoffs", traffic.handed)
    telemetry.take_over("handoff_answers", traffic.answers)
    telemetry.take_over("late_answers", traffic.late)
    telemetry.take_over("refusals", traffic.refusals)
    telemetry.take_over("provider_throttled", traffic.throttles)
    telemetry.take_over("receipts", traffic.receipts)
    telemetry.take_over("inbound_replies", traffic.replies)
    telemetry.take_over("inbound_ignored", platform.inbound.totals)
    telemetry.take_times("submit_seconds", traffic.submit_s)
    totals = platform.store.totals
    telemetry.take_over("outcomes", outcomes_in(totals))
    telemetry.take_times("receipt_seconds", receipt_times_in(totals))


async def _of_the_store(platform: Platform, telemetry: Telemetry) -> None:
    """Tell what waits, which alarms stand, and what the newest run of the checks found."""
    telemetry.alarms(_by_kind(await read_alarms(platform)))
    now_us, catalogue = platform.clock.now_us(), platform.catalogue
    lanes = [(name, lane) for name in catalogue.providers for lane in LANE_OF_CATEGORY.values()]

    def read(reader: Reader) -> tuple[Backlog, Verified | None]:
        return reader.backlog(lanes, now_us, catalogue.paused()), reader.last_run()

    backlog, run = await platform.store.read(read)
    telemetry.open_messages(backlog.by_state, backlog.ready, backlog.overdue)
    oldest_us = backlog.parked_oldest_us
    telemetry.parked(backlog.parked, 0.0 if oldest_us is None else _age_s(now_us, oldest_us))
    heads = {(each.provider_id, each.lane): each for each in backlog.lane_heads}
    for name, lane in lanes:
        head = heads.get((name, lane))
        age_s, waiting = (_age_s(now_us, head.since_us), head.waiting) if head else (0.0, 0)
        telemetry.lane(name, lane, age_s, waiting)
    if run is not None:
        took_s = (run.ended_at_us - run.began_at_us) / 1e6
        at_s, full_at_s = run.ended_at_us / 1e6, run.full_at_us / 1e6
        telemetry.verified(run.found, run.run, at_s, full_at_s, took_s)


def paused_of(catalogue: Catalogue) -> dict[tuple[str, str, str], int]:
    """Return what is paused or draining as labels; accounts are counted and never named."""
    found = Counter(
        [
            *(("provider", name, each.flow) for name, each in catalogue.providers.items()),
            *(("route", str(name), each.flow) for name, each in catalogue.routes.items()),
            *(("account", "", each.flow) for each in catalogue.accounts.values()),
        ]
    )
    return {
        (what, name, flow.value): count
        for (what, name, flow), count in found.items()
        if flow is not Flow.ACTIVE
    }


def _by_kind(standing: tuple[Episode, ...]) -> dict[tuple[str, str], int]:
    return dict(
        Counter(
            (each.trouble.kind.value, each.trouble.provider or SEVERAL) for each in standing
        )
    )


def _age_s(now_us: int, since_us: int) -> float:
    return max(0, now_us - since_us) / 1e6
