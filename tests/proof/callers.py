"""Callers and operators: how each wish becomes an item for a step, and what is said of it then.

A wish may be asked again at any time: after a crash because nobody answered, or because a
caller repeats itself. A stream goes on by one step at each asking, from where its row says it
stands.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from arrivals.core.catalogue import Catalogue
from arrivals.core.errors import Refusal
from arrivals.core.ids import message_key
from arrivals.core.money import Micros
from arrivals.flows.accept import Accepted, Idempotency, Replay, Request, accept_step
from arrivals.flows.administer import FUND, IMPORT_PRICES, Funding, Impossible, NewPrices
from arrivals.flows.amend import Amendment, amend_step
from arrivals.flows.batches import FINISH_STREAM, OPEN_STREAM, Chunk, Opening, chunk_step
from arrivals.flows.plan import Recipient, SendRequest
from arrivals.flows.platform import Platform
from arrivals.store.api import Step
from arrivals.store.rows import Batch
from tests.proof.errands import LINES_A_CHUNK, Line, Outside, Wish, prices

SEND_SCOPE, AMEND_SCOPE = "POST /send", "POST /amend"


@dataclass(frozen=True, slots=True)
class Errand:
    """An item for a step, and the lines that its result makes known to the outside."""

    step: Step[Any, Any]
    item: Any
    then: Callable[[Any], Iterable[Line]] = lambda _: ()


class Callers:
    """Everybody who wants something of one process."""

    def __init__(
        self, platform: Platform, outside: Outside, read_catalogue: Callable[[], None]
    ) -> None:
        """Serve them by a platform; `read_catalogue` is called after its prices changed."""

        def catalogue() -> Catalogue:
            return platform.catalogue

        self._platform = platform
        self._outside = outside
        self._read_catalogue = read_catalogue
        self._streams: dict[int, Batch] = {}
        self._accept = accept_step(platform.ranks)
        self._amend = amend_step(catalogue)
        self._chunk = chunk_step(platform.ranks)

    def ask(self, n: int) -> Iterator[Errand]:
        """Ask for a wish, the first time or again; nothing if its time hasn't come."""
        wish = self._outside.wish(n)
        refused = isinstance(self._outside.told.get(n), str)
        match wish.kind:
            case "stream":
                yield self._streamed(wish)
            case "fund":
                yield self._funded(wish)
            case "prices":
                yield from self._priced(wish)
            case "cancel" | "confirm" if wish.about in self._outside.told:
                if not refused:
                    yield self._amended(wish)
            case "cancel" | "confirm":
                pass
            case _ if not refused:  # a refusal isn't kept: the next one may be another
                yield self._sent(wish)

    def _sent(self, wish: Wish) -> Errand:
        send_at_us = (
            None
            if wish.delay_s is None
            else self._platform.clock.now_us() + wish.delay_s * 1_000_000
        )
        partial = wish.kind == "partial"
        request = self._request(wish, wish.numbers, send_at_us=send_at_us, partial=partial)

        def then(result: Any) -> Iterator[Line]:
            if isinstance(result, Refusal):
                yield ["told", wish.n, result.code]
            elif isinstance(result, Replay):
                yield ["told", wish.n, msgspec.json.decode(result.answer)]
            else:
                yield ["told", wish.n, msgspec.json.decode(_rendered(result)[1])]

        promise = Idempotency(SEND_SCOPE, wish.name, wish.name)
        plan = self._platform.plan(request)
        return Errand(
            self._accept, Request(plan=plan, idempotency=promise, render=_rendered), then
        )

    def _request(self, wish: Wish, numbers: Iterable[str], **changes: Any) -> SendRequest:
        return SendRequest(
            account_id=wish.account_id,
            key_id="aa000001",
            environment="test",
            request_id=f"request-{wish.n}",
            route_id=1,
            sender="ARRIVALS",
            recipients=[Recipient(number) for number in numbers],
            text=wish.text,
            client_ref=wish.name,
            **wish.options,
            **changes,
        )

    def _streamed(self, wish: Wish) -> Errand:
        """Go one step on with a stream: open it, send its next chunk, or finish it."""
        stream = self._streams.get(wish.n)
        if stream is None:
            opening = Opening(account_id=wish.account_id, key=wish.name, options=wish.text)
            return Errand(OPEN_STREAM, opening, lambda found: self._moved_on(wish, found))
        if stream.lines < len(wish.numbers):
            chunk = self._next_chunk(wish, stream)
            return Errand(self._chunk, chunk, lambda found: self._moved_on(wish, found))
        return Errand(FINISH_STREAM, stream, lambda found: self._finished(wish, found))

    def _moved_on(self, wish: Wish, found: Batch | Refusal) -> tuple[()]:
        if isinstance(found, Refusal):  # its twin of the same transaction was first
            self._streams.pop(wish.n, None)
        else:
            self._streams[wish.n] = found
        return ()

    def _finished(self, wish: Wish, found: Batch | Refusal) -> Iterator[Line]:
        self._streams.pop(wish.n, None)
        if isinstance(found, Batch):
            facts = {"accepted": found.accepted, "refused": found.refused, "cost": found.cost}
            yield ["told", wish.n, {"stream": found.batch_id, **facts}]

    def _next_chunk(self, wish: Wish, stream: Batch) -> Chunk:
        end = min(len(wish.numbers), stream.lines + LINES_A_CHUNK)
        numbers = wish.numbers[stream.lines : end]
        wanted = self._request(wish, numbers, partial=True, batch_id=stream.batch_id)
        try:
            request = Request(plan=self._platform.plan(wanted))
        except Refusal:  # no line of it can be accepted
            request = None
        return Chunk(
            stream=stream,
            start=stream.lines,
            lines=len(numbers),
            prefix_hash=hashlib.sha256("\n".join(wish.numbers[:end]).encode()).hexdigest(),
            numbers=tuple(range(stream.lines + 1, end + 1)),
            request=request,
        )

    def _amended(self, wish: Wish) -> Errand:
        order = self._outside.order_of(wish.about)
        amendment = Amendment(
            account_id=wish.account_id,
            key=message_key(order["order"], 0) if order else 1,
            confirmed=None if wish.kind == "cancel" else True,
            idempotency=Idempotency(AMEND_SCOPE, wish.name, wish.name),
        )

        def then(result: Any) -> Iterator[Line]:
            refused = isinstance(result, Refusal)
            yield ["told", wish.n, result.code if refused else {"amended": wish.kind}]

        return Errand(self._amend, amendment, then)

    # --- operators -------------------------------------------------------------------

    def _funded(self, wish: Wish) -> Errand:
        funding = Funding(
            account_id=wish.account_id,
            amount=Micros(wish.amount),
            reason="top up",
            reference=wish.name,
        )
        return Errand(
            FUND, funding, lambda done: [_told(wish, done, {"posting": done.posting_id})]
        )

    def _priced(self, wish: Wish) -> Iterator[Errand]:
        """Import the next prices; they hold for whoever is planned after the commit."""
        version = self._platform.catalogue.prices[1].version
        wanted = NewPrices(route_id=1, rows=prices(version))

        def then(done: Any) -> Iterator[Line]:
            self._read_catalogue()
            yield _told(wish, done, {"version": version + 1})

        if wish.n not in self._outside.told:
            yield Errand(IMPORT_PRICES, wanted, then)


def _rendered(accepted: Accepted) -> tuple[int, bytes]:
    answered = {
        "order": accepted.order.order_id,
        "numbers": [each.msisdn for each in accepted.messages],
        "cost": accepted.order.cost,
    }
    return 200, msgspec.json.encode(answered)


def _told(wish: Wish, done: Any, answered: Any) -> Line:
    assert not isinstance(done, Impossible), f"{wish.name}: {done}"
    return ["told", wish.n, answered]
