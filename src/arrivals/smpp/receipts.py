"""Delivery receipts, read as the market writes them and written as the specification says.

A receipt's text (SMPP 3.4 appendix B) is a convention that every vendor bends: other words,
other layouts, keys left out. `receipt_texts` finds the values, `receipt_states` says what a
state's words mean and which of two counts; every claim is kept raw, and a state that nobody
knows is UNRECOGNISED.

Identifiers bend too: hexadecimal in the response and decimal in the receipt, zeros stripped
or padded, cases changed. An id is stored in its `normal_form`; `id_candidates` lists the
forms under which the id that a receipt names may have been stored. They are many, so a receipt
that waits for its id to become known waits under one, its `bare_form`; `bare_forms_of` lists
those under which receipts may wait for an id.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import msgspec

from arrivals.smpp import constants as c
from arrivals.smpp.concat import Part, part_of, split_user_data
from arrivals.smpp.pdu import UnencodablePdu, make_tlv
from arrivals.smpp.receipt_states import (
    FINAL_WORDS,
    STATES,
    UNRECOGNISED,
    agree_on,
    state_in,
)
from arrivals.smpp.receipt_texts import (
    ID_CHARS_MAX,
    WORD_CHARS_MAX,
    plain,
    read_values,
    speaks_of_an_end,
    written_out,
)

if TYPE_CHECKING:
    from arrivals.smpp.pdu import Pdu, Tlvs

TEXT_OCTETS_MAX: Final = 20  # of the original message, in a receipt (appendix B)
NUMERIC_ID_MAX: Final = 20  # digits of the largest 64-bit integer; longer ids aren't numbers
_STORED_ID_MAX: Final = len(str(16**NUMERIC_ID_MAX - 1))  # of one told in hexadecimal
# No handset can set these: whoever sends them reports.
REPORTING_TLVS: Final = (
    c.TLV_RECEIPTED_MESSAGE_ID,
    c.TLV_MESSAGE_STATE,
    c.TLV_NETWORK_ERROR_CODE,
)
DATES_REMEMBERED: Final = 1_024  # many receipts tell the same minute
VENDOR_TAGS: Final = range(0x1400, 0x4000)  # section 5.3.2
_MARKS: Final = c.ESM_DELIVERY_RECEIPT | c.ESM_INTERMEDIATE_NOTIFICATION

_DATE_LAYOUTS: Final = {10: "%y%m%d%H%M", 12: "%y%m%d%H%M%S", 14: "%Y%m%d%H%M%S"}
_COUNT = re.compile(r"[0-9]{1,9}")
_HEXADECIMAL = re.compile(r"[0-9a-f]+")


class Receipt(msgspec.Struct, frozen=True):
    """What one receipt claims; nothing in it is our own knowledge.

    Each receipt makes one, so its first fields are given by place: a call of more than fifteen
    names builds a dictionary first.
    """

    message_id: str | None  # as sent; the TLV's, else the text's
    state: str  # a canonical stat word, or UNRECOGNISED
    source: str  # the handset: a receipt swaps the message's addresses
    destination: str
    raw: bytes  # the user data, whole
    stat_raw: str | None = None  # the text's own word
    error: str | None = None  # err as sent: a namespace of the route's own
    network_error: tuple[int, int] | None = None  # network type and code
    failure_reason: int | None = None  # delivery_failure_reason
    submit_date: str | None = None  # as sent: zone and precision are the sender's secret
    done_date: str | None = None
    sub: int | None = None
    dlvrd: int | None = None
    text: bytes | None = None
    user_message_reference: int | None = None
    intermediate: bool = False  # an intermediate notification, never final
    part: Part | None = None
    text_id: str | None = None  # the text's id, which may differ from the TLV's in form
    tlv_said: str | None = None  # message_state's word, where the text has another
    vendor_tlvs: tuple[tuple[int, bytes], ...] = ()

    def __repr__(self) -> str:
        """Show the claim without the text, which may quote the message."""
        return f"Receipt({self.message_id!r}, {self.state!r}, err {self.error!r})"


def parse_receipt(pdu: Pdu, *, unmarked: bool = False) -> Receipt | None:
    """Return the receipt that a deliver_sm or data_sm carries; None for a handset's message.

    Text alone makes no receipt: a handset can write any text. esm_class says so or, where a
    carrier forgets it, the receipted_message_id TLV, which no handset can set. Of a provider
    whose receipts are `unmarked` a text with an id and a known state is one all the same, and
    a final word counts though esm_class calls it an intermediate notification.
    """
    kind = pdu.number("esm_class") & c.ESM_MESSAGE_TYPE_MASK
    tlvs = pdu.tlvs
    marked = kind & _MARKS or (
        not kind and tlvs and pdu.tlv(c.TLV_RECEIPTED_MESSAGE_ID) is not None
    )
    if not (marked or unmarked):
        return None
    get = read_values(split_user_data(pdu)[1]).get
    text_id = get("id") or None
    tlv_id = pdu.tlv_text(c.TLV_RECEIPTED_MESSAGE_ID) if tlvs else None
    stat = get("stat") or None
    state, tlv_said = UNRECOGNISED if stat is None else STATES.get(stat) or state_in(stat), None
    if tlvs:
        state, tlv_said = agree_on(pdu.tlv_int(c.TLV_MESSAGE_STATE), state)
    if not marked and not (state in STATES and (tlv_id or text_id)):
        return None
    text = get("text")
    return Receipt(
        plain(tlv_id.decode("latin-1"), ID_CHARS_MAX) if tlv_id else text_id,
        state,
        pdu.octets("source_addr").decode("latin-1"),
        pdu.octets("destination_addr").decode("latin-1"),
        pdu.message,
        stat and plain(stat, WORD_CHARS_MAX),
        get("err") or None,
        _network_error(pdu) if tlvs else None,
        pdu.tlv_int(c.TLV_DELIVERY_FAILURE_REASON) if tlvs else None,
        submit_date=_date(get("submit_date")),
        done_date=_date(get("done_date")),
        sub=_count(get("sub")),
        dlvrd=_count(get("dlvrd")),
        text=None if text is None else text.encode("latin-1"),
        user_message_reference=pdu.tlv_int(c.TLV_USER_MESSAGE_REFERENCE) if tlvs else None,
        # With both marks it is a receipt, and the word tells whether it is final.
        intermediate=kind & _MARKS == c.ESM_INTERMEDIATE_NOTIFICATION
        and not (unmarked and state in FINAL_WORDS),
        part=part_of(pdu),
        text_id=text_id,
        tlv_said=tlv_said,
        vendor_tlvs=tuple(tlv for tlv in tlvs if tlv[0] in VENDOR_TAGS) if tlvs else (),
    )


def resembles_receipt(pdu: Pdu) -> bool:
    """Tell whether a text is written like a receipt's, with an id and a state."""
    said = read_values(split_user_data(pdu)[1])
    return bool(said.get("id")) and bool(said.get("stat"))


def may_report(pdu: Pdu) -> bool:
    """Tell whether a message could be a report, and so isn't surely a person's."""
    tlvs = pdu.tlvs
    return bool(
        (tlvs and any(pdu.tlv(each) is not None for each in REPORTING_TLVS))
        or speaks_of_an_end(split_user_data(pdu)[1])
    )


def _network_error(pdu: Pdu) -> tuple[int, int] | None:
    value = pdu.tlv(c.TLV_NETWORK_ERROR_CODE)
    if value is None or len(value) != 3:
        return None
    return value[0], value[1] << 8 | value[2]


def _date(value: str | None) -> str | None:
    """Return a date as sent; all zeros is how some vendors say none."""
    return value if value and value.strip("0") else None


def _count(value: str | None) -> int | None:
    return int(value) if value and _COUNT.fullmatch(value) else None


def format_receipt(
    *,
    message_id: str,
    state: str,
    submit_date: str,
    done_date: str,
    error: str = "000",
    stat: str | None = None,
    sub: int = 1,
    dlvrd: int | None = None,
    text: bytes = b"",
    network_error: tuple[int, int] | None = None,
    user_message_reference: int | None = None,
) -> tuple[bytes, Tlvs]:
    """Return a receipt's short_message and TLVs, as appendix B and section 5.3.2 have them.

    `state` is a canonical word; `stat` replaces it in the text where a carrier has its own.
    `dlvrd` is by default all of `sub` or none. Raise UnencodablePdu for what can't be said.
    """
    if state not in c.MESSAGE_STATES:
        raise UnencodablePdu(f"no message_state is called {state!r}")
    delivered = dlvrd if dlvrd is not None else sub if state == "DELIVRD" else 0
    head = (
        f"id:{message_id} sub:{sub:03d} dlvrd:{delivered:03d} submit date:{submit_date} "
        f"done date:{done_date} stat:{stat or state} err:{error} text:"
    )
    tlvs = [
        make_tlv(c.TLV_RECEIPTED_MESSAGE_ID, message_id.encode("latin-1")),
        make_tlv(c.TLV_MESSAGE_STATE, c.MESSAGE_STATES[state]),
    ]
    if network_error is not None:
        kind, code = network_error
        tlvs.append((c.TLV_NETWORK_ERROR_CODE, bytes((kind,)) + code.to_bytes(2, "big")))
    if user_message_reference is not None:
        tlvs.append(make_tlv(c.TLV_USER_MESSAGE_REFERENCE, user_message_reference))
    return head.encode("latin-1") + text[:TEXT_OCTETS_MAX], tuple(tlvs)


def normal_form(message_id: str) -> str:
    """Return the one form under which a provider's message id is stored; zeros stay."""
    normal = message_id.strip().casefold()
    return normal if normal.isprintable() else written_out(normal)


def id_candidates(message_id: str) -> tuple[str, ...]:
    """Return the forms under which a receipt's id may have been stored, most literal first.

    As sent, normal, without leading zeros, from hexadecimal to decimal, from decimal to
    hexadecimal; then each number padded with zeros to every width. Only ids that are wholly
    hexadecimal digits, 20 at most, are taken for numbers.
    """
    literal = message_id.strip()
    numbers = _numbers(literal.casefold())
    forms = [literal, normal_form(literal), *numbers.values()]
    for number in numbers.values():
        forms += _padded(number)
    return tuple(dict.fromkeys(forms))


def bare_form(message_id: str) -> str:
    """Return the one form under which an id that a receipt tells waits for its message."""
    normal = normal_form(message_id)
    return _numbers(normal).get(IdForm.LEADING_ZEROS, normal)


def bare_forms_of(stored: str) -> tuple[str, ...]:
    """Return the bare forms of every id that may be told for one that is stored; at most three.

    `bare_form(told)` is among them wherever `stored` is among `id_candidates(told)`.
    """
    numbers = _numbers(stored)
    if numbers:
        return tuple(dict.fromkeys(numbers.values()))
    if len(stored) <= _STORED_ID_MAX and stored.isascii() and stored.isdigit():
        return stored, f"{int(stored):x}"
    return (stored,)


class IdForm(StrEnum):
    """How a receipt writes the id that its message was given; cases never count."""

    AS_GIVEN = "as_given"
    LEADING_ZEROS = "leading_zeros"  # fewer of them, or more
    HEX_TO_DECIMAL = "hex_to_decimal"
    DECIMAL_TO_HEX = "decimal_to_hex"


def form_between(stored: str, told: str) -> IdForm | None:
    """Return in which form a receipt tells the id that was stored; None: it tells another."""
    normal = normal_form(told)
    if normal == stored:
        return IdForm.AS_GIVEN
    bare = stored.lstrip("0")
    return next(
        (form for form, number in _numbers(normal).items() if number.lstrip("0") == bare), None
    )


def candidates_in(form: IdForm, told: str) -> tuple[str, ...]:
    """Return under which forms an id is stored that receipts tell in this one."""
    number = _numbers(normal_form(told)).get(form)
    return (normal_form(told),) if number is None else (number, *_padded(number))


def _numbers(normal: str) -> dict[IdForm, str]:
    """Return what an id was, without leading zeros, if it is told in each of the forms."""
    if len(normal) > NUMERIC_ID_MAX or not _HEXADECIMAL.fullmatch(normal):
        return {}
    numbers = {
        IdForm.LEADING_ZEROS: normal.lstrip("0") or "0",
        IdForm.DECIMAL_TO_HEX: str(int(normal, 16)),
    }
    if normal.isdigit():
        numbers[IdForm.HEX_TO_DECIMAL] = f"{int(normal):x}"
    return numbers


def _padded(number: str) -> list[str]:
    return [number.zfill(width) for width in range(len(number) + 1, NUMERIC_ID_MAX + 1)]


@lru_cache(maxsize=DATES_REMEMBERED)
def claimed_us(date: str) -> int | None:
    """Return a receipt's date as if it were UTC, in microseconds; None if it isn't plain.

    The convention is YYMMDDhhmm; some write the seconds as well, and some the century. A date
    that tells its zone is left alone: it says already what the others leave open.
    """
    layout = _DATE_LAYOUTS.get(len(date))
    if layout is None or not (date.isascii() and date.isdigit()):
        return None
    try:
        found = datetime.strptime(date, layout).replace(tzinfo=UTC)
    except ValueError:
        return None
    return int(found.timestamp()) * 1_000_000
