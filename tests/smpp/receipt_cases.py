"""Receipts as the market writes them: each case is a quirk that a parser has to survive."""

from __future__ import annotations

from arrivals.smpp import constants as c
from arrivals.smpp.concat import Part
from arrivals.smpp.pdu import Pdu, Tlvs

USUAL = (
    b"id:0123456789 sub:001 dlvrd:001 submit date:2611221200 done date:2611221201 "
    b"stat:DELIVRD err:000 text:Hello"
)


def receipt(
    text: bytes, tlvs: Tlvs = (), *, esm_class: int = c.ESM_DELIVERY_RECEIPT, coding: int = 0
) -> Pdu:
    """Return the deliver_sm that carries a receipt's text."""
    fields: dict[str, int | bytes] = {
        "source_addr": b"4917012345678",
        "destination_addr": b"ARRIVALS",
        "esm_class": esm_class,
        "data_coding": coding,
        "short_message": text,
    }
    return Pdu(c.DELIVER_SM, fields=fields, tlvs=tlvs)


# (quirk, what arrives, what of the receipt must be read from it)
RECEIPT_CASES: list[tuple[str, Pdu, dict[str, object]]] = [
    (
        "appendix B to the letter",
        receipt(USUAL),
        {
            "message_id": "0123456789",
            "state": "DELIVRD",
            "stat_raw": "DELIVRD",
            "error": "000",
            "sub": 1,
            "dlvrd": 1,
            "submit_date": "2611221200",
            "done_date": "2611221201",
            "text": b"Hello",
            "source": "4917012345678",
            "destination": "ARRIVALS",
            "intermediate": False,
            "part": None,
            "raw": USUAL,
        },
    ),
    (
        "1: a 10-digit decimal id, zero padded, stays as sent",
        receipt(USUAL.replace(b"0123456789", b"0000000127")),
        {"message_id": "0000000127"},
    ),
    (
        "1: the TLV's id is hexadecimal, the text's decimal: the TLV wins, both are kept",
        receipt(USUAL, ((0x001E, b"75BCD15\0"),)),
        {"message_id": "75BCD15", "text_id": "0123456789"},
    ),
    (
        "2: an id that is a UUID",
        receipt(USUAL.replace(b"0123456789", b"0e999f21-58f6-4c0b-8cf6-0b6e4a4c9d11")),
        {"message_id": "0e999f21-58f6-4c0b-8cf6-0b6e4a4c9d11"},
    ),
    (
        "5: one receipt for a long message, on a segment of it, with a header",
        receipt(b"\x05\x00\x03\x42\x03\x02" + USUAL, esm_class=0x44),
        {"message_id": "0123456789", "part": Part(reference=0x42, total=3, number=2)},
    ),
    (
        "5: the part is told by TLVs",
        receipt(USUAL, ((0x020C, b"\0\x42"), (0x020E, b"\3"), (0x020F, b"\1"))),
        {"part": Part(reference=0x42, total=3, number=1)},
    ),
    (
        "5: three segments counted in one receipt",
        receipt(USUAL.replace(b"sub:001 dlvrd:001", b"sub:003 dlvrd:002")),
        {"sub": 3, "dlvrd": 2},
    ),
    (
        "7: comma-separated, without keys",
        receipt(b"DELIVRD,2611221201,000"),
        {"state": "DELIVRD", "message_id": None, "error": None},
    ),
    (
        "7: comma-separated, with keys",
        receipt(b"id:7F,stat:UNDELIV,err:1,done date:2611221201"),
        {"message_id": "7F", "state": "UNDELIV", "error": "1", "done_date": "2611221201"},
    ),
    (
        "7: `submitdate:` and `donedate:` without blanks",
        receipt(b"id:7F submitdate:2611221200 donedate:2611221201 stat:EXPIRED err:0"),
        {"submit_date": "2611221200", "done_date": "2611221201", "state": "EXPIRED"},
    ),
    (
        "7: `submit_date:`, `Status:`, `Error:` and other cases",
        receipt(b"ID:7F SUBMIT_DATE:26112212 Status: DELIVRD Error:5 Text: Hi there"),
        {
            "message_id": "7F",
            "submit_date": "26112212",
            "state": "DELIVRD",
            "error": "5",
            "text": b" Hi there",
        },
    ),
    (
        "7: an all-zero done date is none",
        receipt(USUAL.replace(b"2611221201", b"0000000000")),
        {"done_date": None, "submit_date": "2611221200"},
    ),
    (
        "7: err is missing, and the order is another",
        receipt(b"stat:REJECTD id:7F dlvrd:000 sub:001"),
        {"state": "REJECTD", "error": None, "message_id": "7F", "sub": 1, "dlvrd": 0},
    ),
    (
        "7: only TLVs",
        receipt(
            b"", ((0x001E, b"7F\0"), (0x0427, b"\5"), (0x0423, b"\3\0\1"), (0x0425, b"\1"))
        ),
        {
            "message_id": "7F",
            "state": "UNDELIV",
            "stat_raw": None,
            "network_error": (3, 1),
            "failure_reason": 1,
            "text": None,
        },
    ),
    (
        "7: TLVs win over a text that contradicts them",
        receipt(USUAL, ((0x0427, b"\5"),)),
        {"state": "UNDELIV", "stat_raw": "DELIVRD"},
    ),
    (
        "7: a state number that nobody knows leaves the word to the text",
        receipt(USUAL, ((0x0427, b"\x63"), (0x0423, b"\3\1"))),
        {"state": "DELIVRD", "network_error": None},
    ),
    (
        "7: the TLV's id without its NUL, or empty",
        receipt(USUAL, ((0x001E, b"7F"),)),
        {"message_id": "7F"},
    ),
    (
        "7: an empty TLV id leaves the id to the text",
        receipt(USUAL, ((0x001E, b"\0"),)),
        {"message_id": "0123456789"},
    ),
    (
        "7: the text is in message_payload",
        receipt(b"", ((0x0424, USUAL),)),
        {"message_id": "0123456789", "state": "DELIVRD", "raw": USUAL},
    ),
    (
        "7: the text is in UCS-2",
        receipt(USUAL.decode().encode("utf-16-be"), coding=8),
        {"message_id": "0123456789", "state": "DELIVRD", "text": b"Hello"},
    ),
    (
        "7: the text is said to be in UCS-2, and isn't",
        receipt(USUAL, coding=8),
        {"message_id": "0123456789", "state": "DELIVRD", "error": "000"},
    ),
    (
        "7: lines instead of blanks, a NUL at the end",
        receipt(b"id:7F\r\nstat:DELIVRD\r\nerr:000\0"),
        {"message_id": "7F", "state": "DELIVRD", "error": "000"},
    ),
    (
        "7: the message quotes keys: nothing after `text:` counts, the first of two wins",
        receipt(b"id:7F stat:UNDELIV stat:DELIVRD err:1 text:x stat:DELIVRD id:9"),
        {"message_id": "7F", "state": "UNDELIV", "text": b"x stat:DELIVRD id:9"},
    ),
    (
        "8: dates with seconds and a zone stay raw",
        receipt(USUAL.replace(b"2611221201", b"20261122120159+08")),
        {"done_date": "20261122120159+08"},
    ),
    (
        "9: err is alphanumeric",
        receipt(USUAL.replace(b"err:000", b"err:E0x1F")),
        {"error": "E0x1F"},
    ),
    (
        "9: counts that aren't numbers",
        receipt(USUAL.replace(b"sub:001 dlvrd:001", b"sub:one dlvrd:")),
        {"sub": None, "dlvrd": None, "state": "DELIVRD"},
    ),
    (
        "10: an intermediate notification after the end is still only that",
        receipt(USUAL.replace(b"DELIVRD", b"ENROUTE"), esm_class=0x20),
        {"intermediate": True, "state": "ENROUTE"},
    ),
    (
        "12: ACCEPTD, whoever said it, is told as it is",
        receipt(USUAL.replace(b"DELIVRD", b"ACCEPTD"), ((0x0427, b"\6"),)),
        {"state": "ACCEPTD"},
    ),
    (
        "13: no id at all",
        receipt(b"sub:001 dlvrd:001 stat:DELIVRD err:000 text:"),
        {"message_id": None, "state": "DELIVRD", "text": b""},
    ),
    (
        "13: no id, but our own reference comes back",
        receipt(b"stat:DELIVRD", ((0x0204, b"\x12\x34"),)),
        {"message_id": None, "user_message_reference": 0x1234},
    ),
    (
        "no word that anyone knows",
        receipt(b"it was fine"),
        {"state": "UNRECOGNISED", "stat_raw": None, "message_id": None, "text": None},
    ),
    (
        "a vendor's TLV tells the network",
        receipt(USUAL, ((0x1503, b"26201"), (0x0204, b"\0\7"))),
        {"vendor_tlvs": ((0x1503, b"26201"),), "user_message_reference": 7},
    ),
    (
        "esm_class forgotten, but no handset can set the TLV",
        receipt(USUAL, ((0x001E, b"7F\0"),), esm_class=0),
        {"message_id": "7F", "state": "DELIVRD"},
    ),
    (
        "octets outside ASCII",
        receipt(b"id:\xe97 stat:DELIVRD text:\xff\x00\x1b"),
        {"message_id": "\xe97", "text": b"\xff\x00\x1b"},
    ),
]

# Quirk 9: what stands after `stat:`, and the state that it means.
STAT_CASES: list[tuple[str, str]] = [
    ("ENROUTE", "ENROUTE"),
    ("EXPIRED", "EXPIRED"),
    ("DELETED", "DELETED"),
    ("UNDELIV", "UNDELIV"),
    ("ACCEPTD", "ACCEPTD"),
    ("UNKNOWN", "UNKNOWN"),
    ("REJECTD", "REJECTD"),
    ("SCHEDULED", "SCHEDULED"),
    ("SKIPPED", "SKIPPED"),
    ("delivrd", "DELIVRD"),
    ("DELIVERED", "DELIVRD"),
    ("UNDELIVERABLE", "UNDELIV"),
    ("FAILED", "UNDELIV"),
    ("NACK", "REJECTD"),
    ("BLIST", "REJECTD"),
    ("NOROUTE", "REJECTD"),
    ("SENT", "ENROUTE"),
    ("SUBMITD", "ENROUTE"),
    ("GREYLISTED", "UNRECOGNISED"),
]

NOT_RECEIPTS: list[tuple[str, Pdu]] = [
    ("a handset's message", receipt(b"Hello", esm_class=0)),
    ("a handset that forges a receipt's text", receipt(USUAL, esm_class=0)),
    ("the same with a header", receipt(USUAL, esm_class=0x40)),
    ("a handset's message with TLVs", receipt(b"Hello", ((0x0204, b"\0\7"),), esm_class=0)),
    ("a handset's acknowledgement", receipt(USUAL, ((0x001E, b"7F\0"),), esm_class=0x08)),
    ("a person's acknowledgement", receipt(b"yes", esm_class=0x10)),
]
