"""Decide a request before anything is stored: who, over what, at what price, and why.

`plan` is a pure function of the request, the catalogue snapshot and the time, and, on routes
that choose by outcome, of what is known of their providers. An estimate
stops here; a send goes on to flows/accept.py with the very same plan, so the two agree.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import msgspec

from arrivals.core.catalogue import (
    AMBIGUITY_POLICIES,
    CATEGORIES,
    LANE_OF_CATEGORY,
    SENDER,
    Account,
    Catalogue,
    Flow,
    Route,
    Strategy,
)
from arrivals.core.dialect import PLAIN
from arrivals.core.errors import Code, Refusal, body_invalid, refuse, route_not_allowed
from arrivals.core.money import Micros, format_amount
from arrivals.core.phone import InvalidNumber, country_of, normalise_msisdn
from arrivals.core.pricing import Rate
from arrivals.core.routing import RouteDecision, choose, may_use, sender_allowed
from arrivals.core.selection import Record
from arrivals.core.text import TextShape, analyse

SECOND_US: Final = 1_000_000
SEGMENTS_MAX: Final = 10  # what handsets put together reliably
VALID_FOR_MAX_S: Final = 72 * 3600  # carriers keep a message no longer
SEND_AT_MAX_S: Final = 30 * 86400
SEND_AT_LATE_MAX_S: Final = 60  # what clocks and networks lose; further back it's a mistake
CLIENT_REF_CHARS_MAX: Final = 64
_UNITS: Final = ((86400, "day"), (3600, "hour"), (60, "minute"))
_SENDER: Final = re.compile(SENDER)


@dataclass(frozen=True, kw_only=True, slots=True)
class Defaults:
    """What the installation sets where neither request nor route says it."""

    valid_for_s: int = 24 * 3600
    outcome_grace_s: int = 48 * 3600
    resend_after_s: int = 60
    keep_days: int | None = None  # that ended messages stay readable; None: for ever
    probes: frozenset[str] = frozenset()  # numbers of the operator's own test phones


class Recipient(msgspec.Struct, frozen=True):
    """One destination as the caller wrote it; its own text wins over the order's."""

    to: str
    text: str | None = None
    client_ref: str | None = None


# A call of more than fifteen names builds a dictionary first, which takes longer than all the
# rest of it; so the first fields of what every send makes may be given by place.
class SendRequest(msgspec.Struct, frozen=True):
    """A send or an estimate after decoding, before any decision."""

    account_id: int
    key_id: str
    environment: str  # live | test
    request_id: str
    route_id: int | None
    sender: str
    recipients: Sequence[Recipient]
    text: str | None = None
    client_ref: str | None = None
    category: str | None = None
    send_at_us: int | None = None
    valid_for_s: int | None = None
    on_ambiguous: str | None = None
    partial: bool = False
    max_price: int | None = None  # micro-units, for the whole order
    max_segments: int | None = None
    batch_id: int | None = None
    deduplicate: bool = False  # leave out who would get the same text twice
    asked_at_us: int | None = None  # when a stream began that goes on; else it's now


class PlannedMessage(msgspec.Struct, frozen=True):
    """One recipient that will be accepted if the funds reach."""

    index: int  # in the request
    msisdn: str
    country: str
    text: str | None
    client_ref: str | None
    shape: TextShape
    rate: Rate
    price: int


class RefusedRecipient(msgspec.Struct, frozen=True):
    """One recipient that a partial send leaves out, and why."""

    index: int
    msisdn: str
    refusal: Refusal


class Duplicate(msgspec.Struct, frozen=True):
    """One recipient who was to get the same text before, in the same request."""

    index: int
    msisdn: str
    first: int  # the index of the one before
    dropped: bool


class Plan(msgspec.Struct, frozen=True):
    """Everything that was decided about a request, with the reasons."""

    request: SendRequest
    account: Account
    route: Route
    decision: RouteDecision
    selection: Record | None  # where the route doesn't go by its own order
    alphabet: str  # of the first provider: texts, segments and prices follow it
    catalogue_version: int
    price_version: int
    messages: Sequence[PlannedMessage]
    refused: Sequence[RefusedRecipient]
    duplicates: Sequence[Duplicate]
    category: str
    lane: int
    on_ambiguous: str
    send_at_us: int | None
    valid_for_us: int  # from send_at, or from the commit
    outcome_grace_us: int  # from then on we wait for news

    @property
    def cost(self) -> Micros:
        """The price of all planned messages."""
        return Micros(sum(each.price for each in self.messages))

    def record(self) -> dict[str, Any]:
        """Return the decision record: what was checked, chosen and at what price."""
        prices: dict[int, dict[str, Any]] = {}
        for each in self.messages:
            line = prices.setdefault(
                each.rate.rate_id,
                {
                    "rate_id": each.rate.rate_id,
                    "country": each.rate.country,
                    "prefix": each.rate.prefix,
                    "price_per_segment": each.rate.price,
                    "messages": 0,
                    "segments": 0,
                    "encodings": {},
                },
            )
            line["messages"] += 1
            line["segments"] += each.shape.segments
            encodings = line["encodings"]
            encodings[each.shape.encoding] = encodings.get(each.shape.encoding, 0) + 1
        return {
            "checks": CHECKS,
            "route": {
                "route_id": self.route.route_id,
                "name": self.route.name,
                "providers": list(self.decision.providers),
                "considered": [
                    {"provider": each.provider_id, "why_not": each.why_not}
                    for each in self.decision.considered
                ],
                "rule": self.decision.rule,
                **({} if self.alphabet == PLAIN.alphabet else {"alphabet": self.alphabet}),
                **({} if self.selection is None else {"selection": self.selection}),
            },
            "prices": list(prices.values()),
            "versions": {"catalogue": self.catalogue_version, "prices": self.price_version},
            "on_ambiguous": {
                "policy": self.on_ambiguous,
                "set_by": "request" if self.request.on_ambiguous else "route",
            },
        }


CHECKS: Final = ("key", "route", "sender", "currency", "recipients", "text", "price", "funds")


class Chooser(Protocol):
    """Who orders a route's providers by more than the catalogue knows."""

    def order(
        self,
        decision: RouteDecision,
        route: Route,
        request: SendRequest,
        messages: Sequence[PlannedMessage],
        within: tuple[int, float],
    ) -> tuple[RouteDecision, Record]:
        """Return another order of a decision's providers; `within` is a lane and seconds."""


def plan(
    request: SendRequest,
    catalogue: Catalogue,
    defaults: Defaults,
    now_us: int,
    choosing: Chooser | None = None,
) -> Plan:
    """Decide the request whole, or raise the Refusal that says what to mend."""
    account = catalogue.accounts[request.account_id]
    route = _route(request, account, catalogue)
    if not _SENDER.fullmatch(request.sender):
        raise body_invalid(
            [
                (
                    "caller_id",
                    "a sender is 3 to 11 letters and digits, or 3 to 15 digits",
                    "sender",
                )
            ]
        )
    if not sender_allowed(account, route, request.sender):
        raise refuse(Code.SENDER_NOT_ALLOWED, route_id=route.route_id)
    prices = catalogue.prices.get(route.route_id)
    if prices is None:
        raise refuse(Code.NO_PRICE)
    decision = choose(catalogue, route, request.environment)
    if decision.first is None:
        raise _no_provider(decision, route, request.environment)
    category = _one_of(request.category or route.category, CATEGORIES, "category")
    on_ambiguous = request.on_ambiguous or route.on_ambiguous
    _one_of(on_ambiguous, AMBIGUITY_POLICIES, "on_ambiguous")
    send_at_us, valid_for_us, outcome_grace_us = _times(request, route, defaults, now_us)
    lane, selection = LANE_OF_CATEGORY[category], None
    if route.strategy is Strategy.PRIORITY:
        choosing = None
    taking = decision.providers[:1] if choosing is None else decision.providers
    alphabets = _alphabets(catalogue, taking)
    messages, refused, duplicates = _recipients(request, catalogue, route.route_id, alphabets)
    if choosing is not None and messages:
        within = (lane, valid_for_us / SECOND_US)
        decision, selection = choosing.order(decision, route, request, messages, within)
        if len(alphabets) > 1:
            alphabets = _alphabets(catalogue, decision.providers[:1])
            messages, refused, duplicates = _recipients(
                request, catalogue, route.route_id, alphabets
            )
    planned = Plan(
        request,
        account,
        route,
        decision,
        selection=selection,
        alphabet=alphabets[0],
        catalogue_version=catalogue.version,
        price_version=prices.version,
        messages=messages,
        refused=refused,
        duplicates=duplicates,
        category=category,
        lane=lane,
        on_ambiguous=on_ambiguous,
        send_at_us=send_at_us,
        valid_for_us=valid_for_us,
        outcome_grace_us=outcome_grace_us,
    )
    if request.max_price is not None and planned.cost > request.max_price:
        price = format_amount(planned.cost)
        raise refuse(Code.MAX_PRICE_EXCEEDED, price=price, currency=account.currency)
    return planned


def _route(request: SendRequest, account: Account, catalogue: Catalogue) -> Route:
    route_id = account.default_route if request.route_id is None else request.route_id
    if route_id is None:
        raise body_invalid(
            [("route_id", "needed: the account has no default route", "missing")]
        )
    route = catalogue.routes.get(route_id)
    if route is None or not route.is_active:
        raise refuse(Code.INVALID_ROUTE, route_id=route_id)
    if not may_use(account, route):
        raise route_not_allowed(route.route_id, route.name)
    if account.flow is Flow.DRAINING:
        raise refuse(Code.ACCOUNT_PAUSED)
    if route.flow is Flow.DRAINING:
        raise refuse(Code.ROUTE_PAUSED, route_id=route_id)
    if route.currency != account.currency:
        raise refuse(
            Code.CURRENCY_MISMATCH,
            route_id=route_id,
            route_currency=route.currency,
            currency=account.currency,
        )
    return route


def _no_provider(decision: RouteDecision, route: Route, environment: str) -> Refusal:
    reasons = {each.why_not for each in decision.considered}
    if reasons & {"sandbox_provider_and_live_key", "live_provider_and_test_key"}:
        return refuse(Code.ENVIRONMENT_MISMATCH, env=environment, route_id=route.route_id)
    return refuse(Code.ROUTE_PAUSED, route_id=route.route_id)


def _one_of(value: str, allowed: Sequence[str], field: str) -> str:
    if value not in allowed:
        raise body_invalid([(field, f"must be one of {', '.join(allowed)}", "choice")])
    return value


def _times(
    request: SendRequest, route: Route, defaults: Defaults, now_us: int
) -> tuple[int | None, int, int]:
    """Return when it is wanted, how long it is of use, and how long we wait for news then."""
    valid_for_s = request.valid_for_s
    if valid_for_s is None:
        valid_for_s = route.valid_for_s or defaults.valid_for_s
    if not 1 <= valid_for_s <= VALID_FOR_MAX_S:
        raise body_invalid([("valid_for", f"must be 1 to {VALID_FOR_MAX_S} seconds", "range")])
    send_at_us = request.send_at_us
    if send_at_us is not None and send_at_us > now_us + SEND_AT_MAX_S * SECOND_US:
        raise body_invalid([("send_at", "may be at most 30 days ahead", "range")])
    if send_at_us is not None and send_at_us <= now_us:
        late = too_late(send_at_us, request.asked_at_us or now_us)
        if late is not None:
            raise late
        send_at_us = None
    grace_s = (
        defaults.outcome_grace_s if route.outcome_grace_s is None else route.outcome_grace_s
    )
    return send_at_us, valid_for_s * SECOND_US, grace_s * SECOND_US


def too_late(send_at_us: int, now_us: int) -> Refusal | None:
    """Return the refusal of a time that has passed; what has just passed is now."""
    late_s = (now_us - send_at_us) // SECOND_US
    if late_s <= SEND_AT_LATE_MAX_S:
        return None
    unit_s, unit = next(each for each in _UNITS if late_s >= each[0])
    count = late_s // unit_s
    ago = f"{count} {unit}{'' if count == 1 else 's'}"
    problem = f"lies {ago} in the past; leave it out to send at once"
    return body_invalid([("send_at", problem, "range")])


def _alphabets(catalogue: Catalogue, providers: Sequence[str]) -> tuple[str, ...]:
    """Return the default alphabets of providers, each once."""
    return tuple({catalogue.providers[name].dialect.alphabet: None for name in providers})


def _recipients(
    request: SendRequest, catalogue: Catalogue, route_id: int, alphabets: Sequence[str]
) -> tuple[list[PlannedMessage], list[RefusedRecipient], list[Duplicate]]:
    planned: list[PlannedMessage] = []
    refused: list[RefusedRecipient] = []
    prices = catalogue.prices[route_id]
    shape = (
        None if request.text is None else _shape(request.text, "message", request, alphabets)
    )
    for index, recipient in enumerate(request.recipients):
        try:
            msisdn = _msisdn(recipient.to, index)
            own = recipient.text
            its_shape = (
                shape
                if own is None
                else _shape(own, f"messages.{index}.message", request, alphabets)
            )
            if its_shape is None:
                raise body_invalid([(f"messages.{index}.message", "needed", "missing")])
            rate = prices.find(msisdn)
            if rate is None:
                raise refuse(Code.NO_PRICE, field=f"numbers.{index}")
        except Refusal as refusal:
            if not request.partial:
                raise
            # Both hold this call, and with it every text, until somebody collects it.
            refusal.__traceback__ = refusal.__context__ = None
            refused.append(RefusedRecipient(index, recipient.to, refusal))
            continue
        country = country_of(msisdn)
        planned.append(
            PlannedMessage(
                index,
                msisdn,
                country.iso2 if country else "",
                own,
                recipient.client_ref,
                its_shape,
                rate,
                rate.price * its_shape.segments,
            )
        )
    if not planned and refused:
        refused[0].refusal.each = tuple(refused)
        raise refused[0].refusal
    duplicates = _duplicates(request, planned) if len(planned) > 1 else []
    if duplicates and request.deduplicate:
        dropped = {each.index for each in duplicates}
        planned = [each for each in planned if each.index not in dropped]
    return planned, refused, duplicates


def _duplicates(request: SendRequest, planned: Sequence[PlannedMessage]) -> list[Duplicate]:
    """Find who would get the same text twice; another text is another message."""
    if len({each.msisdn for each in planned}) == len(planned):
        return []  # as nearly always
    found: list[Duplicate] = []
    first: dict[tuple[str, str | None], int] = {}
    for each in planned:
        text = request.text if each.text is None else each.text
        index = first.setdefault((each.msisdn, text), each.index)
        if index != each.index:
            found.append(Duplicate(each.index, each.msisdn, index, request.deduplicate))
    return found


def _msisdn(text: str, index: int) -> str:
    try:
        return normalise_msisdn(text)
    except InvalidNumber as problem:
        field = f"numbers.{index}"
        raise refuse(Code.INVALID_NUMBER, field=field, problem=str(problem)) from None


def _shape(text: str, field: str, request: SendRequest, alphabets: Sequence[str]) -> TextShape:
    """Return the shape of a text in the alphabet that takes it in the fewest segments.

    There is one, except while a choice is still to be made: what no provider could take is
    refused before it.
    """
    if not text.strip():
        raise body_invalid([(field, "a message needs text", "empty")])
    if "\0" in text:
        raise body_invalid([(field, "a message can't hold the character NUL", "character")])
    try:
        shape = analyse(text, alphabets[0])
        for each in alphabets[1:]:
            shape = min(shape, analyse(text, each), key=lambda found: found.segments)
    except ValueError:
        raise body_invalid([(field, "the text isn't valid Unicode", "character")]) from None
    wanted = SEGMENTS_MAX if request.max_segments is None else request.max_segments
    allowed = min(wanted, SEGMENTS_MAX)
    if shape.segments > allowed:
        raise refuse(
            Code.TOO_MANY_SEGMENTS, field=field, segments=shape.segments, segments_max=allowed
        )
    return shape
