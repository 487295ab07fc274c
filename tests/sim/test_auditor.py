"""The judge is judged: mistakes are planted, and a world must show each of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from arrivals.core.catalogue import Provider
from arrivals.core.dialect import PLAIN
from arrivals.flows import receiving
from arrivals.providers.api import NotSent, Result, Unanswered
from arrivals.providers.flight import Flight
from arrivals.sim import simulation
from arrivals.sim.plan import Plan, plan_of
from arrivals.sim.simulation import Verdict, run_plan

SEEDS_MAX = 60


def is_seen(invariant: int) -> bool:
    """Tell whether one of the first seeds breaks an invariant."""
    seeds = range(1, SEEDS_MAX)
    return any(invariant in broken(run_plan(plan_of(seed))) for seed in seeds)


def broken(verdict: Verdict) -> set[int]:
    return {int(each.split()[1].rstrip(":")) for each in verdict.violations}


def blind_resend(patch: pytest.MonkeyPatch) -> None:
    """Take silence for the proof that nothing was sent."""
    real = Flight.end

    def end(self: Flight, cause: str) -> Result | None:
        result = real(self, cause)
        return NotSent(cause) if isinstance(result, Unanswered) else result

    patch.setattr(Flight, "end", end)


def forgotten_receipts(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(receiving.Receiving, "_park", lambda self, receipt: None)


def unread_dialects(patch: pytest.MonkeyPatch) -> None:
    """Speak to every provider as to most, whatever was written down."""
    patch.setattr(simulation, "fitting", lambda world: PLAIN)


def unread_logins(patch: pytest.MonkeyPatch) -> None:
    """Know of no carrier that tells one login's receipts on another's binds."""
    real = simulation._provider

    def provider(name: str, plan: Plan) -> Provider:
        return replace(real(name, plan), ids_of=None)

    patch.setattr(simulation, "_provider", provider)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("plant", "invariant"),
    [
        (blind_resend, 25),
        (forgotten_receipts, 37),
        (unread_dialects, 47),
        (unread_logins, 37),
    ],
)
def test_a_planted_mistake_is_seen(
    monkeypatch: pytest.MonkeyPatch,
    plant: Callable[[pytest.MonkeyPatch], None],
    invariant: int,
):
    plant(monkeypatch)
    assert is_seen(invariant)
