"""PDUs to octets and back: the table, the quick way that must agree with it, the bounds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrivals.smpp import constants as c
from arrivals.smpp import layouts, pdu
from arrivals.smpp.pdu import (
    Framer,
    FramingError,
    MalformedPdu,
    Pdu,
    UnencodablePdu,
    decode,
    encode,
    make_tlv,
)
from tests.smpp import strategies
from tests.smpp.codec_cases import CODEC_CASES

MESSAGE = Pdu(
    c.SUBMIT_SM, fields={"destination_addr": b"4917012345678", "short_message": b"hi"}
)


def with_field(name: str, value: int | bytes, command_id: int = c.SUBMIT_SM) -> Pdu:
    return Pdu(command_id, fields={name: value})


@pytest.mark.parametrize(("name", "octets", "value"), CODEC_CASES)
def test_cases_both_ways(name: str, octets: str, value: Pdu) -> None:
    assert encode(value).hex() == octets
    assert decode(bytes.fromhex(octets)) == value
    assert decode(memoryview(bytes.fromhex(octets))) == value


def test_cases_hold_every_command() -> None:
    assert {value.command_id for _, _, value in CODEC_CASES} >= layouts.LAYOUTS.keys()
    assert layouts.LAYOUTS.keys() == c.COMMAND_NAMES.keys()


@given(strategies.pdus())
def test_every_pdu_round_trips(value: Pdu) -> None:
    assert decode(encode(value)) == value


@given(strategies.pdus())
def test_absent_fields_are_zero_or_empty(value: Pdu) -> None:
    sparse = {name: field for name, field in value.fields.items() if field not in (0, b"")}
    bare = Pdu(
        value.command_id, value.command_status, value.sequence_number, sparse, value.tlvs
    )
    assert encode(bare) == encode(value)


@given(strategies.pdus(strategies.HOT))
def test_quick_way_agrees_with_the_table_on_good_pdus(value: Pdu) -> None:
    octets = encode(value)
    body = pdu.table_body(value)
    assert octets[16 : 16 + len(body)] == body
    assert pdu.table_decode(octets) == decode(octets)


@given(
    st.sampled_from(strategies.HOT),
    st.dictionaries(
        st.sampled_from([*sorted(layouts.FIELD_NAMES[c.SUBMIT_SM]), "message_id", "typo"]),
        st.one_of(st.integers(-2, 300), st.binary(max_size=70), st.just(b"x" * 256)),
        max_size=5,
    ),
)
def test_quick_way_refuses_what_the_table_refuses(
    command_id: int, fields: dict[str, int | bytes]
) -> None:
    value = Pdu(command_id, fields=fields)
    try:
        expected = pdu.table_body(value)
    except UnencodablePdu:
        with pytest.raises(UnencodablePdu):
            encode(value)
    else:
        assert encode(value)[16:] == expected


def outcome(read: object, octets: bytes) -> object:
    assert callable(read)
    try:
        return read(octets)
    except MalformedPdu as fault:
        return fault


@given(st.one_of(strategies.hostile_octets(), strategies.bent_octets()))
def test_any_octets_are_a_pdu_or_malformed(octets: bytes) -> None:
    """Both ways say the same, and what can be read can be written again unchanged."""
    found = outcome(decode, octets)
    if int.from_bytes(octets[:4], "big") == len(octets):
        assert found == outcome(pdu.table_decode, octets)
    if isinstance(found, Pdu):
        assert encode(found) == octets


ADDRESS = b"\1\1" + b"49170\0"
HEAD = b"\0" + ADDRESS + ADDRESS  # service_type and both addresses
TAIL = b"\0\0\0\0\0\0\0\0\0"  # esm_class to sm_default_msg_id
MALFORMED = [
    (c.SUBMIT_SM, b"TOOLONG\0", c.ESME_RINVSERTYP),
    (c.SUBMIT_SM, b"\0\1\1" + b"9" * 21 + b"\0", c.ESME_RINVSRCADR),
    (c.SUBMIT_SM, b"\0" + ADDRESS + b"\1\1" + b"9" * 21 + b"\0", c.ESME_RINVDSTADR),
    (c.SUBMIT_SM, HEAD + b"\0\0\0" + b"2" * 17 + b"\0", c.ESME_RINVSCHED),
    (c.SUBMIT_SM, HEAD + b"\0\0\0\0" + b"2" * 17 + b"\0", c.ESME_RINVEXPIRY),
    (c.SUBMIT_SM, HEAD + TAIL + b"\5four", c.ESME_RINVMSGLEN),
    (c.SUBMIT_SM, HEAD + TAIL, c.ESME_RINVCMDLEN),
    (c.SUBMIT_SM, HEAD + TAIL[:-1], c.ESME_RINVCMDLEN),
    (c.SUBMIT_SM, b"CMT", c.ESME_RINVCMDLEN),
    (c.DELIVER_SM, HEAD + TAIL + b"\0\0\x05\0", c.ESME_RINVOPTPARSTREAM),
    (c.DELIVER_SM, HEAD + TAIL + b"\0\0\x05\0\2\1", c.ESME_RINVOPTPARSTREAM),
    (c.BIND_TRANSCEIVER, b"sixteen_octets__\0", c.ESME_RINVSYSID),
    (c.BIND_TRANSCEIVER, b"me\0" + b"password9\0", c.ESME_RINVPASWD),
    (c.SUBMIT_MULTI, b"\0" + ADDRESS + b"\1\3", c.ESME_RINVDESTFLAG),
    (c.SUBMIT_MULTI, b"\0" + ADDRESS + b"\1\2" + b"n" * 21 + b"\0", c.ESME_RINVDLNAME),
    (c.QUERY_SM, b"7" * 65 + b"\0", c.ESME_RINVMSGID),
    (c.UNBIND, b"\0", c.ESME_RINVOPTPARSTREAM),
]


@pytest.mark.parametrize(("command_id", "body", "status"), MALFORMED)
def test_malformed_requests_say_what_to_answer(
    command_id: int, body: bytes, status: int
) -> None:
    with pytest.raises(MalformedPdu) as caught:
        decode(encode(Pdu(command_id, 0, 7, body=body)))
    fault = caught.value
    assert (fault.status, fault.sequence_number, fault.command_id) == (status, 7, command_id)


def test_decode_takes_one_whole_pdu() -> None:
    whole = encode(Pdu(c.ENQUIRE_LINK, 0, 5))
    for octets in (b"", whole[:15], whole + b"\0", b"\0\0\0\x11" + whole[4:]):
        with pytest.raises(MalformedPdu) as caught:
            decode(octets)
        assert caught.value.status == c.ESME_RINVCMDLEN


@pytest.mark.parametrize(
    ("command_id", "body", "fields"),
    [
        (c.SUBMIT_SM_RESP, b"", {}),
        (c.SUBMIT_SM_RESP, b"unterminated", {"message_id": b"unterminated"}),
        (c.SUBMIT_SM_RESP, b"7" * 70 + b"\0", {"message_id": b"7" * 70}),
        (c.SUBMIT_SM_RESP, b"7F\0\0", {"message_id": b"7F"}),
        (c.SUBMIT_MULTI_RESP, b"7F\0\2", {"message_id": b"7F"}),
        (c.UNBIND_RESP, b"?", {}),
        (c.GENERIC_NACK, b"\0", {}),
    ],
)
def test_responses_are_never_lost_to_their_bodies(
    command_id: int, body: bytes, fields: dict[str, int | bytes]
) -> None:
    value = decode(encode(Pdu(command_id, 0, 7, body=body)))
    assert value == Pdu(command_id, 0, 7, fields, body=body)
    assert value.is_response


@pytest.mark.parametrize(
    "value",
    [
        with_field("source_addr", b"9" * 21),
        with_field("source_addr", b"9\x009"),
        with_field("short_message", b"x" * 256),
        with_field("short_message", 7),
        with_field("esm_class", 256),
        with_field("esm_class", b"4"),
        with_field("sourceaddr", b"9"),
        with_field("message_id", b"7" * 65, c.SUBMIT_SM_RESP),
        with_field("dest_addresses", b"\1\1", c.SUBMIT_MULTI),
        with_field("dest_addresses", b"\0\0", c.SUBMIT_MULTI),
        with_field("dest_addresses", 1, c.SUBMIT_MULTI),
        with_field("error_code", -1, c.QUERY_SM_RESP),
        Pdu(0x0BAD),
        Pdu(c.UNBIND, sequence_number=-1),
        Pdu(c.UNBIND, command_status=1 << 32),
        Pdu(c.UNBIND, tlvs=((1 << 16, b""),)),
        Pdu(c.UNBIND, tlvs=((5, b"x" * 65536),)),
        Pdu(c.DATA_SM, tlvs=((0x0424, b"x" * 65535), (0x0424, b"x" * 5000))),
    ],
)
def test_what_cannot_be_said_is_refused(value: Pdu) -> None:
    with pytest.raises(UnencodablePdu):
        encode(value)


def test_the_largest_message_payload_fits() -> None:
    value = Pdu(c.DATA_SM, tlvs=((c.TLV_MESSAGE_PAYLOAD, b"x" * 0xFFFF),))
    assert [frame.message for frame in Framer().feed(encode(value))] == [b"x" * 0xFFFF]  # type: ignore[union-attr]


def test_encode_can_lend_a_sequence_number() -> None:
    lent = encode(MESSAGE, sequence_number=9)
    assert decode(lent).sequence_number == 9
    assert MESSAGE.sequence_number == 0


def test_accessors() -> None:
    value = Pdu(
        c.DELIVER_SM,
        fields={"esm_class": 4, "short_message": b"hi"},
        tlvs=((0x001E, b"7F\0"), (0x0427, b"\2"), (0x0427, b"\5"), (0x0005, b"")),
    )
    assert (value.octets("short_message"), value.number("esm_class")) == (b"hi", 4)
    assert (value.octets("esm_class"), value.number("short_message")) == (b"", 0)
    assert (value.octets("absent"), value.number("absent")) == (b"", 0)
    assert (value.tlv(0x001E), value.tlv_text(0x001E)) == (b"7F\0", b"7F")
    assert (value.tlv_int(0x0427), value.tlv_int(0x0005)) == (2, None)
    assert (value.tlv(0x9999), value.tlv_int(0x9999), value.tlv_text(0x9999)) == (None,) * 3
    assert value.message == b"hi"
    assert Pdu(c.DATA_SM, tlvs=((0x0424, b"payload"),)).message == b"payload"
    assert not value.is_response


@pytest.mark.parametrize(
    ("octets", "number"),
    [(b"\x12\x34", 0x1234), (b"\x34", 0x34), (b"\0\0\x12\x34", 0x1234), (b"\1\0\0", None)],
)
def test_a_number_too_large_for_its_tag_is_none(octets: bytes, number: int | None) -> None:
    value = Pdu(c.SUBMIT_SM, tlvs=((c.TLV_USER_MESSAGE_REFERENCE, octets), (0x1503, b"\1" * 9)))
    assert value.tlv_int(c.TLV_USER_MESSAGE_REFERENCE) == number
    assert value.tlv_int(0x1503) == int.from_bytes(b"\1" * 9, "big")


def test_secrets_and_texts_are_not_shown() -> None:
    """Invariant 44: what reaches a log by accident holds neither texts nor passwords."""
    shown = repr(
        [
            Pdu(c.SUBMIT_SM, fields={"short_message": b"canary", "source_addr": b"ME"}),
            Pdu(c.DATA_SM, tlvs=((0x0424, b"canary"), (0x0204, b"\1"))),
            Pdu(c.BIND_RECEIVER, 0x0433, fields={"password": b"canary"}),
            Pdu(0x0BAD, body=b"canary"),
            Pdu(c.SUBMIT_SM, fields={"short_message": 5}),
        ]
    )
    assert "canary" not in shown
    assert "ME" in shown
    assert "0x00000433" in shown
    assert "6 octets" in shown


@pytest.mark.parametrize(
    ("tag", "value", "octets"),
    [
        (c.TLV_USER_MESSAGE_REFERENCE, 7, b"\0\7"),
        (c.TLV_RECEIPTED_MESSAGE_ID, b"7F", b"7F\0"),
        (c.TLV_NETWORK_ERROR_CODE, b"\3\0\1", b"\3\0\1"),
        (0x1503, b"26201", b"26201"),
    ],
)
def test_tlvs_take_their_shape(tag: int, value: int | bytes, octets: bytes) -> None:
    assert make_tlv(tag, value) == (tag, octets)


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        (c.TLV_USER_MESSAGE_REFERENCE, 65536),
        (c.TLV_RECEIPTED_MESSAGE_ID, b"7" * 65),
        (c.TLV_NETWORK_ERROR_CODE, b"\3"),
        (c.TLV_MESSAGE_PAYLOAD, 5),
        (0x1503, 26201),
    ],
)
def test_tlvs_out_of_shape_are_refused(tag: int, value: int | bytes) -> None:
    with pytest.raises(UnencodablePdu):
        make_tlv(tag, value)


def test_destinations_and_failures_open() -> None:
    address: pdu.Fields = {"dest_addr_ton": 1, "dest_addr_npi": 1, "destination_addr": b"49170"}
    items: list[pdu.Fields] = [address, {"dl_name": b"friends"}]
    multi = Pdu(c.SUBMIT_MULTI, fields={"dest_addresses": pdu.pack_destinations(items)})
    assert pdu.destinations(decode(encode(multi))) == items
    failed: list[pdu.Fields] = [{**address, "error_status_code": 0x0B}]
    response = Pdu(c.SUBMIT_MULTI_RESP, fields={"unsuccess_smes": pdu.pack_failures(failed)})
    assert pdu.failures(decode(encode(response))) == failed
    assert pdu.destinations(Pdu(c.SUBMIT_MULTI)) == []
    for bad in ([{"destination_addr": b"9" * 21}], [address] * 256):
        with pytest.raises(UnencodablePdu):
            pdu.pack_destinations(bad)  # type: ignore[arg-type]


def test_names() -> None:
    assert c.command_name(c.SUBMIT_SM) == "submit_sm"
    assert c.command_name(0x0BAD) == "0x00000BAD"
    assert c.status_name(c.STATUSES["ESME_RTHROTTLED"]) == "ESME_RTHROTTLED"
    assert c.status_name(0x0433) == "0x00000433"
    assert layouts.TLV_TAGS["message_payload"] == c.TLV_MESSAGE_PAYLOAD


# --- Framing ---------------------------------------------------------------------------


def test_framer_waits_for_whole_pdus() -> None:
    framer = Framer()
    octets = encode(MESSAGE) + encode(Pdu(c.UNBIND, 0, 2))
    assert framer.feed(octets[:3]) == []
    assert framer.feed(octets[3:-1]) == [decode(encode(MESSAGE))]
    assert framer.feed(octets[-1:]) == [Pdu(c.UNBIND, 0, 2)]
    assert framer.feed(b"") == []


def test_framer_goes_on_after_a_malformed_body() -> None:
    frames = Framer().feed(encode(Pdu(c.SUBMIT_SM, 0, 1, body=b"?")) + encode(Pdu(c.UNBIND)))
    assert [type(frame) for frame in frames] == [MalformedPdu, Pdu]


@pytest.mark.parametrize("length", [0, 15, pdu.PDU_OCTETS_MAX + 1, 0xFFFFFFFF])
def test_framer_refuses_a_length_before_it_keeps_anything(length: int) -> None:
    framer = Framer()
    frames = framer.feed(encode(Pdu(c.UNBIND)) + length.to_bytes(4, "big"))
    assert frames == [Pdu(c.UNBIND), FramingError(f"command_length {length}")]
    assert framer.feed(encode(Pdu(c.UNBIND))) == []


def test_faults_compare_by_what_they_say() -> None:
    assert MalformedPdu(2, "a") == MalformedPdu(2, "a") != MalformedPdu(2, "b")
    assert FramingError("a") != MalformedPdu(2, "a")
    assert len({FramingError("a"), FramingError("a")}) == 1
