"""What goes to providers and comes back is counted once, by provider, with bounded labels."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from arrivals.core.reasons import REASONS
from arrivals.flows.tallies import outcomes_in, receipt_times_in
from arrivals.flows.traffic import Traffic
from arrivals.providers.api import (
    Answer,
    NotBound,
    NotSent,
    PartHeld,
    Refused,
    Result,
    Taken,
    Throttled,
    Unanswered,
)
from tests.flows.installation import Installation, installed, provider
from tests.flows.script import ScriptedConnection, SetClock, answer, receipt, sent
from tests.flows.test_dispatcher import dispatching, state, taken, tell

NORTH = provider("north", 1)
IDS = ((1, "A1", "A1"),)


@pytest.fixture
async def here(place: str) -> AsyncIterator[Installation]:
    clock = SetClock()
    async with installed(place, providers=[NORTH], started=False, clock=clock) as found:
        yield found


def told(key: int, result: Result, *, late: bool = False) -> Answer:
    return answer(sent(key), result, "north", late=late)


def test_each_hand_off_counts_once_by_what_became_of_it() -> None:
    traffic = Traffic()
    refused = Refused(0x0B, "invalid_number", retryable=False, elsewhere=False)
    traffic.handed_over("north", 8)
    traffic.answered(
        "north",
        [
            told(1, PartHeld(2, 0x58, 0)),
            told(1, Taken(IDS, elapsed_us=30_000)),
            told(2, Throttled(0x58)),
            told(3, Throttled(0x58, whole_bind=True)),
            told(4, refused),
            told(5, NotBound(4)),
            told(6, NotSent("the connection was lost")),
            told(7, Unanswered("no answer came")),
            told(7, Taken(IDS, elapsed_us=9_000_000), late=True),
        ],
    )
    assert traffic.handed == {"north": 8}
    assert traffic.answers == {
        ("north", "taken"): 1,
        ("north", "throttled"): 2,
        ("north", "refused"): 1,
        ("north", "not_bound"): 1,
        ("north", "not_sent"): 1,
        ("north", "unanswered"): 1,
    }
    assert traffic.late == {"north": 1}
    assert traffic.throttles == {("north", "message"): 1, ("north", "bind"): 1}
    fault = REASONS["invalid_number"].fault.value
    assert traffic.refusals == {("north", fault, "invalid_number"): 1}
    assert sum(traffic.submit_s["north"].counts) == 1


async def test_outcomes_and_receipts_count_once_they_are_committed(here: Installation) -> None:
    """A step that fails is run again, and then nothing of it counts twice."""
    clock = here.platform.clock
    assert isinstance(clock, SetClock)
    connection = ScriptedConnection("north")
    accepted = await here.send("31612345678")
    key = accepted.order.order_id << 17
    async with dispatching(here, connection):
        submissions = await taken(connection, 1)
        tell(connection, submissions, Taken(IDS))
        await state(here, key, "submitted")
        clock.tick(20)
        assert connection.sink is not None
        word = receipt("north", "A1", "DELIVRD", "31612345678")
        connection.sink.received([word, word], ["a", "b"])
        await state(here, key, "delivered")
    traffic, totals = here.platform.traffic, here.store.totals
    assert (traffic.handed["north"], traffic.answers["north", "taken"]) == (1, 1)
    assert traffic.receipts == {("north", "DELIVRD"): 2}
    assert outcomes_in(totals) == {("north", "delivered"): 1}
    times = receipt_times_in(totals)["north"]
    assert sum(times.counts) == 1
    assert 19.9 < times.total < 20.1


async def test_nothing_counts_that_is_undone(here: Installation) -> None:
    class Undone(Exception):
        """A step that fails at its end."""

    def fail(tx: object) -> None:
        tx.tally("outcome", "north", "delivered")  # type: ignore[attr-defined]
        raise Undone

    before = here.store.totals
    with pytest.raises(Undone):
        await here.in_transaction(fail)
    assert here.store.totals == before
    await here.in_transaction(lambda tx: tx.tally("outcome", "north", "delivered", by=3))
    assert outcomes_in(here.store.totals) == {("north", "delivered"): 3}
