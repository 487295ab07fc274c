"""What callers and operators want of an installation, and all that they and carriers know.

The n-th wish of a seed is always the same: its texts, its numbers, its idempotency key. So
whoever isn't answered can ask again after a crash, and whoever judges can tell what was wanted.

`Outside` is everything that a crash of ours can't touch: who asked, who was told what, which
bytes reached a provider, which receipts were acknowledged. It learns by *lines*, which a
witness writes down as they happen; read again, they give the same Outside.

Covered: accept (one, several, partly, scheduled, with its key again, refused), streams, claim
and intent, every answer, receipts (early, again, contradictory, of nobody), settlement, refund
and recharge, cancel and confirm, funding, new prices, sweeps, diversion, a new epoch, recovery,
forgetting. Not covered: webhooks, which Arrivals doesn't have yet.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache
from typing import Any

from arrivals.core.catalogue import Account, Provider, Route
from arrivals.core.money import Micros
from arrivals.core.pricing import PriceRow
from arrivals.flows.configuration import Configuration
from arrivals.providers.api import Receipt
from tests.proof.carriers import fate, stray

Line = list[Any]

PROVIDERS = ("north", "south")
PATIENT, REFUNDED, POOR = 1, 2, 3  # accounts
OPENING_FUNDS = {PATIENT: 50_000_000, REFUNDED: 50_000_000, POOR: 150_000}
REFUND_ON = {REFUNDED: frozenset({"failed", "expired", "unknown"})}
BASE_PRICE, PRICE_STEP = 50_000, 1_000  # a segment's price grows with each import

TEXTS = {  # and how many parts each has
    "Your code is 4839": 1,
    "Grüße aus Köln, 你好": 1,
    "x" * 160: 1,
    "a long text " * 15: 2,
    "Ж" * 71: 2,
}
LINES_A_CHUNK = 2
STRAYS = 2

# How often each is wanted.
KINDS = {
    "send": 44,
    "several": 12,
    "partial": 6,
    "too_dear": 5,
    "scheduled": 8,
    "stream": 8,
    "cancel": 5,
    "confirm": 4,
    "fund": 5,
    "prices": 3,
}
SENDS = ("send", "several", "partial", "too_dear", "scheduled")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """One thing that somebody wants, with its idempotency key `name`."""

    n: int
    kind: str
    account_id: int
    numbers: tuple[str, ...]
    text: str
    options: dict[str, Any]
    delay_s: int | None  # scheduled so far ahead
    amount: int  # of money, to be funded

    @property
    def name(self) -> str:
        return f"wish-{self.n}"

    @property
    def segments(self) -> int:
        return TEXTS[self.text]

    @property
    def about(self) -> int:
        """The wish that a cancel or a confirmation is about."""
        return self.n - 1


@cache
def wish(seed: int, n: int) -> Wish:
    """Return the n-th wish of a seed."""
    chance = random.Random(f"{seed}/{n}")
    [kind] = chance.choices(list(KINDS), list(KINDS.values()))
    if kind in {"cancel", "confirm"} and (n == 0 or wish(seed, n - 1).kind not in SENDS):
        kind = "scheduled"
    counts = {
        "several": chance.randint(2, 4),
        "partial": 3,
        "too_dear": 4,
        "stream": chance.randint(1, 3 * LINES_A_CHUNK),
    }
    account_id = chance.choice((PATIENT, REFUNDED))
    if kind in {"partial", "too_dear"}:
        account_id = POOR
    elif kind in {"cancel", "confirm"}:
        account_id = wish(seed, n - 1).account_id
    numbers = [
        f"316{n:04d}{i:02d}{chance.randrange(100):02d}" for i in range(counts.get(kind, 1))
    ]
    if kind == "stream" and chance.random() < 0.3:
        numbers[chance.randrange(len(numbers))] = "no number"
    return Wish(
        n=n,
        kind=kind,
        account_id=account_id,
        numbers=tuple(numbers),
        text=chance.choice(list(TEXTS)),
        options={
            "on_ambiguous": chance.choice(("wait", "resend", "fail")),
            "category": chance.choice(("otp", "alert", "bulk")),
            "valid_for_s": chance.choice((90, 1_800, 3_600)),
        },
        delay_s=chance.randint(1, 900) if kind == "scheduled" else None,
        amount=chance.randint(1, 5_000_000),
    )


class Outside:
    """All that the world around an installation knows."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.asked = 0  # wishes begun: 0 up to here
        self.told: dict[int, Any] = {}  # what was answered, by wish
        self.told_otherwise: list[int] = []  # wishes with two different answers
        self.handed: dict[tuple[int, int], tuple[str, str]] = {}  # (key, attempt): to whom
        self.handed_again: list[tuple[int, int]] = []
        self.heard: dict[tuple[int, int], str] = {}  # answers that were recorded
        self.owed: dict[str, Receipt] = {f"stray/{n}": stray(n) for n in range(STRAYS)}
        self.acknowledged: dict[str, Receipt] = {}

    def wish(self, n: int) -> Wish:
        return wish(self.seed, n)

    def hear(self, line: Line) -> None:
        """Take in what happened; see the callers of `Life.say` for the lines there are."""
        match line:
            case ["asks", n]:
                self.asked = max(self.asked, n + 1)
            case ["told", n, answer]:
                if self.told.setdefault(n, answer) != answer:
                    self.told_otherwise.append(n)
            case ["handed", provider_id, key, attempt, msisdn, segments]:
                if (key, attempt) in self.handed:
                    self.handed_again.append((key, attempt))
                self.handed[key, attempt] = (provider_id, msisdn)
                destiny = fate(self.seed, msisdn, attempt, segments)
                self.owed |= destiny.receipts(provider_id, msisdn, attempt)
            case ["heard", key, attempt, kind]:
                self.heard[key, attempt] = kind
            case ["acknowledged", name]:
                if name in self.owed:  # or else it came once more
                    self.acknowledged[name] = self.owed.pop(name)
            case _:
                raise AssertionError(f"no such line: {line}")

    def order_of(self, n: int) -> dict[str, Any] | None:
        """Return what the caller of a send or a stream was told, if it was accepted."""
        answer = self.told.get(n)
        return answer if isinstance(answer, dict) else None


def configuration() -> Configuration:
    """Return the catalogue, prices and funds that every script begins with."""
    return Configuration(
        providers=tuple(_provider(name) for name in PROVIDERS),
        routes=(_route(),),
        prices={1: prices(0)},
        accounts=tuple(_account(each) for each in OPENING_FUNDS),
        opening_funds={each: Micros(funds) for each, funds in OPENING_FUNDS.items()},
    )


def prices(version: int) -> tuple[PriceRow, ...]:
    """Return the prices as they are after so many imports."""
    price = Micros(BASE_PRICE + PRICE_STEP * version)
    return (PriceRow(country="Netherlands", prefix="31", price=price),)


def _provider(name: str) -> Provider:
    return Provider(
        provider_id=name, sandbox=True, cost=Micros(7_000), window=50, expired_is_final=True
    )


def _route() -> Route:
    return Route(
        route_id=1,
        name="route",
        display_name="Route",
        category="alert",
        access="public",
        sender_policy="any",
        currency="EUR",
        providers=PROVIDERS,
    )


def _account(account_id: int) -> Account:
    refund_on = REFUND_ON.get(account_id, frozenset())
    return Account(
        account_id=account_id,
        name=f"account {account_id}",
        username=f"user{account_id}",
        currency="EUR",
        refund_on=refund_on,
        recharge=bool(refund_on),
    )
