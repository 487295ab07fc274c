"""A provider's flood never stops the writer: what a transaction reads and writes is bounded.

Thousands of receipts for one number, thousands of messages with one id, thousands of receipts
for one message: each time what matters is found all the same, and a transaction costs what it
costs where there are a few.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from arrivals.core.catalogue import Provider
from arrivals.flows.answer import answer_step
from arrivals.flows.claim import ClaimRequest, claim_step
from arrivals.flows.parked import CROSSED_AFTER_US, LOOK_EVERY_S, Parked
from arrivals.flows.receipt_words import TOLD_MAX
from arrivals.flows.receive import (
    TRIED_MAX,
    TRIED_UNDER_ONE_MAX,
    match_parked,
    receive_step,
)
from arrivals.flows.receiving import COUNTED
from arrivals.providers.api import Receipt, Submission
from arrivals.providers.inbound import read_receipt
from arrivals.smpp import constants as c
from arrivals.smpp.pdu import Pdu, decode, encode, make_tlv
from arrivals.smpp.receipts import id_candidates
from arrivals.store.api import Transaction
from arrivals.store.postgres_transaction import PostgresTransaction
from arrivals.store.rows import DOUBTFUL_MAX, Handoff
from arrivals.store.sqlite_transaction import SqliteTransaction
from tests.flows.installation import Installation, installed, own_bind, provider
from tests.flows.script import SetClock, answer, receipt, result_of
from tests.flows.story import LONG, Story
from tests.store.ground import park_one

NORTH, SOUTH = provider("north", 1), provider("south", 1)
LINKED = replace(SOUTH, ids_of="north")
NUMBER = "31612345678"


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
async def here(place: str, clock: SetClock) -> AsyncIterator[Installation]:
    async with opened(place, clock) as installation:
        yield installation


def opened(place: str, clock: SetClock, *providers: Provider) -> Any:
    chosen = providers or (NORTH, LINKED)
    return installed(place, providers=chosen, started=False, clock=clock)


async def receive(here: Installation, receipts: Sequence[Receipt]) -> set[int]:
    step = receive_step(lambda: here.platform.catalogue)
    return await here.store.write(step, list(receipts))


async def hand_off(here: Installation, *numbers: str, epoch: int) -> list[Submission]:
    """Accept messages, a thousand an order, and claim them."""
    step = claim_step(lambda: here.platform.catalogue, here.platform.ranks)
    claimed: list[Submission] = []
    for n in range(0, len(numbers), 1_000):
        await here.send(*numbers[n : n + 1_000])
        wish = ClaimRequest(provider_id="north", epoch=epoch, limit=1_000)
        taken: list[Submission] = await here.store.write(step, wish)
        claimed += taken
    assert len(claimed) == len(numbers)
    return claimed


async def answered(
    here: Installation, submissions: Sequence[Submission], word: str, *ids: str
) -> None:
    platform = here.platform
    step = answer_step(lambda: platform.catalogue, platform.ranks, platform.defaults)
    result = result_of(word, ids)
    await here.store.write(step, [answer(each, result, "north") for each in submissions])


async def count(here: Installation, table: str, where: str = "1 = 1") -> int:
    [(found,)] = await here.rows(f"SELECT count(*) FROM {table} WHERE {where}")
    return int(found)


class Cost:
    """What transactions cost: statements, and octets that went in and came out."""

    statements = octets = 0


@contextmanager
def measured(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cost]:
    """Count what every transaction asks of its database meanwhile."""
    cost = Cost()
    with monkeypatch.context() as patch:
        for owner in (SqliteTransaction, PostgresTransaction):
            for name in ("_run", "_all", "_value"):
                patch.setattr(owner, name, _counted(getattr(owner, name), cost))
        yield cost


def _counted(real: Any, cost: Cost) -> Any:
    def counting(self: Any, statement: str, *values: Any) -> Any:
        found = real(self, statement, *values)
        cost.statements += 1
        cost.octets += len(repr(values)) + len(repr(found))
        return found

    return counting


async def look_until_done(here: Installation, clock: SetClock) -> None:
    """Let the sweep go on with parked receipts until nothing is left to go on with."""
    trying = Parked(here.platform)
    for _ in range(200):
        clock.tick(LOOK_EVERY_S)
        await trying.look()
        if trying._next is None and not await count(here, "parked_heard"):
            return
    raise AssertionError("it doesn't end")


def ghosts(numbers: Sequence[int], provider_id: str = "north") -> list[Receipt]:
    """Return receipts to one number, whose ids nobody gave."""
    return [receipt(provider_id, f"ghost{n:05}", "ENROUTE", NUMBER) for n in numbers]


# --- what an unknown receipt costs ----------------------------------------------------------


@pytest.mark.parametrize(
    "told", ["ghost", "00B8BE19", "12107289", "007", "0", "f" * 20, "7" * 60]
)
@pytest.mark.parametrize("sender", ["north", "south"])
async def test_an_unknown_receipt_is_one_row_with_two_names(
    here: Installation, told: str, sender: str
):
    """Its id in one form, and its number, whichever providers' ids it may tell."""
    await receive(here, [receipt(sender, told, "DELIVRD", NUMBER)])
    assert await count(here, "parked_receipts") == 1
    assert await count(here, "parked_forms") == 2
    assert await count(here, "parked_forms", "form LIKE 'to:%'") == 1
    [(kept,)] = await here.rows("SELECT receipt FROM parked_receipts")
    assert msgspec.json.decode(kept, type=Receipt).raw == "", "which is kept elsewhere"
    assert await count(here, "raw_receipts") == 1


async def test_the_largest_receipt_that_can_come_is_parked_in_a_small_row(
    here: Installation,
):
    """However much comes with it."""
    long = b"\xe9" * 400
    text = b"id:%s sub:001 dlvrd:001 done date:%s stat:%s err:%s" % (long, long, long, long)
    fields: dict[str, int | bytes] = {
        "source_addr": b"9" * 20,
        "destination_addr": b"8" * 20,
        "esm_class": c.ESM_DELIVERY_RECEIPT,
        "short_message": b"",
    }
    tlvs = (
        make_tlv(c.TLV_RECEIPTED_MESSAGE_ID, b"\xe8" * 64),
        make_tlv(c.TLV_MESSAGE_PAYLOAD, text.ljust(60_000, b"x")),
    )
    largest = read_receipt("north", decode(encode(Pdu(c.DELIVER_SM, fields=fields, tlvs=tlvs))))
    assert largest is not None
    assert len(largest.raw) > 100_000
    assert max(len(each) for each in largest.names) > 60
    await receive(here, [largest])
    [(kept,)] = await here.rows("SELECT receipt FROM parked_receipts")
    assert len(kept.encode()) < 8 * 1_024
    assert await count(here, "parked_forms") == 4


async def test_a_receipt_that_tells_two_of_each_has_four_names(here: Installation):
    both = receipt("north", "00ab", "DELIVRD", NUMBER)
    both = msgspec.structs.replace(both, names=("00AB", "cd"), other="4917612345")
    await receive(here, [both])
    assert await count(here, "parked_forms") == 4


@pytest.mark.parametrize("sender", ["north", "south"])
@pytest.mark.parametrize("told", ["00B8BE19", "b8be19", "0012107289", "12107289", "Ab-007"])
async def test_an_answer_finds_what_was_parked_in_any_form(
    here: Installation, clock: SetClock, told: str, sender: str
):
    """Invariant 37: whichever form the answer gives, on whichever login the receipt came."""
    stored = sorted({each.casefold() for each in id_candidates(told)})
    assert len(stored) in {1, *range(20, 60)}
    for number, id_ in enumerate(stored):
        msisdn = f"316000{number:05}"
        story = Story(here, clock)
        await story.play(f"""
            accept   {msisdn}
            claim
            receipt  {told} DELIVRD provider={sender} to={msisdn}
            parked   1
            answer   1 taken {id_}
            state    delivered
            parked   0
            """)


# --- many for one number --------------------------------------------------------------------


async def flooded(here: Installation, parked: int) -> tuple[Submission, Receipt]:
    """Park so many receipts for a number, and hand a message to it off; return its own."""
    for n in range(0, parked, 1_000):
        await receive(here, ghosts(range(n, min(n + 1_000, parked))))
    [submission] = await hand_off(here, NUMBER, epoch=await own_bind(here.store, "north"))
    own = receipt("north", "its-own", "DELIVRD", NUMBER)
    return submission, own


async def test_an_answer_costs_the_same_however_many_are_parked_for_its_number(
    new_place: Callable[[], str], clock: SetClock, monkeypatch: pytest.MonkeyPatch
):
    """And the receipt that names its id is found at once, though it came last of all."""
    costs = []
    for parked in (200, 20_000):
        async with opened(new_place(), clock) as here:
            submission, own = await flooded(here, parked)
            await receive(here, [own])
            with measured(monkeypatch) as cost:
                await answered(here, [submission], "taken", "its-own")
            assert await here.state(submission.key) == "delivered"
            assert await count(here, "parked_receipts") == parked
            costs.append(cost)
    few, many = costs
    assert many.statements <= few.statements * 1.1
    assert many.octets <= few.octets * 1.1
    assert many.statements < 60


async def test_what_is_left_is_tried_by_the_sweep_to_the_last(
    here: Installation, clock: SetClock, monkeypatch: pytest.MonkeyPatch
):
    """By the number alone, behind a thousand that came before the hand-off began."""
    submission, own = await flooded(here, 1_000)
    clock.tick(1)
    await receive(here, [own])
    await answered(here, [submission], "unanswered")
    assert await here.state(submission.key) == "ambiguous"
    [(after,)] = await here.rows("SELECT after_id FROM parked_heard")
    [ids] = [await here.rows("SELECT id FROM parked_receipts ORDER BY id")]
    assert ids[TRIED_UNDER_ONE_MAX - 1][0] == after
    with measured(monkeypatch) as cost:
        await Parked(here.platform).look()
    assert cost.statements < 100
    await look_until_done(here, clock)
    assert await here.state(submission.key) == "delivered"
    assert await count(here, "parked_receipts") == 1_000


async def test_many_ids_at_once_are_tried_so_many_in_a_transaction(
    here: Installation, clock: SetClock
):
    """The others follow, each under its own name."""
    numbers = [f"3161{n:07}" for n in range(TRIED_MAX + 100)]
    epoch = await own_bind(here.store, "north")
    claimed = await hand_off(here, *numbers, epoch=epoch)
    early = [receipt("north", f"x{each.key}", "DELIVRD", "4900000000") for each in claimed]
    await receive(here, early)
    platform = here.platform
    step = answer_step(lambda: platform.catalogue, platform.ranks, platform.defaults)
    told = [answer(each, result_of("taken", [f"x{each.key}"]), "north") for each in claimed]
    await here.store.write(step, told)
    assert await count(here, "messages", "state = 'delivered'") == TRIED_MAX
    assert await count(here, "parked_heard") == 100
    await look_until_done(here, clock)
    assert await count(here, "messages", "state = 'delivered'") == len(claimed)
    assert await count(here, "parked_receipts") == 0


async def test_one_that_cannot_be_tried_lets_the_others_pass(
    here: Installation, clock: SetClock, caplog: pytest.LogCaptureFixture
):
    submission, own = await flooded(here, 300)
    clock.tick(1)
    await receive(here, [own])
    await answered(here, [submission], "unanswered")
    await here.damage(
        "UPDATE parked_receipts SET receipt = '{' WHERE fingerprint LIKE '%ghost00200%'"
    )
    trying = Parked(here.platform)
    failed = 0
    for _ in range(200):
        clock.tick(LOOK_EVERY_S)
        try:
            await trying.look()
        except msgspec.DecodeError:
            failed += 1
        if not await count(here, "parked_heard") and trying._next is None:
            break
    assert await here.state(submission.key) == "delivered"
    assert failed
    said = [each.getMessage() for each in caplog.records]
    assert "a parked receipt that can't be tried is left out: it stays parked" in said


async def test_too_many_in_doubt_are_told_apart_by_reference_alone(here: Installation):
    """Any of them would be a guess."""
    epoch = await own_bind(here.store, "north")
    claimed = await hand_off(here, *[NUMBER] * (DOUBTFUL_MAX + 5), epoch=epoch)
    await answered(here, claimed, "unanswered")
    found = await here.in_transaction(lambda tx: tx.in_doubt("north", [NUMBER], 0))
    wanted = next(each for each in claimed if each.key == found[0].key)
    nameless = receipt("north", "ghost", "DELIVRD", NUMBER)
    assert await receive(here, [nameless]) == set()
    echoing = msgspec.structs.replace(nameless, reference=wanted.reference, fingerprint="e")
    assert await receive(here, [echoing]) == {wanted.key}


async def test_a_receipt_that_crossed_its_answer_in_another_process_is_tried_soon(
    here: Installation, clock: SetClock
):
    """Invariant 37: neither saw the other's commit, so it was parked for nothing."""
    other = "31687654321"
    epoch = await own_bind(here.store, "north")
    submission, late = await hand_off(here, NUMBER, other, epoch=epoch)
    await answered(here, [submission], "taken", "0ab")
    receipts = [receipt("north", each, "DELIVRD", NUMBER) for each in ("AB", "zz")]
    receipts.append(receipt("north", "cd", "DELIVRD", other))
    trying = Parked(here.platform)
    trying._catalogue = here.platform.catalogue  # no round is due

    def park(tx: Transaction) -> None:
        for each in receipts:
            body = msgspec.json.encode(each).decode()
            park_one(tx, "north", [each.external_id or ""], each.fingerprint, body)

    await here.in_transaction(park)
    await trying.look()
    assert await here.state(submission.key) == "submitted", "too soon to tell"
    clock.tick(CROSSED_AFTER_US[0] / 1e6 + LOOK_EVERY_S)
    await trying.look()
    shared = here.store.is_shared
    assert await here.state(submission.key) == ("delivered" if shared else "submitted")
    assert await count(here, "parked_receipts") == (2 if shared else 3)
    # One whose answer took very long to be committed.
    handed_off = Handoff("north", "cd", late.key, 1, 1, clock.us)
    await here.in_transaction(lambda tx: tx.add_handoffs([handed_off]))
    clock.tick(2 * LOOK_EVERY_S)
    await trying.look()
    assert await here.state(late.key) == "sending", "it was tried"
    clock.tick(CROSSED_AFTER_US[1] / 1e6)
    await trying.look()
    assert await here.state(late.key) == ("delivered" if shared else "sending")
    assert await count(here, "parked_receipts") == (1 if shared else 3)


# --- many with one id -----------------------------------------------------------------------


async def test_the_number_finds_its_own_among_thousands_with_one_id(
    here: Installation, clock: SetClock, monkeypatch: pytest.MonkeyPatch
):
    """However long ago; and what tells no number of theirs is nobody's."""
    numbers = [f"3161{n:07}" for n in range(5_000)]
    claimed = await hand_off(here, *numbers, epoch=await own_bind(here.store, "north"))
    await answered(here, claimed, "taken", "1")
    keys = {each.msisdn: each.key for each in claimed}
    wanted = [numbers[n] for n in range(0, 5_000, 100)]
    costs = []
    for some in (wanted[:1], wanted[1:]):
        with measured(monkeypatch) as cost:
            said = [receipt("north", "1", "DELIVRD", each) for each in some]
            assert await receive(here, said) == {keys[each] for each in some}
        costs.append(cost)
    assert await count(here, "messages", "state = 'delivered'") == len(wanted)
    one, many = costs
    assert many.statements - one.statements < 20
    assert one.octets < 200_000
    national = receipt("north", "1", "DELIVRD", f"0{numbers[7][2:]}")
    assert await receive(here, [national]) == {keys[numbers[7]]}
    nobody = [receipt("north", "1", "DELIVRD", each) for each in ("", "4917612345678")]
    assert await receive(here, nobody) == set()
    assert await count(here, "parked_receipts") == 2


async def test_of_thousands_with_one_id_the_only_open_one_needs_no_number(
    here: Installation, clock: SetClock
):
    numbers = [f"3161{n:07}" for n in range(300)]
    claimed = await hand_off(here, *numbers, epoch=await own_bind(here.store, "north"))
    await answered(here, claimed, "taken", "1")
    last = claimed[-1]
    await receive(here, [receipt("north", "1", "DELIVRD", each) for each in numbers[:-1]])
    untold = receipt("north", "1", "UNDELIV", "", error="001")
    assert await receive(here, [untold]) == {last.key}
    assert await here.state(last.key) == "failed"


async def test_thousands_that_wait_for_one_id_are_tried_so_many_at_a_time(
    here: Installation, clock: SetClock, monkeypatch: pytest.MonkeyPatch
):
    numbers = [f"3161{n:07}" for n in range(1_000)]
    claimed = await hand_off(here, *numbers, epoch=await own_bind(here.store, "north"))
    await receive(here, [receipt("north", "1", "DELIVRD", each) for each in numbers])
    assert await count(here, "parked_receipts") == 1_000
    await answered(here, claimed[:1], "taken", "1")
    assert await count(here, "parked_receipts") >= 1_000 - TRIED_UNDER_ONE_MAX
    await answered(here, claimed[1:], "taken", "1")
    await look_until_done(here, clock)
    assert await count(here, "messages", "state = 'delivered'") == 1_000


# --- many for one message -------------------------------------------------------------------


async def test_thousands_that_differ_for_one_message_are_told_so_often_and_counted(
    here: Installation, clock: SetClock, monkeypatch: pytest.MonkeyPatch
):
    """Its end still counts, once, and so does its price."""
    [submission] = await hand_off(here, NUMBER, epoch=await own_bind(here.store, "north"))
    await answered(here, [submission], "taken", "A1")
    before = await here.balance()
    flood = [receipt("north", "A1", "ENROUTE", NUMBER, done=str(n)) for n in range(5_000)]
    costs = []
    for n in range(0, 5_000, 500):
        with measured(monkeypatch) as cost:
            await receive(here, flood[n : n + 500])
        costs.append(cost)
    assert costs[-1].octets <= costs[1].octets * 1.1
    assert costs[-1].statements <= costs[1].statements
    assert await count(here, "events") == TOLD_MAX
    [(seen,)] = await here.rows("SELECT seen FROM handoffs")
    assert len(json.loads(seen)) < TOLD_MAX
    assert sum(json.loads(seen).values()) == 5_000
    assert json.loads(seen)[COUNTED] > 4_000
    await receive(here, [receipt("north", "A1", "DELIVRD", NUMBER)])
    assert await here.state(submission.key) == "delivered"
    paid = await here.balance()
    assert paid[0] == before[0]
    assert paid[1] < before[1]
    again = [receipt("north", "A1", word, NUMBER, done="9") for word in ("DELIVRD", "UNDELIV")]
    await receive(here, again)
    assert (await here.state(submission.key), await here.balance()) == ("delivered", paid)
    assert await count(here, "events") == TOLD_MAX + 1
    assert await here.unsound() == []


async def test_every_unknown_id_for_a_long_message_in_doubt_is_no_part_of_it_for_ever(
    here: Installation, clock: SetClock
):
    """Each that is taken for its own is a hand-off more; the others are parked."""
    story = Story(here, clock)
    await story.play(f"accept {NUMBER} {LONG}\nclaim\nanswer 1 unanswered\nstate ambiguous")
    for n in range(0, 1_000, 250):
        await receive(here, ghosts(range(n, n + 250)))
    assert await count(here, "handoffs") < TOLD_MAX
    assert await count(here, "events") == TOLD_MAX
    assert await count(here, "parked_receipts") > 1_000 - TOLD_MAX
    await story.play("state ambiguous")


async def test_nothing_heard_of_tries_nothing(here: Installation, monkeypatch: Any):
    def nothing(tx: Transaction) -> int:
        with measured(monkeypatch) as cost:
            match_parked(tx, here.platform.catalogue, {}, set())
        return cost.statements

    assert await here.in_transaction(nothing) == 0
