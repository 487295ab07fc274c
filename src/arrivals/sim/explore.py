"""Run many plans, and make one that fails as small as it gets."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Final

from msgspec.structs import replace

from arrivals.sim.plan import Bind, Habits, Plan, plan_of
from arrivals.sim.simulation import Verdict, run_plan
from arrivals.world.bends import Bends
from arrivals.world.breaks import NOBODY, SOUND
from arrivals.world.carrier import Carrier
from arrivals.world.dialect import ANY
from arrivals.world.provider import Provider, Receipts

SHRINK_RUNS_MAX: Final = 300
SEEDS_AT_ONCE: Final = 8  # handed to a process together


def run_seeds(seeds: Iterable[int], jobs: int = 1) -> Iterator[Verdict]:
    """Yield the verdict of each seed, in order, from `jobs` processes."""
    if jobs == 1:
        yield from map(run_seed, seeds)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context) as processes:
        try:
            yield from processes.map(run_seed, seeds, chunksize=SEEDS_AT_ONCE)
        finally:
            processes.shutdown(wait=False, cancel_futures=True)


def run_seed(seed: int) -> Verdict:
    """Run the plan of a seed."""
    return run_plan(plan_of(seed))


def shrink(plan: Plan, verdict: Verdict, tell: Callable[[str], None]) -> Plan:
    """Return the smallest plan found that breaks the same invariant as this verdict."""
    wanted = _broken(verdict)
    runs = 0
    going = True
    while going:
        going = False
        for smaller in _smaller(plan):
            if runs >= SHRINK_RUNS_MAX:
                return plan
            runs += 1
            if wanted & _broken(run_plan(smaller)):
                plan, going = smaller, True
                tell(f"{runs} runs: {size_of(plan)}")
                break
    return plan


def size_of(plan: Plan) -> str:
    """Say in words how much goes on in a plan."""
    habits = [name for name in Habits.__struct_fields__ if getattr(plan.habits, name)]
    faults = [fault.kind for fault in plan.faults]
    return f"{len(plan.sends)} sends, faults: {', '.join(faults + habits) or 'none'}"


def _broken(verdict: Verdict) -> set[str]:
    """Return the invariants that a run broke, as its violations name them."""
    return {each.partition(":")[0] for each in verdict.violations}


def _smaller(plan: Plan) -> Iterator[Plan]:
    """Yield plans with a little less in them, the boldest first."""
    yield from _with_less_trouble(plan)
    yield from _with_fewer_sends(plan)
    yield from _with_calmer_parts(plan)


def _with_fewer_sends(plan: Plan) -> Iterator[Plan]:
    sends = plan.sends
    step = len(sends) // 2
    while step:
        for at in range(0, len(sends), step):
            yield replace(plan, sends=sends[:at] + sends[at + step :])
        step //= 2


def _with_less_trouble(plan: Plan) -> Iterator[Plan]:
    faults = plan.faults
    if len(faults) > 1:
        half = len(faults) // 2
        yield replace(plan, faults=faults[half:])
        yield replace(plan, faults=faults[:half])
    for n in range(len(faults)):
        yield replace(plan, faults=faults[:n] + faults[n + 1 :])
    for name in Habits.__struct_fields__:
        if getattr(plan.habits, name):
            yield replace(plan, habits=replace(plan.habits, **{name: 0.0}))


def _with_calmer_parts(plan: Plan) -> Iterator[Plan]:
    if plan.crowd:
        yield replace(plan, crowd=plan.crowd // 2)
    for name in plan.elsewhere:
        yield replace(plan, elsewhere=tuple(each for each in plan.elsewhere if each != name))
    calm, usual, plain = Provider(window=200), Bind(), Carrier(name="carrier")
    for name, world in plan.worlds.items():
        for quieter in (calm, *_less_odd(world)):
            if world != quieter:
                yield replace(plan, worlds={**plan.worlds, name: quieter})
    for name, bind in plan.binds.items():
        if bind != usual:
            yield replace(plan, binds={**plan.binds, name: usual})
    if plan.carrier != plain:
        yield replace(plan, carrier=plain)


def _less_odd(world: Provider) -> Iterator[Provider]:
    """Yield a provider without one of its oddities."""
    yield replace(world, dialect=ANY)
    yield replace(world, holds=NOBODY)
    yield replace(world, breaks=SOUND)
    bends = world.receipts.bends
    for name in Bends.__struct_fields__:
        straighter = replace(bends, **{name: {}})
        yield replace(world, receipts=replace(world.receipts, bends=straighter))
    yield replace(world, receipts=Receipts())
