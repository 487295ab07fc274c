"""Facts in, forecasts out: each fact once, contradictions passed by, and all of it kept."""

from __future__ import annotations

import random

import msgspec
import pytest

from arrivals.outcome import learner as learning
from arrivals.outcome.anchors import Said
from arrivals.outcome.calibration import is_held_out
from arrivals.outcome.cells import UnreadableCell
from arrivals.outcome.learner import Fact, Learner, Subject

SECRET = b"a secret of this test"
BEGIN_US = 1_790_000_000_000_000
SECOND_US = 1_000_000
KEYS = [key for key in range(1, 400) if not is_held_out(key, SECRET)]


def subject(
    key: int, *, sent_us: int | None = BEGIN_US, confirmed: int | None = None
) -> Subject:
    return Subject(
        key,
        "1",
        "NL",
        f"3161{key % 3}000{key:03d}",
        "SHOP",
        "otp",
        sent_us,
        confirmed,
        50,
        "Hi",
    )


def taken(key: int, at_us: int, provider: str = "north") -> Fact:
    return Fact(
        subject(key, sent_us=at_us), "taken", 3, at_us, "sending", "submitted", provider
    )


def ended(
    key: int,
    at_us: int,
    word: str = "delivered",
    *,
    before: str = "submitted",
    sent_us: int | None = BEGIN_US,
    confirmed: int | None = None,
    provider: str | None = "north",
) -> Fact:
    about = subject(key, sent_us=sent_us, confirmed=confirmed)
    return Fact(about, f"receipt_{word}", 5, at_us, before, word, provider)


def feedback(key: int, at_us: int, state: str, *, seq: int = 6, yes: bool = True) -> Fact:
    about = subject(key, confirmed=seq if yes else None)
    return Fact(about, "feedback", seq, at_us, state, state, "north", yes)


def anchors(learner: Learner, said: Said) -> tuple[float, float]:
    """Return what the book has counted of a word: told, and anchored (at any weight)."""
    sums = [each for (key, _), each in learner._book._sums.items() if len(key) == 3]
    return (
        sum(each.trials[said] for each in sums),
        sum(each.hits[said] for each in sums),
    )


def test_what_was_heard_is_foreseen() -> None:
    learner = Learner(SECRET)
    for n, key in enumerate(KEYS):
        at_us = BEGIN_US + n * SECOND_US
        learner.learn([taken(key, at_us)])
        learner.learn([ended(key, at_us + 2 * SECOND_US, sent_us=at_us)])
    now_us = BEGIN_US + len(KEYS) * SECOND_US
    found = learner.foresee(subject(1), "north", 0.0, now_us)
    assert found.receipt_to_come > 0.95
    assert found.p50_s is not None
    assert 1.0 < found.p50_s < 4.0
    assert found.chance.p is None  # nobody ever confirmed one
    assert len(found.cell) == 4
    assert learner.cells == 3 * 3 + 2
    assert found.handoffs > 50
    assert found.alarm is None


@pytest.mark.parametrize(
    ("fact", "counted"),
    [
        (ended(1, BEGIN_US + SECOND_US), True),
        (ended(1, BEGIN_US + SECOND_US, "failed"), True),
        (ended(1, BEGIN_US + SECOND_US, sent_us=None), True),  # it was never answered
        (ended(1, BEGIN_US + SECOND_US, before="failed"), False),  # a contradiction
        (ended(1, BEGIN_US + SECOND_US, "cancelled"), False),
        (ended(1, BEGIN_US + SECOND_US, "submitted"), False),
        (ended(1, BEGIN_US + SECOND_US, provider=None), False),
        (taken(1, BEGIN_US)._replace(from_state="delivered", to_state="delivered"), False),
    ],
)
def test_only_first_final_words_count(fact: Fact, *, counted: bool) -> None:
    learner = Learner(SECRET)
    learner.learn([fact])
    assert (learner.cells > 0) is counted


def test_anchors_are_counted_with_the_word_that_was_heard() -> None:
    learner = Learner(SECRET)
    one, two, three = KEYS[:3]
    learner.learn([feedback(one, BEGIN_US, "submitted", yes=False)])
    learner.learn([ended(one, BEGIN_US)])
    assert anchors(learner, Said.POSITIVE) == (0, 0)  # nobody reports yet
    learner.learn([feedback(two, BEGIN_US, "submitted", seq=4)])  # open: counted at its end
    learner.learn([ended(two, BEGIN_US + SECOND_US, confirmed=4)])
    told, hits = anchors(learner, Said.POSITIVE)
    assert told == hits > 0
    silent = Fact(
        subject(three), "deadline_passed", 5, BEGIN_US, "submitted", "unknown", "north"
    )
    learner.learn([silent, feedback(three, BEGIN_US, "unknown")])
    told_silent, hits_silent = anchors(learner, Said.SILENT)
    assert told_silent == hits_silent > 0
    # A late receipt: it wasn't silent after all.
    learner.learn(
        [ended(three, BEGIN_US + SECOND_US, before="unknown", confirmed=6)._replace(seq=7)]
    )
    assert anchors(learner, Said.SILENT) == pytest.approx((0, 0))
    assert anchors(learner, Said.POSITIVE)[1] > hits
    learner.learn(
        [feedback(three, BEGIN_US, "delivered", seq=9)._replace(subject=subject(three))]
    )
    assert anchors(learner, Said.POSITIVE)[1] == pytest.approx(
        2 * hits
    )  # said twice, once counted


def test_messages_held_out_are_never_learnt_from() -> None:
    learner = Learner(SECRET)
    held = next(key for key in range(1, 400) if is_held_out(key, SECRET))
    learner.learn([feedback(held, BEGIN_US, "delivered"), ended(held, BEGIN_US, confirmed=4)])
    assert anchors(learner, Said.POSITIVE) == (0, 0)


def test_reporters_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "REPORTERS_MAX", 0)
    learner = Learner(SECRET)
    learner.learn([feedback(KEYS[0], BEGIN_US, "delivered")])
    assert anchors(learner, Said.POSITIVE) == (0, 0)


def test_a_provider_is_estimated_over_all_carriers_of_a_country() -> None:
    learner = Learner(SECRET)
    assert learner.destinations("north", BEGIN_US - 60 * SECOND_US) == []
    for key in KEYS[:60]:
        learner.learn([taken(key, BEGIN_US), ended(key, BEGIN_US + SECOND_US)])
    (to,) = learner.destinations("north", BEGIN_US)
    assert to == "NL alphanumeric"
    found = learner.estimate(to, "north", BEGIN_US + 10 * SECOND_US)
    assert found.handoffs == pytest.approx(60, abs=1)
    assert found.delivered is None  # nobody said that anything arrived


def test_what_was_learnt_goes_on_elsewhere() -> None:
    learner = Learner(SECRET)
    for n, key in enumerate(KEYS[:50]):
        at_us = BEGIN_US + n * SECOND_US
        learner.learn([taken(key, at_us), feedback(key, at_us, "submitted", seq=4)])
        learner.learn([ended(key, at_us + SECOND_US, sent_us=at_us, confirmed=4)])
    again = Learner.decode(learner.encode(), SECRET)
    now_us = BEGIN_US + 60 * SECOND_US
    said = [each.foresee(subject(1), "north", 1.0, now_us) for each in (learner, again)]
    assert said[0] == said[1]
    assert again.encode() == learner.encode()


@pytest.mark.parametrize("kept", [b"", b"junk", msgspec.msgpack.encode([99, [], b"", []])])
def test_what_is_unreadable_is_said(kept: bytes) -> None:
    with pytest.raises(UnreadableCell):
        Learner.decode(kept, SECRET)


def test_a_book_that_is_unreadable_is_said() -> None:
    with pytest.raises(UnreadableCell):
        Learner.decode(msgspec.msgpack.encode([learning.FORMAT, [], b"", []]), SECRET)


def test_falls_and_made_up_receipts_are_alarms(monkeypatch: pytest.MonkeyPatch) -> None:
    """One provider's receipts come within a second, all of them, and none is negative."""
    monkeypatch.setattr(learning, "CELLS_MAX", 1)  # what is remembered of checkpoints
    dice = random.Random(7)
    learner, facts = Learner(SECRET), []
    for n in range(3_000):
        at_us = BEGIN_US + n * SECOND_US
        provider = ("north", "south")[n % 2]
        facts.append(taken(n, at_us, provider))
        late_s = 0.6 if provider == "south" else dice.lognormvariate(1.2, 0.9)
        if provider == "north" and dice.random() < 0.08:
            late_s = dice.uniform(700, 4_000)
        word = "failed" if provider == "north" and dice.random() < 0.06 else "delivered"
        if n > 2_000 and provider == "north" and dice.random() < 0.7:
            continue
        heard_us = at_us + round(late_s * 1e6)
        facts.append(ended(n, heard_us, word, sent_us=at_us, provider=provider))
    now_us = BEGIN_US + 3_000 * SECOND_US
    learner.learn(
        sorted((fact for fact in facts if fact.at_us <= now_us), key=lambda f: f.at_us)
    )
    said = learner.alarms(now_us)
    assert any("receipts of" in each and "north" in each for each in said), said
    assert any(each.startswith("provider south on carrier") for each in said), said
