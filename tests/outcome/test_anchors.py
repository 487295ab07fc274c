"""Anchors: how true words are, against peers, with no account over its share."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrivals.outcome.anchors import (
    ANCHORED,
    ASSUMED,
    NEGATIVE_QUALITY,
    NO_ANCHOR,
    PEERS_QUALITY,
    PROBES,
    REVIEW_US,
    Book,
    Said,
    Source,
)
from arrivals.outcome.anchors import _fair_share as fair_share
from arrivals.outcome.curves import TYPICAL, curve_of
from arrivals.outcome.hierarchy import Path
from arrivals.outcome.trust import p_delivered

NOW_US = 1_764_590_000_000_000
DAY_US = 86_400_000_000


def path(provider: str, carrier: str = "alpha", content: str = "t") -> Path:
    return ("KE alphanumeric", carrier, provider, content)


def source(account: str = "a", template_class: str = "otp") -> Source:
    return Source(account, template_class, "KE")


def tell(
    book: Book,
    where: Path,
    trials: int,
    hits: int,
    *,
    who: Source | None = None,
    said: Said = Said.POSITIVE,
    at_us: int = NOW_US,
) -> None:
    book.told(where, who or source(), said, at_us, trials)
    book.anchored(where, who or source(), said, at_us, hits)


def honest(book: Book, *providers: str, carrier: str = "alpha", **options) -> None:
    for provider in providers:
        tell(book, path(provider, carrier), 1_000, 700, **options)


def test_without_anchors_there_are_bounds_and_no_number() -> None:
    """Nobody can be compared, so nothing is claimed, and it says so."""
    trust = Book().trust(path("north"), NOW_US)
    assert trust.positive.p is None
    assert (trust.positive.low, trust.positive.high) == (0.0, 1.0)
    assert trust.positive.why == trust.silent.why == NO_ANCHOR
    assert trust.negative.p == pytest.approx(NEGATIVE_QUALITY)
    assert trust.negative.why == ASSUMED
    chance = p_delivered(TYPICAL, 60.0, trust)
    assert chance.p is None
    assert chance.low < 0.1
    assert chance.high > 0.9


def test_a_route_without_peers_has_a_floor() -> None:
    """At least as many arrived as were anchored, less their noise."""
    book = Book()
    honest(book, "north")
    quality = book.trust(path("north"), NOW_US).positive
    assert quality.p is None
    assert quality.low == pytest.approx(0.7 - 2.33 * 700**0.5 / 1_000, abs=0.001)
    assert quality.high == 1.0
    assert book.against_peers(path("north")[:3], NOW_US) is None


def test_honest_routes_are_as_good_as_their_peers() -> None:
    """Of two that convert alike, both are as true as peers are."""
    book = Book()
    honest(book, "north", "south")
    quality = book.trust(path("north"), NOW_US).positive
    assert quality.p == pytest.approx(PEERS_QUALITY, abs=0.001)
    assert quality.why == ANCHORED
    assert quality.level == 4
    assert quality.low < PEERS_QUALITY <= quality.high


def test_a_liar_is_found_and_leaves_the_peers_clean() -> None:
    """Who invents six receipts in ten is seen, and doesn't make the honest look better."""
    book = Book()
    honest(book, "north", "south", "west")
    tell(book, path("cheap"), 5_000, 1_400)  # 0.28 of 0.7: four in ten arrived
    trust = book.trust(path("cheap"), NOW_US)
    assert trust.positive.p == pytest.approx(0.4 * PEERS_QUALITY, abs=0.02)
    found = book.against_peers(path("cheap")[:3], NOW_US)
    assert found is not None
    assert found.rr == pytest.approx(0.4, abs=0.01)
    assert book.trust(path("north"), NOW_US).positive.p == pytest.approx(0.99, abs=0.005)
    # And whoever is new on that carrier isn't thought to be like him.
    new = book.trust(path("new"), NOW_US).positive
    assert new.level == 2
    assert new.p == pytest.approx(0.99, abs=0.005)


def test_accounts_that_differ_make_no_liar() -> None:
    """A route that carries the accounts who convert less isn't the worse for it."""
    book = Book()
    for provider, shares in {"north": (900, 100), "south": (100, 900)}.items():
        for (account, kappa), trials in zip({"a": 0.9, "b": 0.2}.items(), shares, strict=True):
            tell(book, path(provider), trials, int(trials * kappa), who=source(account))
    for provider in ("north", "south"):
        assert book.trust(path(provider), NOW_US).positive.p == pytest.approx(0.99, abs=0.02)


def test_what_silence_means_is_learnt_by_route() -> None:
    """Where receipts are lost silence is delivery, and where messages are dropped it isn't."""
    book = Book()
    honest(book, "north", "south", "deaf", "drop")
    tell(book, path("deaf"), 500, 340, said=Said.SILENT)
    tell(book, path("drop"), 500, 20, said=Said.SILENT)
    tell(book, path("north"), 100, 65, said=Said.SILENT)
    tell(book, path("south"), 100, 63, said=Said.SILENT)
    deaf, drop = (book.trust(path(each), NOW_US) for each in ("deaf", "drop"))
    assert deaf.silent.p == pytest.approx(0.96, abs=0.03)
    assert drop.silent.p == pytest.approx(0.06, abs=0.04)
    assert book.trust(path("new"), NOW_US).silent.p == pytest.approx(0.93, abs=0.04)
    after_s = 86_400.0
    low, high = p_delivered(TYPICAL, after_s, drop), p_delivered(TYPICAL, after_s, deaf)
    assert low.p is not None
    assert high.p is not None
    assert low.p < 0.4 < 0.9 < high.p
    assert low.low <= low.p <= low.high


def test_where_no_receipts_come_their_truth_is_no_matter() -> None:
    """A carrier without receipts has a probability from anchors of its silences alone."""
    book = Book()
    honest(book, "north", "south")
    tell(book, path("north", "mute"), 500, 340, said=Said.SILENT)
    trust = book.trust(path("north", "mute"), NOW_US)
    assert trust.positive.p is None
    never = curve_of([0.0] * 36, [0.0] * 36)
    chance = p_delivered(never, 60.0, trust)
    assert chance.p == pytest.approx(0.95, abs=0.04)
    assert p_delivered(TYPICAL, 0.0, trust).p is None


def test_negative_receipts_may_be_wrong_too() -> None:
    """Where many who got a negative receipt convert, that is learnt."""
    book = Book()
    honest(book, "north", "south")
    tell(book, path("north"), 500, 175, said=Said.NEGATIVE)
    quality = book.trust(path("north"), NOW_US).negative
    assert quality.p == pytest.approx(0.5, abs=0.05)
    assert quality.why == ANCHORED


def test_probes_count_where_customers_dont() -> None:
    """A probe needs no peers: what arrives is seen. Customers' word goes before it."""
    book = Book()
    probes = source(PROBES)
    tell(book, path("north"), 40, 10, who=probes)
    found = book.trust(path("north"), NOW_US).positive
    assert found.p is not None
    assert found.observed == pytest.approx(10)
    assert found.p < 0.9
    # A route that knows the probes' numbers lets them through; customers say otherwise.
    book = Book()
    honest(book, "south", "west")
    tell(book, path("north"), 1_000, 200)
    tell(book, path("north"), 500, 500, who=probes)
    told = book.trust(path("north"), NOW_US).positive
    assert told.p == pytest.approx(0.29, abs=0.04)


def test_no_account_has_more_than_its_share() -> None:
    """One of four accounts that games a cell counts for 30 % of it, not for its size."""
    book = Book()
    accounts = [source(name) for name in "abcd"]
    for who in accounts:
        honest(book, "south", "west", who=who)
    for who in accounts[1:]:
        tell(book, path("north"), 200, 140, who=who)
    tell(book, path("north"), 100_000, 0, who=accounts[0])
    quality = book.trust(path("north"), NOW_US).positive
    assert quality.p == pytest.approx(0.7 * PEERS_QUALITY, abs=0.06)


@given(st.lists(st.floats(0.001, 1e6), max_size=12))
def test_fair_shares(expected: list[float]) -> None:
    """After the cut nobody has over 30 %, or over an equal part among few."""
    most = fair_share(expected)
    parts = [min(each, most) for each in expected]
    limit = max(0.3, 1 / max(len(parts), 1))
    assert all(part <= limit * sum(parts) * (1 + 1e-9) for part in parts)
    if expected and max(expected) <= limit * sum(expected):
        assert parts == expected


def test_equal_parts_among_three() -> None:
    """Of three accounts each counts as the smallest."""
    assert fair_share([1.0, 10.0, 100.0]) == pytest.approx(1.0)


def test_anchors_fade() -> None:
    """What was true last month counts little against this week."""
    book = Book()
    honest(book, "north", "south", at_us=NOW_US - 60 * DAY_US)
    tell(book, path("cheap"), 1_000, 700, at_us=NOW_US - 60 * DAY_US)
    honest(book, "north", "south")
    tell(book, path("cheap"), 1_000, 200)
    assert book.trust(path("cheap"), NOW_US).positive.p == pytest.approx(0.29, abs=0.03)


def test_a_review_is_good_for_a_minute() -> None:
    """What is told in between counts from the next review on."""
    book = Book()
    honest(book, "north", "south")
    first = book.trust(path("north"), NOW_US)
    tell(book, path("north"), 1_000, 0)
    assert book.trust(path("north"), NOW_US + REVIEW_US - 1) is first
    again = book.trust(path("north"), NOW_US + REVIEW_US)
    assert again.positive.p is not None
    assert first.positive.p is not None
    assert again.positive.p < first.positive.p - 0.2


def test_a_source_that_is_new_since_the_review() -> None:
    """It has no peers yet, and waits for the next one."""
    book = Book()
    honest(book, "north", "south")
    book.trust(path("north"), NOW_US)
    tell(book, path("west"), 1_000, 700, who=source("b"))
    assert book.trust(path("west"), NOW_US).positive.level == 2


def test_what_is_taken_back_is_gone() -> None:
    """A silence that ends in a late receipt moves from one word to the other."""
    book = Book()
    honest(book, "north", "south")
    tell(book, path("north"), 100, 70, said=Said.SILENT)
    tell(book, path("north"), -100, -70, said=Said.SILENT)
    assert book.trust(path("north"), NOW_US).silent.expected == 0.0


TOLD = st.tuples(
    st.sampled_from(["north", "south", "west"]),
    st.sampled_from(list(Said)),
    st.sampled_from(["a", "b"]),
    st.booleans(),
    st.integers(0, 400 * DAY_US),
)


def fill(book: Book, told) -> Book:
    for provider, said, account, anchored, ago_us in told:
        where, who = path(provider), source(account)
        (book.anchored if anchored else book.told)(where, who, said, NOW_US - ago_us)
    return book


def qualities(book: Book) -> list[float]:
    return [
        number
        for provider in ("north", "south", "west")
        for each in (book.trust(path(provider), NOW_US),)
        for quality in (each.positive, each.silent, each.negative)
        for number in (quality.low, quality.high, quality.expected, quality.p or 0.0)
    ]


@given(st.lists(TOLD, max_size=60), st.randoms(use_true_random=False), st.integers(0, 60))
def test_order_and_node_are_nothing(told, chance: random.Random, cut: int) -> None:
    """However it is told, and to however many books, the sums are the same."""
    shuffled = told[:]
    chance.shuffle(shuffled)
    one, other = fill(Book(), told), fill(Book(), shuffled)
    mine, theirs = fill(Book(), told[:cut]), fill(Book(), told[cut:])
    mine.merge(theirs)
    wanted = pytest.approx(qualities(one), rel=1e-6, abs=1e-9)
    assert qualities(other) == wanted
    assert qualities(mine) == wanted
    assert all(number >= 0.0 for number in qualities(one))


def test_a_full_book_forgets_its_lightest() -> None:
    """The number of strata is bounded, and the heavy stay."""
    book = Book(strata_max=20)
    honest(book, "north", "south")
    for number in range(100):
        tell(book, path(f"p{number}"), 1, 1)
        assert len(book) <= 20
    assert book.trust(path("north"), NOW_US).positive.p == pytest.approx(0.99, abs=0.01)


def test_forgetting_a_part_of_a_cell() -> None:
    """A cell of several sources may lose one, and keeps the others."""
    book = Book(strata_max=6)
    honest(book, "north", "south")
    tell(book, path("north"), 1, 1, who=source("b"))
    tell(book, path("north"), 1_000, 700, who=source("c"))
    assert len(book) <= 6
    assert book.trust(path("north"), NOW_US).positive.observed == pytest.approx(350)


def test_looking_for_liars_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """After so many rounds whoever was found is left out, and nobody else."""
    monkeypatch.setattr("arrivals.outcome.anchors.ROUNDS_MAX", 1)
    book = Book()
    honest(book, "north", "south", "west")
    tell(book, path("cheap"), 5_000, 1_400)
    assert book.trust(path("cheap"), NOW_US).positive.p == pytest.approx(0.4, abs=0.02)


def test_answers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two reviews only so many paths' answers are kept."""
    monkeypatch.setattr("arrivals.outcome.anchors.TRUSTS_MAX", 3)
    book = Book()
    honest(book, "north", "south")
    answers = [book.trust(path("north", content=f"t{n}"), NOW_US) for n in range(10)]
    assert len({each.positive.p for each in answers}) == 1
    assert len(book._trusts) <= 3


def test_how_many_arrivals_are_anchored_is_told_by_trusted_routes() -> None:
    """Of those with a true receipt; nothing is said of a source with too few anchors."""
    book, every = Book(), Book()
    tell(book, path("north"), 200, 50)
    tell(book, path("north"), 200, 4, who=source("b"))
    assert book.anchored_share(source(), NOW_US) == pytest.approx(0.25 / PEERS_QUALITY)
    assert book.anchored_share(source("b"), NOW_US) is None
    assert book.anchored_share(source("c"), NOW_US) is None
    tell(every, path("north"), 20, 20)
    assert every.anchored_share(source(), NOW_US) == 1.0


def test_what_was_told_long_ago_weighs_the_same_whenever_it_is_reckoned() -> None:
    """Sums move to a later landmark when something newer is told; nothing else changes."""
    book, whole = Book(), Book()
    tell(book, path("north"), 1_000, 700)
    for each in (book, whole):
        tell(each, path("south"), 1_000, 700, at_us=NOW_US + 400 * DAY_US)
    tell(whole, path("north"), 1_000, 700)
    later_us = NOW_US + 400 * DAY_US
    one, other = (each.trust(path("north"), later_us).positive for each in (book, whole))
    assert one.low == pytest.approx(other.low)
    assert one.high == pytest.approx(other.high)
