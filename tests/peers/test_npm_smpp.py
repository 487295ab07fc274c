"""node-smpp and our sessions, each as either end: both must have seen the same conversation."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from arrivals.smpp import constants as c
from arrivals.smpp import layouts, pdu
from arrivals.smpp.concat import split_user_data
from arrivals.smpp.events import (
    Answered,
    BindRefused,
    BindRequested,
    Bound,
    Event,
    Nacked,
    ProtocolError,
    RequestReceived,
)
from arrivals.smpp.pdu import Pdu, encode, make_tlv
from arrivals.smpp.receipts import format_receipt, parse_receipt
from arrivals.smpp.session import Role, Session, SessionSettings
from tests.peers.conftest import Node
from tests.peers.shell import Shell

pytestmark = [pytest.mark.slow, pytest.mark.timeout(330)]  # `npm ci` may have to fetch

CONVERSATION_TIMEOUT_S = 30
SETTINGS = SessionSettings(enquire_link_s=1)
NODE_NAMES = {
    "destination_port": "dest_port",
    "dest_addresses": "dest_address",
    "unsuccess_smes": "unsuccess_sme",
}
TEXTS = ("short_message", "message_payload")


# --- What node-smpp calls things -------------------------------------------------------


def as_node(value: Pdu, *, understood: bool) -> dict[str, Any]:
    """Return a PDU in node-smpp's words: as it understood one, or as it said one."""
    fields: dict[str, Any] = {}
    for name, field in value.fields.items():
        fields[NODE_NAMES.get(name, name)] = plain(value, name, field)
    for tag, octets in value.tlvs:
        shape = layouts.TLVS.get(tag)
        if shape is None:
            fields[str(tag)] = {"hex": octets.hex()}
        elif shape.kind is layouts.Integer:
            fields[NODE_NAMES.get(shape.name, shape.name)] = int.from_bytes(octets, "big")
        elif shape.kind is layouts.CString:
            fields[shape.name] = octets.removesuffix(b"\0").decode()
        else:
            fields[shape.name] = {"hex": octets.hex()}
    if understood:
        for name in TEXTS & fields.keys():
            fields[name] = understood_text(value, fields[name])
    return {
        "command_id": value.command_id,
        "command_status": value.command_status,
        "sequence_number": value.sequence_number,
        "fields": fields,
    }


def plain(value: Pdu, name: str, field: int | bytes) -> Any:
    if isinstance(field, int):
        return field
    if name in ("dest_addresses", "unsuccess_smes"):
        items = pdu.destinations(value) + pdu.failures(value)
        return [{key: plain(value, key, part) for key, part in item.items()} for item in items]
    return {"hex": field.hex()} if name == "short_message" else field.decode()


def understood_text(value: Pdu, shown: dict[str, str]) -> Any:
    """Return how node-smpp opens a text: its header apart, its characters decoded."""
    if "data_coding" not in value.fields:
        return shown
    header, text = split_user_data(value)
    coding = {0: "ascii", 4: None, 8: "utf-16-be"}[value.number("data_coding")]
    message = {"hex": text.hex()} if coding is None else text.decode(coding)
    if not header:
        return {"message": message}
    return {"udh": [{"hex": header[1:].hex()}], "message": message}


def same_conversation(lines: list[dict[str, Any]], shell: Shell) -> None:
    """Compare both sides' views, PDU by PDU and field by field, in both directions."""
    assert [line for line in lines if line.get("way") == "error"] == []
    for way, ours, understood in (("said", shell.heard, False), ("heard", shell.said, True)):
        theirs = [line for line in lines if line.get("way") == way]
        expected = [{"way": way, **as_node(value, understood=understood)} for value in ours]
        # A write is told when it's done, perhaps after its answer: compare by number.
        assert sorted(theirs, key=by_number) == sorted(expected, key=by_number)


def by_number(line: dict[str, Any]) -> tuple[int, int]:
    return line["command_id"], line["sequence_number"]


async def lines_of(process: asyncio.subprocess.Process) -> list[dict[str, Any]]:
    """Wait for a script to end well and return what it printed."""
    out, error = await process.communicate()
    assert process.returncode == 0, error.decode()
    return [json.loads(line) for line in out.splitlines()]


async def start(node: Node, script: str, *args: object) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        *node.command(script, *args), env=node.environment(), stdout=pipe, stderr=pipe
    )


# --- node-smpp binds to us -------------------------------------------------------------


class Carrier:
    """An SMSC that takes everything and sends a receipt for each submit_sm."""

    def __init__(self) -> None:
        self.shell: Shell | None = None
        self.ended = asyncio.Event()
        self.events: list[Event] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = Session(Role.SMSC, SessionSettings(), asyncio.get_running_loop().time())
        self.shell = Shell(session, (reader, writer), self.take)
        await self.shell.run()
        self.ended.set()

    def take(self, event: Event) -> None:
        assert self.shell is not None
        self.events.append(event)
        session, now = self.shell.session, asyncio.get_running_loop().time()
        if isinstance(event, BindRequested):
            if event.pdu.octets("password") == b"secret":
                session.accept_bind(event.pdu, now, b"CARRIER")
            else:
                session.refuse_bind(event.pdu, c.ESME_RINVPASWD, now)
        elif isinstance(event, RequestReceived):
            self.answer(event.pdu, now)

    def answer(self, request: Pdu, now: float) -> None:
        assert self.shell is not None
        session = self.shell.session
        message_id = b"%X" % request.sequence_number
        fields: dict[int, pdu.Fields] = {
            c.CANCEL_SM: {},
            c.REPLACE_SM: {},
            c.QUERY_SM: {
                "message_id": b"7F",
                "final_date": b"",
                "message_state": 2,
                "error_code": 0,
            },
            c.SUBMIT_MULTI: {
                "message_id": message_id,
                "unsuccess_smes": pdu.pack_failures(
                    [{"destination_addr": b"491701", "error_status_code": 0x0B}]
                ),
            },
        }
        session.send_response(
            request, 0, fields.get(request.command_id, {"message_id": message_id})
        )
        if request.command_id == c.SUBMIT_SM:
            session.send_request(receipt_for(request, message_id.decode()), now)


def receipt_for(request: Pdu, message_id: str) -> Pdu:
    short_message, tlvs = format_receipt(
        message_id=message_id,
        state="DELIVRD",
        submit_date="2611221200",
        done_date="2611221201",
        network_error=(3, 0),
    )
    fields: pdu.Fields = {
        "service_type": b"",
        "source_addr_ton": request.number("dest_addr_ton"),
        "source_addr": request.octets("destination_addr"),
        "destination_addr": request.octets("source_addr"),
        "esm_class": c.ESM_DELIVERY_RECEIPT,
        "short_message": short_message,
    }
    return Pdu(c.DELIVER_SM, fields=fields, tlvs=(*tlvs, (0x1503, b"26201")))


async def test_node_smpp_as_the_esme(node: Node) -> None:
    carrier = Carrier()
    server = await asyncio.start_server(carrier.serve, "127.0.0.1", 0)
    async with server, asyncio.timeout(CONVERSATION_TIMEOUT_S):
        port = server.sockets[0].getsockname()[1]
        lines = await lines_of(await start(node, "smpp_client.js", port))
        await carrier.ended.wait()
    shell = carrier.shell
    assert shell is not None
    same_conversation(lines, shell)
    heard = [value.command_id for value in shell.heard]
    assert set(heard) == {
        *(c.BIND_TRANSCEIVER, c.SUBMIT_SM, c.DATA_SM, c.SUBMIT_MULTI, c.QUERY_SM),
        *(c.CANCEL_SM, c.REPLACE_SM, c.DELIVER_SM_RESP, c.ENQUIRE_LINK, c.UNBIND, 0x00010203),
    }
    with_header = next(value for value in shell.heard if value.number("priority_flag") == 2)
    assert split_user_data(with_header) == (
        bytes.fromhex("050003420201"),
        "Привет".encode("utf-16-be"),
    )
    assert [type(event) for event in carrier.events].count(ProtocolError) == 1
    assert [type(event) for event in carrier.events].count(Answered) == 2


# --- we bind to node-smpp --------------------------------------------------------------


class Provider:
    """An ESME that says one of everything and unbinds when all is answered."""

    def __init__(self) -> None:
        self.shell: Shell | None = None
        self.events: list[Event] = []
        self.left = 0

    def take(self, event: Event) -> None:
        assert self.shell is not None
        self.events.append(event)
        session, now = self.shell.session, asyncio.get_running_loop().time()
        if isinstance(event, BindRefused):
            session.bind(c.BIND_TRANSCEIVER, now, system_id=b"arrivals", password=b"secret")
        elif isinstance(event, Bound):
            for request in REQUESTS:
                session.send_request(request, now, request)
            # No verb says what we don't know: the unknown command goes out by hand.
            session._queue(encode(Pdu(0x00010203, 0, 4711, body=b"")))
            self.left = len(REQUESTS) + RECEIPTS
        elif isinstance(event, RequestReceived):
            session.send_response(event.pdu)
        if isinstance(event, RequestReceived | Answered):
            self.left -= 1
            self.unbind_after_a_probe()

    def unbind_after_a_probe(self) -> None:
        assert self.shell is not None
        session = self.shell.session
        if self.left == 0:
            probe_at = session.next_timer()
            assert probe_at is not None
            session.tick(probe_at)
            session.unbind(asyncio.get_running_loop().time())


COMMON: pdu.Fields = {
    "service_type": b"CMT",
    "source_addr_ton": 5,
    "source_addr": b"ARRIVALS",
    "dest_addr_ton": 1,
    "dest_addr_npi": 1,
    "destination_addr": b"4917012345678",
    "registered_delivery": 1,
}
REQUESTS = [
    Pdu(
        c.SUBMIT_SM,
        fields={**COMMON, "short_message": b"Hello"},
        tlvs=(make_tlv(c.TLV_USER_MESSAGE_REFERENCE, 4711), (0x1503, b"26201")),
    ),
    Pdu(
        c.SUBMIT_SM,
        fields={
            **COMMON,
            "esm_class": c.ESM_UDHI,
            "data_coding": 8,
            "short_message": bytes.fromhex("050003420201") + "Привет".encode("utf-16-be"),
        },
        tlvs=(make_tlv(0x020A, 9200), make_tlv(0x020B, 9201)),
    ),
    Pdu(c.SUBMIT_SM, fields={**COMMON, "destination_addr": b"throttled"}),
    Pdu(
        c.DATA_SM,
        fields={**COMMON, "data_coding": 4},
        tlvs=((c.TLV_MESSAGE_PAYLOAD, b"\xa5" * 1000),),
    ),
    Pdu(
        c.SUBMIT_MULTI,
        fields={
            **{name: value for name, value in COMMON.items() if not name.startswith("dest")},
            "dest_addresses": pdu.pack_destinations(
                [{"destination_addr": b"491701"}, {"dl_name": b"friends"}]
            ),
            "short_message": b"to all",
        },
    ),
    Pdu(c.QUERY_SM, fields={"message_id": b"7F", "source_addr": b"ARRIVALS"}),
]
RECEIPTS = 2


async def test_node_smpp_as_the_smsc(node: Node) -> None:
    provider = Provider()
    async with asyncio.timeout(CONVERSATION_TIMEOUT_S):
        process = await start(node, "smpp_server.js")
        assert process.stdout is not None
        port = json.loads(await process.stdout.readline())["port"]
        now = asyncio.get_running_loop().time()
        session = Session(Role.ESME, SETTINGS, now)
        streams = await asyncio.open_connection("127.0.0.1", port)
        provider.shell = shell = Shell(session, streams, provider.take)
        session.bind(c.BIND_TRANSCEIVER, now, system_id=b"arrivals", password=b"wrong")
        await shell.run()
        lines = await lines_of(process)
    same_conversation(lines, shell)
    answers = [event for event in provider.events if isinstance(event, Answered)]
    assert len(answers) == len(REQUESTS)
    statuses = {
        event.token.octets("destination_addr"): event.pdu.command_status
        for event in answers
        if isinstance(event.token, Pdu) and event.token.command_id == c.SUBMIT_SM
    }
    assert statuses == {b"4917012345678": c.ESME_ROK, b"throttled": c.ESME_RTHROTTLED}
    found = [parse_receipt(value) for value in shell.heard if value.command_id == c.DELIVER_SM]
    submitted = {
        event.pdu.octets("message_id").decode()
        for event in answers
        if event.pdu.command_id == c.SUBMIT_SM_RESP and event.pdu.command_status == 0
    }
    assert {receipt.message_id for receipt in found if receipt} == submitted
    assert {receipt.state for receipt in found if receipt} == {"DELIVRD"}
    nacks = [value for value in shell.heard if value.command_id == c.GENERIC_NACK]
    assert [(nack.command_status, nack.sequence_number) for nack in nacks] == [
        (c.ESME_RINVCMDID, 4711)
    ]
    assert c.ENQUIRE_LINK_RESP in [value.command_id for value in shell.heard]
    assert not any(isinstance(event, Nacked) for event in provider.events)
