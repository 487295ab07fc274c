"""Play one scenario with the whole platform, on a virtual clock: days go by in seconds.

    clientele ──HTTP in process──▶ Process ──SMPP──▶ the scenario's carrier world
        ▲                             │                        │
        └──── what people did ────────┼────────────────────────┘
                                      ▼
                  verdicts beside what really happened

The platform is the one that serves: it sends, retries, fails over, learns from receipts and
from what customers tell it, and judges every message. Only the world knows the truth, and
nobody looks at it before everything has ended.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from arrivals.clock import SeededChance, SystemClock
from arrivals.core.catalogue import Account, Route
from arrivals.core.ids import make_api_key
from arrivals.core.layers import outcome_layer
from arrivals.core.message import Message, is_terminal
from arrivals.core.money import Micros
from arrivals.core.pricing import PriceRow
from arrivals.core.timeline import TimelineEvent, Trace
from arrivals.flows.configuration import Configuration, KeyToRegister
from arrivals.flows.plan import Defaults
from arrivals.sim.clientele import Clientele, Sent
from arrivals.sim.findings import TRUTHS, Play, Seen
from arrivals.sim.loop import VirtualLoop
from arrivals.sim.network import Network
from arrivals.sim.process import Process, install
from arrivals.smpp import constants as c
from arrivals.store.alarms import AlarmCursor
from arrivals.store.api import Store
from arrivals.store.faulty_disk import FaultyDisk
from arrivals.store.traces import PAGE_MAX
from arrivals.store.verifying import run_checks
from arrivals.world.installation import in_order, provider_as_installed, providers_of
from arrivals.world.scenario import Scenario
from arrivals.world.smsc import CarrierWorld
from arrivals.world.traffic import Disturbance, sends
from arrivals.world.truth import RECORDS_MAX

GC_THRESHOLDS: Final = (50_000, 20, 20)  # objects: looking for cycles less often saves a tenth
MIDNIGHT_US: Final = 1_799_971_200 * 1_000_000
DAY_S: Final = 86_400.0
PORT: Final = 2775
COMMIT_S: Final = (0.0005, 0.003)
ACCOUNTS: Final = {"main": 1, "other": 4}  # as in `arrivals dev`
ROUTES: Final = (1, 2, 3)
SENDERS: Final = frozenset({"ARRIVALS", "BRIDGEXAPI"})
PRICE: Final = 50_000  # micro-units
FUNDS: Final = 1_000_000_000_000
# Nobody waits here for what wasn't announced, so it is looked for every few seconds in place
# of four times in one, and every few minutes once nothing is sent any more.
PATIENCE: Final = 30.0
PATIENCE_AFTER: Final = 600.0
ENQUIRE_S: Final = 7_200.0
LOOK_S: Final = 600.0  # at what is wrong
LOOK_FOR_THE_END_S: Final = 10_800.0
ENDS_WITHIN_S: Final = 5 * DAY_S  # of the last send: validity and grace are three days
MEMORY_DISK: Final = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it

Tell = Callable[[float, int, int], None]  # seconds of its own time, messages sent and to send


def play(
    scenario: Scenario, seed: int, *, most: int | None = None, tell: Tell | None = None
) -> Play:
    """Play a scenario to its end; the same seed is the same play.

    Of each stream `most` messages are played, by default as many as the scenario finds enough.
    """
    streams = (
        msgspec.structs.replace(each, count=min(each.count, most or scenario.enough))
        for each in scenario.traffic
    )
    scenario = msgspec.structs.replace(scenario, traffic=tuple(streams))
    disabled, thresholds = logging.root.manager.disable, gc.get_threshold()
    logging.disable(logging.CRITICAL)  # what goes wrong here is meant to
    gc.set_threshold(*GC_THRESHOLDS)
    parent = MEMORY_DISK if MEMORY_DISK.is_dir() else None
    folder = Path(tempfile.mkdtemp(prefix="arrivals-scenario-", dir=parent))
    try:
        with asyncio.Runner(loop_factory=lambda: VirtualLoop(lambda: 0.0)) as runner:
            stage = Stage(scenario, seed, folder, runner.get_loop())  # type: ignore[arg-type]
            return runner.run(stage.play(tell))
    finally:
        gc.set_threshold(*thresholds)
        logging.disable(disabled)
        shutil.rmtree(folder, ignore_errors=True)


class Stage:
    """One scenario while it is played."""

    def __init__(self, scenario: Scenario, seed: int, folder: Path, loop: VirtualLoop) -> None:
        """Lay everything out; nothing runs yet."""
        self._scenario, self._seed = scenario, seed
        self._folder, self._loop = folder, loop
        commits, wires = SeededChance(f"{seed} commits"), SeededChance(f"{seed} wires")
        low, high = COMMIT_S
        loop.work_s = lambda: low + (high - low) * commits.uniform()
        loop.network = self._network = Network(loop, wires, lambda _: None)
        self._clock = SystemClock(
            lambda: self._now_us() * 1_000, lambda: int(loop.time() * 1e9)
        )
        self._keys = {
            name: make_api_key("test", "aa", f"sce{n:03}", bytes([n]) * 32)
            for name, n in ACCOUNTS.items()
        }
        self._clientele = Clientele(self._keys, lambda: self._process)
        self._world = CarrierWorld(
            scenario,
            seed,
            port=PORT,
            now_us=self._now_us,
            housekeeping_s=LOOK_S,
            on_act=self._clientele.acted,
        )
        self._disk = FaultyDisk(folder) if scenario.disturbances else None
        self._process: Process | None = None
        self._lives = 0

    def _now_us(self) -> int:
        began_us = MIDNIGHT_US + int(self._scenario.begins_h * 3_600_000_000)
        return began_us + int(self._loop.time() * 1e6)

    # --- the play --------------------------------------------------------------------

    async def play(self, tell: Tell | None) -> Play:
        """Play it, wait until everything has ended, and look what is said of it."""
        try:
            secrets = SeededChance(f"{self._seed} secrets")
            await install(self._folder, self._clock, secrets, self._configuration())
            await self._world.start()
            await self._begin_life()
            going_on = [
                asyncio.create_task(self._disturb(each)) for each in self._scenario.disturbances
            ]
            await self._send_all(tell)
            await asyncio.gather(*going_on)
            await self._until_all_ended()
            await self._clientele.finish()
            messages = await self._look_at_all()
            raised, _ = await self._store.read(
                lambda reader: reader.alarm_page(AlarmCursor(), PAGE_MAX)
            )
            in_turn = sorted(raised, key=lambda each: each.alarm_id)
            await self._serving.stop()
            await self._world.stop()
        finally:
            if self._disk is not None:
                self._disk.close()
        return Play(
            scenario=self._scenario,
            seed=self._seed,
            messages=messages,
            turned_away=sum(not each.key for each in self._clientele.sent),
            alarms=tuple(each.trouble.words for each in in_turn),
            broken=tuple(
                f"invariant {each.invariant}: {each.sentence}"
                for each in run_checks(self._folder, self._clock)
                if each.count
            ),
            days=self._loop.time() / DAY_S,
        )

    @property
    def _serving(self) -> Process:
        if self._process is None:
            raise RuntimeError("nobody serves")
        return self._process

    @property
    def _store(self) -> Store:
        if self._serving.store is None:
            raise RuntimeError("nobody serves")
        return self._serving.store

    async def _send_all(self, tell: Tell | None) -> None:
        began = self._loop.time()
        whole = sum(each.count * each.copies for each in self._scenario.traffic)
        for sent, send in enumerate(sends(self._scenario.traffic, self._seed)):
            await asyncio.sleep(began + send.at_s - self._loop.time())
            self._clientele.begin(send)
            if tell is not None:
                tell(self._loop.time(), sent + 1, whole)

    async def _until_all_ended(self) -> None:
        """Wait for every verdict and every truth, as long as that takes anybody."""
        deadline = self._loop.time() + ENDS_WITHIN_S
        self._be_patient(PATIENCE_AFTER)
        open_ = list(self._clientele.sent)
        while open_ or self._under_way:
            if self._loop.time() > deadline:
                return  # what is open then is said to be open
            await asyncio.sleep(LOOK_FOR_THE_END_S)
            found = [(each, await self._trace(each)) for each in open_ if each.key]
            open_ = [each for each, (trace, _) in found if not is_terminal(trace.message.state)]

    @property
    def _under_way(self) -> int:
        """How many hand-offs haven't come to their end."""
        count = self._world.truth.counters
        taken = count["handoffs"] - count["throttled"] - count["refused"]
        ended = sum(count[word] for word in TRUTHS if word != "refused")
        return taken - ended

    # --- what is said, and what happened ---------------------------------------------

    async def _trace(self, sent: Sent) -> tuple[Trace, list[TimelineEvent]]:
        account_id = ACCOUNTS[sent.send.stream.account]
        found: tuple[Trace, list[TimelineEvent]] | None = await self._store.read(
            lambda reader: reader.trace(account_id, sent.key)
        )
        if found is None:
            raise RuntimeError(f"{sent.message_id} was accepted and isn't there")
        return found

    async def _look_at_all(self) -> tuple[Seen, ...]:
        truth = self._world.truth
        if len(truth.handoffs) >= RECORDS_MAX:
            raise RuntimeError("more hand-offs than the world remembers")
        known: defaultdict[tuple[str, str, int | None], list[str]] = defaultdict(list)
        for ended in truth.endings:
            known[ended.destination, ended.text_hash, ended.reference].append(ended.ending)
        for handoff in truth.handoffs:
            if handoff.status != c.ESME_ROK:
                key = handoff.destination, handoff.text_hash, handoff.reference
                known[key].append("refused")
        found = []
        for sent in self._clientele.sent:
            if sent.key:
                trace, events = await self._trace(sent)
                endings = [
                    ending
                    for reference in sent.references(trace.message.attempts)
                    for name in sent.text_hashes
                    for ending in known[sent.send.number, name, reference]
                ]
                found.append(self._seen(sent, trace, events, endings))
        return tuple(found)

    def _seen(
        self, sent: Sent, trace: Trace, events: list[TimelineEvent], endings: list[str]
    ) -> Seen:
        platform = self._serving.platform
        forecast = platform.foresee(trace, events) if platform else None
        said = outcome_layer(trace.message, events, trace.accepted_at_us, forecast)
        return Seen(
            stream=sent.send.stream.name,
            truth=next((word for word in TRUTHS if word in endings), TRUTHS[-1]),
            arrivals=endings.count("reached"),
            state=trace.message.state,
            verdict=said.verdict or "open",
            probability=said.probability,
            charged=_is_charged(trace.message),
        )

    # --- the platform ----------------------------------------------------------------

    def _configuration(self) -> Configuration:
        named = providers_of(self._scenario)
        settings: dict[str, object] = {
            "host": "127.0.0.1",
            "port": PORT,
            "enquire_link_s": ENQUIRE_S,
        }
        return Configuration(
            providers=tuple(
                provider_as_installed(name, self._scenario, settings) for name in named
            ),
            routes=tuple(
                Route(
                    route_id=route_id,
                    name=f"Route {route_id}",
                    display_name=f"Route {route_id}",
                    category="alert",
                    access="public",
                    sender_policy="any",
                    currency="EUR",
                    providers=in_order(route_id, named),
                )
                for route_id in ROUTES
            ),
            prices={
                route_id: tuple(
                    PriceRow(country=f"Calling code {digit}", prefix=digit, price=Micros(PRICE))
                    for digit in "123456789"
                )
                for route_id in ROUTES
            },
            accounts=tuple(
                Account(account_id=n, name=name, username=name, currency="EUR", senders=SENDERS)
                for name, n in ACCOUNTS.items()
            ),
            opening_funds={n: Micros(self._funds(name)) for name, n in ACCOUNTS.items()},
            keys=tuple(
                KeyToRegister(account_id=n, name=name, key=self._keys[name])
                for name, n in ACCOUNTS.items()
            ),
        )

    def _funds(self, account: str) -> int:
        streams = [each for each in self._scenario.traffic if each.account == account]
        limits = [each.funds_for for each in streams if each.funds_for is not None]
        return PRICE * min(limits) if limits else FUNDS

    async def _begin_life(self) -> None:
        self._lives += 1
        chance = SeededChance(f"{self._seed} life {self._lives}")
        process = Process(
            self._folder, self._clock, chance, Defaults(), learns=True, patience=PATIENCE
        )
        await process.start()
        self._process = process

    def _be_patient(self, patience: float) -> None:
        if self._process is not None and self._process.platform is not None:
            self._process.platform.patience = patience

    async def _disturb(self, disturbance: Disturbance) -> None:
        """Kill or stop the process, and start another one later."""
        await asyncio.sleep(disturbance.at_s)
        process, self._process = self._process, None
        if process is None:
            return
        if disturbance.kind == "kill" and self._disk is not None:
            self._disk.take_from_the_living()
            for wire in list(self._network.wires):
                wire.cut()
        await process.stop()
        await asyncio.sleep(disturbance.lasts_s)
        await self._begin_life()


def _is_charged(message: Message) -> bool:
    return message.resolution == "captured"
