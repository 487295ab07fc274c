"""One share for a provider in a country: from its receipts, and from those who got messages."""

from __future__ import annotations

import pytest

from arrivals.core.selection import ANCHORS_MIN, NOTHING_KNOWN, Estimate
from arrivals.outcome import estimates as module
from arrivals.outcome.anchors import Book, Said, Source
from arrivals.outcome.curves import curve_of
from arrivals.outcome.estimates import Estimates, estimate
from arrivals.outcome.hierarchy import REFRESH_US, Path, Tree, destination_of

NOW_US = 1_790_000_000_000_000
SECOND_US = 1_000_000
TO = destination_of("KE", "SHOP")
ACCOUNT = Source("a", "otp", "KE")


def path(provider: str, carrier: str = "alpha") -> Path:
    return (TO, carrier, provider, "SHOP")


class Known:
    """A tree and a book that were told the same."""

    def __init__(self) -> None:
        self.tree, self.book = Tree(), Book()
        self.estimates = Estimates(self.tree)

    def tell(
        self,
        provider: str,
        trials: int,
        hits: int,
        *,
        carrier: str = "alpha",
        heard: bool = True,
        positive: bool = True,
    ) -> None:
        where = path(provider, carrier)
        said = (Said.POSITIVE if positive else Said.NEGATIVE) if heard else Said.SILENT
        sent_us = NOW_US - 600 * SECOND_US
        for _ in range(trials):
            self.tree.sent(where, sent_us, sent_us)
            if heard:
                self.tree.answered(where, sent_us, sent_us + 3 * SECOND_US, positive=positive)
        self.book.told(where, ACCOUNT, said, sent_us, trials)
        self.book.anchored(where, ACCOUNT, said, sent_us, hits)

    def of(self, provider: str, now_us: int = NOW_US) -> Estimate:
        return self.estimates.of(self.book, TO, provider, now_us)


def test_a_liar_and_the_honest_beside_it() -> None:
    known = Known()
    known.tell("north", 500, 350)
    known.tell("south", 500, 345)
    known.tell("budget", 500, 120)
    north, budget = known.of("north"), known.of("budget")
    assert north.delivered == pytest.approx(0.97, abs=0.03)
    assert north.delivered is not None
    assert 0.85 < north.low < north.delivered < north.high <= 1.0
    assert budget.delivered == pytest.approx(0.34, abs=0.03)
    assert budget.high < 0.45
    assert north.anchors == pytest.approx(345, abs=10)
    assert budget.anchors == pytest.approx(347, abs=10)  # of as many, if they had arrived
    assert (north.confirmed, budget.confirmed) == pytest.approx((350, 120), abs=1)
    assert north.handoffs == pytest.approx(500, abs=1)
    assert north.p90_s is not None
    assert north.p90_s < 60


def test_carriers_too_small_to_be_compared_alone_are_compared_together() -> None:
    """Each has less than it takes, and together they say what the provider is."""
    known = Known()
    for n in range(30):
        for provider, hits in (("north", 2), ("south", 2), ("budget", 1)):
            known.tell(provider, 3, hits, carrier=f"c{n}")
    assert known.book.compare([path("budget", "c1")[:3]], Said.POSITIVE, NOW_US).ratio is None
    assert known.of("budget").delivered == pytest.approx(0.5, abs=0.1)
    assert known.of("north").delivered == pytest.approx(0.95, abs=0.05)


def test_with_too_few_confirmed_there_is_no_number() -> None:
    known = Known()
    known.tell("north", 30, 20)
    known.tell("south", 30, 20)
    found = known.of("north")
    assert found.anchors < ANCHORS_MIN
    assert found.delivered is None
    assert found.handoffs == pytest.approx(30, abs=1)


def test_silence_that_nobody_vouches_for_leaves_no_number() -> None:
    known = Known()
    known.tell("north", 400, 280)
    known.tell("south", 400, 280)
    known.tell("north", 200, 0, heard=False)
    known.book = Book()
    for provider in ("north", "south"):
        known.book.told(path(provider), ACCOUNT, Said.POSITIVE, NOW_US, 400)
        known.book.anchored(path(provider), ACCOUNT, Said.POSITIVE, NOW_US, 280)
    found = known.of("north")
    assert found.delivered is None
    assert found.high - found.low > 0.2
    # Once it is known what silence is, there is one.
    known.book.told(path("north"), ACCOUNT, Said.SILENT, NOW_US, 200)
    assert known.of("north", NOW_US + 70 * SECOND_US).delivered is not None


def test_a_no_may_be_wrong_where_people_say_so() -> None:
    known = Known()
    known.tell("north", 400, 280)
    known.tell("south", 400, 280)
    assumed = known.of("south").delivered
    known.tell("south", 100, 35, positive=False)
    told = known.of("south", NOW_US + 70 * SECOND_US).delivered
    known.book.anchored(path("south"), ACCOUNT, Said.NEGATIVE, NOW_US, -35)
    none = known.of("south", NOW_US + 140 * SECOND_US).delivered
    assert assumed is not None
    assert told is not None
    assert none is not None
    assert none < told < assumed


def test_nobody_is_known_at_first_and_an_answer_holds_for_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = Known()
    assert known.of("north") == NOTHING_KNOWN
    known.tell("north", 400, 280)
    known.tell("south", 400, 280)
    assert known.of("north", NOW_US + REFRESH_US - 1) == NOTHING_KNOWN
    later_us = NOW_US + REFRESH_US
    assert known.of("north", later_us).delivered is not None
    assert known.estimates.destinations("north", later_us) == [TO]
    assert known.estimates.destinations("nobody", later_us) == []
    monkeypatch.setattr(module, "ESTIMATES_MAX", 1)
    assert known.of("south", later_us) == known.of("south", later_us)
    assert len(known.estimates._kept) == 1


def test_without_receipts_there_is_no_age() -> None:
    silent = curve_of([0.0] * 37, [0.0] * 37)
    nothing = Book().compare([path("north")[:3]], Said.SILENT, NOW_US)
    found = estimate(silent, 10.0, dict.fromkeys(Said, nothing))
    assert (found.p90_s, found.delivered) == (None, None)
