"""Any octets and any text into whatever reads what others wrote: sense, or its own error."""

from __future__ import annotations

import contextlib
import itertools
import re
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
import smsutil
from hypothesis import given
from hypothesis import strategies as st

from arrivals.config import InvalidConfig, read_settings
from arrivals.core.errors import Refusal
from arrivals.core.pricing import InvalidPriceList, read_price_list
from arrivals.core.text import analyse, encode_segments, segment
from arrivals.http.batch_lines import JsonLines
from arrivals.http.csv_lines import CsvLines
from arrivals.http.json_body import read_json
from arrivals.http.send_body import SendBody
from arrivals.smpp.pdu import (
    PDU_OCTETS_MAX,
    Framer,
    FramingError,
    MalformedPdu,
    Pdu,
    decode,
    encode,
)
from arrivals.smpp.receipts import parse_receipt
from arrivals.smpp.session import Role
from tests.smpp import strategies
from tests.smpp.receipt_cases import receipt
from tests.smpp.test_fuzz import octets, prepared, streams

pytestmark = pytest.mark.slow

# --- SMPP -------------------------------------------------------------------------------


@given(st.one_of(strategies.hostile_octets(), strategies.bent_octets()))
def test_what_is_decoded_is_encoded_to_the_same_again(frame: bytes) -> None:
    try:
        pdu = decode(frame)
    except MalformedPdu:
        return
    assert decode(encode(pdu)) == pdu


@given(st.sampled_from(list(Role)), st.lists(octets, max_size=40))
def test_a_session_keeps_no_more_than_one_frame(role: Role, pieces: list[bytes]) -> None:
    """Whatever comes, what waits to be understood is less than the longest PDU."""
    session = prepared(role)
    for piece in pieces:
        session.receive_data(piece, 1)
        session.bytes_to_send()
        assert len(session._framer._rest) < PDU_OCTETS_MAX


# --- receipts ---------------------------------------------------------------------------

_VALUE = r"[^\s:]+"
words = st.text("abcdefABCDEF0123456789-", min_size=1, max_size=12)
keys = st.sampled_from(("id", "sub", "dlvrd", "submit date", "done date", "stat", "err"))


@given(st.lists(st.tuples(keys, words), min_size=1, max_size=7, unique_by=lambda each: each[0]))
def test_a_receipt_reads_as_a_plain_expression_does(fields: list[tuple[str, str]]) -> None:
    text = " ".join(f"{key}:{value}" for key, value in fields)
    found = parse_receipt(receipt(text.encode()))
    assert found is not None
    for key, read in (("id", found.text_id), ("stat", found.stat_raw), ("err", found.error)):
        plain = re.search(rf"(?:^| ){key}:({_VALUE})", text)
        assert read == (plain[1] if plain else None), text


@given(st.one_of(strategies.pdus(), st.builds(receipt, st.binary(max_size=254))))
def test_any_pdu_is_a_receipt_or_not(pdu: Pdu) -> None:
    found = parse_receipt(pdu)
    assert found is None or len(found.raw) <= 65_536


# --- texts ------------------------------------------------------------------------------


@given(st.text(max_size=700))
def test_any_text_is_cut_as_an_independent_segmenter_does(text: str) -> None:
    """Half of a surrogate pair can't be drawn; `tests/core/test_text.py` has it."""
    theirs = smsutil.split(text)
    parts = segment(text)
    assert "".join(parts) == text
    assert analyse(text).segments == len(theirs.parts) == len(encode_segments(text))
    assert list(parts) == [part.content for part in theirs.parts]


# --- what is sent to the API ------------------------------------------------------------

json_like = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(SendBody.__struct_fields__) | st.text(max_size=9), inner, max_size=8
        )
    ),
    max_leaves=15,
)
DECODER = msgspec.json.Decoder(SendBody, strict=True)


@given(json_like.map(msgspec.json.encode) | st.binary(max_size=200))
def test_any_body_is_read_or_refused(body: bytes) -> None:
    refused: Refusal | None = None
    try:
        found = read_json(DECODER, body)
    except Refusal as refusal:
        refused = refusal
    if refused is None:
        assert isinstance(found, SendBody)
    else:
        assert 400 <= refused.status < 500
        assert refused.errors


lines = st.lists(
    st.sampled_from((b'{"to":"31612345678"}', b"31612345678,hi,ref", b"to,message,client_ref",
                     b'"a\nb",c', b'"', b";;", b"\xff", b"", b"\xef\xbb\xbfto", b"to;message"))
    | st.binary(max_size=30)
    | json_like.map(msgspec.json.encode),
    max_size=8,
).map(b"\n".join)  # fmt: skip


@given(st.sampled_from((JsonLines, CsvLines)), lines, st.lists(st.integers(0, 300), max_size=6))
def test_lines_cut_anyhow_are_the_same_lines(
    kind: type[JsonLines] | type[CsvLines], body: bytes, places: list[int]
) -> None:
    assert read(kind, body, places) == read(kind, body, [])


def read(kind: type[JsonLines] | type[CsvLines], body: bytes, places: list[int]) -> Any:
    """Feed a body in pieces; return its lines, or the refusal of the whole."""
    reader, found = kind(), []
    ends = sorted({*(place % (len(body) + 1) for place in places), 0, len(body)})
    try:
        for begin, end in itertools.pairwise(ends):
            found += [line for line in reader.feed(body[begin:end]) if line is not None]
        found += reader.end()
    except Refusal as refusal:
        return refusal.code, refusal.errors
    return [
        (each.raw, each.to, each.recipient, each.refusal and each.refusal.code)
        for each in found
    ]


# --- files of the operator --------------------------------------------------------------

csv_texts = st.lists(
    st.sampled_from(("prefix,price,country", "31,0.05,NL", '"', ",", "1,-1,US", "x", "\0", ""))
    | st.text(max_size=20),
    max_size=6,
).map("\n".join)


@given(csv_texts)
def test_any_price_list_is_read_or_refused(text: str) -> None:
    try:
        rows = read_price_list(text)
    except InvalidPriceList:
        return
    assert all(each.price >= 0 for each in rows)


toml_texts = st.lists(
    st.sampled_from(("[server]", "port = 0", "[[providers]]", 'id = "north"', "[[routes]]",
                     "id = 1", "[[accounts]]", "x = 1979-05-27", "port = []", "a.b.c = {}"))
    | st.text(max_size=20),
    max_size=8,
).map("\n".join)  # fmt: skip


@given(toml_texts.map(lambda text: text.encode("utf-8", "replace")) | st.binary(max_size=60))
def test_any_settings_file_is_read_or_refused(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "arrivals.toml"
        path.write_bytes(content)
        with contextlib.suppress(InvalidConfig):
            read_settings(path)


@given(streams)
def test_a_framer_ends_at_the_first_error(stream: bytes) -> None:
    framer = Framer()
    found = framer.feed(stream)
    if any(isinstance(each, FramingError) for each in found):
        assert framer.feed(stream) == []
