"""Messages: what is saved comes back, and only along the table, one event at a time."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arrivals.core.message import TRANSITIONS, Message, Move, Reach, State, is_terminal, noted
from arrivals.core.money import Micros
from arrivals.store.api import RuleBroken, StaleWrite, Transaction
from arrivals.store.rows import Event
from tests.store.ground import (
    CLAIMED,
    ENDED,
    HOUR_US,
    TAKEN,
    Ground,
    delivered,
    event_of,
    move,
)

LARGEST = 2**63 - 1


# --- load and save --------------------------------------------------------------------------


async def test_load_leaves_out_what_is_not_there_and_sorts_by_key(funded: Ground):
    keys = await funded.accept({}, {}, {})
    found = await funded.run(lambda tx: tx.load([keys[2], 99, keys[0], keys[0]]))
    assert list(found) == [keys[0], keys[2]]
    assert await funded.run(lambda tx: tx.load([])) == {}


async def test_what_is_saved_is_loaded_within_the_transaction(funded: Ground):
    [key] = await funded.accept()

    def work(tx: Transaction) -> Message:
        after, event = move(tx.load([key])[key], Move.CLAIMED, tx.now_us, rank=None, attempts=1)
        tx.save([after], [event])
        assert tx.load([key])[key] == after
        return after

    assert await funded.run(work) == await funded.load(key)


@pytest.mark.parametrize("seq", [1, 3, 7])
async def test_a_stale_message_is_not_saved(funded: Ground, seq: int):
    """Invariant 22: the one event behind, the one ahead, and the very same."""
    [key] = await funded.accept()
    message, event = move(await funded.load(key), Move.CLAIMED, funded.clock.us, rank=None)
    stale = msgspec.structs.replace(message, seq=seq)
    with pytest.raises(StaleWrite):
        await funded.save((stale, msgspec.structs.replace(event, seq=seq)))


async def test_one_stale_message_spoils_its_batch(funded: Ground):
    keys = await funded.accept({}, {})
    fresh, stale = [await funded.load(key) for key in keys]
    gone = msgspec.structs.replace(stale, key=12345)
    with pytest.raises(StaleWrite):
        await funded.save(
            move(fresh, Move.CLAIMED, funded.clock.us, rank=None),
            move(gone, Move.CLAIMED, funded.clock.us, rank=None),
        )
    assert await funded.load(keys[0]) == fresh


async def test_a_message_is_saved_once_a_batch(funded: Ground):
    [key] = await funded.accept()
    moved = move(await funded.load(key), Move.CLAIMED, funded.clock.us, rank=None)
    with pytest.raises(StaleWrite):
        await funded.save(moved, moved)


async def test_every_change_is_one_event(funded: Ground):
    """Invariant 21: no change without its event, no event without its change."""
    [key] = await funded.accept()
    after, event = move(await funded.load(key), Move.CLAIMED, funded.clock.us, rank=None)
    wrong: list[tuple[list[Message], list[Event]]] = [
        ([after], []),
        ([], [event]),
        ([after], [event, event]),
        ([after], [msgspec.structs.replace(event, seq=5)]),
    ]
    for pair in wrong:
        with pytest.raises(RuleBroken, match="one event"):
            await funded.run(lambda tx, pair=pair: tx.save(*pair))  # type: ignore[misc]
    assert (await funded.load(key)).seq == 1


_words = (
    st.none()
    | st.sampled_from(
        [
            "007",
            "1e5",
            "true",
            "null",
            "0.10",
            "",
            '"',
            "\\",
            "[1]",
            "\u2028",
            "\x7f",
            "ключ",
            "📨",
        ]
    )
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
)
_whole = st.integers(0, LARGEST)
_fields = st.fixed_dictionaries(
    {
        "provider_id": _words.filter(lambda word: word is not None),
        "reach": st.sampled_from(Reach),
        "reason": _words,
        "attempts": st.integers(5, LARGEST),
        "tries": st.integers(0, 5),
        "resends": _whole,
        "rank": st.none() | st.integers(-LARGEST, LARGEST),
        "wake_at_us": _whole,
        "epoch": _whole,
        "provider_cost": _whole,
        "confirmed": st.sampled_from(["none", "confirmed", "denied"]),
        "parts": _words,
    }
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_every_field_comes_back_as_it_was(funded: Ground, data: st.DataObject):
    """load(save(m)) == m for every field that changes."""
    fields = data.draw(_fields)
    order = {
        "expires_at_us": data.draw(st.integers(0, LARGEST)),
        "outcome_deadline_us": LARGEST,
        "on_ambiguous": data.draw(st.sampled_from(["wait", "query", "resend", "fail"])),
    }
    msisdn = data.draw(st.from_regex(r"[0-9]{1,15}", fullmatch=True))
    [key] = await funded.accept({"msisdn": msisdn, "price": 0, "segments": 255}, **order)
    before = await funded.load(key)
    assert before.msisdn == msisdn
    if before.changed_at_us > funded.clock.us:
        funded.clock.us = before.changed_at_us
    after = msgspec.structs.replace(
        before, seq=2, changed_at_us=before.changed_at_us + 1, **fields
    )
    await funded.save((after, event_of(before, after)))
    assert await funded.load(key) == after


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    word=st.sampled_from(["007", "1e5", "true", "null", "", " ", "0x1F", "9" * 15, "a\0b"])
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
)
async def test_a_text_stays_that_very_text(funded: Ground, word: str):
    """Numbers written as text, quotes, newlines, emoji and the empty text stay as they are."""
    if funded.backend.many_write and "\0" in word:
        return  # the API refuses it, and PostgreSQL's text can't hold it
    [key] = await funded.accept(
        {"text": word, "client_ref": word, "country": word, "price": 0, "rank": 1},
        sender=word, text=word, client_ref=word, request_id=word, key_id=word, decision=word,
    )  # fmt: skip
    [outgoing] = await funded.run(
        lambda tx: [each for each in tx.claim("north", 1, 10, ((), ()))
                    if each.message.key == key]
    )  # fmt: skip
    assert (outgoing.sender, outgoing.text) == (word, word)
    [stored] = await funded.sql(
        "SELECT m.text, m.client_ref, m.country, o.sender, o.text, o.client_ref, o.request_id,"
        " o.key_id, o.decision FROM messages AS m JOIN orders AS o ON o.id = m.id >> 17"
        " WHERE m.id = ?",
        key,
    )
    assert set(stored) == {word}
    await funded.claim()  # so that the next example finds the lane empty


async def test_an_empty_text_is_not_a_missing_one(funded: Ground):
    [own, missing] = await funded.accept({"text": ""}, {"text": None}, text="the order's")
    texts = {each.message.key: each.text for each in await funded.claim()}
    assert texts == {own: "", missing: "the order's"}


BODY: dict[str, Any] = {
    "text": 'line\nquote " backslash \\ tab \t sep \u2028 emoji 📨',
    "number": "007",
    "large": LARGEST,
    "none": None,
    "nested": {"list": [1, "1", 1.5, True, []]},
}


async def test_an_event_keeps_its_body(funded: Ground):
    [key] = await funded.accept()
    before = await funded.load(key)
    after = msgspec.structs.replace(before, seq=2, changed_at_us=before.changed_at_us + 1)
    await funded.save((after, event_of(before, after, body=BODY, actor="provider:null")))
    [(body, actor)] = await funded.sql("SELECT body, actor FROM events WHERE seq = 2")
    assert msgspec.json.decode(body) == BODY
    assert actor == "provider:null"


# --- the rules ------------------------------------------------------------------------------


async def test_the_moves_are_the_cores(ground: Ground):
    """Invariant 21: the database's table is core/message.py's."""
    moves = await ground.sql("SELECT from_state, to_state FROM moves")
    assert set(moves) == {(source.value, to.value) for (source, _), to in TRANSITIONS.items()}


_LEGAL = {(source, to) for (source, _), to in TRANSITIONS.items()}


def _shape(state: State) -> tuple[int | None, str | None, int | None]:
    """Return wake_at, resolution and its posting as they go with a state."""
    if is_terminal(state):
        return None, "released" if state is State.CANCELLED else "captured", 1
    return HOUR_US, None, None


@pytest.mark.parametrize("source", State)
async def test_illegal_moves_are_refused(ground: Ground, source: State):
    """Invariant 21: every pair of states, where a statement goes past `advance`."""
    for key, target in enumerate(State, start=1):
        await ground.sql(
            "INSERT INTO messages (id, account_id, route_id, msisdn, country, encoding,"
            " segments, rate_id, price, provider_id, lane, seq, changed_at, reach, state,"
            " wake_at, resolution, resolution_posting)"
            " VALUES (?, 1, 1, '31', 'NL', 'gsm7', 1, 1, 1, 'north', 1, 1, 1, 2, ?, ?, ?, ?)",
            key, source, *_shape(source),
        )  # fmt: skip
        change = (
            "UPDATE messages SET state = ?, wake_at = ?, resolution = ?, resolution_posting = ?"
            ", seq = seq + 1, changed_at = changed_at + 1"
        )
        if source is target or (source, target) in _LEGAL:
            await ground.sql(f"{change} WHERE id = ?", target, *_shape(target), key)
            continue
        with pytest.raises(RuleBroken, match=r"no such move|a hold is resolved once"):
            await ground.sql(f"{change} WHERE id = ?", target, *_shape(target), key)


@pytest.mark.parametrize("seq", ["seq", "seq + 2", "seq - 1"])
async def test_a_move_without_its_event_is_refused(funded: Ground, seq: str):
    """Invariant 21: every move is one event further, where a statement goes past `save`."""
    await funded.accept()
    change = f"UPDATE messages SET state = 'sending', rank = NULL, seq = {seq}"
    with pytest.raises(RuleBroken, match=r"without its event|follows the one before"):
        await funded.sql(f"{change}, changed_at = changed_at + 1")


async def test_a_gap_in_the_timeline_is_refused(funded: Ground):
    """Invariant 22, where a statement goes past `save`."""
    await funded.accept()
    for change in ("seq = 3", "seq = 0", "seq = 2, changed_at = changed_at"):
        with pytest.raises(RuleBroken, match="an event follows the one before it"):
            await funded.sql(f"UPDATE messages SET {change}")


async def test_time_does_not_go_back_within_a_message(funded: Ground):
    """Invariant 40."""
    [key] = await funded.accept()
    before = await funded.load(key)
    for changed_at_us in (before.changed_at_us, before.changed_at_us - 1):
        after = msgspec.structs.replace(before, seq=2, changed_at_us=changed_at_us)
        with pytest.raises(RuleBroken, match="an event follows the one before it"):
            await funded.save((after, event_of(before, after)))


async def test_events_are_never_updated_and_stand_once(funded: Ground):
    """Invariants 3 and 22."""
    [key] = await funded.accept()
    with pytest.raises(RuleBroken, match="never updated"):
        await funded.sql("UPDATE events SET kind = 'delivered'")
    with pytest.raises(RuleBroken):
        await funded.sql(
            "INSERT INTO events (message_id, seq, at, kind, to_state, actor, body)"
            " VALUES (?, 1, 1, 'accepted', 'accepted', 'api', '{}')",
            key,
        )


RELEASED = {**ENDED, "resolution": "released", "resolution_posting": 1}


@pytest.mark.parametrize(
    ("steps", "last"),
    [
        pytest.param([], (Move.CANCEL_ASKED, ENDED), id="terminal without resolution"),
        pytest.param(
            [],
            (Move.CLAIMED, {"rank": None, "resolution": "released", "resolution_posting": 1}),
            id="open and resolved",
        ),
        pytest.param(
            [],
            (Move.CANCEL_ASKED, {**RELEASED, "resolution_posting": None}),
            id="resolved by no posting",
        ),
        pytest.param(
            [CLAIMED],
            (Move.REFUSED, {**RELEASED, "resolution": "captured"}),
            id="charged without hand-off (invariant 13)",
        ),
        pytest.param(
            [],
            (Move.CANCEL_ASKED, {**RELEASED, "resolution": "captured", "reach": 1}),
            id="charged though cancelled (invariant 13)",
        ),
        pytest.param(
            [CLAIMED],
            (Move.RECEIPT_DELIVERED, {**RELEASED, "reach": 0}),
            id="delivered without hand-off",
        ),
        pytest.param(
            [CLAIMED],
            (Move.TAKEN, {"reach": 2, "wake_at_us": None}),
            id="open, and nobody would wake (invariant 20)",
        ),
        pytest.param(
            [CLAIMED, TAKEN],
            (Move.RECEIPT_DELIVERED, {**RELEASED, "rank": 1}),
            id="ended, and still in a queue",
        ),
        pytest.param([CLAIMED], (Move.TAKEN, {"reach": 3}), id="further than handed off"),
        pytest.param(
            [], (Move.CLAIMED, {"rank": None, "tries": 2, "attempts": 1}), id="tries > attempts"
        ),
        pytest.param([], (Move.CLAIMED, {"rank": None, "confirmed": "maybe"}), id="confirmed"),
        pytest.param(
            [CLAIMED, TAKEN],
            (Move.RECEIPT_DELIVERED, {**RELEASED, "resolution": "forgiven"}),
            id="no such resolution",
        ),
    ],
)
async def test_a_state_asks_for_its_facts(funded: Ground, steps: Any, last: Any):
    """Invariants 7, 12, 13 and 20."""
    [key] = await funded.accept()
    await funded.drive(key, *steps)
    with pytest.raises(RuleBroken, match=r"(?i)check constraint"):
        await funded.drive(key, last)


async def test_a_hold_is_resolved_once(funded: Ground):
    """Invariant 7: neither anew, nor otherwise, nor back to open."""
    [key] = await funded.accept()
    ended = await funded.drive(key, CLAIMED, TAKEN, delivered(5))
    assert ended.resolution == "captured"
    for changes in (
        {"resolution": "released", "resolution_posting": 6},
        {"resolution": "captured", "resolution_posting": 6},
        {"resolution": None, "resolution_posting": None},
    ):
        with pytest.raises(RuleBroken, match="a hold is resolved once"):
            await funded.drive(key, (Move.RECEIPT_FABRICATED, changes))
    revised = await funded.drive(key, (Move.RECEIPT_FABRICATED, {}))
    assert (revised.state, revised.resolution_posting) == (State.UNKNOWN, 5)


async def test_delivered_rests_on_a_receipt(funded: Ground):
    """Invariant 33: no other event may say so."""
    [key] = await funded.accept()
    taken = await funded.drive(key, CLAIMED, TAKEN)
    what, changes = delivered(5)
    after, event = move(taken, what, funded.clock.us, **changes)
    with pytest.raises(RuleBroken):
        await funded.save((after, msgspec.structs.replace(event, kind="feedback")))
    await funded.save((after, event))
    noted = msgspec.structs.replace(after, seq=after.seq + 1, changed_at_us=2 * funded.clock.us)
    await funded.save((noted, event_of(after, noted, "feedback")))


async def test_when_a_provider_first_took_a_message(funded: Ground):
    """Of a message that several did, the first; of one that none did, nothing."""
    first, twice, never = await funded.accept({}, {}, {})
    times = {}
    for key, took in ((first, 1), (twice, 2)):
        await funded.drive(key, CLAIMED)
        for n in range(took):
            funded.clock.us += 1_000
            before = await funded.load(key)
            if n == 0:
                times[key] = funded.clock.us
                await funded.drive(key, TAKEN)
            else:
                after = noted(before, funded.clock.us)
                await funded.save((after, event_of(before, after, "taken")))
    wanted = [twice, never, first, first, 99]
    assert await funded.run(lambda tx: tx.handed_off_at(wanted)) == times
    assert await funded.run(lambda tx: tx.handed_off_at([])) == {}


async def test_which_messages_were_asked_for_again(funded: Ground):
    """By feedback that says so, whoever gave it, and by no other."""
    bodies: list[dict[str, Any]] = [
        {"kind": "asked_again"},
        {"kind": "asked_again", "noticed": "BX-1"},
        {"kind": "otp", "confirmed": True},
        {},
    ]
    keys = await funded.accept(*({} for _ in bodies))
    for key, body in zip(keys, bodies, strict=True):
        before = await funded.load(key)
        after = noted(before, funded.clock.us)
        await funded.save((after, event_of(before, after, "feedback", body=body)))
    wanted = [*keys[::-1], keys[0], 99]
    assert await funded.run(lambda tx: tx.asked_again(wanted)) == set(keys[:2])
    assert await funded.run(lambda tx: tx.asked_again([])) == set()


async def test_what_the_events_of_one_kind_told(funded: Ground):
    """In order, of this message only, and with all that they said."""
    mine, other = await funded.accept({}, {})
    steps = [(mine, "part_held", {"part": 2}), (mine, "throttled", {"provider": "north"}),
             (other, "part_held", {"part": 9}), (mine, "part_held", {"part": 3})]  # fmt: skip
    for key, kind, body in steps:
        before = await funded.load(key)
        funded.clock.us += 1_000
        after = noted(before, funded.clock.us)
        await funded.save((after, event_of(before, after, kind, body=body)))
    told = await funded.run(lambda tx: tx.told(mine, "part_held"))
    assert [each.body for each in told] == [{"part": 2}, {"part": 3}]
    assert told[0].at_us < told[1].at_us
    assert await funded.run(lambda tx: tx.told(mine, "not_bound")) == []


# --- what is due ----------------------------------------------------------------------------


async def test_what_is_due_comes_longest_overdue_first(funded: Ground):
    now = funded.clock.us
    keys = await funded.accept(
        *(
            {"rank": None, "state": "scheduled", "wake_at_us": now + after}
            for after in (30, 10, 20)
        )
    )
    far = {"rank": None, "state": "scheduled", "wake_at_us": now + HOUR_US}
    await funded.accept(far)
    assert (
        await funded.run(lambda tx: [each for each in tx.due(9) if tx.now_us < now + 10]) == []
    )
    funded.clock.us += 1_000
    due = await funded.run(lambda tx: [each.key for each in tx.due(9)])
    assert due == [keys[1], keys[2], keys[0]]
    assert await funded.run(lambda tx: [each.key for each in tx.due(1)]) == [keys[1]]
    funded.clock.us += HOUR_US
    assert len(await funded.run(lambda tx: tx.due(9))) == 4


async def test_what_is_due_includes_the_very_moment(funded: Ground):
    await funded.accept({"wake_at_us": funded.clock.us + 500})
    funded.clock.us += 500
    assert len(await funded.run(lambda tx: tx.due(9))) == 1


async def test_the_provider_order_of_accept_is_told_by_order(funded: Ground):
    [key] = await funded.accept(providers='["b","a","null"]')
    [other] = await funded.accept()
    wanted = [key >> 17, other >> 17, key >> 17, 999]
    assert await funded.run(lambda tx: tx.providers_of(wanted)) == {
        key >> 17: ("b", "a", "null"),
        other >> 17: ("north", "south"),
    }


async def test_a_providers_cost_is_a_whole_number(funded: Ground):
    """Invariant 4."""
    [key] = await funded.accept()
    message = await funded.load(key)
    after = msgspec.structs.replace(
        message, seq=2, changed_at_us=message.changed_at_us + 1, provider_cost=Micros(2**53 + 1)
    )
    await funded.save((after, event_of(message, after)))
    assert (await funded.load(key)).provider_cost == 2**53 + 1
