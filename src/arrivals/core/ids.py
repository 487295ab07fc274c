"""Name orders, messages, hand-offs and API keys.

An order id carries its cell in the high bits and stays below 2**46, so that JavaScript
reads it exactly. A message's key is one 63-bit integer, its order id followed by its
index. The public id `BX-{order_id}-{16 hex}` shows that key through a keyed permutation
of 64 bits: it is opaque to look at and needs no column and no index, because decoding
gives back the key.

The permutation is *not* cryptographic. Multiplications and shifts hide nothing from a
determined analyst with many ids, and nothing may rest on an id being secret: every
look-up checks the account. A made-up id decodes to another order than the one it names
(except one in 2**47), so it is turned away before the database is asked.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import zlib
from dataclasses import dataclass
from typing import Final, Literal

CELL_BITS: Final = 8
ORDER_BITS: Final = 46  # below 2**53, what a double holds exactly, with 7 bits to spare
ORDER_NUMBER_BITS: Final = ORDER_BITS - CELL_BITS
INDEX_BITS: Final = 17
MESSAGES_MAX: Final = 1 << INDEX_BITS  # recipients in one order: 131,072
ORDER_ID_MAX: Final = (1 << ORDER_BITS) - 1
SECRET_BYTES_MIN: Final = 16

_INDEX_MASK: Final = MESSAGES_MAX - 1
_WORD: Final = (1 << 64) - 1


def order_id_of(cell: int, number: int) -> int:
    """Join a cell (0..255) and the order's number within it (below 2**38)."""
    if not 0 <= cell < 1 << CELL_BITS:
        raise ValueError("a cell is 0..255")
    if not 0 <= number < 1 << ORDER_NUMBER_BITS:
        raise ValueError("an order number is below 2**38")
    return cell << ORDER_NUMBER_BITS | number


def cell_of(order_id: int) -> int:
    """Return the cell that an order lives in."""
    return order_id >> ORDER_NUMBER_BITS


def message_key(order_id: int, n: int) -> int:
    """Return the key of the order's message `n` (from 0, below 131,072)."""
    if not 0 <= n < MESSAGES_MAX:
        raise ValueError("a message's index is 0..131071")
    return order_id << INDEX_BITS | n


def order_of(key: int) -> int:
    """Return the order id inside a message's key."""
    return key >> INDEX_BITS


def index_of(key: int) -> int:
    """Return the message's index within its order."""
    return key & _INDEX_MASK


_MESSAGE_ID: Final = re.compile(r"BX-([1-9][0-9]{0,13}|0)-([0-9a-f]{16})", re.ASCII)
_ID_LENGTH_MAX: Final = 34  # BX- + 14 digits + - + 16

# A batch is permuted in one big integer of 128-bit lanes: a 64-bit product never leaves
# its lane, so three multiplications serve every id of a chunk. Lane 0 is the highest.
_LANE_BITS: Final = 128
_LANES: Final = 256
_ONES: Final = sum(1 << _LANE_BITS * lane for lane in range(_LANES))
_COUNTS: Final = sum(n << _LANE_BITS * (_LANES - 1 - n) for n in range(_LANES))


class MessageIds:
    """Turn message keys into public ids and back, under one installation's secret."""

    __slots__ = ("_inverse", "_mask", "_multipliers")

    def __init__(self, secret: bytes) -> None:
        """Derive the permutation's constants from at least 16 secret bytes."""
        if len(secret) < SECRET_BYTES_MIN:
            raise ValueError(f"the secret needs at least {SECRET_BYTES_MIN} bytes")
        digest = hashlib.blake2b(secret, digest_size=32, person=b"arrivals-msg-id").digest()
        words = [int.from_bytes(digest[at : at + 8], "big") for at in range(0, 32, 8)]
        # Odd multipliers are the invertible ones modulo 2**64.
        self._multipliers = (words[0] | 1, words[1] | 1, words[2] | 1)
        self._inverse = tuple(pow(word, -1, 1 << 64) for word in self._multipliers)
        self._mask = words[3]

    def encode(self, key: int) -> str:
        """Return the public id of a message's key, `BX-{order_id}-{16 hex}`."""
        first, second, third = self._multipliers
        word = (key ^ self._mask) * first & _WORD
        word = (word ^ word >> 32) * second & _WORD
        word = (word ^ word >> 32) * third & _WORD
        return f"BX-{key >> INDEX_BITS}-{word ^ word >> 32:016x}"

    def encode_batch(self, order_id: int, count: int) -> list[str]:
        """Return the public ids of the order's messages 0 to `count` - 1, in order."""
        if count > MESSAGES_MAX:
            raise ValueError("an order has at most 131,072 messages")
        if count == 1:
            return [self.encode(order_id << INDEX_BITS)]
        ids: list[str] = []
        for start in range(0, count, _LANES):
            ids += self._encode_chunk(order_id, start, min(_LANES, count - start))
        return ids

    def _encode_chunk(self, order_id: int, start: int, count: int) -> list[str]:
        first, second, third = self._multipliers
        surplus = _LANE_BITS * (_LANES - count)
        ones = _ONES >> surplus
        words = ones * _WORD
        lanes = (ones * message_key(order_id, start) + (_COUNTS >> surplus)) ^ ones * self._mask
        lanes = lanes * first & words
        lanes = (lanes ^ lanes >> 32 & words) * second & words
        lanes = (lanes ^ lanes >> 32 & words) * third & words
        digits = (lanes ^ lanes >> 32 & words).to_bytes(count * _LANE_BITS // 8, "big").hex()
        prefix = f"BX-{order_id}-"
        return [prefix + digits[at : at + 16] for at in range(16, count * 32, 32)]

    def decode(self, text: str) -> int | None:
        """Return the key behind a public id, or None for one we never gave out."""
        match = _MESSAGE_ID.fullmatch(text) if len(text) <= _ID_LENGTH_MAX else None
        if match is None:
            return None
        first, second, third = self._inverse
        word = int(match[2], 16)
        word = (word ^ word >> 32) * third & _WORD
        word = (word ^ word >> 32) * second & _WORD
        key = (word ^ word >> 32) * first & _WORD ^ self._mask
        return key if key >> INDEX_BITS == int(match[1]) <= ORDER_ID_MAX else None


# 2**64 divided by the golden ratio (Knuth, TAOCP 3, 6.4): neighbours land far apart.
_GOLDEN_64: Final = 0x9E37_79B9_7F4A_7C15
_GOLDEN_16: Final = 0x9E37


def handoff_reference(key: int, attempt: int) -> int:
    """Return the 16-bit user_message_reference of an attempt, different for each attempt."""
    return ((key * _GOLDEN_64 & _WORD) >> 48) + attempt * _GOLDEN_16 & 0xFFFF


def token_hex(entropy: bytes) -> str:
    """Print given entropy as lowercase hex, for leases, traces and request ids."""
    return entropy.hex()


# API keys: arr_live_aa4f9k2b_<43 base62>_<6 base62 of CRC-32>.
Environment = Literal["live", "test"]
KEY_ENTROPY_BYTES: Final = 32
_BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_CELL_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"
_SECRET_LENGTH: Final = 43  # 62**43 > 2**256
_CHECKSUM_LENGTH: Final = 6  # 62**6 > 2**32
_KEY_ID_LENGTH: Final = 6
_API_KEY: Final = re.compile(
    r"arr_(live|test)_([a-z]{2})([0-9a-z]{6})_[0-9A-Za-z]{43}_([0-9A-Za-z]{6})", re.ASCII
)
_API_KEY_LENGTH: Final = 68


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKeyParts:
    """What a well-formed API key says about itself; whether it's ours is for the store."""

    env: Environment
    cell: str  # two letters, see cell_name
    key_id: str  # the cell and six characters; public, shown on pages and in logs


def cell_name(cell: int) -> str:
    """Return a cell's two letters as API keys carry them: 0 is `aa`."""
    if not 0 <= cell < 1 << CELL_BITS:
        raise ValueError("a cell is 0..255")
    return _CELL_LETTERS[cell // 26] + _CELL_LETTERS[cell % 26]


def key_suffix(entropy: bytes) -> str:
    """Make the six characters that tell one cell's API keys apart from 8 random bytes."""
    if len(entropy) < 8:
        raise ValueError("a key's id needs at least 8 bytes of entropy")
    number = int.from_bytes(entropy, "big")
    letters = _BASE62[:10] + _CELL_LETTERS
    return "".join(letters[number // 36**place % 36] for place in range(_KEY_ID_LENGTH))


def make_api_key(env: Environment, cell: str, id6: str, entropy32: bytes) -> str:
    """Make an API key that no one can guess and a typing mistake can't survive."""
    if len(entropy32) != KEY_ENTROPY_BYTES:
        raise ValueError(f"an API key needs {KEY_ENTROPY_BYTES} bytes of entropy")
    secret = _base62(int.from_bytes(entropy32, "big"), _SECRET_LENGTH)
    body = f"arr_{env}_{cell}{id6}_{secret}"
    key = f"{body}_{_checksum(body)}"
    if _API_KEY.fullmatch(key) is None:
        raise ValueError("a cell is two letters, a key's id six of 0-9 and a-z")
    return key


def parse_api_key(text: str) -> ApiKeyParts | None:
    """Read an API key, or return None if its form or its checksum is wrong."""
    match = _API_KEY.fullmatch(text) if len(text) == _API_KEY_LENGTH else None
    if match is None or _checksum(text[: -_CHECKSUM_LENGTH - 1]) != match[4]:
        return None
    env: Environment = "live" if match[1] == "live" else "test"
    return ApiKeyParts(env=env, cell=match[2], key_id=match[2] + match[3])


def hash_api_key(pepper: bytes, key: str) -> bytes:
    """Return the HMAC-SHA256 under which an API key is stored and looked up."""
    return hmac.digest(pepper, key.encode(), "sha256")


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECKSUM_LENGTH)


def _base62(number: int, length: int) -> str:
    return "".join(_BASE62[number // 62**place % 62] for place in reversed(range(length)))
