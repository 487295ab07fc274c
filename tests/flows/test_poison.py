"""One message that can't be claimed ends alone (invariant 31); the lane goes on without it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
import pytest

from arrivals.core.catalogue import Flow
from arrivals.core.message import Move, Reach
from arrivals.flows.claim import ClaimRequest, claim_step
from arrivals.flows.dispatch import Dispatcher
from arrivals.flows.journal import Journal
from arrivals.flows.poison import CAUSE, Claimant
from arrivals.providers.api import Submission
from arrivals.store.api import Step, StoreUnavailable, Transaction
from tests.flows.installation import Installation, installed, own_bind, provider, route
from tests.flows.script import ScriptedConnection, SetClock, receipt

NUMBERS = tuple(f"3161234560{n}" for n in range(7))
PRICE = 50_000


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
async def here(place: str, clock: SetClock) -> AsyncIterator[Installation]:
    routes = [route(1, ["north"]), route(2, ["north"], category="bulk")]
    async with installed(
        place, providers=[provider("north", 1)], routes=routes, started=False, clock=clock
    ) as installation:
        yield installation


async def sent(here: Installation, *numbers: str, **options: Any) -> list[int]:
    """Accept each number as an order of its own; return the messages' keys."""
    return [(await here.send(each, **options)).order.order_id << 17 for each in numbers]


async def without_text(here: Installation, key: int) -> None:
    """Make a message that can be read and not be sent."""
    await here.damage("UPDATE orders SET text = NULL WHERE id = ? >> 17", key)


def claimant(here: Installation, claim: Step[Any, Any] | None = None) -> Claimant:
    platform = here.platform
    return Claimant(platform, claim or claim_step(lambda: platform.catalogue, platform.ranks))


async def wanted(here: Installation, **changes: Any) -> ClaimRequest:
    epoch = await own_bind(here.store, "north")
    return ClaimRequest(**{"provider_id": "north", "epoch": epoch, "limit": 10, **changes})


async def last_event(here: Installation, key: int) -> tuple[str, str]:
    rows = await here.rows(
        "SELECT kind, body FROM events WHERE message_id = ? ORDER BY seq DESC LIMIT 1", key
    )
    return rows[0]


@pytest.mark.each_backend
@pytest.mark.parametrize("nth", [0, 3, 6])
async def test_its_neighbours_are_claimed_and_it_ends_alone(
    here: Installation, nth: int, caplog: pytest.LogCaptureFixture
):
    """Invariant 31: FAILED for a fault of ours, its hold released, named by a trace id."""
    keys = await sent(here, *NUMBERS)
    await without_text(here, keys[nth])
    claimed = await claimant(here).claim(await wanted(here))
    rest = [key for key in keys if key != keys[nth]]
    assert [each.key for each in claimed] == rest
    assert {str(await here.state(key)) for key in rest} == {"sending"}
    rows = await here.rows(
        "SELECT state, reason, resolution, attempts FROM messages WHERE id = ?", keys[nth]
    )
    assert rows == [("failed", "internal", "released", 0)]
    assert (await here.balance())[1] == PRICE * len(rest)
    kind, body = await last_event(here, keys[nth])
    assert kind == Move.GIVEN_UP
    assert CAUSE in body
    [said] = [each for each in caplog.records if each.name == "arrivals.poison"]
    trace_id = said.getMessage().split()[1].rstrip(":")
    assert f'"{trace_id}"' in body
    assert trace_id.isalpha(), "the log hides digits"
    assert said.exc_info is not None


@pytest.mark.parametrize("bulk_first", [False, True])
async def test_each_lane_is_looked_through(here: Installation, *, bulk_first: bool):
    """Poison in one lane, seen from either end."""
    alerts, bulk = await sent(here, *NUMBERS[:3]), await sent(here, *NUMBERS[3:], route_id=2)
    await without_text(here, alerts[1])
    await without_text(here, bulk[1])
    claims = claimant(here)
    claimed = await claims.claim(await wanted(here, bulk_first=bulk_first))
    good = {*alerts, *bulk} - {alerts[1], bulk[1]}
    assert {each.key for each in claimed} == good
    for key in (alerts[1], bulk[1]):
        assert await here.state(key) == "failed"


async def test_what_is_paused_is_not_suspected(here: Installation):
    """The first that may go is the one that a claim of one is about."""
    [paused] = await sent(here, NUMBERS[0])
    [poison] = await sent(here, NUMBERS[1], route_id=2)
    await without_text(here, poison)
    catalogue = here.platform.catalogue
    catalogue.routes[1] = route(1, ["north"], flow=Flow.PAUSED)
    assert await claimant(here).claim(await wanted(here)) == []
    assert await here.state(paused) == "accepted"
    assert await here.state(poison) == "failed"


async def test_a_resend_that_can_t_go_out_leaves_the_first_hand_off_in_doubt(
    here: Installation,
):
    """It may have arrived, so it doesn't count as failed (invariant 29)."""
    [key] = await sent(here, NUMBERS[0])

    def resend(tx: Transaction) -> None:
        journal = Journal(tx, here.platform.catalogue)
        message = tx.load([key])[key]
        rank = message.rank
        message = journal.move(message, Move.CLAIMED, "worker", {}, rank=None, attempts=1)
        reach = {"reach": Reach.HANDOFF_UNKNOWN}
        message = journal.move(message, Move.UNANSWERED, "worker", {}, **reach)
        journal.move(message, Move.RESEND_ALLOWED, "clock", {}, rank=rank, resends=1)
        journal.flush()

    await here.in_transaction(resend)
    await without_text(here, key)
    assert await claimant(here).claim(await wanted(here)) == []
    assert await here.state(key) == "ambiguous"
    assert (await last_event(here, key))[0] == Move.RESEND_DROPPED
    assert (await here.balance())[1] == PRICE
    rows = await here.rows("SELECT rank, wake_at FROM messages WHERE id = ?", key)
    assert rows[0][0] is None
    assert rows[0][1] is not None


async def test_a_bug_that_fails_every_claim_empties_no_queue(
    here: Installation, clock: SetClock
):
    """Each further one waits longer, as long as nothing could be claimed between."""

    def run(tx: Transaction, requests: Sequence[ClaimRequest]) -> list[list[Submission]]:
        raise ValueError("a mistake")

    keys = await sent(here, *NUMBERS)
    claims, request = claimant(here, Step("claim", 50, run)), await wanted(here)

    async def ended() -> int:
        assert await claims.claim(request) == []
        return [str(await here.state(key)) for key in keys].count("failed")

    counts = []
    for seconds in (0, 0.9, 0.2, 1.9, 0.2, 3.9, 0.2):
        clock.tick(seconds)
        counts.append(await ended())
    assert counts == [2, 2, 3, 3, 4, 4, 5]


async def test_the_store_s_own_trouble_is_nobody_s_fault(here: Installation):
    """Invariant 31 is about messages: an outage ends none of them."""

    def run(tx: Transaction, requests: Sequence[ClaimRequest]) -> list[list[Submission]]:
        raise StoreUnavailable("locked")

    [key] = await sent(here, NUMBERS[0])
    with pytest.raises(StoreUnavailable):
        await claimant(here, Step("claim", 50, run)).claim(await wanted(here, limit=1))
    assert await here.state(key) == "accepted"


async def test_what_was_claimed_goes_out_though_the_next_one_can_t_even_be_set_aside(
    here: Installation, caplog: pytest.LogCaptureFixture
):
    """A row that can't be read at all is told of; those before it are on their way."""
    if here.backend.is_typed:
        pytest.skip("its types let in nothing that can't be read")
    keys = await sent(here, *NUMBERS[:3])
    await here.damage("UPDATE messages SET msisdn = x'ff' WHERE id = ?", keys[1])
    claimed = await claimant(here).claim(await wanted(here))
    assert [each.key for each in claimed] == keys[:1]
    assert "can't be set aside either" in caplog.text


async def test_nothing_is_set_aside_where_no_message_stands_in_the_way(
    here: Installation, caplog: pytest.LogCaptureFixture
):
    """A claim that fails on an empty queue is logged, and tried again later."""

    def run(tx: Transaction, requests: Sequence[ClaimRequest]) -> list[list[Submission]]:
        raise ValueError("a mistake")

    assert await claimant(here, Step("claim", 50, run)).claim(await wanted(here)) == []
    assert "no message stands in its way" in caplog.text


async def test_one_that_was_cancelled_meanwhile_is_left_alone(here: Installation):
    """What left the queue between the claim and this needs no help."""
    [key] = await sent(here, NUMBERS[0])
    claims = claimant(here)
    await without_text(here, key)
    kept = here.store.write

    async def cancelled_first(step: Any, item: Any) -> Any:
        if step.name == "set aside":
            await here.in_transaction(lambda tx: _cancel(tx, here, key))
        return await kept(step, item)

    here.store.write = cancelled_first  # type: ignore[method-assign]
    assert await claims.claim(await wanted(here)) == []
    assert await here.kinds(key) == ["accepted", "cancel_asked"]


def _cancel(tx: Transaction, here: Installation, key: int) -> None:
    journal = Journal(tx, here.platform.catalogue)
    journal.move(tx.load([key])[key], Move.CANCEL_ASKED, "customer", {})
    journal.flush()


async def test_a_receipt_that_cannot_be_recorded_leaves_its_bytes(here: Installation):
    """Invariant 37: never dropped; it is acknowledged once they are durable."""
    connection = ScriptedConnection("north")
    dispatcher = Dispatcher(here.platform, connection, "test")
    said = receipt("north", "A1", "DELIVRD", "31612345678")
    poison = msgspec.structs.replace(said, fingerprint=object(), raw="c0ffee")
    dispatcher.received([poison], ["token"])
    await asyncio.wait(dispatcher._facts)
    assert await here.rows("SELECT provider_id, raw FROM raw_receipts") == [("north", "c0ffee")]
    assert connection.acknowledged == ["token"]
