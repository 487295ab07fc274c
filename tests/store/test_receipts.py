"""Receipts: hand-offs are matched within a provider, counted, parked and taken out once."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from arrivals.core.message import Move
from arrivals.store.api import Transaction
from arrivals.store.rows import Handoff, Match, ParkedReceipt
from tests.store.ground import CLAIMED, TAKEN, Ground


def handoff(key: int, external_id: str = "abc", **changes: Any) -> Handoff:
    made = Handoff("north", external_id, key, attempt=1, part=1, at_us=5)
    return msgspec.structs.replace(made, **changes)


async def _match(ground: Ground, *wanted: tuple[str, tuple[str, ...]]) -> list[Match]:
    return await ground.run(lambda tx: tx.match(wanted))


# --- hand-offs ------------------------------------------------------------------------------


@pytest.mark.parametrize("external_id", ["abc", "007", "1e5", "", "null", "0x1F", "é📨"])
async def test_a_handoff_is_found_by_the_very_id(funded: Ground, external_id: str):
    """Invariant 38: an id is text; `7` and `007` are two ids, and so are two providers'."""
    [key] = await funded.accept({"msisdn": "007123456789012"})
    given = handoff(key, external_id)
    await funded.run(lambda tx: tx.add_handoffs([given]))
    asked = ("north", (external_id,))
    [found] = await _match(
        funded, ("south", (external_id,)), asked, ("north", ("7", "100000.0"))
    )
    assert found == Match(1, given, {}, "007123456789012", "accepted")


async def test_any_form_of_an_id_finds_it(funded: Ground):
    """Invariant 37: the candidate forms are asked for, the stored form is one."""
    [key] = await funded.accept()
    await funded.run(lambda tx: tx.add_handoffs([handoff(key, "b8be19")]))
    [found] = await _match(funded, ("north", ("00B8BE19", "B8BE19", "b8be19", "12107289")))
    assert found.handoff.message_id == key
    assert await _match(funded) == []
    assert await _match(funded, ("north", ())) == []


async def test_an_id_that_a_provider_used_again_finds_both(funded: Ground):
    """Invariant 37: the caller chooses, and never matches one receipt to two messages."""
    old, new = await funded.accept({}, {})
    rows = [handoff(old, at_us=5), handoff(new, at_us=9), handoff(new, part=2, at_us=9)]
    await funded.run(lambda tx: tx.add_handoffs(rows))
    found = await _match(funded, ("north", ("abc",)))
    key = lambda row: (row.message_id, row.part)  # noqa: E731 - one order for both sides
    assert sorted((each.handoff for each in found), key=key) == rows


async def test_a_handoff_that_is_there_already_changes_nothing(funded: Ground):
    [key] = await funded.accept()
    given = handoff(key)
    await funded.run(lambda tx: tx.add_handoffs([given]))
    await funded.run(lambda tx: tx.see([(given, {"x": 2})]))
    again = handoff(key, at_us=99)
    await funded.run(lambda tx: tx.add_handoffs([again, again]))
    [found] = await _match(funded, ("north", ("abc",)))
    assert (found.handoff, found.seen) == (given, {"x": 2})


async def test_what_was_seen_is_counted_on_the_one_handoff(funded: Ground):
    """Invariant 35: duplicates are a counter, and it survives."""
    [key] = await funded.accept()
    one, two = handoff(key, part=1), handoff(key, part=2)
    await funded.run(lambda tx: tx.add_handoffs([one, two]))
    seen = {'DELIVRD "000"\n': 3, "007": 1}
    await funded.run(lambda tx: tx.see([(two, seen)]))
    found = {each.handoff.part: each.seen for each in await _match(funded, ("north", ("abc",)))}
    assert found == {1: {}, 2: seen}
    await funded.run(lambda tx: tx.see([]))


async def test_a_match_tells_where_the_message_stands_now(funded: Ground):
    [key] = await funded.accept()
    await funded.run(lambda tx: tx.add_handoffs([handoff(key)]))
    await funded.drive(key, CLAIMED, TAKEN)
    [found] = await _match(funded, ("north", ("abc",)))
    assert found.state == "submitted"


# --- in doubt -------------------------------------------------------------------------------


async def test_in_doubt_are_those_that_may_have_left_unanswered(funded: Ground):
    """Invariant 38: an inferred match stays within its provider and destination."""
    queued, sending, ambiguous, submitted, other, elsewhere = await funded.accept(
        {"msisdn": "311"}, {"msisdn": "311"}, {"msisdn": "311"}, {"msisdn": "311"},
        {"msisdn": "312"}, {"msisdn": "311", "provider_id": "south"},
    )  # fmt: skip
    await funded.drive(sending, CLAIMED)
    await funded.drive(ambiguous, CLAIMED, (Move.UNANSWERED, {"reach": 1}))
    await funded.drive(submitted, CLAIMED, TAKEN)
    await funded.drive(other, CLAIMED)
    await funded.drive(elsewhere, CLAIMED)
    found = await funded.run(lambda tx: tx.in_doubt("north", ["311", "999", "311"], 0))
    assert {each.key for each in found} == {sending, ambiguous}
    assert await funded.run(lambda tx: tx.in_doubt("north", [], 0)) == []
    assert queued not in {each.key for each in found}


# --- parked ---------------------------------------------------------------------------------


def take_out(tx: Transaction, provider_id: str, forms: list[str]) -> list[ParkedReceipt]:
    found = tx.parked_under(provider_id, forms)
    tx.unpark([each.parked_id for each in found])
    return found


async def test_a_parked_receipt_is_taken_out_by_any_form_once(ground: Ground):
    """Invariant 37."""
    forms = ["00ab", "ab", "to:31612345678"]
    assert await ground.run(lambda tx: tx.park("north", forms, "f1", '{"a":"007"}'))
    assert await ground.run(lambda tx: take_out(tx, "north", ["zz"])) == []
    assert await ground.run(lambda tx: take_out(tx, "south", ["ab"])) == []
    [found] = await ground.run(lambda tx: take_out(tx, "north", ["ab", "00ab", "ab"]))
    assert isinstance(found, ParkedReceipt)
    assert (found.provider_id, found.receipt) == ("north", '{"a":"007"}')
    assert found.received_at_us >= ground.clock.us
    assert await ground.run(lambda tx: take_out(tx, "north", forms)) == []
    assert await ground.value("SELECT count(*) FROM parked_forms") == 0


async def test_a_receipt_is_parked_for_another_provider_s_ids_as_well(ground: Ground):
    """It comes out once, under either name, and nothing of it stays behind."""
    for name, other in (("south", "north"), ("north", "south")):

        def park_and_take(
            tx: Transaction, name: str = name, other: str = other
        ) -> list[list[ParkedReceipt]]:
            tx.park("south", ["ab"], "f1", "r", ids_of="north")
            return [take_out(tx, each, ["ab"]) for each in (name, name, other)]

        [found], again, elsewhere = await ground.run(park_and_take)
        assert found.provider_id == "south"
        assert (again, elsewhere) == ([], [])
        assert await ground.value("SELECT count(*) FROM parked_forms") == 0


async def test_the_same_receipt_is_parked_once_and_counted(ground: Ground):
    """Invariant 35."""

    def park(tx: Transaction) -> list[bool]:
        return [tx.park("north", ["ab"], "f1", "r") for _ in range(2)]

    assert await ground.run(park) == [True, False]
    assert await ground.run(park) == [False, False]
    assert await ground.value("SELECT count FROM parked_receipts") == 4
    assert await ground.run(lambda tx: tx.park("south", ["ab"], "f1", "r"))
    assert await ground.run(lambda tx: tx.park("north", ["ab"], "f2", "r"))
    found = await ground.run(lambda tx: tx.parked_under("north", ["ab"]))
    assert [each.parked_id for each in found] == sorted(each.parked_id for each in found)
    assert len(found) == 2


async def test_a_receipt_can_be_parked_again_after_it_was_taken_out(ground: Ground):
    for _ in range(2):
        assert await ground.run(lambda tx: tx.park("north", ["ab"], "f1", "r"))
        assert len(await ground.run(lambda tx: take_out(tx, "north", ["ab"]))) == 1


async def test_one_that_stays_parked_is_found_by_what_holds_now(ground: Ground):
    """Invariants 35 and 37: under other providers and forms, and otherwise as it was."""
    for _ in range(2):
        await ground.run(lambda tx: tx.park("south", ["ab"], "f1", "r"))
    await ground.run(lambda tx: tx.park("south", ["zz"], "f2", "r"))
    before = "SELECT id, received_at, count FROM parked_receipts ORDER BY id"
    rows = await ground.sql(before)
    first, second = (int(row[0]) for row in rows)
    ground.clock.us += 1_000_000
    forms = "SELECT provider_id, form FROM parked_forms WHERE parked_id = ? ORDER BY 1, 2"
    for names in (["south", "north"], ["south", "north"], ["south", "east"], ["south"]):

        def stay(tx: Transaction, names: list[str] = names) -> list[int]:
            tx.keep_parked(names, [(first, ["ab", "00ab"])])
            return [len(tx.parked_under(each, ["ab"])) for each in ("south", "north", "east")]

        found = await ground.run(stay)
        assert found == [int(each in names) for each in ("south", "north", "east")]
        assert await ground.sql(before) == rows
        expected = [(name, form) for name in sorted(names) for form in ("00ab", "ab")]
        assert [tuple(row) for row in await ground.sql(forms, first)] == expected
        assert [tuple(row) for row in await ground.sql(forms, second)] == [("south", "zz")]


async def test_what_is_parked_is_gone_through_in_the_order_it_came(ground: Ground):
    assert await ground.run(lambda tx: (tx.newest_parked(), tx.parked_after(0, 2))) == (0, [])
    for name in "abcde":
        await ground.run(
            lambda tx, name=name: tx.park("north", [name], name, name)  # type: ignore[misc]
        )
    newest = await ground.run(lambda tx: tx.newest_parked())

    def walk(tx: Transaction) -> list[list[int]]:
        batches = [tx.parked_after(0, 2)]
        while batches[-1]:
            batches.append(tx.parked_after(batches[-1][-1], 2))
        return batches

    batches = await ground.run(walk)
    assert [len(each) for each in batches] == [2, 2, 1, 0]
    seen = [parked_id for each in batches for parked_id in each]
    assert seen == sorted(seen)
    assert seen[-1] == newest
    found = await ground.run(lambda tx: tx.parked(seen[::-1]))
    assert [each.receipt for each in found] == list("abcde")
    await ground.run(lambda tx: tx.unpark(seen[1:3]))
    left = await ground.run(lambda tx: tx.parked(seen))
    assert [each.receipt for each in left] == list("ade")
    assert await ground.run(lambda tx: tx.parked([])) == []


async def test_raw_receipts_are_kept_with_their_message_if_there_is_one(ground: Ground):
    kept = [("north", 5, "00ff"), ("north", None, "0123")]
    await ground.run(lambda tx: tx.keep_raw(kept))
    await ground.run(lambda tx: tx.keep_raw([]))
    rows = await ground.sql("SELECT provider_id, message_id, raw FROM raw_receipts ORDER BY id")
    assert rows == kept
