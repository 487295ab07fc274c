"""Count, split and encode message texts as SMS carries them.

GSM-7 (3GPP TS 23.038, default alphabet and its extension table) when every character is
in it, else UCS-2, which in practice is UTF-16BE. A text of one segment holds 160 septets or
70 UTF-16 units; each part of a longer one 153 or 67, because a 6-octet user data header
ties the parts together. An escaped character and a surrogate pair are never split.

Some providers read their default alphabet as Latin-1 or ASCII. Whatever the octets between us
are, a network carries GSM-7 or UCS-2: so there too a text holds as many characters as it has
septets on the air, and only characters that both alphabets have go out in theirs. Every other
text is UCS-2, which nobody reads wrongly, and which is what the network would make of it.

Charged segments and the parts handed off come from the same cut (invariant 11):
`analyse(text).segments == len(encode_segments(text))` for every text and alphabet.
"""

from __future__ import annotations

import codecs
import re
from typing import Final, Literal

import msgspec

Encoding = Literal["gsm7", "latin-1", "ascii", "ucs2"]

ENCODING_NAMES: Final = {
    "gsm7": "GSM-7",
    "latin-1": "Latin-1",
    "ascii": "ASCII",
    "ucs2": "UCS-2",
}
GSM7_SINGLE: Final = 160  # septets in 140 octets
GSM7_PART: Final = 153  # the same less a 6-octet header, padded to whole septets
UCS2_SINGLE: Final = 70  # 16-bit units in 140 octets
UCS2_PART: Final = 67

_ESCAPE: Final = 0x1B

# TS 23.038 table 6.2.1; position is the septet, 0x1B is the escape.
_ALPHABET: Final = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\ufffeÆæßÉ"
    " !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
# TS 23.038 table 6.2.1.1: what follows the escape.
_EXTENSION: Final = {
    0x0A: "\f",
    0x14: "^",
    0x28: "{",
    0x29: "}",
    0x2F: "\\",
    0x3C: "[",
    0x3D: "~",
    0x3E: "]",
    0x40: "|",
    0x65: "€",
}

# ASCII to septets for texts that _ONE_SEPTET matches; the other places are never asked for.
_FROM_ASCII: Final = bytes(max(0, _ALPHABET.find(chr(code))) for code in range(256))
_FULL: Final[dict[int, int | bytes]] = {
    **{ord(char): septet for septet, char in enumerate(_ALPHABET) if char != "\ufffe"},
    **{ord(char): bytes([_ESCAPE, septet]) for septet, char in _EXTENSION.items()},
}
_ONE_SEPTET: Final = re.compile(f"[{re.escape(_ALPHABET.replace(chr(0xFFFE), ''))}]*")
_GSM7: Final = re.compile(
    f"[{re.escape(_ALPHABET.replace(chr(0xFFFE), '') + ''.join(_EXTENSION.values()))}]*"
)


# What the air and an alphabet both carry; whatever is here takes one octet of the alphabet.
_BOTH: Final[dict[str, re.Pattern[str]]] = {
    charset: re.compile(
        "["
        + re.escape(
            "".join(
                char
                for char in (*_ALPHABET.replace(chr(0xFFFE), ""), *_EXTENSION.values())
                if ord(char) < size
            )
        )
        + "]*"
    )
    for charset, size in (("latin-1", 0x100), ("ascii", 0x80))
}


class UnencodableText(ValueError):
    """The text has half of a surrogate pair, or isn't GSM-7 where GSM-7 was asked for."""


class TextShape(msgspec.Struct, frozen=True, kw_only=True):
    """What a text costs to carry."""

    encoding: Encoding
    segments: int  # at least 1
    units: int  # septets on the air or 16-bit units, headers not counted


def data_coding_of(shape: TextShape) -> Literal["gsm7", "ucs2"]:
    """Return how a message is coded whatever its provider's default alphabet is.

    The order's decision keeps that alphabet, and the message which of the two it is in.
    """
    return "ucs2" if shape.encoding == "ucs2" else "gsm7"


_PLAIN_SINGLES: Final = tuple(
    TextShape(encoding="gsm7", segments=1, units=units) for units in range(GSM7_SINGLE + 1)
)


def analyse(text: str, alphabet: str = "gsm7") -> TextShape:
    """Return a text's encoding, segments and units, where this is the default alphabet.

    An empty text is one segment of no units; refusing it is the caller's choice.
    Raises UnencodableText for half of a surrogate pair.
    """
    if alphabet != "gsm7":
        return _analyse_beside(text, alphabet)
    if _ONE_SEPTET.fullmatch(text):
        units = len(text)
        if units <= GSM7_SINGLE:
            return _PLAIN_SINGLES[units]
        return TextShape(encoding="gsm7", segments=-(-units // GSM7_PART), units=units)
    encoding, octets = _encode(text)
    units = len(octets) if encoding == "gsm7" else len(octets) // 2
    return TextShape(encoding=encoding, segments=len(_cut(encoding, octets)), units=units)


def _analyse_beside(text: str, alphabet: str) -> TextShape:
    if not fits(text, alphabet):
        units = encode_ucs2(text)
        segments = len(_cut("ucs2", units))
        return TextShape(encoding="ucs2", segments=segments, units=len(units) // 2)
    on_air = analyse(text)
    encoding: Encoding = "ascii" if alphabet == "ascii" else "latin-1"
    return TextShape(encoding=encoding, segments=on_air.segments, units=on_air.units)


def segment(text: str, alphabet: str = "gsm7") -> tuple[str, ...]:
    """Return the text of each part, in order; joined they are the text.

    With "ucs2" for the alphabet they are those of a text that is in UCS-2 whatever it holds.
    """
    encoding, octets = _encode(text)
    if encoding == "gsm7" and (alphabet == "gsm7" or fits(text, alphabet)):
        return tuple(decode_gsm7(part) for part in _cut(encoding, octets))
    if encoding == "gsm7":
        octets = encode_ucs2(text)
    return tuple(part.decode("utf-16-be") for part in _cut("ucs2", octets))


def encode_segments(text: str, alphabet: str = "gsm7") -> tuple[bytes, ...]:
    """Return the octets of each part as SMPP carries them, user data headers not included."""
    if alphabet == "gsm7":
        return _cut(*_encode(text))
    if not fits(text, alphabet):
        return _cut("ucs2", encode_ucs2(text))
    return tuple(part.encode(alphabet) for part in segment(text, alphabet))


def encode_whole(text: str, alphabet: str = "gsm7") -> bytes:
    """Return the octets of a text that somebody else will cut."""
    if alphabet == "gsm7":
        return _encode(text)[1]
    return text.encode(alphabet) if fits(text, alphabet) else encode_ucs2(text)


def fits(text: str, alphabet: str) -> bool:
    """Tell whether a text goes out in an alphabet, whole; else it goes out as UCS-2."""
    both = _GSM7 if alphabet == "gsm7" else _BOTH.get(alphabet)
    return both is not None and both.fullmatch(text) is not None


def is_gsm7(text: str) -> bool:
    """Tell whether every character is in the GSM-7 alphabet or its extension."""
    return _GSM7.fullmatch(text) is not None


def encode_gsm7(text: str) -> bytes:
    """Encode as GSM-7, one septet an octet, unpacked as SMPP carries it.

    Raises UnencodableText if a character isn't in the alphabet.
    """
    try:
        return codecs.charmap_encode(text, "strict", _FULL)[0]
    except UnicodeEncodeError as error:
        raise UnencodableText(f"character {error.start + 1} isn't in GSM-7") from None


def decode_gsm7(octets: bytes) -> str:
    """Decode unpacked GSM-7, whatever the octets.

    As TS 23.038 asks, an unknown escape shows the plain character and a lone escape a
    space; an octet above 0x7F becomes U+FFFD.
    """
    if _ESCAPE not in octets:
        return codecs.charmap_decode(octets, "replace", _ALPHABET)[0]
    first, *escaped = octets.split(bytes([_ESCAPE]))
    parts = [codecs.charmap_decode(first, "replace", _ALPHABET)[0]]
    for run in escaped:
        extended = _EXTENSION.get(run[0]) if run else " "
        rest = run if extended is None else run[1:]
        parts.append(extended or "")
        parts.append(codecs.charmap_decode(rest, "replace", _ALPHABET)[0])
    return "".join(parts)


def encode_ucs2(text: str) -> bytes:
    """Encode as UTF-16BE, or raise UnencodableText for half of a surrogate pair."""
    try:
        return text.encode("utf-16-be")
    except UnicodeEncodeError as error:
        raise UnencodableText(
            f"character {error.start + 1} is half of a surrogate pair"
        ) from None


def _encode(text: str) -> tuple[Literal["gsm7", "ucs2"], bytes]:
    if text.isascii() and _ONE_SEPTET.fullmatch(text):
        return "gsm7", text.encode().translate(_FROM_ASCII)
    if _GSM7.fullmatch(text):
        return "gsm7", encode_gsm7(text)
    return "ucs2", encode_ucs2(text)


def _cut(encoding: Encoding, octets: bytes) -> tuple[bytes, ...]:
    if encoding == "gsm7":
        single, size = GSM7_SINGLE, GSM7_PART
    else:
        single, size = UCS2_SINGLE * 2, UCS2_PART * 2
    if len(octets) <= single:
        return (octets,)
    parts: list[bytes] = []
    start = 0
    while start < len(octets):
        end = start + size
        if end < len(octets):
            end -= _overhang(encoding, octets, end)
        parts.append(octets[start:end])
        start = end
    return tuple(parts)


def _overhang(encoding: Encoding, octets: bytes, end: int) -> int:
    """Return how many octets before `end` belong with what follows it."""
    if encoding == "gsm7":
        return 1 if octets[end - 1] == _ESCAPE else 0
    return 2 if 0xD8 <= octets[end - 2] <= 0xDB else 0  # a high surrogate


# Characters that change how a text looks without being seen: Unicode's Cc (except line
# feed), Cf, Cs, Zl and Zp, and the fillers and joiners that draw nothing. A joiner after a
# pictograph only builds an emoji, so it stays.
_UNSEEN: Final = re.compile(
    "[\\x00-\\x09\\x0b-\\x1f\\x7f-\\x9f\\xad\\u034f\\u0600-\\u0605\\u061c\\u06dd\\u070f"
    "\\u0890\\u0891\\u08e2\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f\\u200b\\u200c\\u200e"
    "\\u200f\\u2028-\\u202e\\u2060-\\u206f\\u3164\\ud800-\\udfff\\ufeff\\uffa0"
    "\\ufff0-\\ufffb\\U000110bd\\U000110cd\\U00013430-\\U0001343f\\U0001bca0-\\U0001bca3"
    "\\U0001d173-\\U0001d17a\\U000e0000-\\U000e0fff]"
    "|(?<![\\u2190-\\u2bff\\ufe0f\\U0001f000-\\U0001faff])\\u200d"
)


def visible(text: str) -> str:
    """Show bidirectional, zero-width and control characters as `⟨U+202E⟩`."""
    return _UNSEEN.sub(_named, text)


def _named(match: re.Match[str]) -> str:
    return f"⟨U+{ord(match[0]):04X}⟩"
