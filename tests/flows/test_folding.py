"""The timeline is the truth, and receipts fold to one outcome in any order."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from arrivals.core.ids import message_key
from arrivals.core.message import Move
from arrivals.core.money import Micros
from arrivals.flows.receipt_words import read
from arrivals.flows.receive import receive_step
from arrivals.providers.api import Receipt
from arrivals.providers.inbound import read_receipt
from arrivals.smpp import constants as c
from arrivals.smpp.pdu import Pdu
from tests.flows.installation import account, installed, provider
from tests.flows.script import SetClock, receipt
from tests.flows.story import LONG, Story

SINGLE = [("A1", "ENROUTE"), ("A1", "UNDELIV"), ("A1", "REJECTD"), ("A1", "EXPIRED")]
GOOD = [("A1", "DELIVRD"), ("A1", "UNDELIV"), ("A1", "UNRECOGNISED"), ("A1", "EXPIRED")]
PARTS = [("A1", "DELIVRD"), ("A2", "UNDELIV"), ("A2", "DELIVRD"), ("A3", "EXPIRED")]
MENDED = [("A1", "DELIVRD"), ("A2", "UNDELIV"), ("A2", "DELIVRD"), ("A3", "DELIVRD")]
SILENT = [("A1", "EXPIRED"), ("A1", "DELIVRD"), ("A2", "DELIVRD")]


@pytest.mark.parametrize(
    ("stat", "reason"),
    [(b"BLIST", "opted_out"), (b"NOROUTE", "no_route"), (b"REJECTD", "unclassified")],
)
def test_a_providers_own_word_is_the_reason(stat: bytes, reason: str) -> None:
    text = b"id:A1 stat:" + stat + b" err:000 text:"
    pdu = Pdu(c.DELIVER_SM, fields={"esm_class": 4, "short_message": text})
    found = read_receipt("north", pdu)
    assert found is not None
    assert read(found, provider("north", 0)) == (Move.RECEIPT_FAILED, reason)


SETS = [
    ("", SINGLE, "filtered", "100"),
    ("", GOOD, "delivered", "99.95"),
    (LONG, PARTS, "failed", "100"),
    (LONG, MENDED, "delivered", "99.85"),
    (LONG, SILENT, "expired", "99.85"),
]


@pytest.mark.slow
@pytest.mark.parametrize("together", [True, False], ids=["one batch", "one by one"])
@pytest.mark.parametrize(("text", "receipts", "state", "balance"), SETS)
async def test_receipts_in_any_order_fold_to_one_outcome(
    place: str,
    text: str,
    receipts: list[tuple[str, str]],
    state: str,
    balance: str,
    together: bool,
):
    """Invariant 36, with the money: every order, in one transaction or in several."""
    clock = SetClock()
    orders = list(itertools.permutations(receipts))
    refunding = account(1, refund_on=frozenset({"failed", "filtered"}), recharge=True)
    price = 0.15 if text else 0.05
    async with installed(
        place,
        providers=[provider("north", 1)],
        accounts=[refunding],
        started=False,
        clock=clock,
        funds=Micros(100_000_000),
    ) as here:
        story = Story(here, clock)
        step = receive_step(lambda: here.platform.catalogue)
        for number, order in enumerate(orders):
            msisdn = f"316{number:08d}"
            await story.play(f"accept {msisdn} {text}\nclaim")
            names = {name: f"{number}-{name}" for name in ("A1", "A2", "A3")}
            ids = " ".join(names.values()) if text else names["A1"]
            await story.play(f"answer {number + 1} taken {ids}")
            told = [
                receipt("north", names[name], word, msisdn, error=ERRORS.get(word, "000"))
                for name, word in order
            ]
            batches: list[list[Receipt]] = [told] if together else [[each] for each in told]
            for batch in batches:
                await here.store.write(step, batch)
            await story.play(f"state {state}")
        available, held = await here.balance()
        assert await here.unsound() == []
    each = 0 if balance == "100" else round(price * 1_000_000)
    assert (available, held) == (100_000_000 - each * len(orders), 0)


ERRORS = {"REJECTD": "010", "UNDELIV": "001"}  # in the carrier world's namespace


async def test_the_state_is_the_fold_of_its_events_in_growing_time(place: str):
    """Invariants 22 and 40: gapless, connected, and never back, though the clock goes back."""
    clock = SetClock()
    async with installed(
        place, providers=[provider("north", 1)], started=False, clock=clock
    ) as here:
        story = Story(here, clock)
        await story.play("accept 31612345678 on_ambiguous=resend\nclaim\nanswer 1 unanswered")
        clock.tick(61)
        await story.play("tick 0\nclaim")
        clock.tick(-3600)  # somebody sets the clock
        await story.play("""
            answer   2 taken A2
            receipt  A2 ACCEPTD
            receipt  A2 UNDELIV
            amend    denied
            receipt  A2 DELIVRD
            receipt  A2 UNDELIV done=2
            late     1 taken A1
            receipt  A1 DELIVRD
            state    delivered
            """)
        key = message_key(story.order.order.order_id, 0)  # type: ignore[union-attr]
        events: list[Any] = await here.rows(
            "SELECT seq, at, from_state, to_state FROM events WHERE message_id=? ORDER BY seq",
            key,
        )
    assert [seq for seq, _, _, _ in events] == list(range(1, len(events) + 1))
    times = [at for _, at, _, _ in events]
    assert all(before < after for before, after in itertools.pairwise(times))
    ends = [to for _, _, _, to in events]
    assert [begin for _, _, begin, _ in events] == [None, *ends[:-1]]
    assert ends[-1] == "delivered"
