"""Ids: reversible, checked, and hard to hit by guessing."""

from __future__ import annotations

import hashlib
import hmac
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrivals.core.ids import (
    INDEX_BITS,
    MESSAGES_MAX,
    ORDER_ID_MAX,
    ApiKeyParts,
    MessageIds,
    cell_name,
    cell_of,
    handoff_reference,
    hash_api_key,
    index_of,
    key_suffix,
    make_api_key,
    message_key,
    order_id_of,
    order_of,
    parse_api_key,
    token_hex,
)

IDS = MessageIds(b"a secret of sixteen bytes or more")
ORDERS = st.integers(0, ORDER_ID_MAX)
INDEXES = st.integers(0, MESSAGES_MAX - 1)
ENTROPY = bytes(range(32))


@given(ORDERS, INDEXES)
def test_a_key_holds_its_order_and_index(order_id: int, n: int) -> None:
    key = message_key(order_id, n)
    assert (order_of(key), index_of(key)) == (order_id, n)
    assert 0 <= key < 1 << 63, "it must fit a signed bigint"


@pytest.mark.parametrize("n", [-1, MESSAGES_MAX])
def test_an_index_never_spills_into_the_order_id(n: int) -> None:
    with pytest.raises(ValueError, match="index is"):
        message_key(1, n)


@given(st.integers(0, 255), st.integers(0, (1 << 38) - 1))
def test_an_order_id_carries_its_cell_and_stays_exact_in_javascript(cell: int, n: int) -> None:
    order_id = order_id_of(cell, n)
    assert cell_of(order_id) == cell
    assert order_id == int(float(order_id)) <= ORDER_ID_MAX


@pytest.mark.parametrize(("cell", "number"), [(-1, 0), (256, 0), (0, -1), (0, 1 << 38)])
def test_what_does_not_fit_an_order_id_is_refused(cell: int, number: int) -> None:
    with pytest.raises(ValueError, match=r"a cell is|an order number is"):
        order_id_of(cell, number)


@given(ORDERS, INDEXES)
def test_public_ids_lead_back_to_their_key(order_id: int, n: int) -> None:
    key = message_key(order_id, n)
    text = IDS.encode(key)
    assert re.fullmatch(rf"BX-{order_id}-[0-9a-f]{{16}}", text)
    assert IDS.decode(text) == key


@given(ORDERS, st.sampled_from([0, 1, 2, 3, 255, 256, 257, 700]))
def test_a_batch_is_each_id_by_itself(order_id: int, count: int) -> None:
    expected = [IDS.encode(message_key(order_id, n)) for n in range(count)]
    assert IDS.encode_batch(order_id, count) == expected


def test_the_largest_order_has_as_many_ids_as_messages() -> None:
    ids = IDS.encode_batch(ORDER_ID_MAX, MESSAGES_MAX)
    assert len(set(ids)) == MESSAGES_MAX
    with pytest.raises(ValueError, match="at most 131,072"):
        IDS.encode_batch(1, MESSAGES_MAX + 1)
    assert IDS.decode(ids[-1]) == message_key(ORDER_ID_MAX, MESSAGES_MAX - 1)


@given(ORDERS, st.integers(0, (1 << 64) - 1))
def test_made_up_ids_decode_to_nothing(order_id: int, word: int) -> None:
    """A random suffix names another order: one in 2**47 would not."""
    assert IDS.decode(f"BX-{order_id}-{word:016x}") is None


@given(ORDERS, INDEXES, st.integers(0, 15))
def test_one_wrong_digit_decodes_to_nothing(order_id: int, n: int, place: int) -> None:
    text = IDS.encode(message_key(order_id, n))
    at = len(text) - 16 + place
    wrong = text[:at] + ("0" if text[at] != "0" else "1") + text[at + 1 :]
    assert IDS.decode(wrong) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "BX-",
        "BX-22953-",
        "BXMSG_8d3ca2210f",
        "BX-022953-c5f4f53431ed22c2",
        "BX-22953-C5F4F53431ED22C2",
        "BX-22953-c5f4f53431ed22c2\n",
        "BX-٢-c5f4f53431ed22c2",
        "BX-99999999999999999999-c5f4f53431ed22c2",
        "BX-22953-" + "c" * 4000,
    ],
)
def test_malformed_ids_decode_to_nothing(text: str) -> None:
    assert IDS.decode(text) is None


def test_an_order_beyond_the_last_decodes_to_nothing() -> None:
    text = IDS.encode(message_key(ORDER_ID_MAX + 1, 0))
    assert IDS.decode(text) is None


@given(st.text(max_size=40))
def test_any_text_decodes_or_not(text: str) -> None:
    key = IDS.decode(text)
    assert key is None or IDS.encode(key) == text


def test_another_secret_gives_other_ids() -> None:
    key = message_key(22953, 0)
    other = MessageIds(b"another secret, also long enough")
    assert other.encode(key) != IDS.encode(key)
    assert other.decode(IDS.encode(key)) is None


def test_neighbours_look_unrelated() -> None:
    """Each flipped bit of a key flips about half of the 64, never few."""
    base = message_key(22953, 40)
    flips = [
        (
            int(IDS.encode(base)[-16:], 16) ^ int(IDS.encode(base ^ 1 << bit)[-16:], 16)
        ).bit_count()
        for bit in range(INDEX_BITS + 20)
    ]
    assert min(flips) >= 10
    assert 28 <= sum(flips) / len(flips) <= 36


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 16 bytes"):
        MessageIds(b"fifteen bytes !")


def test_hand_off_references_are_16_bits_and_differ_by_attempt() -> None:
    keys = [message_key(22953, n) for n in range(2000)]
    references = {handoff_reference(key, 1) for key in keys}
    assert all(0 <= reference <= 0xFFFF for reference in references)
    assert len(references) > 1950, "neighbours must not collide"
    attempts = {handoff_reference(keys[0], attempt) for attempt in range(1, 1001)}
    assert len(attempts) == 1000


def test_tokens_print_the_entropy_they_are_given() -> None:
    assert token_hex(bytes([0, 171, 255])) == "00abff"


@pytest.mark.parametrize(("cell", "name"), [(0, "aa"), (25, "az"), (26, "ba"), (255, "jv")])
def test_cells_have_two_letters(cell: int, name: str) -> None:
    assert cell_name(cell) == name


@pytest.mark.parametrize("cell", [-1, 256])
def test_there_are_256_cells(cell: int) -> None:
    with pytest.raises(ValueError, match=r"0\.\.255"):
        cell_name(cell)


@given(st.binary(min_size=32, max_size=32), st.sampled_from(["live", "test"]))
def test_api_keys_read_back(entropy: bytes, env: str) -> None:
    key = make_api_key("live" if env == "live" else "test", "aa", "4f9k2b", entropy)
    assert re.fullmatch(rf"arr_{env}_aa4f9k2b_[0-9A-Za-z]{{43}}_[0-9A-Za-z]{{6}}", key)
    parts = parse_api_key(key)
    assert parts is not None
    assert (parts.env, parts.cell, parts.key_id) == (env, "aa", "aa4f9k2b")


def test_different_entropy_makes_different_keys() -> None:
    last = ENTROPY[:-1] + b"\x00"
    assert make_api_key("live", "aa", "4f9k2b", ENTROPY) != make_api_key(
        "live", "aa", "4f9k2b", last
    )


@given(st.integers(0, 67), st.characters(codec="ascii"))
def test_one_wrong_character_spoils_an_api_key(place: int, char: str) -> None:
    """CRC-32 finds every error of a single character."""
    key = make_api_key("test", "aa", "4f9k2b", ENTROPY)
    wrong = key[:place] + char + key[place + 1 :]
    assert (parse_api_key(wrong) is None) == (wrong != key)


@pytest.mark.parametrize(
    "text",
    ["", "arr_live_", "sk_live_abc", "arr_prod_aa4f9k2b_" + "0" * 50, "é" * 68, "a" * 9999],
)
def test_junk_is_no_api_key(text: str) -> None:
    assert parse_api_key(text) is None


@pytest.mark.parametrize(("cell", "id6"), [("a", "4f9k2b"), ("AA", "4f9k2b"), ("aa", "4f9k2!")])
def test_a_key_of_the_wrong_form_is_never_made(cell: str, id6: str) -> None:
    with pytest.raises(ValueError, match="two letters"):
        make_api_key("live", cell, id6, ENTROPY)


def test_a_key_needs_all_its_entropy() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        make_api_key("live", "aa", "4f9k2b", ENTROPY[:16])


@given(st.binary(min_size=8, max_size=16))
def test_key_suffixes_fit_an_api_key(entropy: bytes) -> None:
    parts = parse_api_key(make_api_key("live", "aa", key_suffix(entropy), ENTROPY))
    assert parts == ApiKeyParts(env="live", cell="aa", key_id="aa" + key_suffix(entropy))


def test_key_suffixes_need_entropy() -> None:
    with pytest.raises(ValueError, match="8 bytes"):
        key_suffix(b"1234567")


def test_api_keys_are_stored_as_an_hmac() -> None:
    key = make_api_key("live", "aa", "4f9k2b", ENTROPY)
    expected = hmac.new(b"pepper", key.encode(), hashlib.sha256).digest()
    assert hash_api_key(b"pepper", key) == expected
