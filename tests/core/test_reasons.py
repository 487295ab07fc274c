"""Reasons: the taxonomy holds together, and no code is ever guessed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrivals.core.reason_codes import UNWRITABLE
from arrivals.core.reasons import (
    REASONS,
    UNCLASSIFIED,
    Permanence,
    RefusalKind,
    Retry,
    carrier_world_error,
    is_verified,
    reason_for_receipt,
    reason_for_status,
    status_name,
)

NAMESPACES = st.sampled_from(["gsm_map", "carrier_world", "sinch", "generic", ""]) | st.text()


def test_reasons_say_what_to_do() -> None:
    assert len(REASONS) == 32
    for code, reason in REASONS.items():
        assert reason.code == code
        assert reason.title
        assert not reason.title.endswith(".")
        assert reason.fix.endswith(".")


def test_what_is_permanent_is_never_retried_on_the_same_route() -> None:
    for reason in REASONS.values():
        if reason.permanence is Permanence.PERMANENT:
            assert reason.retry is not Retry.SAME, reason.code


def test_filtering_is_marked() -> None:
    filtered = {code for code, reason in REASONS.items() if reason.filtered}
    assert filtered == {"content_filtered", "silently_filtered"}


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        (0x58, "rate_limited_provider", RefusalKind.THROTTLED),
        (0x14, "rate_limited_provider", RefusalKind.THROTTLED),
        (0x0B, "invalid_number", RefusalKind.PERMANENT),
        (0x0A, "sender_id_rejected", RefusalKind.PERMANENT),
        (0x08, "provider_error", RefusalKind.RETRYABLE),
        (0x45, "provider_error", RefusalKind.RETRYABLE),
        (0x0E, "provider_auth_or_account", RefusalKind.RETRYABLE),
        (0x01, "provider_dialect", RefusalKind.PERMANENT),
        (0xC4, "provider_dialect", RefusalKind.PERMANENT),
        (0x104, "provider_dialect", RefusalKind.PERMANENT),
        (0x62, "provider_dialect", RefusalKind.PERMANENT),
        (0x48, "provider_dialect", RefusalKind.PERMANENT),
        (0x53, "provider_dialect", RefusalKind.PERMANENT),
        (UNWRITABLE, "message_malformed", RefusalKind.PERMANENT),
    ],
)
def test_statuses_of_the_specification(status: int, reason: str, kind: RefusalKind) -> None:
    assert reason_for_status(status) == (REASONS[reason], kind)


def test_a_vendors_status_means_something_only_in_its_namespace() -> None:
    spam = reason_for_status(0x400, "carrier_world")
    assert spam.reason.code == "content_filtered"
    assert spam.reason.filtered
    assert spam.kind is RefusalKind.PERMANENT
    assert reason_for_status(0x400).reason is UNCLASSIFIED
    assert reason_for_status(0x58, "carrier_world") == reason_for_status(0x58)


@given(st.integers(0x107, 0xFFFF_FFFF), NAMESPACES.filter(lambda name: name != "carrier_world"))
def test_an_unknown_status_is_unclassified_and_tried_again(status: int, namespace: str) -> None:
    assert reason_for_status(status, namespace) == (UNCLASSIFIED, RefusalKind.RETRYABLE)


@pytest.mark.parametrize(
    ("stat", "err", "namespace", "reason"),
    [
        ("UNDELIV", "001", "carrier_world", "absent_subscriber"),
        ("UNDELIV", "002", "carrier_world", "unknown_subscriber"),
        ("UNDELIV", "003", "carrier_world", "handset_memory_full"),
        ("UNDELIV", "004", "carrier_world", "subscriber_barred"),
        ("REJECTD", "010", "carrier_world", "content_filtered"),
        ("REJECTD", "011", "carrier_world", "sender_id_rejected"),
        ("UNDELIV", "020", "carrier_world", "carrier_error"),
        ("EXPIRED", "030", "carrier_world", "expired_upstream"),
        # The same number means something else to someone else, and nothing to the rest.
        ("UNDELIV", "001", "gsm_map", "unknown_subscriber"),
        ("UNDELIV", "001", "generic", "unclassified"),
        ("EXPIRED", "27", "gsm_map", "absent_subscriber"),
        # The word counts where a table says so.
        ("UNDELIV", "11", "gsm_map", "landline_or_not_sms_capable"),
        ("REJECTD", "011", "gsm_map", "invalid_number"),
        ("rejectd", " 15 ", "sinch", "content_filtered"),
        ("UNDELIV", "ec_absent_subscriber", "infobip", "absent_subscriber"),
        ("UNDELIV", "30410", "twilio", "provider_timeout_unknown"),
        # Words alone.
        ("EXPIRED", "000", "generic", "expired_upstream"),
        ("DELETED", "", "generic", "cancelled"),
        ("BLIST", "000", "generic", "opted_out"),
        ("NOROUTE", "000", "generic", "no_route"),
        ("UNDELIV", "000", "gsm_map", "unclassified"),
        ("REJECTD", "", "gsm_map", "unclassified"),
        ("UNKNOWN", "999", "gsm_map", "unclassified"),
        ("DELIVRD", "000", "gsm_map", "unclassified"),
        ("", "", "", "unclassified"),
    ],
)
def test_receipts(stat: str, err: str, namespace: str, reason: str) -> None:
    assert reason_for_receipt(stat, err, namespace).code == reason


def test_a_providers_own_word_says_more_than_what_it_amounts_to() -> None:
    assert reason_for_receipt("REJECTD", "000", "gsm_map", "blist").code == "opted_out"
    assert reason_for_receipt("REJECTD", "", "", "NOROUTE").code == "no_route"
    assert reason_for_receipt("EXPIRED", "", "", "EXPIRD").code == "expired_upstream"
    # A code that its provider has a meaning for still counts before any word.
    assert reason_for_receipt("REJECTD", "11", "gsm_map", "NOROUTE").code == "invalid_number"


@given(st.text(max_size=12), st.text(max_size=12), NAMESPACES)
def test_any_receipt_has_a_reason(stat: str, err: str, namespace: str) -> None:
    assert reason_for_receipt(stat, err, namespace) in REASONS.values()


@pytest.mark.parametrize(
    ("err", "namespace", "verified"),
    [
        ("30003", "twilio", True),
        ("30005", "twilio", False),
        ("001", "carrier_world", True),
        ("999", "carrier_world", False),
        ("001", "nobody", False),
    ],
)
def test_second_hand_codes_are_marked(err: str, namespace: str, verified: bool) -> None:
    assert is_verified(err, namespace) is verified


@pytest.mark.parametrize("word", ["EXPIRED", "UNKNOWN"])
@pytest.mark.parametrize("err", ["", "000", "no such code"])
def test_a_timeout_word_is_never_a_certain_failure(word: str, err: str) -> None:
    assert reason_for_receipt(word, err, "gsm_map").permanence is Permanence.AMBIGUOUS


def test_the_carrier_world_prints_what_it_reads() -> None:
    printable = [code for code in REASONS if carrier_world_error(code) is not None]
    assert len(printable) == 11
    for code in printable:
        error = carrier_world_error(code)
        assert error is not None
        assert reason_for_receipt("UNDELIV", error, "carrier_world").code == code
    assert carrier_world_error("cancelled") is None


@pytest.mark.parametrize(("status", "name"), [(0x58, "ESME_RTHROTTLED"), (0x4FF, "0x000004FF")])
def test_statuses_have_names(status: int, name: str) -> None:
    assert status_name(status) == name
