"""What happens in one run, as data: drawn from a seed, written down, and made smaller.

Each seed picks its own few kinds of trouble, at its own rates: runs in which everything goes
wrong at once hide what one fault alone would show. Chance comes in sequences by name (the
plan's, each send's, each provider's), so taking a send or a fault out leaves the others theirs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from arrivals.clock import SeededChance
from arrivals.world.carrier import Carrier, Failures, Filter
from arrivals.world.provider import Provider, Rate, Receipts
from arrivals.world.tables import Delay, LongTail

PROVIDERS: Final = ("north", "south")

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


def plan_of(seed: int) -> Plan:
    """Draw a plan."""
    dice = Dice(f"{seed} plan")
    over_s = dice.between(10, 40)
    return Plan(
        seed=seed,
        sends=tuple(range(int(dice.between(3, 15)))),
        over_s=over_s,
        policy=dice.pick("wait", "wait", "resend", "fail"),
        habits=_habits(dice),
        faults=tuple(sorted(_faults(dice, over_s), key=lambda fault: fault.at_s)),
        binds={name: _bind(dice) for name in PROVIDERS},
        worlds={name: _shouting(seed, name, _world(dice)) for name in PROVIDERS},
        carrier=_carrier(dice),
    )


class Dice:
    """Draws, of one name."""

    def __init__(self, name: str) -> None:
        """Begin the sequence of this name."""
        self.chance = SeededChance(name)

    def happens(self, share: float) -> bool:
        """Tell whether something of this share happens."""
        return self.chance.uniform() < share

    def between(self, low: float, high: float) -> float:
        """Draw a number."""
        return low + (high - low) * self.chance.uniform()

    def pick(self, *of: str) -> str:
        """Draw one of several."""
        return of[int(self.chance.uniform() * len(of))]

    def share(self, often: float, most: float) -> float:
        """Draw a share that is zero unless this kind of trouble is in this run."""
        value = round(self.between(0.01, most), 3)
        return value if self.happens(often) else 0.0


def _habits(dice: Dice) -> Habits:
    most = 0.4 if dice.happens(0.3) else 0.1
    names = [name for name in Habits.__struct_fields__ if name != "fragment"]
    rates = {name: dice.share(0.3, most) for name in names}
    return Habits(**rates, fragment=dice.share(0.5, 0.5))


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
