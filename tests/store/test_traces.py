"""Reading journeys: whole messages, bounded pages, roll-ups and backlogs."""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from arrivals.core.ids import message_key, order_of
from arrivals.core.message import Move, noted
from arrivals.flows.accept import Accepted, Request
from arrivals.flows.plan import Recipient, SendRequest
from arrivals.store import traces
from arrivals.store.api import Store, Transaction
from arrivals.store.queries import Reader
from arrivals.store.rows import Event
from arrivals.store.statements import statements
from arrivals.store.traces import MessageFilter, OrderFilter
from tests.http.installation import MAIN, OTHER, Installation, installed
from tests.store.ground import BEGIN_US, Ground, new_message, new_order, park_one

HOUR_US = 3_600_000_000
FAR_US = 1 << 62


@pytest.fixture
async def api(place: str) -> AsyncIterator[Installation]:
    async with installed(place) as installation:
        yield installation


async def send(api: Installation, *numbers: str, account: int = MAIN, **options: Any) -> int:
    """Send to numbers and return the order's id."""
    request = SendRequest(
        **{
            "account_id": account,
            "key_id": "aakey000",
            "environment": "test",
            "request_id": "r",
            "route_id": 1,
            "sender": "ARRIVALS",
            "recipients": [Recipient(number) for number in numbers],
            "text": "Hello",
            **options,
        }
    )
    result = await api.platform.accept(Request(plan=api.platform.plan(request)))
    assert isinstance(result, Accepted)
    return result.order.order_id


async def page(
    api: Installation, limit: int = 50, account: int = MAIN, **wanted: Any
) -> tuple[list[int], int | None]:
    """Return the keys of a page and the key to go on below."""

    def query(reader: Reader) -> tuple[list[int], int | None]:
        rows, below = reader.message_page(account, MessageFilter(**wanted), limit)
        return [row.message.key for row in rows], below

    return await api.store.read(query)


async def asked(api: Installation, query: Callable[[Reader], Any]) -> Any:
    return await api.store.read(query)


async def test_a_message_comes_whole(api: Installation) -> None:
    """Its row, its order, its rate and its events, at one moment."""
    order_id = await send(api, "31612345678", client_ref="ours")
    key = message_key(order_id, 0)
    await api.move(key, Move.CLAIMED, Move.TAKEN)
    found, events = await asked(api, lambda reader: reader.trace(MAIN, key))
    assert (found.message.key, found.message.seq) == (key, 3)
    assert (found.country, found.text, found.order_client_ref) == ("NL", "Hello", "ours")
    assert (found.rate_prefix, found.rate_price, found.currency) == ("31", 87_000, "EUR")
    assert [(each.seq, each.kind) for each in events] == [
        (1, "accepted"), (2, "claimed"), (3, "taken"),
    ]  # fmt: skip
    # Its state is the fold of its events (invariant 22).
    assert events[-1].to_state == found.message.state


async def test_every_customers_query_names_the_account(api: Installation) -> None:
    """Another account's rows are as good as none, whatever is asked (invariant 43)."""
    order_id = await send(api, "31612345678", client_ref="ours")
    key = message_key(order_id, 0)

    def query(reader: Reader) -> list[Any]:
        own = reader.trace(MAIN, key)
        assert own is not None
        return [
            reader.trace(OTHER, key),
            reader.order(OTHER, order_id),
            reader.message_page(OTHER, MessageFilter(order_id=order_id), 10)[0] or None,
            reader.message_page(OTHER, MessageFilter(client_ref="ours"), 10)[0] or None,
            reader.order_page(OTHER, OrderFilter(), 10)[0] or None,
            reader.rolled_up(OTHER, [order_id]) or None,
            reader.batch_progress(OTHER, 1),
            reader.batch_page(OTHER, 99, 10)[0] or None,
            reader.batch_orders(OTHER, 1) or None,
            reader.open_messages(OTHER, order_id, 10) or None,
            reader.lookalikes(OTHER, own[0], 0, FAR_US)[0] or None,
        ]

    assert await asked(api, query) == [None] * 11
    text = statements("traces")
    operators = {
        "lane_heads", "ready_count", "open_by_state", "sending_count", "overdue_count",
        "parked_count", "parked_oldest", "parked_of", "messages_page", "alarms_page",
        "alarms_standing", "encoding", "whole", "messages", "events_of_messages", "ending",
        "owner_of_order", "owner_of_batch", "everybody", "every account",
    }  # fmt: skip
    filters = {name for name in text if name.startswith(("field ", "order "))} - {
        "field bounds"
    }
    for name in text.keys() - operators - filters:
        assert "account_id = ?" in text[name] or "account_id = :account" in text[name], name


async def lookalikes(
    api: Installation, order_id: int, from_us: int = 0, to_us: int = FAR_US
) -> tuple[list[int], bool]:
    def query(reader: Reader) -> tuple[list[int], bool]:
        found = reader.trace(MAIN, message_key(order_id, 0))
        assert found is not None
        members, cut = reader.lookalikes(MAIN, found[0], from_us, to_us)
        return [each.key for each in members], cut

    return await api.store.read(query)


async def test_lookalikes_ask_for_the_same_but_for_the_recipient(api: Installation) -> None:
    """Of one account, sender, country and template; newest first, whatever became of them."""
    first = await send(api, "31612345678", "34612345678", text="Your code is 11")
    second = await send(api, "31687654321", text="Your code is 2345")
    third = await send(
        api, recipients=[Recipient("31600000001", text="Your code is 9")], text=None
    )
    await send(api, "31612345678", text="Your key is 11")
    await send(api, "31612345678", text="Your code is 11", sender="OTHER")
    await send(api, "31612345678", text="Your code is 11", account=OTHER)
    await api.move(message_key(second, 0), Move.CLAIMED, Move.TAKEN, Move.RECEIPT_DELIVERED)
    wanted = [message_key(each, 0) for each in (third, second, first)]
    assert await lookalikes(api, first) == (wanted, False)

    def query(reader: Reader) -> Any:
        found = reader.trace(MAIN, message_key(second, 0))
        assert found is not None
        return reader.lookalikes(MAIN, found[0], 0, FAR_US)[0][1]

    shown = await api.store.read(query)
    assert (shown.state, shown.route_id, shown.provider_id) == ("delivered", 1, "north")
    assert (shown.sender, shown.country, shown.text) == ("ARRIVALS", "NL", "Your code is 2345")
    assert (shown.segments, shown.encoding, shown.attempts) == (1, "gsm7", 1)


async def test_lookalikes_are_of_their_time_and_bounded(
    api: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Accepted at or after, and before; beyond the limit only the newest are looked at."""
    orders, times = [], []
    for _ in range(4):
        orders.append(await send(api, "31612345678", "999000001"))
        api.clock.ahead_us += HOUR_US
        rows = await api.sql("SELECT accepted_at FROM orders WHERE id = ?", orders[-1])
        times.append(rows[0][0])
    keys = [message_key(each, 0) for each in orders]
    assert await lookalikes(api, orders[0], times[1], times[3]) == ([keys[2], keys[1]], False)
    assert await lookalikes(api, orders[0], times[3] + 1) == ([], False)
    monkeypatch.setattr(
        traces, "LOOKALIKES_MAX", 3
    )  # of two orders, the older one's second message
    assert await lookalikes(api, orders[0]) == ([keys[3]], True)
    monkeypatch.setattr(traces, "LOOKALIKES_MAX", 8)
    assert (await lookalikes(api, orders[0]))[1] is False


async def test_pages_follow_one_another_without_gap_or_repeat(api: Installation) -> None:
    """Newest first, and the last page says that it is the last."""
    keys = [message_key(await send(api, "31612345678", "34612345678"), n)
            for _ in range(3) for n in (0, 1)]  # fmt: skip
    wanted = sorted(
        {message_key(order_of(key), n) for key in keys for n in (0, 1)}, reverse=True
    )
    seen: list[int] = []
    below: int | None = None
    while True:
        found, below = await page(api, limit=5, before_key=below)
        seen += found
        if below is None:
            break
    assert seen == wanted
    assert len(seen) == 12


async def test_filters_hold_together(api: Installation) -> None:
    """Each narrows the page, and none that is empty widens it."""
    first = await send(api, "31612345678", "34612345678", client_ref="both")
    second = await send(api, "999000001", route_id=2)
    own = await send(
        api, "x", recipients=[Recipient("31600000001", "Hi", "mine"), Recipient("31600000002")]
    )
    await api.move(message_key(first, 0), Move.CLAIMED, Move.TAKEN)
    a, b = message_key(first, 0), message_key(first, 1)
    c, d = message_key(own, 0), message_key(own, 1)
    assert await page(api, states=("submitted",)) == ([a], None)
    assert await page(api, states=()) == ([], None)
    assert await page(api, route_id=2) == ([message_key(second, 0)], None)
    assert await page(api, country="ES") == ([b], None)
    assert await page(api, msisdn="31600000002") == ([d], None)
    assert await page(api, order_id=first) == ([b, a], None)
    assert await page(api, order_id=1 << 60) == ([], None)
    assert await page(api, client_ref="both") == ([b, a], None)
    assert await page(api, client_ref="mine") == ([c], None)
    assert await page(api, client_ref="both", country="NL") == ([a], None)
    assert await page(api, client_ref="both", before_key=b, limit=1) == ([a], None)
    assert await page(api, order_id=first, route_id=2) == ([], None)


async def test_a_span_of_time_is_found_by_halving(api: Installation) -> None:
    """From is included, to is not, and an account without orders has an empty span."""
    orders = []
    begun = api.platform.clock.now_us()
    for hour in range(6):
        api.clock.ahead_us = hour * HOUR_US
        orders.append(await send(api, "31612345678"))
    keys = [message_key(order, 0) for order in reversed(orders)]
    found, _ = await page(api, from_us=begun + 2 * HOUR_US, to_us=begun + 4 * HOUR_US)
    assert found == keys[2:4]
    assert (await page(api, from_us=begun + 9 * HOUR_US))[0] == []
    assert (await page(api, to_us=begun))[0] == []
    assert (await page(api, from_us=begun))[0] == keys
    assert await page(api, account=OTHER, from_us=begun) == ([], None)


async def test_a_search_is_bounded_and_says_where_to_go_on(
    api: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page looks at so many rows and no more; the next one goes on below them."""
    monkeypatch.setattr(traces, "SCANNED_MAX", 4)
    order_id = await send(api, "34612345678", *[f"3161234567{n}" for n in range(9)])
    rounds = 0
    found: list[int] = []
    below: int | None = None
    while True:
        rounds += 1
        some, below = await page(api, country="ES", before_key=below)
        found += some
        if below is None:
            break
    assert found == [message_key(order_id, 0)]
    assert rounds == 3


async def test_orders_come_with_their_roll_up(
    api: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted by how messages stand; a page holds no more messages than can be counted."""
    first = await send(api, "31612345678", "34612345678")
    second = await send(api, "31612345678", route_id=2, client_ref="two")
    await api.move(message_key(first, 0), Move.CLAIMED, Move.TAKEN)

    async def orders(limit: int = 10, **wanted: Any) -> tuple[list[int], dict[str, int], Any]:
        shown, counts, below = await asked(
            api, lambda reader: reader.order_page(MAIN, OrderFilter(**wanted), limit)
        )
        by_state = {each.state: each.count for each in counts if each.order_id == first}
        return [each.order_id for each in shown], by_state, below

    assert await orders() == ([second, first], {"accepted": 1, "submitted": 1}, None)
    assert await orders(limit=1) == ([second], {}, second)
    assert (await orders(before_id=second))[0] == [first]
    assert (await orders(route_id=2))[0] == [second]
    assert (await orders(client_ref="two"))[0] == [second]
    assert (await orders(batch_id=1))[0] == []
    monkeypatch.setattr(traces, "ROLLED_UP_MAX", 1)
    assert await orders() == ([second], {}, second)
    assert (await orders(before_id=second))[0] == [first]
    found, counts = await asked(api, lambda reader: reader.order(MAIN, first))
    assert (found.order_id, sum(each.count for each in counts)) == (first, 2)
    assert await asked(api, lambda reader: reader.order(MAIN, 1 << 60)) is None


async def test_the_backlog_counts_what_is_open(api: Installation) -> None:
    """By state, by lane, and whatever is overdue or parked."""
    order_id = await send(api, "31612345678", "34612345678", "999000001")
    await api.move(message_key(order_id, 0), Move.CLAIMED, Move.TAKEN)
    await api.move(message_key(order_id, 1), Move.CLAIMED)
    for name in ("north", "south", "north"):
        await api.in_store(
            lambda tx, name=name: park_one(tx, name, ["a1", "A1"], "print", "{}")  # type: ignore[misc]
        )
    lanes = [("north", 2), ("north", 0), ("south", 2)]
    now_us = api.platform.clock.now_us()
    found = await asked(api, lambda reader: reader.backlog(lanes, now_us))
    assert found.by_state == {"accepted": 1, "submitted": 1, "sending": 1}
    assert (found.ready, found.overdue, found.parked) == (1, 0, 2)
    assert found.parked_of == ["north", "south"]
    assert found.parked_oldest_us is not None
    assert found.parked_oldest_us <= now_us
    [(provider, lane, since_us, waiting)] = found.lane_heads
    assert (provider, lane, waiting) == ("north", 2, 1)
    assert 0 <= now_us - since_us < HOUR_US
    later_us = now_us + 100 * HOUR_US
    later = await asked(api, lambda reader: reader.backlog([], later_us))
    assert later.overdue == 2
    assert later.lane_heads == []


async def test_a_lane_s_head_waits_since_it_is_ready(api: Installation) -> None:
    """Not since it was accepted, which for a scheduled message may be days ago."""
    order_id = await send(api, "31612345678")
    key = message_key(order_id, 0)
    api.clock.ahead_us += HOUR_US

    def due(tx: Transaction) -> None:
        message = tx.load([key])[key]
        after = noted(message, tx.now_us)
        event = Event(
            key, after.seq, after.changed_at_us, "due", after.state, after.state, "clock", {}
        )
        tx.save([after], [event])

    await api.in_store(due)
    now_us = api.platform.clock.now_us()
    found = await asked(api, lambda reader: reader.backlog([("north", 2)], now_us))
    [(_, _, since_us, _)] = found.lane_heads
    assert now_us - since_us < HOUR_US / 2


def _backlog(reader: Any, asking: Any, paused: Any) -> Any:
    return reader.backlog(*asking, paused)


async def test_what_is_paused_heads_no_lane(api: Installation) -> None:
    """It waits because somebody wants it to; what stands behind it counts."""
    await send(api, "31612345678", route_id=1)
    asking = [("north", 2)], api.platform.clock.now_us()
    some_account: tuple[list[int], list[int]] = ([MAIN], [])
    some_route: tuple[list[int], list[int]] = ([], [1])
    for paused in (some_account, some_route):
        found = await asked(api, functools.partial(_backlog, asking=asking, paused=paused))
        assert found.lane_heads == []
    await send(api, "31612345679", route_id=2)
    found = await asked(api, lambda reader: reader.backlog(*asking, ([], [1])))
    assert [each.waiting for each in found.lane_heads] == [1]


async def test_a_span_of_time_is_exact_though_ids_are_not_in_its_order(ground: Ground) -> None:
    """Orders of several processes overlap: each is found by its time, whatever its id."""
    chance = random.Random(7)
    latest = traces.OUT_OF_ORDER_US
    times = [n * latest // 5 - chance.randrange(latest) for n in range(60)]

    def accept(tx: Transaction) -> dict[int, int]:
        ids = tx.next_order_ids(len(times))
        for order_id, time, account in zip(
            ids, times, itertools.cycle((1, 1, 2)), strict=False
        ):
            row = {"account_id": account, "accepted_at_us": BEGIN_US + time}
            tx.insert_orders([new_order(order_id, BEGIN_US, **row)])
            tx.insert_messages([new_message(message_key(order_id, 0), account, BEGIN_US)])
        mine = zip(ids, times, itertools.cycle((True, True, False)), strict=False)
        return {order_id: time for order_id, time, is_mine in mine if is_mine}

    accepted = await ground.run(accept)
    assert list(accepted.values()) != sorted(accepted.values())
    for _ in range(12):
        begin, end = (chance.choice(times) + chance.randrange(-1, 2) for _ in range(2))
        for since, until in ((begin, end), (begin, None), (None, end)):
            span = {
                "from_us": None if since is None else BEGIN_US + since,
                "to_us": None if until is None else BEGIN_US + until,
            }
            wanted = sorted(
                (
                    order_id
                    for order_id, time in accepted.items()
                    if (since is None or time >= since) and (until is None or time < until)
                ),
                reverse=True,
            )
            assert await orders_in(ground.store, span) == wanted
            assert await messages_in(ground.store, span) == wanted


async def orders_in(store: Store, span: dict[str, Any]) -> list[int]:
    """Return all orders of a span, page by page."""
    found: list[int] = []
    below: int | None = None
    while True:
        wanted = OrderFilter(before_id=below, **span)
        shown, _, below = await store.read(functools.partial(_order_page, wanted=wanted))
        found += [each.order_id for each in shown]
        if below is None:
            return found


async def messages_in(store: Store, span: dict[str, Any]) -> list[int]:
    """Return the orders of all messages of a span, page by page."""
    found: list[int] = []
    below: int | None = None
    while True:
        wanted = MessageFilter(before_key=below, **span)
        rows, below = await store.read(functools.partial(_message_page, wanted=wanted))
        found += [order_of(row.message.key) for row in rows]
        if below is None:
            return found


def _order_page(reader: Reader, wanted: OrderFilter) -> Any:
    return reader.order_page(1, wanted, 7)


def _message_page(reader: Reader, wanted: MessageFilter) -> Any:
    return reader.message_page(1, wanted, 7)
