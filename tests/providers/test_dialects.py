"""Each key of a provider's dialect, by the report of somebody whose provider wanted it so."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrivals.config import DialectTable
from arrivals.core.catalogue import Provider
from arrivals.core.dialect import (
    ALPHABETS,
    LONG_MESSAGES,
    PLAIN,
    VALIDITIES,
    Dialect,
    SenderForm,
)
from arrivals.core.text import analyse
from arrivals.providers.submissions import submit_sm, validity_until, written_sender
from arrivals.smpp import constants as c
from arrivals.smpp.concat import part_of
from arrivals.smpp.pdu import Pdu, decode, encode
from arrivals.smpp.receipts import IdForm
from tests.providers.gatekeeper import a_gatekeeper, answered
from tests.providers.smsc import connected, submission

LONG = "All work and no play makes a long message. " * 8  # three parts of GSM-7


def sent(text: str = "Your code is 4839", sender: str = "ACME", **ways: Any) -> list[Pdu]:
    """Return what a provider of this dialect is handed, as it comes off the wire."""
    given_out = submission(text=text, sender=sender, reference=0x1234)
    return [decode(encode(pdu)) for pdu in submit_sm(given_out, 0, Dialect(**ways))]


def shown(pdus: list[Pdu], default: str) -> str:
    """Return what a handset behind such a provider shows: its default alphabet for 0."""
    text = ""
    for pdu in pdus:
        octets = pdu.message
        if pdu.number("esm_class") & c.ESM_UDHI:
            octets = octets[1 + octets[0] :]
        text += octets.decode({0: default, 8: "utf-16-be"}[pdu.number("data_coding")])
    return text


# --- every key is tried ------------------------------------------------------------------

# How each key is told: in the bind, in a submit_sm, or by what is made of receipts.
IN_THE_BIND: dict[str, tuple[Any, int | bytes]] = {
    "system_type": ("SMPP", b"SMPP"),  # status 0x53 until it was there
    "address_range": ("^31.*$", b"^31.*$"),  # replies came only for a range that was named
    "interface_version": (0x33, 0x33),  # an SMSC of 2001 that refuses 0x34
}
IN_THE_MESSAGE: dict[str, Any] = {
    "service_type": "CMT",  # 0x15 without it
    "optional_parameters": False,  # 0xC1, or the message is refused as too long
    "validity": "absolute",  # 0x62 for every relative one
    "alphabet": "latin-1",  # an underscore arrives as a section sign
    "senders": (SenderForm(pattern="ACME", ton=0, npi=1),),  # 0x48 for TON 5
    "long_messages": "sar",  # headers of our own are shown as six odd characters
}
OF_RECEIPTS: dict[str, Any] = {"unmarked_receipts": True, "id_form": "hex_to_decimal"}


def test_every_key_has_a_case_and_a_setting() -> None:
    keys = [each.name for each in dataclasses.fields(Dialect)]
    assert sorted({**IN_THE_BIND, **IN_THE_MESSAGE, **OF_RECEIPTS}) == sorted(keys)
    assert sorted(DialectTable.__struct_fields__) == sorted(keys)


def test_the_settings_offer_what_there_is() -> None:
    offered = str(DialectTable.__annotations__)
    for values in (ALPHABETS, VALIDITIES, LONG_MESSAGES, tuple(each.value for each in IdForm)):
        assert all(f'"{each}"' in offered or f"'{each}'" in offered for each in values)


@pytest.mark.parametrize("key", IN_THE_MESSAGE)
def test_a_key_changes_what_a_message_is_on_the_wire(key: str) -> None:
    text = LONG + "_"
    plain, changed = sent(text), sent(text, **{key: IN_THE_MESSAGE[key]})
    assert plain != changed
    assert [each.octets("destination_addr") for each in changed] == [
        each.octets("destination_addr") for each in plain
    ]


@pytest.mark.parametrize("key", [*IN_THE_BIND, *OF_RECEIPTS])
def test_no_other_key_does(key: str) -> None:
    value = IN_THE_BIND[key][0] if key in IN_THE_BIND else OF_RECEIPTS[key]
    assert sent(LONG, **{key: value}) == sent(LONG)


@pytest.mark.parametrize("key", IN_THE_BIND)
async def test_a_key_is_in_the_bind(key: str) -> None:
    value, on_the_wire = IN_THE_BIND[key]

    def manners(pdu: Pdu) -> list[Pdu | bytes]:
        return [answered(pdu, fields={"system_id": b"smsc"} if pdu.fields else {})]

    async with (
        a_gatekeeper(manners) as gate,
        connected(gate.port, dialect=Dialect(**{key: value})),
    ):
        [bind] = gate.named(c.BIND_TRANSCEIVER)
        assert bind.fields[key] == on_the_wire
        plain = {"system_type": b"", "address_range": b"", "interface_version": 0x34}
        assert {name: bind.fields[name] for name in plain} == {**plain, key: on_the_wire}


# --- logins ------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [8, 9, 16, 64])
async def test_a_password_goes_out_as_it_was_given_out(length: int) -> None:
    """Gateways cut it at eight characters, and the provider said that it was wrong."""
    password = ("ninechars" * 8)[:length]

    def manners(pdu: Pdu) -> list[Pdu | bytes]:
        return [answered(pdu, fields={"system_id": b"smsc"} if pdu.fields else {})]

    async with a_gatekeeper(manners) as gate, connected(gate.port, password=password):
        [bind] = gate.named(c.BIND_TRANSCEIVER)
        assert bind.octets("password") == password.encode()


async def test_a_login_goes_out_as_it_was_given_out() -> None:
    """A provider that gives out addresses of 20 characters as logins."""
    login = "gateway@shop.example"

    def manners(pdu: Pdu) -> list[Pdu | bytes]:
        return [answered(pdu, fields={"system_id": b"smsc"} if pdu.fields else {})]

    async with (
        a_gatekeeper(manners) as gate,
        connected(gate.port, settings={"system_id": login}),
    ):
        assert gate.named(c.BIND_TRANSCEIVER)[0].octets("system_id") == login.encode()


# --- optional parameters -----------------------------------------------------------------


@pytest.mark.parametrize("text", ["Hello", LONG, "Привет", "Привет " * 20])
@pytest.mark.parametrize("ways", [{}, {"validity": "none"}, {"alphabet": "latin-1"}])
def test_no_tlv_leaves_where_none_is_allowed(text: str, ways: dict[str, Any]) -> None:
    """Some answer 0xC1, some 0x02, some drop the connection."""
    assert all(pdu.tlvs == () for pdu in sent(text, optional_parameters=False, **ways))
    assert all(pdu.tlvs for pdu in sent(text, **ways))


# --- validity ----------------------------------------------------------------------------

AT_US = int(datetime(2026, 12, 31, 23, 59, 1, tzinfo=UTC).timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("left_s", "period"),
    [
        (59, b"270101000001000+"),  # a minute at least, over the turn of the year
        (3_600, b"270101005901000+"),
        (72 * 3_600, b"270103235901000+"),
        (-1, b"270101000001000+"),
    ],
)
def test_an_absolute_validity_is_a_time_in_utc(left_s: int, period: bytes) -> None:
    """A provider far from here took a relative time of ours for its own midnight."""
    assert validity_until(AT_US + left_s * 1_000_000, AT_US) == period
    handed = submission(expires_at_us=AT_US + left_s * 1_000_000)
    [pdu] = submit_sm(handed, AT_US, Dialect(validity="absolute"))
    assert pdu.octets("validity_period") == period


def test_a_validity_may_be_left_to_the_provider() -> None:
    """0x62 for whatever stands there."""
    assert sent(validity="none")[0].octets("validity_period") == b""
    assert sent()[0].octets("validity_period").endswith(b"R")


# --- senders -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sender", "expected"),
    [
        ("0031612345678", (1, 1, b"31612345678")),  # went out with its 00, as international
        ("+0031612345678", (1, 1, b"31612345678")),
        ("001234567", (1, 1, b"1234567")),
        ("+12345", (1, 1, b"12345")),  # went out as a short code, plus or not
        ("+123", (1, 1, b"123")),
        ("12345", (3, 1, b"12345")),
        ("00123", (3, 1, b"00123")),  # a short code's own zeros
        ("007", (3, 1, b"007")),
        ("0612345678", (2, 1, b"0612345678")),  # no country begins with a zero
        ("0800123", (2, 1, b"0800123")),
        ("1234567", (1, 1, b"1234567")),
        ("ACME", (5, 0, b"ACME")),
        ("0031ACME", (5, 0, b"0031ACME")),
    ],
)
def test_a_sender_is_written_as_what_it_looks_like(
    sender: str, expected: tuple[int, int, bytes]
) -> None:
    assert written_sender(sender) == expected


FORMS = (
    SenderForm(pattern="[0-9]{4,5}", ton=0, npi=0),  # a short code as unknown
    SenderForm(pattern="31.*", ton=1, npi=0),
    SenderForm(pattern="ACME", ton=0, npi=0),
    SenderForm(pattern="[A-Z].*", ton=5, npi=1),
)


@pytest.mark.parametrize(
    ("sender", "expected"),
    [
        ("1234", (0, 0, b"1234")),
        ("123456", (3, 1, b"123456")),  # matched by none: by our own rule
        ("31612345678", (1, 0, b"31612345678")),
        ("+31612345678", (1, 0, b"31612345678")),
        ("0031612345678", (1, 0, b"31612345678")),
        ("ACME", (0, 0, b"ACME")),  # the first that matches
        ("ACMES", (5, 1, b"ACMES")),  # and matches whole
        ("acme", (5, 0, b"acme")),
    ],
)
def test_a_provider_s_own_form_of_a_sender_wins(
    sender: str, expected: tuple[int, int, bytes]
) -> None:
    """Short codes as TON 0, texts as TON 0 or NPI 1: 0x48 and 0x49 say that it isn't so."""
    assert written_sender(sender, FORMS) == expected
    [pdu] = sent(sender=sender, senders=FORMS)
    written = (pdu.number("source_addr_ton"), pdu.number("source_addr_npi"))
    assert (*written, pdu.octets("source_addr")) == expected


def test_a_form_may_go_by_how_the_sender_was_given() -> None:
    forms = (SenderForm(pattern=r"\+.*", ton=2, npi=8),)
    assert written_sender("+31612345678", forms) == (2, 8, b"31612345678")
    assert written_sender("31612345678", forms) == (1, 1, b"31612345678")


# --- alphabets ---------------------------------------------------------------------------


@pytest.mark.parametrize("alphabet", ["latin-1", "ascii"])
@pytest.mark.parametrize(
    "text",
    [
        "Mail a_b@shop.nl",  # 'Mail a§b¡shop.nl' on people's phones
        "£5 für Jürgen",  # pounds as a control character
        "Pay $20 [now] {or} ~never~ \\ | ^",
        "¿Qué? ¡Sí!",
        "Crème brûlée, ça va",
        "5 €, Ω and Δ",
        "Код 4839 🙂",
        "two\nlines\rand a \f",
        "back`tick",
        LONG + "_@$",
        LONG + "£ü",
        LONG + "€",
        "[" * 200,
        "é" * 300,
    ],
)
@pytest.mark.parametrize("long_messages", ["udh", "sar", "payload"])
def test_a_provider_of_another_alphabet_shows_the_text(
    alphabet: str, text: str, long_messages: str
) -> None:
    pdus = sent(text, alphabet=alphabet, long_messages=long_messages)
    assert shown(pdus, alphabet) == text
    segments = analyse(text, alphabet).segments
    assert len(pdus) == (1 if long_messages == "payload" else segments)


@given(st.text(alphabet=st.sampled_from("ab_@é£€ÇΔ 한🙂[^\n"), min_size=1, max_size=600))
def test_whatever_the_text_its_parts_are_what_is_charged(text: str) -> None:
    for alphabet in ALPHABETS:
        pdus = sent(text, alphabet=alphabet)
        assert len(pdus) == analyse(text, alphabet).segments
        assert all(len(pdu.octets("short_message")) <= 160 for pdu in pdus)
        if alphabet != "gsm7":
            assert shown(pdus, alphabet) == text


# --- long messages -----------------------------------------------------------------------


@pytest.mark.parametrize("text", [LONG, "Привет, мир! " * 20])
def test_parts_may_be_told_by_tlvs(text: str) -> None:
    """Headers of ours were shown as text; 0x43 for the bit that says there is one."""
    pdus, plain = sent(text, long_messages="sar"), sent(text)
    assert len(pdus) == len(plain)
    for number, (pdu, other) in enumerate(zip(pdus, plain, strict=True), 1):
        assert pdu.number("esm_class") == 0
        assert pdu.octets("short_message") == other.octets("short_message")[6:]
        assert pdu.tlv_int(c.TLV_SAR_SEGMENT_SEQNUM) == number
        assert pdu.tlv_int(c.TLV_SAR_TOTAL_SEGMENTS) == len(pdus)
        # As in the header of eight bits that the network will carry.
        assert pdu.tlv_int(c.TLV_SAR_MSG_REF_NUM) == 0x34
        assert part_of(pdu) == part_of(other)


def test_a_long_message_may_go_out_whole() -> None:
    """A provider that cuts by itself, and refuses what is cut already."""
    [pdu] = sent(LONG, long_messages="payload")
    assert pdu.tlv(c.TLV_MESSAGE_PAYLOAD) == LONG.encode()
    assert pdu.octets("short_message") == b""
    assert pdu.number("esm_class") == 0
    assert pdu.tlv_int(c.TLV_USER_MESSAGE_REFERENCE) == 0x1234


@pytest.mark.parametrize("long_messages", LONG_MESSAGES)
def test_a_short_message_is_the_same_however_long_ones_go(long_messages: str) -> None:
    assert sent("a" * 160, long_messages=long_messages) == sent("a" * 160)


# --- the plain way -----------------------------------------------------------------------


@pytest.mark.parametrize("text", ["Hello", LONG, "Привет", "5 €"])
def test_what_most_providers_take_is_as_it_was(text: str) -> None:
    assert submit_sm(submission(text=text), 0) == submit_sm(submission(text=text), 0, PLAIN)
    assert Provider(provider_id="north", sandbox=False).dialect is PLAIN
