"""A provider that is doubted is named once, on however many carriers."""

from __future__ import annotations

from arrivals.outcome.doubts import doubt
from arrivals.outcome.episodes import TroubleKind
from arrivals.outcome.fakes import Score
from arrivals.outcome.hierarchy import ANY

HERE = "NL alphanumeric"


def judged(words: str) -> Score:
    return Score(llr=9.0, suspected=True, parts=(), fake_share_max=None, words=words)


def test_on_one_carrier_it_is_that_carriers() -> None:
    cell = (HERE, "kpn", "budget")
    found = doubt((HERE, ANY, "budget"), [(40.4, cell, judged("too even"))], 7)
    assert (found.kind, found.cell) == (TroubleKind.RECEIPTS_DOUBTED, cell)
    assert found.words == "provider budget on carrier kpn: too even"
    assert (found.messages_at_risk, found.began_us) == (40, 7)


def test_on_many_it_is_said_with_the_one_that_shows_most() -> None:
    carriers = [
        (40.0, (HERE, "kpn", "budget"), judged("too even")),
        (60.4, (HERE, "tele2", "budget"), judged("too fast")),
    ]
    found = doubt((HERE, ANY, "budget"), carriers, 7)
    assert found.cell == (HERE, ANY, "budget")
    assert (
        found.words == "provider budget on 2 carriers (NL alphanumeric), as on tele2: too fast"
    )
    assert found.messages_at_risk == 100
