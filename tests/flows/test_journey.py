"""The journey of one message, for every fate that the sandbox fixes."""

from __future__ import annotations

import pytest

from arrivals.core.ids import message_key
from arrivals.core.message import State
from arrivals.flows.plan import Defaults
from tests.flows.installation import FUNDS, carrier_world, installed, provider

PRICE = 10_000

# Two digits of 999000000NN, what becomes of it, what is charged.
FATES = [
    ("01", State.DELIVERED, PRICE),
    ("02", State.FAILED, PRICE),
    ("03", State.UNKNOWN, PRICE),
    ("04", State.FILTERED, PRICE),
    ("05", State.DELIVERED, PRICE),
    ("06", State.DELIVERED, PRICE),
    ("07", State.DELIVERED, PRICE),
    ("08", State.DELIVERED, PRICE),
    ("09", State.DELIVERED, PRICE),
    ("10", State.DELIVERED, PRICE),
    ("11", State.DELIVERED, PRICE),
    ("12", State.DELIVERED, PRICE),
    ("13", State.EXPIRED, PRICE),
    ("15", State.FAILED, 0),
    ("16", State.DELIVERED, PRICE),
    ("17", State.UNKNOWN, PRICE),
]


@pytest.mark.slow
@pytest.mark.parametrize(("fate", "state", "charged"), FATES)
async def test_every_fixed_fate_ends_as_it_says(
    place: str, fate: str, state: State, charged: int
):
    # Three throttled answers hold the bind for 1, 2 and 4 seconds.
    valid_for_s = 20 if fate == "06" else 4
    defaults = Defaults(valid_for_s=valid_for_s, outcome_grace_s=2)
    async with (
        carrier_world() as world,
        installed(place, providers=[provider("north", world.port)], defaults=defaults) as here,
    ):
        accepted = await here.send(f"999000000{fate}")
        await here.wait_for(accepted)
        key = message_key(accepted.order.order_id, 0)
        kinds = await here.kinds(key)
        if fate == "12" and await here.state(key) is State.FAILED:
            await here.wait_for(accepted, State.DELIVERED)
        assert await here.state(key) is state, kinds
        assert await here.balance() == (FUNDS - charged, 0)


LONG = "a long text " * 27  # three segments


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fate", "text", "state", "charged"),
    [
        ("18", "hello", State.EXPIRED, 0),
        ("19", "hello", State.EXPIRED, 0),
        ("20", "hello", State.DELIVERED, PRICE),
        ("20", LONG, State.DELIVERED, 3 * PRICE),
        ("21", "hello", State.DELIVERED, PRICE),
        ("21", LONG, State.FAILED, None),
    ],
)
async def test_who_is_told_to_wait_or_refused_in_part_ends_as_that(
    place: str, fate: str, text: str, state: State, charged: int | None
):
    """A number that is always full waits until its validity ends; a part that is put off is
    tried again; a part that is refused ends the message as what it is."""
    defaults = Defaults(valid_for_s=8, outcome_grace_s=2)
    async with (
        carrier_world() as world,
        installed(place, providers=[provider("north", world.port)], defaults=defaults) as here,
    ):
        accepted = await here.send(f"999000000{fate}", text=text)
        await here.wait_for(accepted)
        key = message_key(accepted.order.order_id, 0)
        assert await here.state(key) is state, await here.kinds(key)
        if charged is not None:
            assert await here.balance() == (FUNDS - charged, 0)


@pytest.mark.slow
async def test_one_lost_part_leaves_a_long_message_unknown(place: str):
    """99900000014 loses the last part: two receipts say delivered, and the truth is that
    nobody knows."""
    defaults = Defaults(valid_for_s=2, outcome_grace_s=2)
    async with (
        carrier_world() as world,
        installed(place, providers=[provider("north", world.port)], defaults=defaults) as here,
    ):
        accepted = await here.send("99900000014", text="a long text " * 27)
        await here.wait_for(accepted)
        key = message_key(accepted.order.order_id, 0)
        assert await here.state(key) is State.UNKNOWN
        kinds = await here.kinds(key)
        assert kinds.count("receipt_delivered") == 2
        parts = await here.rows("SELECT parts FROM messages WHERE id = ?", key)
        assert parts == [("1:dd.",)]
        assert await here.balance() == (FUNDS - 3 * PRICE, 0)


@pytest.mark.slow
async def test_a_provider_that_goes_away_costs_no_message(place: str):
    """Invariant 26: what left is in doubt, what didn't goes out when it is back; none twice."""
    async with (
        carrier_world("wire") as world,
        installed(place, providers=[provider("north", world.port, window=10)]) as here,
    ):
        accepted = await here.send(*(f"9991{n:07d}" for n in range(300)))
        await world.truth.until(lambda: len(world.truth.handoffs) >= 50)
        await world.go_away()
        await world.come_back()
        await here.wait_for(accepted, State.DELIVERED, State.AMBIGUOUS)
        rows = await here.rows("SELECT state, attempts FROM messages")
        doubtful = sum(state == "ambiguous" for state, _ in rows)
        assert doubtful <= 10  # a window's worth
        taken = [each.destination for each in world.truth.handoffs]
        assert len(taken) == len(set(taken))
        assert len(taken) >= 300 - doubtful
