"""Accepting: all or nothing, each request judged by itself, and never twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from arrivals.core.errors import Code, Refusal
from arrivals.core.money import Micros
from arrivals.flows.accept import Accepted, Idempotency, Replay, Request
from arrivals.flows.plan import Recipient, SendRequest
from tests.flows.installation import Installation, account, installed, provider
from tests.flows.script import SetClock

PRICE = 50_000  # for one segment to the Netherlands
NUMBERS = [f"3161234567{n}" for n in range(10)]


@pytest.fixture
async def here(place: str) -> AsyncIterator[Installation]:
    """Two accounts with the money for five messages each."""
    clock = SetClock()
    async with installed(
        place,
        providers=[provider("north", 1)],
        accounts=[account(1), account(2)],
        started=False,
        clock=clock,
        funds=Micros(5 * PRICE),
    ) as installation:
        yield installation
        assert await installation.unsound() == []


def request(here: Installation, numbers: list[str], **options: Any) -> Request:
    key, body = options.pop("key", None), options.pop("body", "same")
    send = SendRequest(
        **{
            "account_id": 1,
            "key_id": "aa000001",
            "environment": "test",
            "request_id": "r",
            "route_id": 1,
            "sender": "ACME",
            "recipients": [Recipient(number) for number in numbers],
            "text": "hello",
            **options,
        }
    )
    return Request(
        plan=here.platform.plan(send),
        idempotency=None if key is None else Idempotency("POST /send_sms", key, body),
        render=lambda accepted: (200, b"order %d" % accepted.order.order_id),
    )


async def orders(here: Installation) -> int:
    return (await here.rows("SELECT count(*) FROM orders"))[0][0]


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE balances SET held = held + 1",
        "UPDATE orders SET cost = cost + 1",
        "UPDATE messages SET state = 'waiting'",
    ],
)
async def test_what_is_unsound_would_be_seen(place: str, damage: str):
    """The last line of every story proves something on every backend."""
    async with installed(place, providers=[provider("north", 1)], started=False) as here:
        await here.send(NUMBERS[0])
        assert await here.unsound() == []
        await here.damage(damage)
        assert await here.unsound() != []


async def test_all_or_nothing(here: Installation):
    """Invariants 16 and 19: a refused order leaves nothing at all."""
    result = await here.platform.accept(request(here, NUMBERS[:6]))
    assert isinstance(result, Refusal)
    assert result.code == Code.INSUFFICIENT_BALANCE
    assert await here.rows("SELECT (SELECT count(*) FROM orders), count(*) FROM messages") == [
        (0, 0)
    ]
    assert await here.balance() == (5 * PRICE, 0)
    assert isinstance(await here.platform.accept(request(here, NUMBERS[:5])), Accepted)
    assert await here.balance() == (0, 5 * PRICE)


async def test_one_bad_number_refuses_all_of_them(here: Installation):
    with pytest.raises(Refusal) as caught:
        request(here, [NUMBERS[0], "12"])
    assert caught.value.code == Code.INVALID_NUMBER


async def test_a_partial_send_takes_what_the_funds_reach_in_input_order(here: Installation):
    """Invariant 19: each recipient has its own verdict and charge."""
    wanted = request(here, [NUMBERS[0], "12", *NUMBERS[1:7]], partial=True)
    result = await here.platform.accept(wanted)
    assert isinstance(result, Accepted)
    assert [each.index for each in result.messages] == [0, 2, 3, 4, 5]
    assert [(each.index, each.refusal.code) for each in result.refused] == [
        (1, Code.INVALID_NUMBER),
        (6, Code.INSUFFICIENT_BALANCE),
        (7, Code.INSUFFICIENT_BALANCE),
    ]
    assert result.order.cost == 5 * PRICE
    assert await here.balance() == (0, 5 * PRICE)


async def test_a_partial_send_that_reaches_nobody_is_refused(here: Installation):
    await here.platform.accept(request(here, NUMBERS[:5]))
    result = await here.platform.accept(request(here, NUMBERS[:2], partial=True))
    assert isinstance(result, Refusal)
    assert await orders(here) == 1


@pytest.mark.each_backend
async def test_a_refusal_in_a_shared_transaction_fails_alone(here: Installation):
    """Invariant 5: the sixth of six that meet finds no money, whoever comes with it."""
    mine = [request(here, [number]) for number in NUMBERS[:6]]
    theirs = [request(here, [number], account_id=2) for number in NUMBERS[:2]]
    results = await asyncio.gather(*map(here.platform.accept, [*mine, *theirs]))
    refused = [each for each in results if isinstance(each, Refusal)]
    assert [each.code for each in refused] == [Code.INSUFFICIENT_BALANCE]
    assert sum(isinstance(each, Accepted) for each in results) == 7
    assert await here.balance(1) == (0, 5 * PRICE)
    assert await here.balance(2) == (3 * PRICE, 2 * PRICE)


@pytest.mark.each_backend
async def test_twins_in_one_transaction_are_one_order(here: Installation):
    """Invariant 18: one order, and every twin gets its answer."""
    twins = [request(here, NUMBERS[:1], key="k") for _ in range(5)]
    results = await asyncio.gather(*map(here.platform.accept, twins))
    accepted = [each for each in results if isinstance(each, Accepted)]
    replays = [each for each in results if isinstance(each, Replay)]
    assert (len(accepted), len(replays)) == (1, 4)
    answer = b"order %d" % accepted[0].order.order_id
    assert {(each.status, each.answer) for each in replays} == {(200, answer)}
    assert await orders(here) == 1


async def test_a_replay_later_costs_nothing(here: Installation):
    """Invariant 17."""
    first = await here.platform.accept(request(here, NUMBERS[:1], key="k"))
    again = await here.platform.accept(request(here, NUMBERS[:1], key="k"))
    assert isinstance(first, Accepted)
    assert isinstance(again, Replay)
    assert await here.balance() == (4 * PRICE, PRICE)


async def test_a_key_belongs_to_one_body_and_one_account(here: Installation):
    await here.platform.accept(request(here, NUMBERS[:1], key="k"))
    other = await here.platform.accept(request(here, NUMBERS[:1], key="k", body="other"))
    assert isinstance(other, Refusal)
    assert other.code == Code.IDEMPOTENCY_KEY_MISMATCH
    theirs = await here.platform.accept(request(here, NUMBERS[:1], key="k", account_id=2))
    assert isinstance(theirs, Accepted)


async def test_a_refusal_isn_t_kept_under_its_key(here: Installation):
    refused = await here.platform.accept(request(here, NUMBERS[:6], key="k"))
    assert isinstance(refused, Refusal)
    accepted = await here.platform.accept(request(here, NUMBERS[:5], key="k"))
    assert isinstance(accepted, Accepted)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"max_price": PRICE - 1}, Code.MAX_PRICE_EXCEEDED),
        ({"max_segments": 0}, Code.TOO_MANY_SEGMENTS),
        ({"text": "x" * 200, "max_segments": 1}, Code.TOO_MANY_SEGMENTS),
        ({"route_id": 9}, Code.INVALID_ROUTE),
        ({"environment": "live"}, Code.ENVIRONMENT_MISMATCH),
        ({"valid_for_s": 0}, Code.BODY_INVALID),
        ({"valid_for_s": 73 * 3600}, Code.BODY_INVALID),
        ({"send_at_us": 2 * 10**15}, Code.BODY_INVALID),
        ({"text": " "}, Code.BODY_INVALID),
        ({"text": "a\0b"}, Code.BODY_INVALID),
        ({"text": "\ud800"}, Code.BODY_INVALID),
        ({"text": None}, Code.BODY_INVALID),
        ({"sender": "no"}, Code.BODY_INVALID),
        ({"sender": "    "}, Code.BODY_INVALID),
        ({"sender": " ACME"}, Code.BODY_INVALID),
        ({"sender": "ACME "}, Code.BODY_INVALID),
        ({"category": "spam"}, Code.BODY_INVALID),
        ({"on_ambiguous": "hope"}, Code.BODY_INVALID),
        ({"route_id": None}, Code.BODY_INVALID),
        ({"recipients": [Recipient("447700900123")]}, Code.NO_PRICE),
    ],
)
async def test_what_can_t_be_planned(here: Installation, options: dict[str, Any], code: Code):
    with pytest.raises(Refusal) as caught:
        request(here, NUMBERS[:1], **options)
    assert caught.value.code == code


async def test_the_decision_record_says_what_was_decided(here: Installation):
    result = await here.platform.accept(request(here, NUMBERS[:2], on_ambiguous="resend"))
    assert isinstance(result, Accepted)
    record = result.plan.record()
    assert record["route"]["providers"] == ["north"]
    assert record["on_ambiguous"] == {"policy": "resend", "set_by": "request"}
    [line] = record["prices"]
    assert (line["prefix"], line["price_per_segment"], line["messages"]) == ("31", PRICE, 2)
    assert line["encodings"] == {"gsm7": 2}
