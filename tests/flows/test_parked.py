"""Parked receipts are tried again when the catalogue decides otherwise whose they are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from arrivals.clock import SystemChance
from arrivals.core.catalogue import Catalogue, Provider
from arrivals.core.dialect import Dialect
from arrivals.flows import parked, sweep
from arrivals.flows.applying import APPLY_CONFIGURATION
from arrivals.flows.configuration import Configuration
from arrivals.flows.opening import open_platform
from arrivals.flows.parked import SECOND_ROUND_AFTER_S, Parked, decided_anew, deciding
from arrivals.flows.plan import Defaults
from arrivals.flows.receive import try_parked
from arrivals.flows.sweep import Sweeper
from arrivals.providers.api import forms_of
from arrivals.store.api import Transaction
from arrivals.store.statements import migrations
from tests.backends import backend_at
from tests.flows.installation import PRICES, Installation, installed, provider
from tests.flows.script import SetClock, receipt
from tests.flows.story import Story
from tests.store.ground import park_one

NORTH, SOUTH = provider("north", 1), provider("south", 1)
LINKED = replace(SOUTH, ids_of="north")
DECIMAL = Dialect(id_form="hex_to_decimal")
ROWS = "SELECT id, received_at, count, fingerprint FROM parked_receipts ORDER BY id"
EARLY = """
    accept   31612345678
    claim
    answer   1 taken A1
    receipt  A1 DELIVRD provider=south
    parked   1
    state    submitted
    """


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
async def here(place: str, clock: SetClock) -> AsyncIterator[Installation]:
    async with opened(place, clock, NORTH, SOUTH) as installation:
        yield installation


def opened(place: str, clock: SetClock, *providers: Provider) -> Any:
    return installed(place, providers=providers, started=False, clock=clock)


async def reload(here: Installation, *providers: Provider) -> None:
    """Change the configuration, and take it over as the fleet does at its next look."""
    catalogue = here.platform.catalogue
    changed = Configuration(
        providers=providers,
        routes=tuple(catalogue.routes.values()),
        prices={1: PRICES},
        accounts=tuple(catalogue.accounts.values()),
    )
    await here.store.write(APPLY_CONFIGURATION, changed)
    here.platform.swap(await here.in_transaction(lambda tx: tx.catalogue()))


async def a_round(trying: Parked) -> int:
    """Look until the round is over; return how many batches it took."""
    for batches in range(1, 1_000):
        await trying.look()
        if trying._next is None:
            return batches
    raise AssertionError("it doesn't end")


async def park_ghosts(
    here: Installation, numbers: Sequence[int], provider_id: str = "south"
) -> None:
    """Park receipts whose ids nobody gave."""

    def run(tx: Transaction) -> None:
        for n in numbers:
            each = receipt(provider_id, f"Z{n}", "DELIVRD", f"3170{n:07}")
            body = msgspec.json.encode(each).decode()
            park_one(tx, provider_id, [f"z{n}", f"to:3170{n:07}"], each.fingerprint, body)

    await here.in_transaction(run)


# --- what changed -------------------------------------------------------------------------


async def test_a_link_that_is_added_later_helps_what_was_parked_before(
    here: Installation, clock: SetClock
):
    """And counts it once, however often it is told and tried (invariants 35 and 36)."""
    story, trying = Story(here, clock), Parked(here.platform)
    await a_round(trying)
    await story.play(EARLY)
    came = await here.rows("SELECT received_at FROM parked_receipts")
    clock.tick(3600)
    await trying.look()
    await story.play("parked 1")
    await reload(here, NORTH, LINKED)
    changed = here.platform.changes.on_message(story.key())
    await a_round(trying)
    assert changed.is_set(), "whoever waits for the message is told"
    await story.play("state delivered\nparked 0\nsays receipt_delivered")
    assert (await story.journey())[1][-1].body["came_at"] == came[0][0]
    events = await here.kinds(story.key())
    await a_round(Parked(here.platform))
    await story.play("receipt A1 DELIVRD provider=south\nparked 0\nstate delivered")
    assert await here.kinds(story.key()) == events
    assert (await story.row())["seen"] == 2


async def test_a_start_tries_what_a_change_before_it_explains(place: str, clock: SetClock):
    async with opened(place, clock, NORTH, SOUTH) as here:
        story = Story(here, clock)
        await story.play(EARLY)
        key = story.key()
    clock.tick(60)
    async with opened(place, clock, NORTH, LINKED) as here:
        sweeping = asyncio.create_task(Sweeper(here.platform).run())
        try:
            async with asyncio.timeout(10):
                while (await here.state(key)) != "delivered":  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
        finally:
            sweeping.cancel()
            await asyncio.gather(sweeping, return_exceptions=True)
        assert await here.rows(ROWS) == []


@pytest.mark.parametrize(
    ("told_by", "before", "after"),
    [
        ("north", (NORTH,), (replace(NORTH, dialect=DECIMAL),)),
        ("south", (NORTH, LINKED), (replace(NORTH, dialect=DECIMAL), LINKED)),
    ],
    ids=["its own form", "the form of the one whose ids it tells"],
)
async def test_a_form_that_is_named_later_helps_as_well(
    place: str,
    clock: SetClock,
    told_by: str,
    before: Sequence[Provider],
    after: Sequence[Provider],
):
    """The id alone decides, though another number is told, once its form is sure."""
    async with opened(place, clock, *before) as here:
        story, trying = Story(here, clock), Parked(here.platform)
        await story.play(f"""
            accept   31612345678
            claim
            answer   1 taken 1a2b
            receipt  6699 DELIVRD provider={told_by} to=4917612345
            parked   1
            """)
        await a_round(trying)
        await story.play("parked 1")
        await reload(here, *after)
        await a_round(trying)
        await story.play("parked 0\nstate delivered")


@pytest.fixture(params=["folder", "database"])
def unmade(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return a place that has no schema yet."""
    if request.param == "folder":
        return str(tmp_path / "data")
    url: str = request.getfixturevalue("postgres_url")
    return url


async def test_what_an_older_program_parked_is_found_and_takes_less_room(
    unmade: str, clock: SetClock, monkeypatch: pytest.MonkeyPatch
):
    """It parked under every form, and for both providers; the migration leaves few."""
    place = unmade
    with monkeypatch.context() as patch:
        for name in ("sqlite", "postgres_schema"):
            module = f"arrivals.store.{name}.migrations"
            patch.setattr(module, lambda dialect="sqlite": migrations(dialect)[:7])
        async with opened(place, clock, NORTH, LINKED) as here:
            before = Story(here, clock)
            await before.play("accept 31612345678\nclaim")
            early = receipt("south", "00B8BE19", "DELIVRD", "31612345678")
            body = msgspec.json.encode(early).decode()
            forms = [*forms_of(early), "to:31612345678"]

            def park(tx: Transaction) -> None:
                park_one(tx, "south", forms, early.fingerprint, body)
                row = "INSERT INTO parked_forms SELECT 'north', form, parked_id"
                here.backend.execute(tx, f"{row} FROM parked_forms RETURNING 1", ())

            await here.in_transaction(park)
            [(many,)] = await here.rows("SELECT count(*) FROM parked_forms")
    assert many >= 60
    async with opened(place, clock, NORTH, LINKED) as here:
        left = await here.rows("SELECT provider_id, form FROM parked_forms ORDER BY 2")
        assert ["south", "to:31612345678"] in [list(row) for row in left]
        assert {provider_id for provider_id, _ in left} == {"south"}
        assert len(left) <= 5
        story = Story(here, clock)
        story.order, story.out, story.epochs = before.order, before.out, before.epochs
        await story.play("answer 1 taken 12107289\nstate delivered\nparked 0")


async def test_a_provider_that_returns_has_its_receipts_tried(
    here: Installation, clock: SetClock
):
    """While it is gone they wait: nobody knows how to read them."""
    story, trying = Story(here, clock), Parked(here.platform)
    await a_round(trying)
    await story.play(EARLY)
    whole = replace(here.platform.catalogue, providers={"north": NORTH, "south": LINKED})
    here.platform.swap(replace(whole, providers={"north": NORTH}))
    await trying.look()
    await a_round(Parked(here.platform))
    await story.play("parked 1\nstate submitted")
    here.platform.swap(whole)
    await a_round(trying)
    await story.play("parked 0\nstate delivered")


async def test_an_answer_to_another_provider_finds_none_of_one_that_is_gone(
    place: str, clock: SetClock
):
    async with opened(place, clock, NORTH, LINKED) as here:
        story = Story(here, clock)
        await story.play("""
            accept   31612345678
            claim
            receipt  A1 DELIVRD provider=south
            parked   1
            """)
        whole = here.platform.catalogue
        here.platform.swap(replace(whole, providers={"north": NORTH}))
        await story.play("answer 1 taken A1\nstate submitted\nparked 1")
        here.platform.swap(whole)
        await a_round(Parked(here.platform))
        await story.play("parked 0\nstate delivered")


async def test_what_still_fits_nothing_stays_as_it_was(here: Installation, clock: SetClock):
    """With its age and its count, so that an answer that comes later finds it."""
    story, trying = Story(here, clock), Parked(here.platform)
    told = "receipt A1 DELIVRD provider=south\n"
    await story.play(f"accept 31612345678\nclaim\n{told}{told}parked 1")
    [before] = await here.rows(ROWS)
    assert before[2] == 2
    clock.tick(60)
    under = "SELECT provider_id, form FROM parked_forms ORDER BY 1, 2"
    for south in (LINKED, SOUTH, LINKED):
        await reload(here, NORTH, south)
        await a_round(trying)
        assert await here.rows(ROWS) == [before]
        names = [tuple(row) for row in await here.rows(under)]
        assert names == [("south", "a1"), ("south", "to:31612345678")]
    await story.play("answer 1 taken A1\nstate delivered\nparked 0")


def _catalogue(*providers: Provider) -> Catalogue:
    return Catalogue(
        version=1,
        accounts={},
        keys={},
        providers={each.provider_id: each for each in providers},
        routes={},
        prices={},
    )


@pytest.mark.parametrize(
    ("before", "after", "anew"),
    [
        ((), (), set()),
        ((), (NORTH, SOUTH), {"north", "south"}),
        ((NORTH, SOUTH), (NORTH, SOUTH), set()),
        ((NORTH, SOUTH), (NORTH, LINKED), {"south"}),
        ((NORTH, LINKED), (NORTH, SOUTH), {"south"}),
        ((NORTH, SOUTH), (replace(NORTH, dialect=DECIMAL), SOUTH), {"north"}),
        ((NORTH, LINKED), (replace(NORTH, dialect=DECIMAL), LINKED), {"north", "south"}),
        ((NORTH, LINKED), (LINKED,), {"south"}),
        ((LINKED,), (NORTH, LINKED), {"north", "south"}),
        ((NORTH, SOUTH), (NORTH,), set()),
        ((NORTH,), (replace(NORTH, window=3, throughput=5.0),), set()),
        ((NORTH,), (replace(NORTH, dialect=Dialect(alphabet="latin-1")),), set()),
    ],
)
def test_only_what_decides_the_matching_begins_a_round(
    before: Sequence[Provider], after: Sequence[Provider], anew: set[str]
):
    found = decided_anew(deciding(_catalogue(*before)), deciding(_catalogue(*after)))
    assert found == anew


# --- in batches ---------------------------------------------------------------------------


async def test_thousands_are_tried_in_bounded_batches_the_oldest_first(
    here: Installation, clock: SetClock, monkeypatch: pytest.MonkeyPatch
):
    """What comes during the round, or is another's, is left alone."""
    tried: list[list[int]] = []

    def spy(tx: Any, catalogue: Any, receipts: Any, usual: Any) -> set[int]:
        tried.append([each.parked_id for each in receipts])
        return try_parked(tx, catalogue, receipts, usual)

    monkeypatch.setattr(parked, "try_parked", spy)
    trying, story = Parked(here.platform), Story(here, clock)
    assert await a_round(trying) == 1
    for n in range(10):
        await park_ghosts(here, range(n * 200, n * 200 + 200))
    await park_ghosts(here, range(3000, 3050), "north")
    await story.play(EARLY.replace("parked   1", "parked   2051"))
    before = await here.rows(ROWS)
    ids = [row[0] for row in before]
    await reload(here, NORTH, LINKED)
    tried.clear()
    await trying.look()
    await park_ghosts(here, range(5000, 5010))
    assert await a_round(trying) + 1 == len(tried) == -(-2051 // parked.TRIED_MAX)
    assert max(map(len, tried)) == parked.TRIED_MAX
    own = [each for each in ids if each not in ids[2000:2050]]
    assert [each for some in tried for each in some] == own
    await story.play("state delivered\nparked 2060")
    assert (await here.rows(ROWS))[:-10] == before[:-1]
    tried.clear()
    await trying.look()
    assert tried == []


async def test_a_change_during_a_round_begins_it_anew_for_both(
    here: Installation, clock: SetClock, monkeypatch: pytest.MonkeyPatch
):
    trying, story = Parked(here.platform), Story(here, clock)
    await story.play(EARLY)
    await park_ghosts(here, range(250))
    await trying.look()
    assert trying._next is not None
    await reload(here, NORTH, LINKED)
    await a_round(trying)
    await story.play("state delivered\nparked 250")


async def test_one_that_cannot_be_tried_holds_up_nobody(
    here: Installation, clock: SetClock, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    monkeypatch.setattr(sweep, "SWEEP_EVERY_S", 0.001)
    story = Story(here, clock)
    await park_ghosts(here, range(30))
    await here.damage("UPDATE parked_receipts SET receipt = '{' WHERE fingerprint LIKE '%Z7%'")
    await story.play(EARLY.replace("parked   1", "parked   31"))
    await reload(here, NORTH, LINKED)
    sweeping = asyncio.create_task(Sweeper(here.platform).run())
    try:
        async with asyncio.timeout(10):
            while (await here.state(story.key())) != "delivered":  # noqa: ASYNC110
                await asyncio.sleep(0.005)
    finally:
        sweeping.cancel()
        await asyncio.gather(sweeping, return_exceptions=True)
    await story.play("parked 30")
    said = [each.getMessage() for each in caplog.records]
    assert said.count("a parked receipt that can't be tried is left out: it stays parked") == 1


# --- with other processes -----------------------------------------------------------------


async def test_where_others_may_have_parked_meanwhile_a_second_round_follows(
    here: Installation, clock: SetClock, monkeypatch: pytest.MonkeyPatch
):
    """By the old catalogue, which they hadn't heard of being changed."""
    monkeypatch.setattr(parked, "CROSSED_AFTER_US", ())  # what is tried anyway, soon after
    story, trying = Story(here, clock), Parked(here.platform)
    await reload(here, NORTH, LINKED)
    await a_round(trying)
    changed = here.platform.catalogue
    here.platform.swap(replace(changed, providers={"north": NORTH, "south": SOUTH}))
    await story.play(EARLY)
    here.platform.swap(changed)
    trying._catalogue = changed  # which that other process did, and this one never knew
    clock.tick(SECOND_ROUND_AFTER_S - 1)
    await trying.look()
    await story.play("parked 1")
    clock.tick(2)
    await trying.look()
    shared = here.store.is_shared
    await story.play("state delivered" if shared else "state submitted")
    assert trying._second == frozenset()


async def test_two_processes_that_try_at_once_count_each_receipt_once(
    here: Installation, place: str, clock: SetClock
):
    if not here.backend.many_write:
        pytest.skip("one process at a time has such a store")
    story = Story(here, clock)
    await park_ghosts(here, range(150))
    await story.play(EARLY.replace("parked   1", "parked   151"))
    await park_ghosts(here, range(150, 300))
    await reload(here, NORTH, LINKED)
    async with backend_at(place).open_at(place, clock) as store:
        platform, _ = await open_platform(store, clock, SystemChance(), Defaults())
        await asyncio.gather(a_round(Parked(here.platform)), a_round(Parked(platform)))
    await story.play("state delivered\nparked 300")
    assert (await story.row())["seen"] == 1
    assert (await here.kinds(story.key())).count("receipt_delivered") == 1
