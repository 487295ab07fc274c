"""How far a receipt vouches for a message: by its word, provider, country and sender."""

from __future__ import annotations

import pytest

from arrivals.core.depth import (
    DEPTHS,
    LIMITS,
    RECEIPT_DEPTHS,
    SenderClass,
    deepest,
    depth_of_word,
    limit_of,
    sender_class,
    shallowest,
)
from arrivals.core.phone import countries
from arrivals.smpp.constants import MESSAGE_STATES


@pytest.mark.parametrize(
    ("word", "by_depth"),
    [
        ("DELIVRD", ("submitted", "carrier", "handset")),
        ("ACCEPTD", ("submitted", "carrier", "carrier")),
        ("UNDELIV", ("submitted", "carrier", "carrier")),
        ("EXPIRED", ("submitted", "carrier", "carrier")),
        ("ENROUTE", ("submitted", "submitted", "submitted")),
        ("UNKNOWN", ("submitted", "submitted", "submitted")),
        ("UNRECOGNISED", ("submitted", "submitted", "submitted")),
    ],
)
def test_a_word_vouches_for_no_more_than_it_can(
    word: str, by_depth: tuple[str, str, str]
) -> None:
    assert tuple(depth_of_word(word, depth) for depth in RECEIPT_DEPTHS) == by_depth


@pytest.mark.parametrize("word", sorted(MESSAGE_STATES))
def test_no_word_is_deeper_than_its_provider(word: str) -> None:
    for depth in RECEIPT_DEPTHS:
        assert shallowest((depth_of_word(word, depth), depth)) == depth_of_word(word, depth)


def test_what_a_provider_says_itself_is_the_providers_word() -> None:
    assert depth_of_word("ACCEPTD", "handset", acceptd_is_own=True) == "submitted"
    assert depth_of_word("DELIVRD", "handset", acceptd_is_own=True) == "handset"
    assert depth_of_word("DELIVRD", "handset", intermediate=True) == "submitted"


@pytest.mark.parametrize(
    ("sender", "kind"),
    [
        ("ARRIVALS", SenderClass.ALPHANUMERIC),
        ("٣٣", SenderClass.ALPHANUMERIC),
        ("", SenderClass.ALPHANUMERIC),
        ("12345", SenderClass.SHORT_CODE),
        ("+18335550188", SenderClass.TOLL_FREE),
        ("8005550188", SenderClass.TOLL_FREE),
        ("12025550188", SenderClass.LONG_CODE),
        ("31612345678", SenderClass.LONG_CODE),
        ("318005550188", SenderClass.LONG_CODE),
    ],
)
def test_what_kind_of_sender_it_is(sender: str, kind: SenderClass) -> None:
    assert sender_class(sender) is kind


def depth_in(country: str, sender: str) -> str | None:
    limit = limit_of(country, sender)
    return limit.depth if limit else None


def test_in_some_countries_receipts_mean_less() -> None:
    assert depth_in("US", "12025550188") == depth_in("CA", "12025550188") == "carrier"
    assert depth_in("US", "18335550188") is depth_in("US", "12345") is None
    assert depth_in("PH", "ARRIVALS") == depth_in("PH", "12345") == "submitted"
    assert depth_in("NL", "12025550188") is None


@pytest.mark.parametrize("limit", LIMITS)
def test_every_limit_has_a_source_and_a_country_that_is_one(limit) -> None:
    assert limit.depth in RECEIPT_DEPTHS[:-1]
    assert limit.countries <= {each.iso2 for each in countries()}
    assert limit.source
    assert limit.as_of[:4].isdigit()
    assert not limit.why.endswith(".")


def test_depths_have_an_order() -> None:
    assert deepest(("carrier", "submitted")) == "carrier"
    assert deepest(()) == "none"
    assert shallowest(DEPTHS) == "none"
