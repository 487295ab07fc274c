"""The list of alarms, for operators: what is wrong, since when, what to do, how it ended."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from arrivals.core.catalogue import Catalogue
from arrivals.core.errors import Code
from arrivals.core.instants import rfc3339
from arrivals.core.money import Micros, json_number
from arrivals.core.permissions import Act
from arrivals.http.answers import Money
from arrivals.http.endpoints import Endpoint, endpoint
from arrivals.http.exchange import Request, Response, json_response, query_invalid, whole_number
from arrivals.http.listing import PAGE, next_link, page_limit
from arrivals.http.operations import TAG
from arrivals.outcome.episodes import Cell, Episode, TroubleKind
from arrivals.outcome.hierarchy import ANY
from arrivals.store.alarms import AlarmCursor

ROUTES: Final[list[Endpoint]] = []

_STANDING, _ENDED = "standing-", "ended-"  # what a cursor begins with


class Where(msgspec.Struct, kw_only=True):
    """The group of messages that an alarm speaks of; null: of any."""

    country_and_sender: str | None = None
    carrier: str | None = None
    provider: str | None = None
    sender: str | None = None
    lane: str | None = None


class AtRisk(msgspec.Struct, kw_only=True):
    """What it concerns: of receipts what probably didn't arrive, of a provider what waits."""

    messages: int  # the most there were at one look
    money: Money | None  # what they cost; null: in several currencies, or not to be told
    currency: str | None


# No list of all there are: a client that was made of it would fail at the next one.
_KINDS: Final = f"One of {', '.join(sorted(TroubleKind))}; more may be added"


class AlarmView(msgspec.Struct, kw_only=True):
    """One alarm; of an ended one the last evidence, and the greatest loss."""

    id: int
    kind: Annotated[str, msgspec.Meta(description=_KINDS)]
    where: Where
    began_at: str  # where the change probably was
    raised_at: str
    seen_at: str  # when it was found last
    ended_at: str | None
    words: str
    cost: str | None  # what it does to messages
    fix: str | None  # what to do about it
    goes_with: str | None  # which of its messages lack most: a correlation, not a cause
    expected: float | None  # positive receipts
    observed: int | None
    at_risk: AtRisk


class AlarmPage(msgspec.Struct, kw_only=True):
    """A page of alarms: those that stand, then those that ended; of each the newest first."""

    alarms: list[AlarmView]
    limit: int
    next_cursor: str | None
    next: str | None


@endpoint(
    ROUTES,
    "GET",
    "/api/v1/alarms",
    act=Act.READ_ALARMS,
    summary="List alarms",
    tag=TAG,
    answers=AlarmPage,
    parameters=PAGE,
    errors=(Code.OPERATORS_ONLY,),
)
async def list_alarms(request: Request) -> Response:
    """Return the alarms there were, to an account of the operator's."""
    limit, place = page_limit(request), _cursor(request)
    found, further = await request.platform.store.read(
        lambda reader: reader.alarm_page(place, limit)
    )
    currency = _currency(request.platform.catalogue)
    cursor = None if further is None else _text(further)
    return json_response(
        AlarmPage(
            alarms=[_view(each, currency) for each in found],
            limit=limit,
            next_cursor=cursor,
            next=next_link(request, cursor),
        )
    )


def _text(cursor: AlarmCursor) -> str:
    if cursor.standing:
        return f"{_STANDING}{cursor.standing}"
    return f"{_ENDED}{cursor.ended}"


def _cursor(request: Request) -> AlarmCursor:
    text = request.query.get("cursor")
    if text is None:
        return AlarmCursor()
    for prefix in (_STANDING, _ENDED):
        number = whole_number(text.removeprefix(prefix))
        if text.startswith(prefix) and number is not None:
            standing = prefix == _STANDING
            return AlarmCursor(standing=number) if standing else AlarmCursor(0, number)
    raise query_invalid("cursor", "it is the `next_cursor` of a page of alarms")


def _currency(catalogue: Catalogue) -> str | None:
    """Return the currency of all accounts, if there is one: others can't be added up."""
    found = {each.currency for each in catalogue.accounts.values()}
    return found.pop() if len(found) == 1 else None


def _view(episode: Episode, currency: str | None) -> AlarmView:
    trouble = episode.trouble
    money = trouble.money_at_risk if currency else None
    return AlarmView(
        id=episode.alarm_id,
        kind=trouble.kind.value,
        where=_where(trouble.cell),
        began_at=rfc3339(episode.began_us),
        raised_at=rfc3339(episode.raised_us),
        seen_at=rfc3339(episode.seen_us),
        ended_at=None if episode.ended_us is None else rfc3339(episode.ended_us),
        words=trouble.words,
        cost=trouble.cost or None,
        fix=trouble.fix or None,
        goes_with=trouble.goes_with,
        expected=None if trouble.expected is None else round(trouble.expected, 1),
        observed=trouble.observed,
        at_risk=AtRisk(
            messages=trouble.messages_at_risk,
            money=None if money is None else json_number(Micros(money)),
            currency=None if money is None else currency,
        ),
    )


def _where(cell: Cell) -> Where:
    names = zip(Where.__struct_fields__, cell, strict=False)
    return Where(**{field: name for field, name in names if name != ANY})
