"""Receipts: hand-offs are matched within a provider, counted, parked and taken out once."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from arrivals.core.message import Move
from arrivals.core.money import Micros
from arrivals.store.api import Transaction
from arrivals.store.rows import (
    DOUBTFUL_MAX,
    MATCHES_MAX,
    Handoff,
    Heard,
    Match,
    ParkedReceipt,
)
from tests.store.ground import CLAIMED, TAKEN, Ground, delivered, park_one


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


async def _reuse(ground: Ground, count: int) -> list[int]:
    """Hand so many messages off under one id, to a number each; return their keys in order."""
    free = {"price": Micros(0)}
    keys = await ground.accept(*({"msisdn": f"316{n:08}", **free} for n in range(count)))
    await ground.run(lambda tx: tx.add_handoffs([handoff(each) for each in keys]))
    return sorted(keys)


@pytest.mark.parametrize("count", [200, 5_000])
async def test_of_an_id_that_very_many_have_so_many_are_read(funded: Ground, count: int):
    keys = await _reuse(funded, count)
    found = await _match(funded, ("north", ("abc",)), ("north", ("zz",)))
    assert [each.asked for each in found] == [0] * MATCHES_MAX
    newest = keys[: -MATCHES_MAX - 1 : -1]
    assert sorted((each.handoff.message_id for each in found), reverse=True) == newest


async def test_the_number_chooses_among_very_many(funded: Ground):
    """Its own messages, the open ones first; of all others those that are open."""
    keys = await _reuse(funded, 300)
    ended, other = keys[7], keys[8]
    for each in (ended, *keys[20:]):
        await funded.drive(each, CLAIMED, TAKEN, delivered(1))
    tails = [f"{7:07}", f"{9:07}", "1234567"]
    found = await funded.run(lambda tx: tx.match_reused("north", "abc", tails, 1_000))
    states = {each.handoff.message_id: each.state for each in found}
    assert states.keys() == set(keys[:20])
    assert (states[ended], states[other]) == ("delivered", "accepted")
    few = await funded.run(lambda tx: tx.match_reused("north", "abc", tails, 150))
    assert few == [], "no further back than asked"
    assert await funded.run(lambda tx: tx.match_reused("north", "zz", tails, 10)) == []


async def test_of_one_number_with_one_id_so_many_are_read(funded: Ground):
    """The open ones first."""
    keys = await funded.accept(*({"msisdn": "3161234567"} for _ in range(300)))
    await funded.run(lambda tx: tx.add_handoffs([handoff(each) for each in keys]))
    for each in sorted(keys)[5:]:
        await funded.drive(each, CLAIMED, TAKEN, delivered(1))
    found = await funded.run(lambda tx: tx.match_reused("north", "abc", ["1234567"], 1_000))
    assert len(found) == MATCHES_MAX
    assert set(sorted(keys)[:5]) < {each.handoff.message_id for each in found}


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


async def test_in_doubt_are_read_up_to_a_bound(funded: Ground):
    keys = await funded.accept(*({"msisdn": "311"} for _ in range(DOUBTFUL_MAX + 20)))
    for each in keys:
        await funded.drive(each, CLAIMED)
    found = await funded.run(lambda tx: tx.in_doubt("north", ["311"], 0))
    assert len({each.key for each in found}) == DOUBTFUL_MAX


# --- parked ---------------------------------------------------------------------------------


def waiting(tx: Transaction, provider_id: str, forms: list[str]) -> list[ParkedReceipt]:
    found = tx.parked_under([Heard(provider_id, each) for each in forms], 100)
    return tx.parked(sorted({parked_id for ids in found for parked_id in ids}))


def take_out(tx: Transaction, provider_id: str, forms: list[str]) -> list[ParkedReceipt]:
    found = waiting(tx, provider_id, forms)
    tx.unpark([each.parked_id for each in found])
    return found


async def test_a_parked_receipt_is_taken_out_by_any_form_once(ground: Ground):
    """Invariant 37."""
    forms = ["00ab", "ab", "to:31612345678"]
    assert await ground.run(lambda tx: park_one(tx, "north", forms, "f1", '{"a":"007"}'))
    assert await ground.run(lambda tx: take_out(tx, "north", ["zz"])) == []
    assert await ground.run(lambda tx: take_out(tx, "south", ["ab"])) == []
    [found] = await ground.run(lambda tx: take_out(tx, "north", ["ab", "00ab", "ab"]))
    assert isinstance(found, ParkedReceipt)
    assert (found.provider_id, found.receipt) == ("north", '{"a":"007"}')
    assert found.received_at_us >= ground.clock.us
    assert await ground.run(lambda tx: take_out(tx, "north", forms)) == []
    assert await ground.value("SELECT count(*) FROM parked_forms") == 0


async def test_of_many_that_wait_for_one_thing_so_many_are_read(ground: Ground):
    """And after the last of them the next; other things that are asked for have their own."""

    def park(tx: Transaction) -> None:
        for n in range(30):
            park_one(tx, "north", [f"id{n}", "to:316"], f"f{n}", str(n))
        park_one(tx, "north", ["id7", "to:999"], "f", "another")
        park_one(tx, "south", ["to:316"], "f", "of another provider")

    await ground.run(park)
    asked = [Heard("north", "to:316"), Heard("north", "id7"), Heard("north", "zz")]
    many, few, none = await ground.run(lambda tx: tx.parked_under(asked, 10))
    assert (len(many), len(few), none) == (10, 2, [])
    rest = await ground.run(
        lambda tx: tx.parked_under([Heard("north", "to:316", many[-1])], 100)
    )
    assert many + rest[0] == sorted(many + rest[0])
    read = await ground.run(lambda tx: tx.parked(many + rest[0]))
    assert [each.receipt for each in read] == [str(n) for n in range(30)]
    assert await ground.run(lambda tx: tx.parked_under([], 10)) == []


async def test_what_was_heard_of_is_gone_on_with_in_turn(ground: Ground):
    """What is noted again while it waits goes on, and then begins anew."""
    first, second, third = (Heard("north", name) for name in ("b", "a", "c"))
    for each in (first, second, third):
        ground.clock.us += 1_000
        await ground.run(lambda tx, each=each: tx.hear_later([each]))  # type: ignore[misc]
    await ground.run(lambda tx: tx.hear_later([]))

    def go_on(tx: Transaction) -> list[str]:
        taken = tx.take_heard(2)
        tx.hear_later([taken[0].after(taken[0].after_id + 1), *taken[1:]])
        return [each.form for each in taken]

    turns = []
    for _ in range(4):
        ground.clock.us += 1_000
        turns.append(await ground.run(go_on))
    assert turns == [["b", "a"], ["a", "c"], ["c", "b"], ["b", "a"]]
    await ground.run(lambda tx: tx.hear_later([first]))
    taken = {each.form: each for each in await ground.run(lambda tx: tx.take_heard(10))}
    assert {name: each.after_id for name, each in taken.items()} == {"a": 1, "b": 2, "c": 1}
    assert {name: each.again for name, each in taken.items()} == {"a": 0, "b": 1, "c": 0}
    assert await ground.run(lambda tx: tx.take_heard(10)) == []


async def test_what_came_between_two_times_is_read_in_stretches(ground: Ground):
    for n in range(5):
        ground.clock.us += 1_000
        await ground.run(lambda tx, n=n: park_one(tx, "north", ["ab"], f"{n}", f"{n}"))  # type: ignore[misc]
    [(begin,), *_, (end,)] = await ground.sql(
        "SELECT received_at FROM parked_receipts ORDER BY received_at"
    )
    found: list[tuple[int, int]] = []
    since = (int(begin), 0)
    while some := await ground.run(
        lambda tx, since=since: tx.parked_between(since, int(end), 2)  # type: ignore[misc]
    ):
        assert len(some) <= 2
        found += some
        since = some[-1]
    read = await ground.run(lambda tx: tx.parked([parked_id for _, parked_id in found]))
    assert [each.receipt for each in read] == ["0", "1", "2", "3"]
    assert [each.received_at_us for each in read] == [at for at, _ in found]


async def test_the_same_receipt_is_parked_once_and_counted(ground: Ground):
    """Invariant 35."""

    def park(tx: Transaction) -> list[bool]:
        return [park_one(tx, "north", ["ab"], "f1", "r") for _ in range(2)]

    assert await ground.run(park) == [True, False]
    assert await ground.run(park) == [False, False]
    assert await ground.value("SELECT count FROM parked_receipts") == 4
    assert await ground.run(lambda tx: park_one(tx, "south", ["ab"], "f1", "r"))
    assert await ground.run(lambda tx: park_one(tx, "north", ["ab"], "f2", "r"))
    found = await ground.run(lambda tx: waiting(tx, "north", ["ab"]))
    assert [each.parked_id for each in found] == sorted(each.parked_id for each in found)
    assert len(found) == 2


async def test_a_receipt_can_be_parked_again_after_it_was_taken_out(ground: Ground):
    for _ in range(2):
        assert await ground.run(lambda tx: park_one(tx, "north", ["ab"], "f1", "r"))
        assert len(await ground.run(lambda tx: take_out(tx, "north", ["ab"]))) == 1


async def test_what_is_parked_is_gone_through_in_the_order_it_came(ground: Ground):
    assert await ground.run(lambda tx: (tx.newest_parked(), tx.parked_after(0, 2))) == (0, [])
    for name in "abcde":
        await ground.run(
            lambda tx, name=name: park_one(tx, "north", [name], name, name)  # type: ignore[misc]
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
