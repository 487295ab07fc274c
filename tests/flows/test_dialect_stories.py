"""Texts, parts and prices where providers have alphabets and long messages of their own.

The price is that of the provider chosen at accept. Whoever carries it gets the text in its own
alphabet, in as many parts as that takes; its cost and its receipts are counted by those.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from arrivals.core.catalogue import Catalogue, Provider, Strategy
from arrivals.core.dialect import PLAIN, Dialect
from arrivals.core.explain import explain
from arrivals.core.money import Micros
from arrivals.core.selection import Estimate
from arrivals.flows.applying import APPLY_CONFIGURATION
from arrivals.flows.configuration import Configuration
from arrivals.flows.plan import Recipient, SendRequest
from arrivals.flows.receipt_habits import usual_forms
from arrivals.outcome.habits import Habits
from arrivals.smpp.receipts import IdForm
from tests.flows.installation import (
    PRICES,
    Installation,
    account,
    installed,
    provider,
    route,
)
from tests.flows.script import SetClock
from tests.flows.story import Story

CREME = "Cr\xe8me br\xfbl\xe9e, " * 5  # 70 characters, one of them outside GSM-7
POUNDS = "\xa35 f\xfcr J\xfcrgen "  # in GSM-7, in Latin-1, and not in ASCII
EUROS = "5 \u20ac " * 20  # in GSM-7, and not in Latin-1
LONG = "a long text " * 27  # three parts in any alphabet


def speaking(name: str, **ways: Any) -> Provider:
    changes = {key: ways.pop(key) for key in ("receipts_per", "cost") if key in ways}
    return provider(name, 1, **{"cost": Micros(7_000), **changes}, dialect=Dialect(**ways))


class Told:
    """A story of providers with dialects."""

    def __init__(self, here: Installation, clock: SetClock) -> None:
        self.here = here
        self.story = Story(here, clock)

    async def play(self, table: str, **texts: str) -> None:
        for name, text in texts.items():
            table = table.replace(name, f"text='{text}'")
        await self.story.play(table)

    async def message(self) -> dict[str, Any]:
        names = ("segments", "encoding", "price", "provider_cost", "parts")
        found = await self.here.rows(
            f"SELECT {', '.join(names)} FROM messages WHERE id = ?", self.story.key()
        )
        return dict(zip(names, found[0], strict=True))


def requested(text: str | None, **changes: Any) -> SendRequest:
    return SendRequest(
        **{
            "account_id": 1,
            "key_id": "aa000001",
            "environment": "test",
            "request_id": "request-1",
            "route_id": 1,
            "sender": "ARRIVALS",
            "recipients": [Recipient("31612345678")],
            "text": text,
            **changes,
        }
    )


# --- what is charged ---------------------------------------------------------------------

SHAPES = [
    ("gsm7", POUNDS * 10, "gsm7", 1),
    ("latin-1", POUNDS * 10, "latin-1", 1),
    ("ascii", POUNDS * 10, "ucs2", 3),  # a pound sign makes it UCS-2 there
    ("gsm7", EUROS, "gsm7", 1),
    ("latin-1", EUROS, "ucs2", 2),  # and a euro sign where 0 is Latin-1
    ("latin-1", "Mail a_b@shop.nl", "latin-1", 1),
    ("ascii", "Mail a_b@shop.nl", "ascii", 1),
    ("latin-1", LONG, "latin-1", 3),
]


@pytest.mark.parametrize(("alphabet", "text", "encoding", "segments"), SHAPES)
async def test_a_text_is_counted_in_the_alphabet_of_who_takes_it(
    place: str, alphabet: str, text: str, encoding: str, segments: int
) -> None:
    """An estimate, the order, the message and every proof agree."""
    async with installed(
        place, providers=[speaking("north", alphabet=alphabet)], started=False, clock=SetClock()
    ) as here:
        planned = here.platform.plan(requested(text))
        assert planned.cost == 50_000 * segments
        [line] = planned.record()["prices"]
        assert (line["segments"], line["encodings"]) == (segments, {encoding: 1})
        order = await here.send("31612345678", text=text)
        assert order.order.cost == planned.cost
        story = Story(here, SetClock())
        story.order = order
        trace, events = await story.journey()
        assert (trace.encoding, trace.message.segments) == (encoding, segments)
        named = {"gsm7": "GSM-7", "latin-1": "Latin-1", "ascii": "ASCII", "ucs2": "UCS-2"}
        assert f"in {named[encoding]}" in explain(trace, events)[0].text
        assert await here.unsound() == []


async def test_each_recipient_s_own_text_is_counted_so(place: str) -> None:
    async with installed(
        place, providers=[speaking("north", alphabet="ascii")], started=False, clock=SetClock()
    ) as here:
        own = [Recipient("31612345678", "Mail a_b"), Recipient("31612345679", POUNDS * 6)]
        planned = here.platform.plan(requested(None, recipients=own))
        assert [each.shape.encoding for each in planned.messages] == ["ascii", "ucs2"]
        assert [each.shape.segments for each in planned.messages] == [1, 2]


# --- whoever carries it ------------------------------------------------------------------


async def handed_over(
    place: str, table: str, *providers: Provider, text: str
) -> dict[str, Any]:
    """Play a story over these providers, in order, and return what became of its message."""
    clock = SetClock()
    async with installed(
        place,
        providers=list(providers),
        routes=[route(1, [each.provider_id for each in providers])],
        accounts=[account(1)],
        started=False,
        clock=clock,
        funds=Micros(100_000_000),
    ) as here:
        told = Told(here, clock)
        await told.play(table, TEXT=text)
        return await told.message()


async def test_more_parts_at_the_next_provider(place: str) -> None:
    """Charged once, cut for who carries it, and delivered when all that left arrived."""
    found = await handed_over(
        place,
        """
        accept   31612345678 TEXT
        claim    north
        answer   1 refused_here no_route
        claim    south
        answer   2 taken B1 B2
        receipt  B1 DELIVRD provider=south
        state    submitted
        receipt  B2 DELIVRD provider=south
        state    delivered
        balance  99.95
        """,
        speaking("north"),
        speaking("south", alphabet="latin-1"),
        text=EUROS,
    )
    assert found == {
        "segments": 1,
        "encoding": "gsm7",
        "price": 50_000,
        "provider_cost": 14_000,  # two segments to pay for, and one that was charged
        "parts": "2:dd",
    }


async def test_fewer_parts_at_the_next_provider(place: str) -> None:
    """One receipt tells all there is to tell: it doesn't wait for a part that never left."""
    found = await handed_over(
        place,
        """
        accept   31612345678 TEXT
        claim    north
        answer   1 refused_here no_route
        claim    south
        answer   2 taken B1
        receipt  B1 DELIVRD provider=south
        state    delivered
        twice    no
        balance  99.9
        """,
        speaking("north", alphabet="latin-1"),
        speaking("south"),
        text=EUROS,
    )
    assert (found["segments"], found["encoding"], found["provider_cost"]) == (2, "ucs2", 7_000)


async def test_attempts_that_came_to_nothing_leave_nothing(place: str) -> None:
    found = await handed_over(
        place,
        """
        accept   31612345678 TEXT
        claim    north
        answer   1 refused_here no_route
        claim    south
        answer   2 throttled
        tick     60
        claim    south
        answer   3 throttled
        tick     60
        claim    south
        answer   4 taken B1 B2
        receipt  B2 DELIVRD provider=south
        receipt  B1 DELIVRD provider=south
        state    delivered
        """,
        speaking("north"),
        speaking("south", alphabet="latin-1"),
        text=EUROS,
    )
    assert found["parts"] == "4:dd"


@pytest.mark.parametrize("second", ["UNDELIV", "REJECTD"])
async def test_one_of_more_parts_fails(place: str, second: str) -> None:
    await handed_over(
        place,
        f"""
        accept   31612345678 TEXT
        claim    north
        answer   1 refused_here no_route
        claim    south
        answer   2 taken B1 B2
        receipt  B1 DELIVRD provider=south
        receipt  B2 {second} provider=south err=001
        state    failed
        """,
        speaking("north"),
        speaking("south", alphabet="latin-1"),
        text=EUROS,
    )


async def test_a_receipt_before_the_answer_meets_the_parts_that_left(place: str) -> None:
    """What was parked or inferred is of the hand-off's own parts."""
    found = await handed_over(
        place,
        """
        accept   31612345678 TEXT
        claim    north
        answer   1 refused_here no_route
        claim    south
        receipt  B2 DELIVRD provider=south
        state    sending
        answer   2 taken B1 B2
        state    submitted
        receipt  B1 DELIVRD provider=south
        state    delivered
        """,
        speaking("north"),
        speaking("south", alphabet="latin-1"),
        text=EUROS,
    )
    assert found["parts"] == "2:dd"


async def test_a_lost_answer_s_receipts_are_of_the_parts_that_left(place: str) -> None:
    await handed_over(
        place,
        """
        accept   31612345678 TEXT
        claim    north
        answer   1 refused_here no_route
        claim    south
        answer   2 unanswered
        state    ambiguous
        receipt  B1 DELIVRD provider=south
        state    ambiguous
        receipt  B2 DELIVRD provider=south
        state    delivered
        """,
        speaking("north"),
        speaking("south", alphabet="latin-1"),
        text=EUROS,
    )


@pytest.mark.parametrize("receipts_per", ["segment", "unknown"])
async def test_a_message_that_left_whole_has_one_receipt(place: str, receipts_per: str) -> None:
    """One PDU, one id, and three segments to charge and to pay for."""
    found = await handed_over(
        place,
        """
        accept   31612345678 TEXT
        balance  99.85 0.15
        claim    north
        answer   1 taken A1
        receipt  A1 DELIVRD
        state    delivered
        depth    carrier
        """,
        speaking("north", long_messages="payload", receipts_per=receipts_per),
        text=LONG,
    )
    assert (found["segments"], found["provider_cost"]) == (3, 21_000)


async def test_a_message_that_left_whole_may_fail(place: str) -> None:
    await handed_over(
        place,
        """
        accept   31612345678 TEXT
        claim    north
        answer   1 taken A1
        receipt  A1 UNDELIV err=001
        state    failed
        """,
        speaking("north", long_messages="payload"),
        text=LONG,
    )


async def test_in_whole_and_in_other_segments_the_cost_is_the_carrier_s_own(place: str) -> None:
    """South cuts by itself, as UCS-2, and charges for what comes of that."""
    found = await handed_over(
        place,
        """
        accept   31612345678 TEXT
        claim    north
        answer   1 refused_here no_route
        claim    south
        answer   2 taken B1
        receipt  B1 DELIVRD provider=south
        state    delivered
        """,
        speaking("north"),
        speaking("south", alphabet="latin-1", long_messages="payload"),
        text=EUROS,
    )
    assert (found["segments"], found["provider_cost"]) == (1, 14_000)


# --- who is chosen -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("better", "encoding", "segments"), [("north", "gsm7", 1), ("south", "ucs2", 2)]
)
async def test_where_outcomes_choose_the_price_is_the_chosen_one_s(
    place: str, better: str, encoding: str, segments: int
) -> None:
    async with installed(
        place,
        providers=[speaking("north"), speaking("south", alphabet="latin-1")],
        routes=[route(1, ["north", "south"], strategy=Strategy.OUTCOME)],
        started=False,
        clock=SetClock(),
    ) as here:

        def known(_country: str, _sender: str, name: str) -> Estimate:
            return good if name == better else bad

        good, bad = _estimate(0.99), _estimate(0.1)
        here.platform.choosing.estimate = known
        planned = here.platform.plan(requested(EUROS))
        assert planned.decision.first == better
        assert planned.messages[0].shape.encoding == encoding
        assert planned.cost == 50_000 * segments
        order = await here.send("31612345678", text=EUROS)
        kept = json.loads(order.order.decision)["route"]
        assert kept.get("alphabet") == (None if better == "north" else "latin-1")
        assert await here.unsound() == []


def _estimate(p: float) -> Estimate:
    return Estimate(delivered=p, low=p - 0.005, high=p + 0.005, anchors=10_000, handoffs=10_000)


# --- how receipts write ids --------------------------------------------------------------


def test_a_form_that_was_set_wins_over_what_was_learnt() -> None:
    habits = Habits()
    for _ in range(200):
        habits.saw("north", "as_given", None, 1)
        habits.saw("south", "leading_zeros", None, 1)

    providers = [speaking("north", id_form="hex_to_decimal"), speaking("south")]
    catalogue = Catalogue(
        version=1,
        accounts={},
        keys={},
        providers={each.provider_id: each for each in providers},
        routes={},
        prices={},
    )
    usual = usual_forms(lambda: catalogue, habits)
    assert usual("north") is IdForm.HEX_TO_DECIMAL
    assert usual("south") is IdForm.LEADING_ZEROS
    assert usual("elsewhere") is None


# --- a dialect that is changed while a server runs -----------------------------------------


async def test_a_changed_dialect_holds_from_the_reload_on(place: str) -> None:
    """What was accepted keeps its price, and is cut as the provider wants it by then."""
    clock = SetClock()
    async with installed(
        place, providers=[speaking("north")], started=False, clock=clock
    ) as here:
        story = Story(here, clock)
        await story.play(f"accept 31612345678 text='{EUROS}'")
        before = here.platform.catalogue.providers["north"]
        changed = speaking("north", alphabet="latin-1", system_type="SMPP")
        await here.store.write(
            APPLY_CONFIGURATION,
            Configuration(
                providers=(changed,),
                routes=tuple(here.platform.catalogue.routes.values()),
                prices={1: PRICES},
                accounts=tuple(here.platform.catalogue.accounts.values()),
            ),
        )
        read = await here.in_transaction(lambda tx: tx.catalogue())
        here.platform.swap(read)
        after = here.platform.catalogue.providers["north"]
        assert after.dialect == Dialect(alphabet="latin-1", system_type="SMPP")
        assert before.dialect == PLAIN
        assert before != after  # so the fleet dials it anew
        await story.play("""
            claim    north
            answer   1 taken A1 A2
            receipt  A1 DELIVRD
            state    submitted
            receipt  A2 DELIVRD
            state    delivered
        """)
        assert here.platform.plan(requested(EUROS)).cost == 100_000
