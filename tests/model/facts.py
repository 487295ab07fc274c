"""What the reference keeps in mind: accounts, messages, hand-offs and receipts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

SECOND = 1_000_000
DOUBTED_FOR = 72 * 3_600 * SECOND

CLIMB = ("unknown", "expired", "failed", "filtered", "delivered")  # evidence only climbs


@dataclass(kw_only=True)
class Account:
    available: int = 0
    held: int = 0
    limit: int = 0
    refund_on: frozenset[str] = frozenset()
    recharge: bool = False


@dataclass(kw_only=True)
class Message:
    key: int
    account: Account
    price: int
    number: str
    policy: str
    lane: int
    expires: int
    deadline: int
    state: str
    wake: tuple[int, int] | None  # between these two somebody must look at it again
    ready: bool
    reach: int = 0  # 1: a provider may have it, 2: one has it
    begun: dict[int, int] = field(default_factory=dict)  # attempts, and when
    possible: set[int] = field(default_factory=set)  # those not proved to have come to nothing
    taken: set[int] = field(default_factory=set)  # those that north answered for
    changed: int = 0
    tries: int = 0
    unbound: int = 0  # times that north said it doesn't know of our bind
    resends: int = 0
    epoch: int = 0
    cost: int = 0
    resolution: str | None = None
    paid: bool = False
    confirmed: str = "none"

    def is_awaited(self) -> bool:
        """Whether news of a hand-off may still decide what becomes of it."""
        waits = self.state == "waiting" and self.reach > 0
        return waits or self.state in {"sending", "ambiguous"}

    def in_doubt(self, now: int) -> bool:
        """Whether bytes may be out that no answer came for, even if it has ended since."""
        if self.state in {"sending", "ambiguous"}:
            return True
        if self.state == "waiting":
            return self.reach > 0
        unanswered = self.reach == 1 and self.state in {"failed", "unknown"}
        elsewhere = self.resends > 0 and self.state in {"submitted", *CLIMB[:-1]}
        return (unanswered or elsewhere) and self.changed >= now - DOUBTED_FOR


@dataclass(kw_only=True, frozen=True)
class Receipt:
    provider: str
    id: str  # as sent; "" without one
    number: str  # "" without one
    word: str
    error: str
    attempt_echoed: tuple[int, int] | None = None  # message and attempt

    @property
    def fingerprint(self) -> str:
        return repr((self.provider, self.id, self.number, self.word, self.attempt_echoed))


@dataclass(kw_only=True)
class Handoff:
    provider: str
    id: str
    message: Message
    attempt: int
    at: int
    seen: Counter[str] = field(default_factory=Counter)


def same_id(stored: str, told: str) -> bool:
    """Tell whether a told id is the stored one: hexadecimal or decimal, padded, in any case."""
    if stored == told.casefold():
        return True
    numbers = {told.lstrip("0").casefold(), str(int(told, 16))}
    return stored.lstrip("0") in numbers | ({f"{int(told):x}"} if told.isdigit() else set())
