"""Tell which texts are one template, without keeping any text.

What differs between two messages of a template is masked (digits and codes, links, addresses,
names), and what is left is hashed with the installation's key. A plain hash rather than a
SimHash: one changed character can be why a text is stopped, so near isn't the same; and a
hash whose nearness shows would let a stranger guess at texts.

Names are guessed: a word after a greeting, and a capital in the middle of a sentence. Scripts
without capitals show none, so there a template with names falls into many.
"""

from __future__ import annotations

import re
import unicodedata
from hashlib import blake2b
from typing import Final

KEY_OCTETS_MIN: Final = 16
KEY_OCTETS_MAX: Final = 64  # BLAKE2b's
_DIGEST_OCTETS: Final = 8

_GREETINGS: Final = frozenset({
    "bonjour", "ciao", "dear", "hallo", "hej", "hello", "hey", "hi", "hola", "liebe", "lieber",
    "mr", "mrs", "ms", "oi", "ola", "olá", "salut", "sr", "sra",
})  # fmt: skip
_SENTENCE_ENDS: Final = (".", "!", "?", ":")
_ALPHANUMERIC: Final = re.compile(r"[^\W_]+")
_NUMBERS: Final = re.compile(r"#(?:[.,:/+-]*#)+")
# A link with its scheme, or a host with a path: "acme.com" alone is the same in each message.
_LINK: Final = re.compile(
    r"(?:https?://(?P<host>[\w.-]++)|(?P<bare>(?:[\w-]++\.)++[^\W\d_]{2,}+)/).*", re.IGNORECASE
)
_OPENING: Final = "(<[{\"'“‘«"
_HOST_CHARS_MAX: Final = 253  # RFC 1035


def template(text: str, key: bytes) -> str:
    """Return the keyed hash of what a text has in common with others of its template.

    Raises ValueError for a key that is too short to be one.
    """
    if not KEY_OCTETS_MIN <= len(key) <= KEY_OCTETS_MAX:
        raise ValueError(f"the key has {KEY_OCTETS_MIN} to {KEY_OCTETS_MAX} octets")
    octets = masked(text).encode("utf-8", "surrogatepass")
    return blake2b(octets, digest_size=_DIGEST_OCTETS, key=key).hexdigest()


def link_host(text: str) -> str | None:
    """Return the host of a text's first link, in lower case and without www."""
    for word in text.split():
        match = _LINK.match(word.lstrip(_OPENING))
        if match is not None:
            host = (match["host"] or match["bare"]).lower().rstrip(".")
            return host.removeprefix("www.")[:_HOST_CHARS_MAX]
    return None


def masked(text: str) -> str:
    """Return a text with what differs by message masked: # codes, @ names, link and mail."""
    words: list[str] = []
    starts, greeted = True, False
    for word in unicodedata.normalize("NFC", text).split():
        mask = _mask(word, starts=starts, greeted=greeted)
        # A name of three words is one name.
        if mask != "@" or words[-1:] != ["@"]:
            words.append(mask)
        greeted = word.strip(",.!").casefold() in _GREETINGS
        starts = word.endswith(_SENTENCE_ENDS) and not greeted
    return " ".join(words)


def _mask(word: str, *, starts: bool, greeted: bool) -> str:
    bare = word.lstrip(_OPENING)
    if _LINK.match(bare):
        return "link"
    if "@" in bare:
        return "mail"
    if any(char.isdigit() for char in bare):
        return _NUMBERS.sub("#", _ALPHANUMERIC.sub(_code, bare)).casefold()
    # "Anna, your code": a capital at the start is a name when it is called.
    named = bare[:1].isupper() and (not starts or bare.endswith(","))
    return "@" if named or (greeted and bare[:1].isalpha()) else word.casefold()


def _code(found: re.Match[str]) -> str:
    return "#" if any(char.isdigit() for char in found[0]) else found[0]
