"""Texts: counted and cut as the standard says, with smsutil as an independent judge."""

from __future__ import annotations

import sys
import unicodedata

import pytest
import smsutil
from hypothesis import given
from hypothesis import strategies as st

from arrivals.core.text import (
    ENCODING_NAMES,
    GSM7_PART,
    GSM7_SINGLE,
    UCS2_PART,
    UCS2_SINGLE,
    TextShape,
    UnencodableText,
    analyse,
    data_coding_of,
    decode_gsm7,
    encode_gsm7,
    encode_segments,
    encode_ucs2,
    encode_whole,
    fits,
    is_gsm7,
    segment,
    visible,
)

BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
EXTENDED = "\f^{}\\[~]|€"

GSM_TEXT = st.text(st.sampled_from(BASIC + EXTENDED), max_size=500)
PAIRS_TEXT = st.lists(st.sampled_from(["a", "€", "{}"]), max_size=400).map("".join)
WIDE_TEXT = st.text(st.sampled_from("aй漢`😀👩‍👧€"), max_size=240)
ANY_TEXT = GSM_TEXT | PAIRS_TEXT | WIDE_TEXT | st.text(max_size=200)


def shape(encoding: str, segments: int, units: int) -> TextShape:
    return TextShape(
        encoding="gsm7" if encoding == "gsm7" else "ucs2", segments=segments, units=units
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", shape("gsm7", 1, 0)),
        ("hello", shape("gsm7", 1, 5)),
        ("a" * 160, shape("gsm7", 1, 160)),
        ("a" * 161, shape("gsm7", 2, 161)),
        ("a" * 306, shape("gsm7", 2, 306)),
        ("a" * 307, shape("gsm7", 3, 307)),
        ("€" * 80, shape("gsm7", 1, 160)),
        ("€" * 81, shape("gsm7", 2, 162)),
        # 76 pairs fill 152 of 153 septets; the one left over can't hold half a pair.
        ("€" * 153, shape("gsm7", 3, 306)),
        ("Crème brûlée", shape("ucs2", 1, 12)),
        ("Crème à 5 €", shape("gsm7", 1, 12)),
        ("back`tick", shape("ucs2", 1, 9)),
        ("\x1b", shape("ucs2", 1, 1)),
        ("\ufffe", shape("ucs2", 1, 1)),
        ("й" * 70, shape("ucs2", 1, 70)),
        ("й" * 71, shape("ucs2", 2, 71)),
        ("й" * 135, shape("ucs2", 3, 135)),
        ("😀" * 35, shape("ucs2", 1, 70)),
        # 33 pairs fill 66 of 67 units, so 67 pairs need a third part for the last one.
        ("😀" * 67, shape("ucs2", 3, 134)),
    ],
)
def test_shapes(text: str, expected: TextShape) -> None:
    assert analyse(text) == expected


@given(ANY_TEXT)
def test_what_is_charged_is_what_is_sent(text: str) -> None:
    """Invariant 11: charged segments are the parts handed off."""
    counted = analyse(text)
    assert counted.segments == len(segment(text)) == len(encode_segments(text))
    octets = sum(len(part) for part in encode_segments(text))
    assert counted.units == (octets if counted.encoding == "gsm7" else octets // 2)


@given(ANY_TEXT)
def test_parts_join_to_the_text_and_fit(text: str) -> None:
    parts = segment(text)
    assert "".join(parts) == text
    encoding = analyse(text).encoding
    single, several = (
        (GSM7_SINGLE, GSM7_PART) if encoding == "gsm7" else (UCS2_SINGLE, UCS2_PART)
    )
    limit = single if len(parts) == 1 else several
    for part, octets in zip(parts, encode_segments(text), strict=True):
        # A part that encodes by itself was split between characters, never inside one.
        assert (encode_gsm7(part) if encoding == "gsm7" else encode_ucs2(part)) == octets
        assert len(octets) <= limit * (1 if encoding == "gsm7" else 2)


@given(GSM_TEXT | PAIRS_TEXT | WIDE_TEXT)
def test_an_independent_segmenter_agrees(text: str) -> None:
    theirs = smsutil.split(text)
    assert len(theirs.parts) == analyse(text).segments
    assert [part.content for part in theirs.parts] == list(segment(text))
    assert smsutil.encode(text) == b"".join(encode_segments(text))


@given(st.text(max_size=60))
def test_membership_is_the_two_tables(text: str) -> None:
    assert is_gsm7(text) == (set(text) <= set(BASIC + EXTENDED))


@given(GSM_TEXT)
def test_gsm7_survives_the_round_trip(text: str) -> None:
    encoded = encode_gsm7(text)
    assert decode_gsm7(encoded) == text
    assert all(octet < 0x80 for octet in encoded)


@given(st.binary(max_size=200))
def test_any_octets_decode(octets: bytes) -> None:
    text = decode_gsm7(octets)
    assert len(text) <= len(octets)


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (b"\x1b\x65", "€"),
        (b"a\x1b", "a "),
        (b"\x1b\x1b\x65", " €"),
        (b"\x1bA", "A"),
        (b"\x80", "\ufffd"),
        (b"\x1b\xff", "\ufffd"),
        (b"\x00\x02", "@$"),
    ],
)
def test_odd_octets_decode_as_the_standard_asks(octets: bytes, text: str) -> None:
    assert decode_gsm7(octets) == text


def test_what_gsm7_lacks_is_refused_by_place_and_not_by_content() -> None:
    with pytest.raises(UnencodableText, match=r"^character 4 isn't in GSM-7$"):
        encode_gsm7("abc`def")


@pytest.mark.parametrize("refusing", [analyse, segment, encode_segments, encode_ucs2])
def test_half_a_surrogate_pair_is_refused(refusing: object) -> None:
    assert callable(refusing)
    with pytest.raises(UnencodableText, match="character 2 is half of a surrogate pair"):
        refusing("a\ud83d")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ntext €", "plain\ntext €"),
        ("pay\u202eecnalab", "pay⟨U+202E⟩ecnalab"),
        ("zero\u200bwidth", "zero⟨U+200B⟩width"),
        ("tab\there", "tab⟨U+0009⟩here"),
        ("\x00\x7f\x85", "⟨U+0000⟩⟨U+007F⟩⟨U+0085⟩"),
        ("👩\u200d👧", "👩\u200d👧"),
        ("a\u200db", "a⟨U+200D⟩b"),
        ("\U000e0041", "⟨U+E0041⟩"),
        ("\ud800", "⟨U+D800⟩"),
    ],
)
def test_hidden_characters_are_shown(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_every_format_and_control_character_is_shown() -> None:
    """The list is kept by hand; Unicode's own categories are the judge."""
    hidden = [
        code
        for code in range(sys.maxunicode + 1)
        if unicodedata.category(chr(code)) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and code != 0x0A
    ]
    assert len(hidden) > 2000
    assert [code for code in hidden if visible("a" + chr(code)) == "a" + chr(code)] == []


# --- where the default alphabet is another one ------------------------------------------

ALPHABET = st.sampled_from(("latin-1", "ascii"))


@pytest.mark.parametrize(
    ("text", "alphabet", "expected"),
    [
        # A gateway that reads 0 as Latin-1 showed 'Mail a\xa7b' for 'Mail a_b'.
        ("Mail a_b@shop.nl", "latin-1", ("latin-1", 1, 16)),
        ("\xa35 f\xfcr J\xfcrgen", "latin-1", ("latin-1", 1, 13)),
        ("\xa35 f\xfcr J\xfcrgen", "ascii", ("ucs2", 1, 13)),
        ("Mail a_b@shop.nl", "ascii", ("ascii", 1, 16)),
        # What the network shows with an escape takes two of its places.
        ("[" * 80, "latin-1", ("latin-1", 1, 160)),
        ("[" * 81, "latin-1", ("latin-1", 2, 162)),
        ("{}" * 81, "ascii", ("ascii", 3, 324)),
        ("a" * 160, "latin-1", ("latin-1", 1, 160)),
        ("a" * 161, "ascii", ("ascii", 2, 161)),
        ("a" * 307, "latin-1", ("latin-1", 3, 307)),
        # In Latin-1 and not on the air, or on the air and not in Latin-1: UCS-2, as it is read.
        ("Cr\xe8me br\xfbl\xe9e", "latin-1", ("ucs2", 1, 12)),
        ("\u20ac 5", "latin-1", ("ucs2", 1, 3)),
        ("\u0394", "latin-1", ("ucs2", 1, 1)),
        ("back`tick", "ascii", ("ucs2", 1, 9)),
        ("\xa5" + "a" * 70, "ascii", ("ucs2", 2, 71)),
        ("\U0001f600" * 36, "latin-1", ("ucs2", 2, 72)),
        ("", "latin-1", ("latin-1", 1, 0)),
        ("", "ascii", ("ascii", 1, 0)),
    ],
)
def test_shapes_in_other_alphabets(
    text: str, alphabet: str, expected: tuple[str, int, int]
) -> None:
    found = analyse(text, alphabet)
    assert (found.encoding, found.segments, found.units) == expected
    assert found.encoding in ENCODING_NAMES
    assert data_coding_of(found) == ("ucs2" if expected[0] == "ucs2" else "gsm7")


@given(ANY_TEXT, ALPHABET)
def test_in_any_alphabet_the_count_is_the_cut_and_the_parts_are_the_text(
    text: str, alphabet: str
) -> None:
    try:
        found = analyse(text, alphabet)
    except UnencodableText:
        return
    parts = encode_segments(text, alphabet)
    assert found.segments == len(parts) == len(segment(text, alphabet))
    codec = "utf-16-be" if found.encoding == "ucs2" else alphabet
    assert [part.decode(codec) for part in parts] == list(segment(text, alphabet))
    assert "".join(segment(text, alphabet)) == text
    assert encode_whole(text, alphabet).decode(codec) == text
    assert all(len(part) <= 160 for part in parts)


@given(GSM_TEXT, ALPHABET)
def test_what_fits_takes_the_room_that_it_takes_on_the_air(text: str, alphabet: str) -> None:
    """The independent segmenter counts what a network carries, and so do we."""
    found = analyse(text, alphabet)
    assert fits(text, alphabet) == set(text).issubset(
        chr(code) for code in range(256 if alphabet == "latin-1" else 128)
    )
    if fits(text, alphabet):
        assert found.segments == len(smsutil.split(text).parts)
        assert [p.content for p in smsutil.split(text).parts] == list(segment(text, alphabet))


@given(ANY_TEXT.filter(lambda text: not any("\ud800" <= c <= "\udfff" for c in text)))
def test_a_text_in_ucs2_is_cut_as_that_whatever_it_holds(text: str) -> None:
    parts = segment(text, "ucs2")
    assert "".join(parts) == text
    single = UCS2_SINGLE if len(parts) == 1 else UCS2_PART
    assert all(len(encode_ucs2(part)) // 2 <= single for part in parts)
    assert not fits(text, "ucs2")


@given(GSM_TEXT)
def test_a_whole_text_is_its_parts(text: str) -> None:
    assert encode_whole(text) == b"".join(encode_segments(text))


@pytest.mark.parametrize("alphabet", ["latin-1", "ascii"])
def test_half_a_pair_is_refused_in_any_alphabet(alphabet: str) -> None:
    for refusing in (analyse, encode_segments, encode_whole):
        with pytest.raises(UnencodableText, match="half of a surrogate pair"):
            refusing("a\ud83d", alphabet)
