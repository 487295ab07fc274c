"""Receipts as carriers bend them, read off the wire by section 4.6.1 and nothing of ours."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, get_args

import pytest

from arrivals.world.bends import (
    AS_SPECIFIED,
    ODD_CLASSES,
    STRAIGHT,
    AddressForm,
    Bends,
    ClassForm,
    Shape,
    StateForm,
    Tail,
    TextForm,
    Wording,
    rewritten,
)
from arrivals.world.scenario import ScenarioError, parse_scenario
from tests.world.raw_esme import RawEsme
from tests.world.small_world import SMALL, small_world

FORMS: dict[str, Any] = {
    "wordings": Wording,
    "texts": TextForm,
    "tails": Tail,
    "classes": ClassForm,
    "addresses": AddressForm,
    "states": StateForm,
}
TLVS = re.compile(rb"\x00\x1e(..)([^\x00]+)\x00\x04\x27\x00\x01(.)", re.DOTALL)
FAILING = "failures = { share = 1, errors = { '003' = 1 } }"
NUMBER = "447700900001"


@asynccontextmanager
async def bound(receipts: str, more: str = "") -> AsyncIterator[RawEsme]:
    async with small_world(f"receipts = {{ {receipts} }}\n{more}") as world:
        esme = await RawEsme.connect(world.port)
        assert await esme.bind() == 0
        yield esme
        await esme.close()


async def text_of(wording: str) -> str:
    async with bound(f"bends = {{ wordings = {{ {wording} = 1 }} }}, tlvs = false") as esme:
        esme.submit(NUMBER)
        return (await esme.receipt()).text.decode()


@pytest.mark.parametrize(
    ("wording", "said"),
    [
        (
            "bare",
            r"id:\d+ sub:001 dlvrd:001 submit date:\d{10} done date:\d{10} DELIVRD err:000 ",
        ),
        ("quoted", r'id:\d+ .* stat:"DELIVRD" err:000 text:'),
        (
            "equals",
            r"id=\d+ sub=001 dlvrd=001 submit date=\d+ done date=\d+ stat=DELIVRD err=000 ",
        ),
        (
            "piped",
            r"id:\d+\|sub:001\|dlvrd:001\|submit date:\d+\|done date:\d+\|stat:DELIVRD\|err",
        ),
        ("dotted", r"id:\d+ .* stat:DELIVRD\. err:000 text:"),
        ("numbered", r"id:\d+ .* stat:2 err:000 text:"),
        ("long", r"id:\d+ .* stat:DELIVERED err:000 text:"),
        ("lower", r"id:\d+ .* stat:delivrd err:000 text:"),
    ],
)
async def test_a_states_word_has_many_ways_to_be_written(wording: str, said: str) -> None:
    assert re.match(said, await text_of(wording))


@pytest.mark.parametrize(
    ("form", "mark", "codec"),
    [
        ("utf-16-be", b"", "utf-16-be"),
        ("utf-16-be-marked", b"\xfe\xff", "utf-16-be"),
        ("utf-16-le", b"", "utf-16-le"),
        ("utf-16-le-marked", b"\xff\xfe", "utf-16-le"),
    ],
)
async def test_a_receipts_text_may_be_utf_16_under_any_data_coding(
    form: str, mark: bytes, codec: str
) -> None:
    async with bound(f'bends = {{ texts = {{ "{form}" = 1 }} }}') as esme:
        for n in range(24):
            esme.submit(f"4477009000{n:02d}")
        await esme.until(lambda: len(esme.delivered) == 24)
        for each in esme.delivered:
            assert each.text.startswith(mark)
            text = each.text.removeprefix(mark).decode(codec)
            assert re.match(r"id:\d+ .* stat:DELIVRD err:000", text)
        assert {each.data_coding for each in esme.delivered} == {0, 3, 4, 8}


async def test_a_text_too_long_for_its_place_goes_into_the_payload() -> None:
    """Twice as many octets are more than an sm_length counts to."""
    words = f'words = {{ DELIVRD = "{"DELIVERED_TO_THE_HANDSET" * 2}" }}'
    async with bound(f'bends = {{ texts = {{ "utf-16-be" = 1 }} }}, {words}') as esme:
        esme.submit(NUMBER)
        receipt = await esme.receipt()
        assert receipt.text == b""
        assert b"\x04\x24" in receipt.rest
        assert "DELIVERED_TO".encode("utf-16-be") in receipt.rest


@pytest.mark.parametrize(
    ("tail", "octets"),
    [("nul", b"\0"), ("two_nuls", b"\0\0"), ("three_nuls", b"\0\0\0"), ("cut_tlv", b"\x10cut")],
)
@pytest.mark.parametrize("tlvs", ["true", "false"])
async def test_something_stands_behind_the_last_field(
    tail: str, octets: bytes, tlvs: str
) -> None:
    bends = f"bends = {{ tails = {{ {tail} = 1 }} }}, tlvs = {tlvs}"
    async with bound(f"{bends}, echo_reference = false") as esme:
        esme.submit(NUMBER)
        receipt = await esme.receipt()
        before = receipt.rest.removesuffix(octets)
        assert len(before) == len(receipt.rest) - len(octets)
        assert bool(TLVS.match(receipt.rest)) is (tlvs == "true")
        if tlvs == "false":
            assert before == (b"\x14\x01\x00" if tail == "cut_tlv" else b"")


@pytest.mark.parametrize(
    ("form", "classes"),
    [("unmarked", {0}), ("odd", set(ODD_CLASSES)), ("headerless", {0x44})],
)
async def test_a_receipt_may_have_no_mark_or_an_odd_one(form: str, classes: set[int]) -> None:
    async with bound(f"bends = {{ classes = {{ {form} = 1 }} }}") as esme:
        for n in range(40):
            esme.submit(f"4477009000{n:02d}")
        await esme.until(lambda: len(esme.delivered) == 40)
        assert {each.esm_class for each in esme.delivered} == classes
        assert all(each.text.startswith(b"id:") for each in esme.delivered)


async def test_addresses_may_not_be_swapped() -> None:
    async with bound("bends = { addresses = { unswapped = 1 } }") as esme:
        esme.submit(NUMBER, source="31201234567", source_type=(1, 1))
        receipt = await esme.receipt()
        assert (receipt.source, receipt.destination) == ("31201234567", NUMBER)


@pytest.mark.parametrize(
    ("number", "form", "luck", "seen"),
    [
        ("525512345678", "rewritten", 0.0, "5215512345678"),
        ("5215512345678", "rewritten", 0.0, "525512345678"),
        ("541112345678", "rewritten", 0.0, "5491112345678"),
        ("5491112345678", "rewritten", 0.0, "541112345678"),
        ("31612345678", "rewritten", 0.0, "311612345678"),
        ("31612345678", "national", 0.0, "0612345678"),
        ("31612345678", "national", 0.9, "612345678"),
        ("31612345678", "prefixed", 0.0, "700131612345678"),
    ],
)
async def test_a_carrier_writes_numbers_its_own_way(
    number: str, form: AddressForm, luck: float, seen: str
) -> None:
    assert rewritten(number, Shape(addresses=form, luck=luck)) == seen
    async with bound(f"bends = {{ addresses = {{ {form} = 1 }} }}") as esme:
        esme.submit(number)
        found = (await esme.receipt()).source
        assert found == seen or form == "national"


@pytest.mark.parametrize(
    ("form", "state"), [("zero", b"\0"), ("disagreeing", b"\5"), ("absent", None)]
)
async def test_the_state_beside_the_text_may_be_another(form: str, state: bytes | None) -> None:
    async with bound(f"bends = {{ states = {{ {form} = 1 }} }}") as esme:
        esme.submit(NUMBER)
        receipt = await esme.receipt()
        found = re.search(rb"\x04\x27\x00\x01(.)", receipt.rest, re.DOTALL)
        assert (found and found[1]) == state
        assert b"stat:DELIVRD" in receipt.text
        assert b"\x00\x1e" in receipt.rest


async def test_a_failure_may_disagree_with_itself_too() -> None:
    receipts = "receipts = { bends = { states = { disagreeing = 1 } } }"
    scenario = parse_scenario(SMALL.replace("PROVIDER", receipts) + FAILING)
    async with small_world(scenario=scenario) as world:
        esme = await RawEsme.connect(world.port)
        await esme.bind()
        esme.submit(NUMBER)
        receipt = await esme.receipt()
        assert b"stat:UNDELIV" in receipt.text
        assert b"\x04\x27\x00\x01\x02" in receipt.rest
        await esme.close()


async def test_progress_is_told_before_the_end() -> None:
    async with bound("progress = 1, tlvs = false") as esme:
        for n in range(20):
            esme.submit(f"4477009000{n:02d}")
        await esme.until(lambda: len(esme.delivered) == 40)
        words: dict[str, list[bytes]] = {}
        for each in esme.delivered:
            words.setdefault(each.source, []).append(each.text.split(b"stat:")[1].split()[0])
        assert {tuple(said) for said in words.values()} == {
            (b"ACKED", b"DELIVRD"),
            (b"BUFFRED", b"DELIVRD"),
        }


async def test_receipts_come_on_the_bind_of_the_carriers_other_login() -> None:
    scenario = parse_scenario(
        SMALL.replace(
            "PROVIDER", '[providers.north]\nreceipts = { told_to = "south", tlvs = false }'
        )
    )
    async with small_world(scenario=scenario) as world:
        north, south = await RawEsme.connect(world.port), await RawEsme.connect(world.port)
        assert await north.bind("north") == await south.bind("south") == 0
        assert await north.submitted(NUMBER) == 0
        receipt = await south.receipt()
        assert (receipt.source, receipt.rest) == (NUMBER, b"")  # as north's are
        assert await south.submitted(NUMBER) == 0
        await south.until(lambda: len(south.delivered) == 2)
        assert b"\x00\x1e" in south.delivered[1].rest  # as south's are
        assert north.delivered == []
        await north.close()
        await south.close()


async def test_what_waits_comes_before_the_binds_answer() -> None:
    habits = (
        "receipts = { before_bind_answer = true, delay = { median_s = 0.05, sigma = 0.0 } }"
    )
    async with small_world(habits) as world:
        first = await RawEsme.connect(world.port)
        await first.bind()
        assert [await first.submitted(f"4477009000{n:02d}") for n in range(3)] == [0] * 3
        await first.close()
        await world.truth.until(lambda: world.truth.counters["connections_lost"] == 1)
        world._inside.agenda.enter(
            world._inside.agenda.now_s + 0.5, world.truth.count, "waited"
        )
        await world.truth.until(lambda: world.truth.counters["waited"] == 1)
        again = await RawEsme.connect(world.port)
        await again.bind()
        assert [frame.command for frame in again.frames] == [5, 5, 5, 0x8000_0009]
        await again.close()


def some_of_each() -> str:
    """Return a table in which every form has a share."""
    tables: dict[str, tuple[str, ...]] = {
        name: get_args(forms) for name, forms in FORMS.items()
    }
    return ", ".join(
        f"{name} = {{ " + ", ".join(f'"{form}" = 0.1' for form in forms) + " }"
        for name, forms in tables.items()
    )


async def test_a_receipt_told_twice_is_the_same_octets() -> None:
    async with bound(f"duplicated = 1, bends = {{ {some_of_each()} }}") as esme:
        for n in range(30):
            esme.submit(f"4477009000{n:02d}")
        await esme.until(lambda: len(esme.delivered) == 60)
        counts = [esme.delivered.count(each) for each in esme.delivered]
        assert counts == [2] * 60


def test_forms_are_drawn_in_their_shares() -> None:
    bends = Bends(wordings={"bare": 0.2, "quoted": 0.3}, tails={"nul": 1.0})
    shapes = [bends.draw(1, b"%d" % n) for n in range(2_000)]
    words = [shape.wording for shape in shapes]
    assert words.count("bare") / 2_000 == pytest.approx(0.2, abs=0.03)
    assert words.count("quoted") / 2_000 == pytest.approx(0.3, abs=0.03)
    assert {shape.tail for shape in shapes} == {"nul"}
    assert {shape.text for shape in shapes} == {None}
    assert STRAIGHT.draw(1, b"x")._replace(luck=AS_SPECIFIED.luck) == AS_SPECIFIED


@pytest.mark.parametrize(
    ("bends", "complaint"),
    [
        ("tails = { nul = 0.6, two_nuls = 0.6 }", "shares of tails sum to more than 1"),
        ("tails = { comma = 0.1 }", "bends.tails: not 'comma'"),
    ],
)
def test_what_cannot_be_is_refused(bends: str, complaint: str) -> None:
    with pytest.raises(ScenarioError, match=complaint):
        parse_scenario(SMALL.replace("PROVIDER", f"receipts = {{ bends = {{ {bends} }} }}"))


def test_every_form_is_tried_here() -> None:
    """A form that no test names proves nothing."""
    said = Path(__file__).read_text("utf-8")
    untried = [
        form
        for forms in FORMS.values()
        for form in get_args(forms)
        if f'"{form}"' not in said and f"{form} =" not in said
    ]
    assert untried == []
