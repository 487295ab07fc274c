"""What happens in one run, as data: drawn from a seed, written down, and made smaller.

Each seed picks its own few kinds of trouble, at its own rates: runs in which everything goes
wrong at once hide what one fault alone would show. Chance comes in sequences by name (the
plan's, each send's, each provider's), so taking a send or a fault out leaves the others theirs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from arrivals.sim.dice import Dice
from arrivals.sim.oddities import BLAMES, is_told, odd
from arrivals.world.breaks import Breaks, Holds, Throttle
from arrivals.world.carrier import Carrier, Failures, Filter
from arrivals.world.provider import Provider, Rate, Receipts
from arrivals.world.tables import Delay, LongTail

PROVIDERS: Final = ("north", "south")
OTHER: Final = {"north": "south", "south": "north"}

FAULTS: Final = {  # kind: how long one lasts at most, in seconds
    "cut": 0.0,  # every connection to a provider breaks
    "away": 40.0,  # a provider isn't there
    "half_open": 60.0,  # nothing arrives at either end, and nobody is told
    "bind_refused": 20.0,
    "throttle_storm": 30.0,
    "garbage": 5.0,  # a provider writes junk
    "clock_jump": 0.0,  # by `amount` seconds, forward or back
    "stall": 30.0,  # the process stands still
    "slow_disk": 20.0,  # each commit takes up to `amount` seconds
    "disk_full": 20.0,
    "disk_error": 0.0,  # the statement that is `amount` statements away fails
    "crash": 5.0,  # the process is killed, and started again later
    "restart": 2.0,  # the process is stopped in order, and started again later
}
SLOWING: Final = frozenset({"slow_disk", "disk_full", "disk_error", "stall"})
BREAKDOWNS: Final = {  # the same, of a provider that still binds
    "crash_loop": 25.0,  # it drops each bind after `amount` submits, all unanswered
    "mute": 25.0,  # it takes everything and answers nothing
    "forgets": 15.0,  # after `amount` submits it doesn't know the bind any more
}
# Runs in which one thing is odd and nothing else goes wrong, so that more can be demanded.
CALM: Final = ("held_numbers", "crash_loop", "blames")
CALM_SHARE: Final = 0.06


class Fault(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that goes wrong, and when."""

    kind: str
    at_s: float
    lasts_s: float = 0.0
    provider: str = ""
    amount: float = 0.0


class Habits(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the network does to PDUs and requests while there are faults: shares of them."""

    lose_answer: float = 0.0
    late_answer: float = 0.0
    double_answer: float = 0.0
    misnumber_answer: float = 0.0  # with a sequence number that nobody asked under
    lose_receipt: float = 0.0
    double_receipt: float = 0.0
    delay_receipt: float = 0.0  # so that they change places
    junk_receipt: float = 0.0  # of any bytes, beside a real one
    foreign_receipt: float = 0.0  # a real one, told by the other provider as well
    hang_up: float = 0.0  # customers that don't wait for the answer
    fragment: float = 0.0  # reads that come in two pieces


class Bind(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the platform uses one provider."""

    window: int = 10
    throughput: float = 0.0
    kind: str = "transceiver"
    expired_is_final: bool = True
    told: bool = True  # how the provider is, as far as it isn't as most are
    ids_of: str = ""  # the provider whose ids its receipts may tell beside its own


class Plan(msgspec.Struct, frozen=True, omit_defaults=True):
    """One run."""

    seed: int
    sends: tuple[int, ...]  # by number; each has its own chance
    over_s: float  # sends and faults come within this time
    policy: str  # on_ambiguous
    habits: Habits
    faults: tuple[Fault, ...]
    binds: dict[str, Bind]
    worlds: dict[str, Provider]
    carrier: Carrier
    elsewhere: tuple[str, ...] = ()  # whose receipts come on the other's binds
    crowd: int = 0  # others that are written to at once, at the beginning
    calm: str = ""  # the one thing that is odd


def plan_of(seed: int) -> Plan:
    """Draw a plan."""
    dice = Dice(f"{seed} plan")
    over_s = dice.between(10, 40)
    plan = Plan(
        seed=seed,
        sends=tuple(range(int(dice.between(3, 15)))),
        over_s=over_s,
        policy=dice.pick("wait", "wait", "resend", "fail"),
        habits=_habits(dice),
        faults=tuple(_faults(dice, over_s)),
        binds={name: _bind(dice) for name in PROVIDERS},
        worlds={name: _shouting(seed, name, _world(dice)) for name in PROVIDERS},
        carrier=_carrier(dice),
    )
    calm = Dice(f"{seed} calm")
    return _calm(calm, plan) if calm.happens(CALM_SHARE) else _odd(plan)


def _odd(plan: Plan) -> Plan:
    """Return a plan with providers that are odd, and break down in ways of their own."""
    seed = plan.seed
    faults = (*plan.faults, *_breakdowns(Dice(f"{seed} breakdowns"), plan.over_s))
    logins = Dice(f"{seed} logins")
    elsewhere = logins.pick(("north",), ("south",), PROVIDERS) if logins.happens(0.1) else ()
    knows = logins.happens(0.85)
    return msgspec.structs.replace(
        plan,
        faults=tuple(sorted(faults, key=lambda fault: fault.at_s)),
        binds={
            name: msgspec.structs.replace(
                bind,
                told=is_told(seed, name),
                ids_of=OTHER[name] if knows and OTHER[name] in elsewhere else "",
            )
            for name, bind in plan.binds.items()
        },
        worlds={name: odd(seed, name, world) for name, world in plan.worlds.items()},
        elsewhere=elsewhere,
    )


def _breakdowns(dice: Dice, over_s: float) -> Iterator[Fault]:
    for kind, lasts_s in BREAKDOWNS.items():
        if dice.happens(0.1):
            yield Fault(
                kind=kind,
                at_s=round(dice.between(0, over_s), 3),
                lasts_s=round(dice.between(1, lasts_s), 3),
                provider=dice.pick(*PROVIDERS),
                amount=float(int(dice.between(1, 12))),
            )


def _calm(dice: Dice, plan: Plan) -> Plan:
    """Return a plan in which one provider is odd in one way, with a crowd to show it."""
    calm = dice.pick(*CALM)
    window = int(dice.pick("5", "10", "20"))
    word: Throttle = dice.pick("throttled", "queue_full")
    plain = Provider(window=200, answer=Delay(median_s=0.02, sigma=0.5))
    holds = Holds(numbers=round(dice.between(0.02, 0.1), 3), word=word)
    breaks = {
        "crash_loop": Breaks(drops_after=int(dice.between(1, window + 1))),
        "blames": Breaks(blames=dice.pick(*BLAMES)),
    }
    odd_one = msgspec.structs.replace(
        plain,
        holds=holds if calm == "held_numbers" else plain.holds,
        breaks=breaks.get(calm, plain.breaks),
    )
    return msgspec.structs.replace(
        plan,
        habits=Habits(),
        faults=(),
        binds={name: Bind(window=window, kind=plan.binds[name].kind) for name in PROVIDERS},
        worlds={"north": odd_one, "south": plain},
        carrier=Carrier(name="carrier"),
        policy="wait",
        crowd=int(dice.between(40, 100)),
        calm=calm,
    )


def _habits(dice: Dice) -> Habits:
    most = 0.4 if dice.happens(0.3) else 0.1
    names = [name for name in Habits.__struct_fields__ if name != "fragment"]
    rates = {name: dice.share(0.3, most) for name in names} | {"fragment": dice.share(0.5, 0.5)}
    return Habits(**{name: rate for name, rate in rates.items() if rate})


def _faults(dice: Dice, over_s: float) -> Iterator[Fault]:
    kinds = [kind for kind in FAULTS if dice.happens(0.25)]
    for kind in kinds:
        for _ in range(1 + int(dice.between(0, 3))):
            fault = Fault(
                kind=kind,
                at_s=round(dice.between(0, over_s), 3),
                lasts_s=round(dice.between(0.01, FAULTS[kind]), 3) if FAULTS[kind] else 0.0,
                provider=dice.pick(*PROVIDERS),
            )
            yield msgspec.structs.replace(fault, amount=_amount(kind, dice))


def _amount(kind: str, dice: Dice) -> float:
    if kind == "clock_jump":
        return float(dice.pick("-3600", "-315360000", "-30", "20", "90", "3600"))
    if kind == "slow_disk":
        return round(dice.between(0.05, 3.0), 3)
    return float(int(dice.between(1, 60))) if kind == "disk_error" else 0.0


def _bind(dice: Dice) -> Bind:
    return Bind(
        window=int(dice.pick("1", "2", "5", "10", "50")),
        throughput=float(dice.pick("0", "0", "5", "20")),
        kind=dice.pick("transceiver", "transmitter+receiver"),
        expired_is_final=dice.happens(0.7),
    )


def _world(dice: Dice) -> Provider:
    receipts = Receipts(
        coverage=1.0 if dice.happens(0.5) else 0.9,
        delay=Delay(median_s=round(dice.between(0, 3), 2), sigma=1.0),
        late=dice.share(0.3, 0.2),
        late_delay=Delay(median_s=20.0, sigma=1.0),
        duplicated=dice.share(0.3, 0.3),
        reordered=dice.share(0.3, 0.3),
        contradicted=dice.share(0.2, 0.2),
        before_answer=dice.share(0.4, 0.4),
        per="segment" if dice.happens(0.7) else "message",
        echo_reference=dice.happens(0.6),
        tlvs=dice.happens(0.6),
        any_bind=dice.happens(0.3),
    )
    return Provider(
        password="world",  # noqa: S106 - of a simulated provider
        window=200,
        answer=Delay(median_s=round(dice.between(0, 0.5), 3), sigma=0.8),
        errors=dice.share(0.3, 0.2),
        refusals=dice.share(0.3, 0.1),
        lost_answers=dice.share(0.3, 0.2),
        lost_answers_dropped=0.5 if dice.happens(0.5) else 0.0,
        fabricates=dice.share(0.2, 0.2),
        rate=Rate(per_s=5.0, over="throttle") if dice.happens(0.25) else Rate(),
        id_form=_ID_FORMS[int(dice.between(0, len(_ID_FORMS)))],
        receipts=receipts,
    )


def _shouting(seed: int, name: str, world: Provider) -> Provider:
    """Let half of those who write ids in hexadecimal answer in capitals and not report so."""
    if world.id_form == "hex" and Dice(f"{seed} {name} shouts").happens(0.5):
        return msgspec.structs.replace(world, id_form="capital_hex_then_hex")
    return world


def _carrier(dice: Dice) -> Carrier:
    return Carrier(
        name="carrier",
        radio=Delay(median_s=1.0, sigma=1.0),
        off=LongTail(share=dice.share(0.3, 0.2), scale_s=100.0),
        failures=Failures(share=dice.share(0.5, 0.2), errors={"002": 1.0, "003": 1.0}),
        filter=Filter(base=dice.share(0.3, 0.2), modes={"reported": 1.0, "silent": 1.0}),
    )


_ID_FORMS: Final = (
    "decimal", "hex", "hex_then_decimal", "decimal_then_hex", "padded_decimal",
)  # fmt: skip
