"""tshark reads what we write: every PDU, every TLV, nothing malformed."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from arrivals.core.text import encode_gsm7
from arrivals.providers.submissions import submit_sm
from arrivals.smpp import constants as c
from arrivals.smpp import layouts, pdu
from arrivals.smpp.pdu import Fields, Pdu, encode, make_tlv
from tests.peers.capture import write_capture
from tests.providers.smsc import submission
from tests.smpp.codec_cases import CODEC_CASES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # installing tshark may take minutes

FROM_SMSC = {c.DELIVER_SM, c.OUTBIND, c.ALERT_NOTIFICATION}

# What tshark shows in bits: our field, and its bits from the lowest with their widths.
BITS = {
    "esm_class": [
        ("esm.submit.msg_mode", 2),
        ("esm.submit.msg_type", 4),
        ("esm.submit.features", 2),
    ],
    "registered_delivery": [("regdel.receipt", 2), ("regdel.acks", 2), ("regdel.notif", 1)],
}
OTHER_NAMES = {
    "short_message": ["message"],
    "schedule_delivery_time": ["schedule_delivery_time", "schedule_delivery_time_r"],
    "validity_period": ["validity_period", "validity_period_r"],
    "final_date": ["final_date", "final_date_r"],
}
LISTS = {"dest_addresses": "dlist", "unsuccess_smes": "dlist_resp"}


def with_every_tlv() -> Pdu:
    """Return a data_sm with each TLV of the table."""
    tlvs = []
    for tag, shape in layouts.TLVS.items():
        value: int | bytes = b"\1" * max(shape.octets_min, min(shape.octets_max, 4))
        if shape.kind is layouts.Integer:
            value = 1
        elif shape.kind is layouts.CString:
            value = b"text"
        tlvs.append(make_tlv(tag, value))
    return Pdu(c.DATA_SM, 0, 4711, {"destination_addr": b"4917012345678"}, tuple(tlvs))


DIALECT = [
    *(value for _, _, value in CODEC_CASES if value.command_id in layouts.LAYOUTS),
    with_every_tlv(),
]


def run(tshark: str, path: Path, *options: str) -> str:
    done = subprocess.run(
        [tshark, "-r", str(path), "-d", "tcp.port==2775,smpp", *options],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stdout


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every PDU that we can say, in a capture file."""
    path = tmp_path_factory.mktemp("tshark") / "smpp.pcap"
    write_capture(
        path,
        [
            ((value.command_id & ~c.RESPONSE in FROM_SMSC) == value.is_response, encode(value))
            for value in DIALECT
        ],
    )
    return path


@pytest.fixture(scope="module")
def layers(tshark: str, capture: Path) -> list[dict[str, Any]]:
    """What tshark sees of each PDU, the raw octets of every field included."""
    shown = run(tshark, capture, "-T", "json", "-x", "--no-duplicate-keys", "-J", "smpp")
    return [packet["_source"]["layers"].get("smpp", {}) for packet in json.loads(shown)]


def raw(layer: dict[str, Any], name: str) -> str | None:
    found = layer.get(f"smpp.{name}_raw")
    return None if found is None else str(found[0])


def value_of(layer: dict[str, Any], field: layouts.Field) -> int | bytes:
    """Return a field as tshark's octets have it."""
    if field.name in BITS:
        total, shift = 0, 0
        for name, width in BITS[field.name]:
            total |= int(raw(layer, name) or "0", 16) << shift
            shift += width
        return total
    names = OTHER_NAMES.get(field.name, [field.name])
    found = "".join(raw(layer, name) or "" for name in names)
    if isinstance(field, layouts.Integer):
        return int(found, 16)
    octets = bytes.fromhex(found)
    return octets if isinstance(field, layouts.Octets) else octets.removesuffix(b"\0")


def tlvs_of(layer: dict[str, Any]) -> list[str]:
    found = layer.get("smpp.opt_params", {}).get("smpp.opt_param_raw", [])
    items = found if not found or isinstance(found[0], list) else [found]
    return [item[0] for item in items]


def test_nothing_is_malformed(tshark: str, capture: Path) -> None:
    assert run(tshark, capture, "-Y", "_ws.malformed || _ws.expert") == ""
    assert len(run(tshark, capture, "-Y", "smpp").splitlines()) == len(DIALECT)


def test_a_malformed_pdu_would_be_seen(tshark: str, tmp_path: Path) -> None:
    """The judge judges: it complains of a body that is cut off."""
    path = tmp_path / "bad.pcap"
    write_capture(path, [(True, encode(Pdu(c.SUBMIT_SM, 0, 1, body=b"\0\1\1" + b"4917")))])
    assert run(tshark, path, "-Y", "_ws.malformed || _ws.expert") != ""


def test_headers_agree(layers: list[dict[str, Any]]) -> None:
    seen = [
        (
            int(layer["smpp.command_id"], 16),
            int(layer.get("smpp.command_status", "0"), 16),
            int(layer["smpp.sequence_number"]),
        )
        for layer in layers
    ]
    assert seen == [(p.command_id, p.command_status, p.sequence_number) for p in DIALECT]


def test_fields_agree(layers: list[dict[str, Any]]) -> None:
    compared = 0
    for value, layer in zip(DIALECT, layers, strict=True):
        if value.body is not None:
            continue
        for field in layouts.LAYOUTS[value.command_id]:
            if isinstance(field, layouts.Listing):
                continue
            name = (c.command_name(value.command_id), field.name)
            absent: int | bytes = 0 if isinstance(field, layouts.Integer) else b""
            expected = value.fields.get(field.name, absent)
            assert (*name, value_of(layer, field)) == (*name, expected)
            compared += 1
    assert compared > 100


def test_lists_agree(layers: list[dict[str, Any]]) -> None:
    compared = 0
    for value, layer in zip(DIALECT, layers, strict=True):
        for name in LISTS.keys() & value.fields.keys():
            opened = pdu.destinations if name == "dest_addresses" else pdu.failures
            expected: Fields = {}
            for item in opened(value):
                expected |= item
            seen = layer[f"smpp.{LISTS[name]}"]
            for field in (*layouts.FAILURE, *layouts.LIST_NAME):
                if field.name in expected:
                    assert value_of(seen, field) == expected[field.name]
                    compared += 1
    assert compared == 8


def test_tlvs_agree(layers: list[dict[str, Any]]) -> None:
    for value, layer in zip(DIALECT, layers, strict=True):
        expected = [
            (tag.to_bytes(2, "big") + len(octets).to_bytes(2, "big") + octets).hex()
            for tag, octets in value.tlvs
        ]
        assert tlvs_of(layer) == expected
    assert len(tlvs_of(layers[-1])) == len(layouts.TLVS)


LONG = {"gsm": "Grüße € [und] {mehr} zum Anhören. " * 9, "ucs2": "Ваш код 4839 🙂 " * 9}


def test_long_messages_are_put_together(tshark: str, tmp_path: Path) -> None:
    """The parts that a provider is handed are one message to somebody else's decoder."""
    path = tmp_path / "long.pcap"
    pdus = [
        part
        for key, text in enumerate(LONG.values(), 1)
        for part in submit_sm(submission(key, text), 0)
    ]
    write_capture(path, [(True, encode(p, sequence_number=n)) for n, p in enumerate(pdus, 1)])
    names = ("gsm_sms.udh.mm.msg_parts", "gsm_sms.udh.mm.msg_part", "gsm_sms_ud.short_msg")
    columns = [option for name in names for option in ("-e", name)]
    shown = run(tshark, path, "-T", "fields", "-E", "separator=|", *columns)
    parts = [line.split("|") for line in shown.splitlines()]
    assert [each[:2] for each in parts] == [["3", str(n)] for n in (1, 2, 3, 1, 2, 3)]
    assert bytes.fromhex(parts[2][2]) == encode_gsm7(LONG["gsm"])
    assert bytes.fromhex(parts[5][2]).decode("utf-16-be") == LONG["ucs2"]
