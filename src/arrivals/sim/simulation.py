"""Run one plan to its end: the real process, real carriers' worlds, and the auditor between.

    customers ──HTTP in process──▶ Process ──SMPP──▶ meddlers ──▶ one carrier world a provider
                                      │                 │
                                  SQLite (disk)      auditor

First there is trouble, for as long as the plan says. Then everything is made whole, and within
a bounded time every message must have ended (liveness), as the auditor saw it end (safety).
"""

from __future__ import annotations

import asyncio
import gc
import logging
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from arrivals.clock import SeededChance, SystemClock
from arrivals.core.catalogue import Account, Provider, Route
from arrivals.core.dialect import PLAIN
from arrivals.core.ids import make_api_key
from arrivals.core.money import Micros
from arrivals.core.pricing import PriceRow
from arrivals.flows.configuration import Configuration, KeyToRegister
from arrivals.flows.plan import Defaults
from arrivals.sim.auditor import RESPONSE_TIMEOUT_S, Auditor
from arrivals.sim.customers import ACCOUNTS, PRICE, VALID_FOR_S, Customers
from arrivals.sim.dice import Dice
from arrivals.sim.loop import Stuck, VirtualLoop
from arrivals.sim.meddler import Mischief, WireMeddler
from arrivals.sim.network import Meddler, Network, Wire
from arrivals.sim.plan import OTHER, PROVIDERS, SLOWING, Fault, Habits, Plan
from arrivals.sim.process import Process, install
from arrivals.store.api import StoreError
from arrivals.store.faulty_disk import FaultyDisk
from arrivals.store.verifying import run_checks
from arrivals.world.breaks import Breaks
from arrivals.world.installation import fitting
from arrivals.world.scenario import Scenario
from arrivals.world.smsc import CarrierWorld

APART_US: Final = 7_000_000
BEGAN_US: Final = 1_800_000_000 * 1_000_000
PORTS: Final = {"north": 2775, "south": 2776}
FUNDS: Final = {"blue": 1_000_000_000, "green": 1_000_000_000, "poor": 5 * PRICE}
REFUND_ON: Final = {"green": frozenset({"failed", "expired", "unknown"})}
GRACE_S: Final = 15
# Validity and grace; twice, for a clock that was set back runs at half its speed.
ENDS_WITHIN_S: Final = 2 * (2 * VALID_FOR_S + GRACE_S) + 120
LATER: Final = frozenset({32, 48})  # invariants that the next life sees to
COMMIT_S: Final = (0.0001, 0.01)
MEMORY_DISK: Final = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
_QUIET: Final = Habits()


class Verdict(msgspec.Struct, frozen=True):
    """What one run came to."""

    seed: int
    violations: list[str]
    digest: str
    events: int
    recipients: int
    handoffs: int
    seconds: float  # of the run's own time
    outcomes: dict[str, int]


def run_plan(plan: Plan, tell: Callable[[str], None] | None = None) -> Verdict:
    """Run a plan; `tell` gets the story, a line an event."""
    logging.disable(logging.CRITICAL)  # what goes wrong here is meant to
    gc.disable()  # a run is short and small, and a quarter faster without
    parent = MEMORY_DISK if MEMORY_DISK.is_dir() else None
    folder = Path(tempfile.mkdtemp(prefix="arrivals-sim-", dir=parent))
    try:
        with asyncio.Runner(loop_factory=lambda: VirtualLoop(lambda: 0.0)) as runner:
            simulation = Simulation(plan, folder, runner.get_loop())  # type: ignore[arg-type]
            try:
                runner.run(simulation.run())
            except Stuck as stuck:
                simulation.auditor.violation(47, str(stuck))
            finally:
                simulation.disk.close()
        if tell is not None:
            for line in simulation.auditor.story:
                tell(line)
        return simulation.verdict()
    finally:
        gc.enable()
        logging.disable(logging.NOTSET)
        shutil.rmtree(folder, ignore_errors=True)


class Simulation:
    """One run."""

    def __init__(self, plan: Plan, folder: Path, loop: VirtualLoop) -> None:
        """Lay everything out; nothing runs yet."""
        self.plan = plan
        self.auditor = Auditor(plan, loop.time, FUNDS)
        self.disk = FaultyDisk(folder)
        self._loop, self._folder = loop, folder
        self._jumped_us = 0
        self._clock = SystemClock(self._wall_ns, lambda: int(loop.time() * 1e9))
        self._commit_s = COMMIT_S
        dice = Dice(f"{plan.seed} machine")
        loop.work_s = lambda: dice.between(*self._commit_s)
        loop.set_exception_handler(self._unhandled)
        chance = SeededChance(f"{plan.seed} network")
        loop.network = self._network = Network(loop, chance, self._meddle, plan.habits.fragment)
        self._mischief = {
            name: Mischief(name, plan.habits, Dice(f"{plan.seed} {name}")) for name in PROVIDERS
        }
        for name, mischief in self._mischief.items():
            mischief.other = self._mischief[OTHER[name]]
            mischief.elsewhere = name in plan.elsewhere
        self._worlds = {name: self._world(n, name) for n, name in enumerate(PROVIDERS)}
        self._lives = 0
        self._process: Process | None = None
        self._changing = asyncio.Lock()
        self._troubled = True
        self._keys = {
            name: make_api_key("test", "aa", f"sim{n:03}", bytes([n]) * 32)
            for n, name in enumerate(ACCOUNTS, 1)
        }
        self._customers = Customers(
            plan, self.auditor, self._keys, lambda: self._process, lambda: self._troubled
        )

    # --- the run ---------------------------------------------------------------------

    async def run(self) -> None:
        """Play the plan, make everything whole, and judge."""
        secrets = SeededChance(f"{self.plan.seed} secrets")
        await install(self._folder, self._clock, secrets, self._configuration())
        for world in self._worlds.values():
            await world.start()
        await self._begin_life()
        customers = asyncio.create_task(self._customers.act())
        faults = [asyncio.create_task(self._fault(each)) for each in self.plan.faults]
        await asyncio.sleep(self.plan.over_s)
        await asyncio.gather(*faults)
        self._make_whole()
        await customers
        await self._until_all_ended()
        if self._process is not None:
            await self._process.stop()
        self._verify("at the end")
        for world in self._worlds.values():
            await world.stop()

    async def _until_all_ended(self) -> None:
        deadline = self._loop.time() + ENDS_WITHIN_S
        while not await self._customers.look_at_the_end(FUNDS):
            if self._loop.time() > deadline:
                self.auditor.violation(32, f"something is open {ENDS_WITHIN_S} s after the end")
                return
            await asyncio.sleep(10)
        if self._process is not None and (dead := self._process.dead_parts):
            self.auditor.violation(47, f"{', '.join(dead)} stopped")

    def _verify(self, when: str) -> None:
        """Ask the database itself, by `arrivals verify`."""
        for finding in run_checks(self._folder, self._clock):
            # What came due while nobody served, or was being sent, is done by the next life.
            is_late = finding.invariant in LATER and self._troubled
            if finding.count and not is_late:
                self.auditor.violation(
                    finding.invariant, f"{when}: {finding.sentence} {finding.samples}"
                )

    def verdict(self) -> Verdict:
        """Return what it came to."""
        recipients = self.auditor.recipients.values()
        return Verdict(
            seed=self.plan.seed,
            violations=self.auditor.violations,
            digest=self.auditor.digest,
            events=self.auditor.seen,
            recipients=len(recipients),
            handoffs=sum(len(each.submits) for each in recipients),
            seconds=round(self._loop.time(), 3),
            outcomes=dict(sorted(self.auditor.outcomes.items())),
        )

    # --- the parts -------------------------------------------------------------------

    def _wall_ns(self) -> int:
        return (BEGAN_US + int(self._loop.time() * 1e6) + self._jumped_us) * 1_000

    def _meddle(self, wire: Wire) -> Meddler:
        name = next(name for name, port in PORTS.items() if port == wire.port)
        return WireMeddler(wire, self._mischief[name], self.auditor)

    def _world(self, nth: int, name: str) -> CarrierWorld:
        scenario = Scenario(
            name=name,
            about="simulated",
            providers={"default": self.plan.worlds[name]},
            carriers=(self.plan.carrier,),
            expect={},
        )
        return CarrierWorld(
            scenario,
            self.plan.seed,
            port=PORTS[name],
            # Each begins its ids at its own time, so no two providers give the same.
            now_us=lambda: BEGAN_US + nth * APART_US + int(self._loop.time() * 1e6),
            housekeeping_s=1.0,
        )

    def _configuration(self) -> Configuration:
        return Configuration(
            providers=tuple(_provider(name, self.plan) for name in PROVIDERS),
            routes=(
                Route(
                    route_id=1,
                    name="Simulated",
                    display_name="Simulated",
                    category="alert",
                    access="public",
                    sender_policy="any",
                    currency="EUR",
                    providers=PROVIDERS,
                    on_ambiguous=self.plan.policy,
                ),
            ),
            prices={1: (PriceRow(country="Netherlands", prefix="31", price=Micros(PRICE)),)},
            accounts=tuple(_account(n, name) for n, name in enumerate(ACCOUNTS, 1)),
            opening_funds={n: Micros(FUNDS[name]) for n, name in enumerate(ACCOUNTS, 1)},
            keys=tuple(
                KeyToRegister(account_id=n, name=name, key=self._keys[name])
                for n, name in enumerate(ACCOUNTS, 1)
            ),
        )

    def _unhandled(self, loop: Any, context: dict[str, Any]) -> None:  # noqa: ARG002
        error = context.get("exception")
        if error is not None and not isinstance(error, StoreError):
            self.auditor.violation(31, f"nobody handled {error!r}: {context.get('message')}")

    # --- lives and deaths ------------------------------------------------------------

    async def _begin_life(self) -> None:
        self._lives += 1
        chance = SeededChance(f"{self.plan.seed} life {self._lives}")
        defaults = Defaults(valid_for_s=VALID_FOR_S, outcome_grace_s=GRACE_S, resend_after_s=5)
        process = Process(self._folder, self._clock, chance, defaults)
        await process.start()
        self.auditor.note("the process begins")
        self._process = process

    async def _end_life(self, *, killed: bool, away_s: float) -> None:
        async with self._changing:
            process, self._process = self._process, None
            if process is None:
                return
            self.auditor.note("the process is killed" if killed else "the process is stopped")
            # What a slow or failing disk didn't let a stop write down is in doubt as well.
            if killed or any(fault.kind in SLOWING for fault in self.plan.faults):
                self.auditor.deaths += 1
            if killed:
                self.disk.take_from_the_living()
                for wire in list(self._network.wires):
                    wire.cut()
            await process.stop()
            await asyncio.sleep(away_s)
            self._verify("after a death" if killed else "after a stop")
            await self._begin_life()

    def _make_whole(self) -> None:
        """End all trouble."""
        self.auditor.note("the trouble is over")
        self._troubled = False
        self.disk.full = False
        self._commit_s = COMMIT_S
        for mischief in self._mischief.values():
            mischief.habits = _QUIET
            mischief.throttled_until = 0.0

    # --- faults ----------------------------------------------------------------------

    async def _fault(self, fault: Fault) -> None:
        await asyncio.sleep(fault.at_s)
        self.auditor.note(f"fault {fault.kind} {fault.provider} {fault.lasts_s} {fault.amount}")
        begin: Any = getattr(self, f"_fault_{fault.kind}")
        await begin(fault)

    async def _fault_cut(self, fault: Fault) -> None:
        for wire in self._network.to(PORTS[fault.provider]):
            wire.cut()

    async def _fault_half_open(self, fault: Fault) -> None:
        for wire in self._network.to(PORTS[fault.provider]):
            wire.hold(fault.lasts_s)

    async def _fault_away(self, fault: Fault) -> None:
        world = self._worlds[fault.provider]
        await world.go_away()
        await asyncio.sleep(fault.lasts_s)
        await world.come_back()

    async def _fault_bind_refused(self, fault: Fault) -> None:
        world = self._worlds[fault.provider]
        world.refuse_binds()
        for wire in self._network.to(PORTS[fault.provider]):
            wire.cut()
        await asyncio.sleep(fault.lasts_s)
        world.refuse_binds(False)  # noqa: FBT003 - a switch

    async def _fault_garbage(self, fault: Fault) -> None:
        world = self._worlds[fault.provider]
        world.garbage()
        await asyncio.sleep(fault.lasts_s)
        world.garbage(False)  # noqa: FBT003 - a switch

    async def _fault_crash_loop(self, fault: Fault) -> None:
        await self._break_down(fault, Breaks(drops_after=int(fault.amount), sends_on=0.5))

    async def _fault_mute(self, fault: Fault) -> None:
        await self._break_down(fault, Breaks(mute=True, sends_on=0.5))

    async def _fault_forgets(self, fault: Fault) -> None:
        amount = int(fault.amount)
        await self._break_down(fault, Breaks(forgets_after=amount, forgets_link=amount % 2 > 0))

    async def _break_down(self, fault: Fault, breaks: Breaks) -> None:
        world = self._worlds[fault.provider]
        world.break_down(breaks)
        await asyncio.sleep(fault.lasts_s)
        world.break_down(None)

    async def _fault_throttle_storm(self, fault: Fault) -> None:
        until = self._loop.time() + fault.lasts_s
        mischief = self._mischief[fault.provider]
        mischief.throttled_until = max(mischief.throttled_until, until)

    async def _fault_clock_jump(self, fault: Fault) -> None:
        self._jumped_us += int(fault.amount * 1e6)

    async def _fault_stall(self, fault: Fault) -> None:
        """Let nothing reach the process and nothing be done by it, as if it were stopped."""
        for wire in self._network.wires:
            wire.hold(fault.lasts_s)
        self._commit_s = (fault.lasts_s, fault.lasts_s)
        await asyncio.sleep(0.05)
        self._commit_s = COMMIT_S

    async def _fault_slow_disk(self, fault: Fault) -> None:
        self._commit_s = (COMMIT_S[0], fault.amount)
        await asyncio.sleep(fault.lasts_s)
        self._commit_s = COMMIT_S

    async def _fault_disk_full(self, fault: Fault) -> None:
        self.disk.full = True
        await asyncio.sleep(fault.lasts_s)
        self.disk.full = False

    async def _fault_disk_error(self, fault: Fault) -> None:
        self.disk.fail_in(int(fault.amount))

    async def _fault_crash(self, fault: Fault) -> None:
        await self._end_life(killed=True, away_s=fault.lasts_s)

    async def _fault_restart(self, fault: Fault) -> None:
        await self._end_life(killed=False, away_s=fault.lasts_s)


def _provider(name: str, plan: Plan) -> Provider:
    bind, world = plan.binds[name], plan.worlds[name]
    return Provider(
        provider_id=name,
        sandbox=True,
        window=bind.window,
        throughput=bind.throughput or None,
        expired_is_final=bind.expired_is_final,
        receipts_per=world.receipts.per,
        error_namespace="carrier_world",
        dialect=fitting(world) if bind.told else PLAIN,
        ids_of=bind.ids_of or None,
        settings={
            "host": "127.0.0.1",
            "port": PORTS[name],
            "system_id": name,
            "password": "world",
            "bind": bind.kind,
            "response_timeout_s": RESPONSE_TIMEOUT_S,
        },
    )


def _account(account_id: int, name: str) -> Account:
    refund_on = REFUND_ON.get(name, frozenset())
    return Account(
        account_id=account_id,
        name=name,
        username=name,
        currency="EUR",
        refund_on=refund_on,
        recharge=bool(refund_on),
    )
