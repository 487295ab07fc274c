"""What a provider refuses whoever the recipient is, and which key of its dialect to look at.

The kind of report behind it: one that takes no optional parameters refused every message, and
senders were blamed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from arrivals.flows.alarms import Alarms
from arrivals.flows.answer import answer_step
from arrivals.flows.claim import ClaimRequest, claim_step
from arrivals.flows.conditions import ALL_OF_S, FEW, IN_A_ROW, Conditions
from arrivals.flows.sweep import Sweeper, sweep_step
from arrivals.providers.api import (
    Answer,
    Refused,
    Result,
    Submission,
    Taken,
    Throttled,
)
from arrivals.telemetry import Telemetry
from tests.flows.installation import Installation, installed, own_bind, provider
from tests.flows.script import ScriptedConnection, SetClock, answer, sent, told
from tests.flows.test_dispatcher import dispatching, taken

NORTH, SOUTH = provider("north", 1), provider("south", 1)
NOW = 1_000.0


# --- our way of writing ---------------------------------------------------------------


def refusals(count: int, status: int = 0xC3, *, first: int = 0) -> list[Answer]:
    refused = Refused(status, "provider_dialect", retryable=False, elsewhere=True)
    return [told(first + n, refused) for n in range(count)]


def complaint(conditions: Conditions, now: float = NOW) -> int | None:
    form = conditions.refusing.get("north")
    return form.complaint(now) if form else None


def test_refusals_of_all_messages_for_their_form_are_the_settings() -> None:
    conditions = Conditions()
    conditions.heard("north", refusals(IN_A_ROW - 1), NOW)
    assert complaint(conditions) is None
    conditions.heard("north", refusals(1, first=50), NOW)
    assert complaint(conditions) == 0xC3


def test_a_message_that_is_taken_between_them_shows_that_they_aren_t() -> None:
    conditions = Conditions()
    conditions.heard("north", [*refusals(IN_A_ROW), told(99, Taken(()))], NOW)
    assert complaint(conditions) is None
    conditions.heard("north", refusals(IN_A_ROW, first=100), NOW)
    assert complaint(conditions) == 0xC3


def test_a_few_are_enough_where_they_are_all_of_a_minute_s() -> None:
    conditions = Conditions()
    conditions.heard("north", refusals(FEW), NOW)
    assert complaint(conditions, NOW + ALL_OF_S - 1) is None
    assert complaint(conditions, NOW + ALL_OF_S) == 0xC3
    fewer = Conditions()
    fewer.heard("north", refusals(FEW - 1), NOW)
    assert complaint(fewer, NOW + 10 * ALL_OF_S) is None


def test_one_destination_that_is_refused_again_and_again_is_no_sign() -> None:
    conditions = Conditions()
    conditions.heard("north", refusals(1), NOW)
    for key in range(1, 100):
        conditions.claimed("north", [sent(key, "31699999999")])
        conditions.heard("north", refusals(1, first=key), NOW)
    assert complaint(conditions, NOW + ALL_OF_S) is None


def test_refusals_of_what_is_written_are_none() -> None:
    conditions = Conditions()
    for key in range(100):
        refused = Refused(0x0B, "invalid_number", retryable=False, elsewhere=False)
        conditions.heard("north", [told(key, refused)], NOW)
    assert conditions.refusing == {}


def test_what_is_kept_in_mind_is_bounded() -> None:
    conditions = Conditions()
    conditions.heard("north", refusals(1), NOW)
    conditions.claimed("north", [sent(key) for key in range(10_000)])
    conditions.claimed("north", [sent(key) for key in range(10_000)])
    assert len(conditions.refusing["north"]._goes_to) <= 2 * IN_A_ROW


@pytest.mark.parametrize(
    ("status", "where"),
    [
        (0xC1, "(ESME_ROPTPARNOTALLWD): Look at `optional_parameters` in its dialect."),
        (0x62, "(ESME_RINVEXPIRY): Look at `validity` in its dialect."),
        (0x48, "(ESME_RINVSRCTON): Look at `senders` in its dialect."),
        (0x15, "(ESME_RINVSERTYP): Look at `service_type` in its dialect."),
        (0x07, "(ESME_RINVREGDLVFLG): Ask it how it wants them written."),
    ],
)
async def test_the_alarm_names_what_to_look_at(
    here: Installation, status: int, where: str
) -> None:
    alarms = Alarms(here.platform)
    now = here.platform.clock.monotonic()
    here.platform.conditions.heard("north", refusals(IN_A_ROW, status), now)
    await alarms.look()
    await alarms.look()
    [alarm] = here.platform.alarms
    assert f"{alarm.trouble.words}: {alarm.trouble.fix}" == (
        f"provider north refuses every message for its form {where}"
    )


async def test_a_dispatcher_counts_them(here: Installation) -> None:
    """Each goes on to the next provider, and the sender learns nothing of it."""
    north, south = ScriptedConnection("north", room=40), ScriptedConnection("south", room=40)
    await here.send(*(f"316{n:08d}" for n in range(IN_A_ROW)))
    async with dispatching(here, north), dispatching(here, south):
        await taken(north, IN_A_ROW)
        assert north.sink is not None
        refused = Refused(0x62, "provider_dialect", retryable=False, elsewhere=True)
        north.sink.answered([answer(each, refused, "north") for each in north.taken])
        assert complaint(here.platform.conditions) == 0x62
        await taken(south, IN_A_ROW)


# --- figures --------------------------------------------------------------------------


def test_how_a_provider_slows_us_is_shown() -> None:
    telemetry = Telemetry()
    telemetry.condition("north", broken=True, held_s=2.5)
    shown = telemetry.exposition().decode()
    assert 'arrivals_provider_broken{provider="north"} 1.0' in shown
    assert 'arrivals_provider_held_seconds{provider="north"} 2.5' in shown


# --- a few that are always throttled, among many --------------------------------------

A_TURN_S = 0.1
A_TURN = 10  # messages: 100 a second


async def turns(place: str, others: int, always: Sequence[str]) -> int:
    """Return how many turns it takes until all others are taken."""
    clock = SetClock()
    numbers = [f"3161{n:07d}" for n in range(others)]
    left = set(numbers)
    for n, each in enumerate(always):
        numbers.insert(n * 37, each)
    async with installed(place, providers=[NORTH], started=False, clock=clock) as here:
        platform, write = here.platform, here.store.write
        await here.send(*numbers)
        epoch = await own_bind(here.store, "north")
        claim = claim_step(lambda: platform.catalogue, platform.ranks)
        record = answer_step(lambda: platform.catalogue, platform.ranks, platform.defaults)
        sweep = sweep_step(lambda: platform.catalogue, platform.ranks, platform.defaults)
        wish = ClaimRequest(provider_id="north", epoch=epoch, limit=A_TURN)
        count = 0
        while left:
            count += 1
            await write(sweep, 500)
            out = await write(claim, wish)
            await write(record, [answer(each, _full(each, always), "north") for each in out])
            left -= {each.msisdn for each in out}
            clock.tick(A_TURN_S)
        return count


def _full(sent: Submission, always: Sequence[str]) -> Result:
    if sent.msisdn in always:
        return Throttled(0x14)
    return Taken(((1, str(sent.key), str(sent.key)),))


@pytest.mark.parametrize(("others", "few"), [(800, 8), (1_000, 1)])
async def test_a_few_that_are_always_throttled_leave_the_others_their_pace(
    place: str, others: int, few: int
) -> None:
    """They wait by themselves, and come back one by one: nobody else waits for them."""
    full = [f"3169{n:07d}" for n in range(few)]
    assert others / A_TURN / await turns(place, others, full) >= 0.95


async def test_while_they_are_put_off_again_and_again_the_dispatcher_goes_on(
    place: str,
) -> None:
    full = [f"3169{n:07d}" for n in range(10)]
    connection = ScriptedConnection("north", room=10)
    async with installed(place, providers=[NORTH], started=False) as here:
        await here.send(*full, *(f"3161{n:07d}" for n in range(200)))
        sweeping = asyncio.create_task(Sweeper(here.platform).run())
        async with dispatching(here, connection):
            answered, done = 0, 0
            async with asyncio.timeout(20):
                while done < 200:
                    await taken(connection, answered + 1)
                    news = connection.taken[answered:]
                    answered += len(news)
                    done += sum(each.msisdn not in full for each in news)
                    assert connection.sink is not None
                    connection.sink.answered(
                        [answer(each, _full(each, full), "north") for each in news]
                    )
        sweeping.cancel()
        await asyncio.gather(sweeping, return_exceptions=True)
        assert answered - done < 10 * 5
