"""The providers that nobody here invented: what they want, how they write, whom they hold.

Each kind of oddity has dice of its own, by seed, provider and kind. What the platform is told
of a provider is what its operator would write down: mostly all of it, sometimes nothing.
"""

from __future__ import annotations

from typing import Final, TypeVar, get_args

import msgspec

from arrivals.sim.dice import Dice
from arrivals.world.bends import (
    STRAIGHT,
    AddressForm,
    Bends,
    ClassForm,
    StateForm,
    Tail,
    TextForm,
    Wording,
)
from arrivals.world.breaks import NOBODY, SOUND, Breaks, Holds
from arrivals.world.dialect import ANY, Dialect, SenderWanted
from arrivals.world.provider import Provider

F = TypeVar("F", bound=str)
T = TypeVar("T")

# Codes that blame how a message is written: its length, its sender's type, its validity, an
# optional parameter that is there, one that isn't.
BLAMES: Final = (0x01, 0x48, 0x62, 0xC1, 0xC3)
OFTEN: Final = 0.12  # each table of receipts' forms
SHARES: Final = (0.3, 1.0)
SYSTEM_TYPES: Final = ("SMPP", "VMA", "CMT")
SERVICE_TYPES: Final = ("CMT", "VMA")
VERSIONS: Final = (0x33, 0x34, 0x50)
# What alphanumeric senders are to a provider that doesn't take them for 5 and 0.
SENDER_TYPES: Final = ((5, 1), (0, 0), (0, 1))


def odd(seed: int, name: str, world: Provider) -> Provider:
    """Return a provider with the oddities that this seed gives it."""
    dice = Dice(f"{seed} {name} receipts")
    receipts = msgspec.structs.replace(
        world.receipts,
        bends=_bends(Dice(f"{seed} {name} bends")),
        progress=dice.share(0.12, 0.5),
        before_bind_answer=dice.happens(0.15),
    )
    return msgspec.structs.replace(
        world,
        receipts=receipts,
        dialect=_dialect(Dice(f"{seed} {name} dialect")),
        holds=_holds(Dice(f"{seed} {name} holds")),
        breaks=_breaks(Dice(f"{seed} {name} blames")),
    )


def is_told(seed: int, name: str) -> bool:
    """Tell whether the platform's operator wrote down how a provider is."""
    return Dice(f"{seed} {name} told").happens(0.85)


def _dialect(dice: Dice) -> Dialect:
    drawn = Dialect(
        system_type=_sometimes(dice, None, *SYSTEM_TYPES),
        interface_version=_sometimes(dice, None, *VERSIONS),
        address_range=_sometimes(dice, None, "316.*"),
        service_type=_sometimes(dice, None, *SERVICE_TYPES),
        refuses_tlvs=_sometimes(dice, "", "not_allowed", "bad_stream", "bad_length"),
        user_message_reference=not dice.happens(0.1),
        validity=_sometimes(dice, ANY.validity, ("relative",), ("absolute",), ("none",)),
        alphabet=_sometimes(dice, "gsm7", "latin-1", "ascii"),
        senders=_sometimes(dice, (), *(_alphanumeric(*each) for each in SENDER_TYPES)),
        long_messages=_sometimes(dice, ANY.long_messages, ("udh",), ("sar",), ("payload",)),
    )
    if not dice.happens(0.4):
        return ANY
    if drawn.refuses_tlvs or not drawn.user_message_reference:
        return msgspec.structs.replace(drawn, long_messages=("udh",))
    return drawn


def _sometimes(dice: Dice, mostly: T, *else_: T) -> T:
    picked = dice.pick(*else_)
    return picked if dice.happens(0.3) else mostly


def _alphanumeric(ton: int, npi: int) -> tuple[SenderWanted, ...]:
    return (SenderWanted(pattern="[A-Za-z].*", ton=ton, npi=npi),)


def _bends(dice: Dice) -> Bends:
    drawn = Bends(
        wordings=_forms(dice, get_args(Wording)),
        texts=_forms(dice, get_args(TextForm)),
        tails=_forms(dice, get_args(Tail)),
        classes=_forms(dice, get_args(ClassForm)),
        addresses=_forms(dice, get_args(AddressForm)),
        states=_forms(dice, get_args(StateForm)),
    )
    return STRAIGHT if drawn == STRAIGHT else drawn


def _forms(dice: Dice, forms: tuple[F, ...]) -> dict[F, float]:
    form, share = dice.pick(*forms), dice.pick(*SHARES)
    return {form: share} if dice.happens(OFTEN) else {}


def _holds(dice: Dice) -> Holds:
    drawn = Holds(
        numbers=dice.share(0.5, 0.2),
        times=dice.pick(None, None, 1, 3),
        parts=dice.share(0.5, 0.4),
        word=dice.pick("throttled", "queue_full"),
        refuses_parts=dice.share(0.3, 0.3),
    )
    return drawn if dice.happens(0.2) else NOBODY


def _breaks(dice: Dice) -> Breaks:
    code = dice.pick(*BLAMES)
    return Breaks(blames=code) if dice.happens(0.04) else SOUND
