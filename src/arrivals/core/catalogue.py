"""What may be sent by whom, over what, at what price: one immutable, versioned snapshot.

The catalogue is read whole, checked whole and swapped whole. A request is decided against
the snapshot it met, and the decision record names its version.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from arrivals.core.dialect import PLAIN, Dialect
from arrivals.core.money import Micros
from arrivals.core.permissions import DEFAULT_SCOPES, Scope
from arrivals.core.pricing import PriceList

CATEGORIES: Final = ("otp", "alert", "bulk")
LANE_OF_CATEGORY: Final = {"otp": 0, "alert": 1, "bulk": 2}
AMBIGUITY_POLICIES: Final = ("wait", "query", "resend", "fail")
# A sender id: 3 to 11 letters, digits and a few marks between them, or a number.
SENDER: Final = r"[A-Za-z0-9][A-Za-z0-9 ._&-]{1,9}[A-Za-z0-9._&-]|\+?[0-9]{3,15}"
FLOOR: Final = 0.85  # of messages must surely arrive, where a route chooses by outcome
EXPLORE_MAX: Final = 0.2  # of a route's orders
REFUNDABLE_OUTCOMES: Final = ("failed", "filtered", "expired", "unknown")


class Flow(StrEnum):
    """Whether traffic may pass an account, a route or a provider."""

    ACTIVE = "active"
    PAUSED = "paused"  # what is accepted waits in its queue
    DRAINING = "draining"  # nothing new is accepted; the queue empties
    REMOVED = "removed"  # in no snapshot any more; its document is kept for what it did


class Strategy(StrEnum):
    """How a route chooses among its providers."""

    PRIORITY = "priority"  # in the order they are listed
    OUTCOME = "outcome"  # least cost for a delivered message, above the floor
    THOMPSON = "thompson"  # the same, by a draw from what is known of each


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    account_id: int
    name: str
    username: str
    currency: str
    credit_limit: Micros = Micros(0)  # how far below zero `available` may go
    refund_on: frozenset[str] = frozenset()  # outcomes that release or refund
    recharge: bool = False  # a revision after a refund may charge again
    default_route: int | None = None
    routes: frozenset[int] = frozenset()  # restricted routes it may use besides the public ones
    denied_routes: frozenset[int] = frozenset()
    senders: frozenset[str] = frozenset()  # its registered sender ids
    async_answers: bool = False  # 202 instead of 200
    operator: bool = False  # it may read what concerns all accounts
    flow: Flow = Flow.ACTIVE


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiKey:
    key_id: str  # eight characters, public
    account_id: int
    environment: str  # live | test
    digest: bytes  # HMAC-SHA256 with the installation's pepper
    name: str = ""
    active: bool = True
    scopes: frozenset[Scope] = DEFAULT_SCOPES
    expires_at_us: int | None = None  # from then on it is refused; None: never


@dataclass(frozen=True, kw_only=True, slots=True)
class Provider:
    """An upstream SMPP connection as decisions see it; `settings` is for whoever dials."""

    provider_id: str
    sandbox: bool  # the carrier world: test keys only, and test keys nowhere else
    window: int = 10
    throughput: float | None = None  # PDUs a second over all its binds
    cost: Micros = Micros(0)  # what it charges us per segment
    receipts_per: str = "segment"  # segment | message | unknown
    receipt_depth: str = "carrier"  # submitted | carrier | handset: whose word its receipts are
    acceptd_is_own: bool = False  # its ACCEPTD is its own word, not the carrier's
    expired_is_final: bool = False  # its EXPIRED is the carrier's word, not a timer's
    error_namespace: str = "generic"
    dialect: Dialect = PLAIN
    ids_of: str | None = None  # the provider whose ids its receipts may tell beside its own
    settings: dict[str, object] = field(default_factory=dict)
    flow: Flow = Flow.ACTIVE

    @property
    def answers_per_message(self) -> bool:
        """Whether one receipt tells of all parts: by its habit, or as it gets them as one."""
        return self.receipts_per == "message" or self.dialect.long_messages == "payload"


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    route_id: int
    name: str
    display_name: str
    category: str  # the default for messages on it: otp | alert | bulk
    access: str  # public | restricted
    sender_policy: str  # any | registered: must be one of the account's own
    currency: str
    providers: tuple[str, ...]  # in the order they are tried, unless the strategy finds another
    strategy: Strategy = Strategy.PRIORITY
    floor: float = FLOOR
    explore: float = 0.0  # share of orders that go to whoever is known least
    failover: bool = True  # a refusal or an outage may move on to the next provider
    on_ambiguous: str = "wait"
    valid_for_s: int | None = None  # None: the installation's default
    outcome_grace_s: int | None = None
    throttle_failover_s: int | None = None  # a code held longer goes to the next; None: never
    is_active: bool = True
    flow: Flow = Flow.ACTIVE


@dataclass(frozen=True, kw_only=True, slots=True)
class Catalogue:
    version: int
    accounts: dict[int, Account]
    keys: dict[str, ApiKey]
    providers: dict[str, Provider]
    routes: dict[int, Route]
    prices: dict[int, PriceList]
    removed: tuple[Account | Provider | Route, ...] = ()  # their ids stay theirs

    def account(self, account_id: int) -> Account | None:
        """Return an account, whether or not it was removed since."""
        gone = (each for each in self.removed if isinstance(each, Account))
        found = (each for each in gone if each.account_id == account_id)
        return self.accounts.get(account_id) or next(found, None)

    def paused(self) -> tuple[list[int], list[int]]:
        """Return the accounts and the routes whose messages stay in their queues."""
        return (
            [each.account_id for each in self.accounts.values() if each.flow is Flow.PAUSED],
            [each.route_id for each in self.routes.values() if each.flow is Flow.PAUSED],
        )


def paused_in_words(catalogue: Catalogue) -> list[str]:
    """Say what is paused or draining, each as a sentence without its full stop."""
    flows = (
        *((f"provider {name}", each.flow) for name, each in catalogue.providers.items()),
        *((f"route {number}", each.flow) for number, each in catalogue.routes.items()),
        *((f"account {number}", each.flow) for number, each in catalogue.accounts.items()),
    )
    return [f"{name} is {flow.value}" for name, flow in flows if flow is not Flow.ACTIVE]
