"""What a provider of each dialect answers to octets that nothing of ours wrote."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from arrivals.world.scenario import ScenarioError, parse_scenario
from arrivals.world.smsc import CarrierWorld
from tests.world.raw_esme import RawEsme, tlv
from tests.world.small_world import SMALL, small_world

REFERENCE = tlv(0x0204, b"\x00\x07")
SAR = tlv(0x020C, b"\0\7") + tlv(0x020E, b"\1") + tlv(0x020F, b"\1")
PAYLOAD = tlv(0x0424, b"hello")
HEADER = bytes((5, 0, 3, 7, 1, 1))
RELATIVE, ABSOLUTE = "000001000000000R", "261231235959000+"
OK = 0


@asynccontextmanager
async def bound(dialect: str, more: str = "") -> AsyncIterator[tuple[RawEsme, CarrierWorld]]:
    async with small_world(f"dialect = {{ {dialect} }}\n{more}") as world:
        esme = await RawEsme.connect(world.port)
        assert await esme.bind() == OK
        yield esme, world
        await esme.close()


@pytest.mark.parametrize(
    ("dialect", "wrong", "right", "status"),
    [
        ('system_type = "SMPP"', {}, {"system_type": "SMPP"}, 0x53),
        ('system_type = "SMPP"', {"system_type": "smpp"}, {"system_type": "SMPP"}, 0x53),
        ('system_type = ""', {"system_type": "VMA"}, {}, 0x53),
        ("interface_version = 0x33", {}, {"version": 0x33}, 0x0D),
        ("interface_version = 0x50", {"version": 0x34}, {"version": 0x50}, 0x0D),
        ('address_range = "316.*"', {}, {"address_range": "316.*"}, 0x0D),
    ],
)
async def test_a_bind_that_isnt_written_as_wanted_is_refused(
    dialect: str, wrong: dict[str, str], right: dict[str, str], status: int
) -> None:
    async with small_world(f"dialect = {{ {dialect} }}") as world:
        esme = await RawEsme.connect(world.port)
        assert await esme.bind(**wrong) == status  # type: ignore[arg-type]
        assert await esme.bind(**right) == OK  # type: ignore[arg-type]
        assert world.truth.counters["binds_refused"] == 1
        await esme.close()


@pytest.mark.parametrize("octets", [8, 9, 16, 64])
async def test_a_password_is_as_long_as_the_provider_says(octets: int) -> None:
    """3.4 has eight characters; portals hand out longer ones."""
    password = "p" * octets
    async with (
        small_world(f'password = "{password}"') as world,
        await RawEsme.connect(world.port) as esme,
    ):
        assert await esme.bind(password=password[:-1]) == 0x0E
        assert await esme.bind(password=password) == OK


@pytest.mark.parametrize(
    ("dialect", "wrong", "right", "status"),
    [
        ('service_type = "CMT"', {}, {"service_type": "CMT"}, 0x15),
        ('refuses_tlvs = "not_allowed"', {"tlvs": REFERENCE}, {}, 0xC1),
        ('refuses_tlvs = "bad_stream"', {"tlvs": REFERENCE}, {}, 0xC0),
        ('refuses_tlvs = "bad_length"', {"tlvs": REFERENCE}, {}, 0x02),
        ("user_message_reference = false", {"tlvs": REFERENCE}, {"tlvs": SAR}, 0xC1),
        ('validity = ["relative"]', {"validity": ABSOLUTE}, {"validity": RELATIVE}, 0x62),
        ('validity = ["absolute"]', {"validity": RELATIVE}, {"validity": ABSOLUTE}, 0x62),
        ('validity = ["absolute", "relative"]', {}, {"validity": ABSOLUTE}, 0x62),
        ('validity = ["none"]', {"validity": RELATIVE}, {}, 0x62),
        ("octets_max = 140", {"text": b"x" * 141}, {"text": b"x" * 140}, 0x01),
        (
            'long_messages = ["sar"]',
            {"esm_class": 0x40, "text": HEADER + b"hi"},
            {"tlvs": SAR},
            0x43,
        ),
        (
            'long_messages = ["udh"]',
            {"tlvs": SAR},
            {"esm_class": 0x40, "text": HEADER + b"hi"},
            0xC1,
        ),
        ('long_messages = ["udh"]', {"tlvs": PAYLOAD, "text": b""}, {}, 0x01),
        ('long_messages = ["payload"]', {"tlvs": SAR}, {"tlvs": PAYLOAD, "text": b""}, 0xC1),
    ],
)
async def test_a_submit_that_isnt_written_as_wanted_is_refused(
    dialect: str, wrong: dict[str, object], right: dict[str, object], status: int
) -> None:
    async with bound(dialect) as (esme, world):
        assert await esme.submitted(**wrong) == status
        assert await esme.submitted(**right) == OK
        assert world.truth.counters["misspoken"] == 1
        await world.truth.until(lambda: len(world.truth.arrivals) == 1)


@pytest.mark.parametrize(
    ("source", "source_type", "status"),
    [
        ("ACME", (5, 0), 0x48),
        ("ACME", (0, 1), 0x49),
        ("ACME", (0, 0), OK),
        ("12345", (3, 1), 0x48),
        ("12345", (6, 1), OK),
        ("31612345678", (9, 9), OK),  # no pattern is about it
    ],
)
async def test_senders_of_a_pattern_have_a_type_and_a_plan(
    source: str, source_type: tuple[int, int], status: int
) -> None:
    senders = """senders = [
        { pattern = "[0-9]{3,6}", ton = 6, npi = 1 },
        { pattern = "[A-Z0-9]*[A-Z][A-Z0-9]*", ton = 0, npi = 0 },
    ]"""
    async with small_world(f"[providers.default.dialect]\n{senders}") as world:
        esme = await RawEsme.connect(world.port)
        await esme.bind()
        assert await esme.submitted(source=source, source_type=source_type) == status
        await esme.close()


def test_a_pattern_that_is_none_is_refused() -> None:
    dialect = 'dialect = { senders = [{ pattern = "[", ton = 1, npi = 1 }] }'
    with pytest.raises(ScenarioError, match="is no pattern"):
        parse_scenario(SMALL.replace("PROVIDER", dialect))


@pytest.mark.parametrize(
    ("alphabet", "octets", "shown"),
    [
        ("gsm7", b"a\x11b\x00c", "a_b@c"),
        ("latin-1", b"a_b@c \xa3", "a_b@c £"),
        ("gsm7", b"a_b@c", "a§b¡c"),
        ("latin-1", b"a\x11b\x00c", "a\x11b\x00c"),
        ("ascii", b"a_b@c", "a_b@c"),
        ("ascii", b"5 \xa3", "5 \ufffd"),
    ],
)
async def test_a_handset_shows_what_its_provider_reads(
    alphabet: str, octets: bytes, shown: str
) -> None:
    """An underscore became a paragraph sign: data_coding 0 is each provider's own."""
    async with bound(f'alphabet = "{alphabet}"') as (esme, world):
        waiting = world.inbox.next_text("447700900001")
        sequence = esme.submit(text=octets)
        assert (await waiting).text == shown
        assert await esme.answer(4, sequence) is not None


@pytest.mark.parametrize("coding", [3, 8, 0xF0])
async def test_what_says_its_alphabet_is_read_by_it(coding: int) -> None:
    octets = {3: b"\xa3", 8: b"\x00\xa3", 0xF0: b"\xa3"}[coding]
    async with bound('alphabet = "latin-1"') as (esme, world):
        waiting = world.inbox.next_text("447700900001")
        esme.submit(text=octets, data_coding=coding)
        assert (await waiting).text == "£"


async def test_a_payload_is_a_long_text_in_one() -> None:
    long = b"a long text " * 40
    async with bound('long_messages = ["payload"]') as (esme, world):
        waiting = world.inbox.next_text("447700900001")
        esme.submit(text=b"", tlvs=tlv(0x0424, long))
        assert (await waiting).text == long.decode()


async def test_fixed_fates_are_above_chance_and_not_above_a_dialect() -> None:
    async with bound('refuses_tlvs = "not_allowed"') as (esme, _):
        assert await esme.submitted("99900000001", tlvs=REFERENCE) == 0xC1
        assert await esme.submitted("99900000001") == OK
