"""The code tables: every code leads to a reason, and is written as it's looked up."""

from __future__ import annotations

from dataclasses import fields

import pytest

from arrivals.core.dialect import Dialect
from arrivals.core.reason_codes import (
    CARRIER_WORLD_ERRORS,
    DIALECT_KEYS,
    RECEIPT_CODES,
    RECEIPT_WORDS,
    STATUSES,
    UNVERIFIED,
    VENDOR_STATUSES,
)
from arrivals.core.reasons import REASONS, RefusalKind, Retry, dialect_key


@pytest.mark.parametrize("namespace", sorted(RECEIPT_CODES))
def test_codes_lead_to_reasons_and_are_in_normal_form(namespace: str) -> None:
    for key, reason in RECEIPT_CODES[namespace].items():
        assert reason in REASONS, key
        code = key.rpartition("/")[2]
        assert code == code.upper().lstrip("0") != "", f"{key} would never be found"


def test_words_lead_to_reasons() -> None:
    assert set(RECEIPT_WORDS.values()) <= set(REASONS)


def test_statuses_lead_to_reasons_and_kinds() -> None:
    tables = [STATUSES, *VENDOR_STATUSES.values()]
    for name, reason, kind in (row for table in tables for row in table.values()):
        assert reason in REASONS, name
        assert RefusalKind(kind)
    names = [name for table in tables for name, _, _ in table.values()]
    assert len(set(names)) == len(names)


def test_only_throttling_is_the_providers_rate_limit() -> None:
    for name, reason, kind in STATUSES.values():
        assert (kind == "throttled") == (reason == "rate_limited_provider"), name


def test_what_blames_our_writing_goes_elsewhere_and_may_name_a_key() -> None:
    """A gateway that knows no TLVs, or no relative validity, says so of every message."""
    dialect = {status for status, row in STATUSES.items() if row[1] == "provider_dialect"}
    assert {0x01, 0x02, 0x15, 0x43, 0x48, 0x49, 0x50, 0x51, 0x53, 0x61, 0x62, 0x104} <= dialect
    assert set(range(0xC0, 0xC5)) <= dialect
    assert not {0x0A, 0x0B} & dialect
    assert REASONS["provider_dialect"].retry is Retry.OTHER
    assert not REASONS["provider_dialect"].filtered
    assert {dialect_key(each) for each in range(0xC0, 0xC5)} == {"optional_parameters"}
    assert (dialect_key(0x62), dialect_key(0x48)) == ("validity", "senders")
    assert (dialect_key(0x15), dialect_key(0x104)) == ("service_type", "alphabet")
    assert dialect_key(0x58) is None


def test_keys_are_those_of_a_dialect() -> None:
    names = {field.name for field in fields(Dialect)}
    assert set(DIALECT_KEYS.values()) <= names


def test_vendor_statuses_keep_to_their_range() -> None:
    """SMPP 5.0 gives 0x400 to 0x4FF to vendors."""
    assert all(0x400 <= s <= 0x4FF for table in VENDOR_STATUSES.values() for s in table)


def test_the_carrier_worlds_errors_are_three_digits_each_its_own() -> None:
    errors = list(CARRIER_WORLD_ERRORS.values())
    assert len(set(errors)) == len(errors)
    assert all(len(error) == 3 and error.isdigit() for error in errors)


def test_what_is_unverified_is_in_a_table() -> None:
    for namespace, codes in UNVERIFIED.items():
        assert codes <= set(RECEIPT_CODES[namespace])
