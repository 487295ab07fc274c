"""Facts in, forecasts out: each fact once, contradictions passed by, and all of it kept."""

from __future__ import annotations

import random

import msgspec
import pytest

from arrivals.core.compare import Covariates
from arrivals.outcome import learner as learning
from arrivals.outcome.anchors import PROBES, Said
from arrivals.outcome.calibration import is_held_out
from arrivals.outcome.cells import UnreadableCell
from arrivals.outcome.episodes import TroubleKind
from arrivals.outcome.hierarchy import carrier_of
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


def told_of(key: int, provider: str, waited_s: float = 0.0) -> Covariates:
    about = subject(key)
    return Covariates(
        provider=provider,
        country=about.country,
        carrier=carrier_of(about.country, about.msisdn),
        sender=about.sender,
        waited_s=waited_s,
    )


def test_a_hand_off_is_expected_to_do_as_its_cell_did() -> None:
    """Over the provider that answers, and over the one that is silent."""
    learner = Learner(SECRET)
    for n, key in enumerate(KEYS):
        at_us = BEGIN_US + n * SECOND_US
        learner.learn([taken(key, at_us), taken(-key, at_us, "south")])
        learner.learn([ended(key, at_us + 2 * SECOND_US, sent_us=at_us)])
    now_us = BEGIN_US + 4_000 * SECOND_US
    north, south = (learner.expect(told_of(1, name), now_us) for name in ("north", "south"))
    assert north.reported > 0.95
    assert south.reported < 0.5
    assert north.delivered is None  # nobody ever confirmed one
    waits = [learner.expect(told_of(1, "north", s), now_us).heard_by for s in (0.0, 2.5, 60.0)]
    assert waits == sorted(waits)
    assert waits[0] == 0.0
    assert waits[2] == pytest.approx(1.0, abs=0.05)
    chance = learner.foresee(subject(1), "north", 0.0, now_us).chance
    assert chance.p == north.delivered


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


def test_a_test_phone_reports_before_it_ever_answered() -> None:
    """So one that never answers is a trial without a hit; it isn't counted as an account."""
    learner = Learner(SECRET)
    one, two = KEYS[:2]
    probed = [
        each._replace(subject=msgspec.structs.replace(each.subject, account=PROBES))
        for each in (
            ended(one, BEGIN_US),
            ended(two, BEGIN_US),
            feedback(two, BEGIN_US, "delivered"),
        )
    ]
    learner.learn(probed[:1])
    told, hits = anchors(learner, Said.POSITIVE)
    assert (told > 0, hits) == (True, 0)
    learner.learn(probed[1:])
    assert anchors(learner, Said.POSITIVE) == pytest.approx((2 * told, told))
    assert learner.calibration(BEGIN_US).reporters == 0


def test_names_are_not_compared_with_numbers() -> None:
    """Only a number can be answered, so an account's are anchored oftener than its names."""
    name = subject(1)
    numbers = [msgspec.structs.replace(name, sender=each) for each in ("27690", "+31201234567")]
    assert name.source == msgspec.structs.replace(name, sender="BANK").source
    assert [each.source for each in numbers] == [numbers[0].source] * 2
    assert name.source != numbers[0].source


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


@pytest.mark.slow
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
    found = learner.troubles(now_us)
    said = [each.words for each in found]
    assert any("receipts of" in each and "north" in each for each in said), said
    doubted = next(each for each in found if each.words.startswith("provider south"))
    assert doubted.kind is TroubleKind.RECEIPTS_DOUBTED
    assert doubted.words.startswith(
        "provider south on 3 carriers (NL alphanumeric), as on NL 3161"
    )
    assert doubted.messages_at_risk > 400
    assert doubted.money_at_risk is None  # they may all have arrived
    # The same is found by who goes on from what was kept, and its alarm is on.
    again = Learner.decode(learner.encode(), SECRET)
    assert again.troubles(now_us) == [
        msgspec.structs.replace(each, goes_with=None) for each in found
    ]
    assert again.foresee(subject(1), "north", 9.0, now_us).alarm is not None


def lived(learner: Learner, count: int, seed: int, *, fake: float = 0.4) -> float:
    """Let messages live over an honest provider and one that invents receipts.

    Four in ten who receive one say so. Returns the share of south's held-out messages that
    arrived, which nobody tells the learner.
    """
    dice = random.Random(seed)
    facts, truth = [], []
    for key in range(count):
        at_us = BEGIN_US + key * SECOND_US
        provider = ("north", "south")[key % 2]
        arrived = dice.random() < (0.95 if provider == "north" else 0.95 * (1 - fake))
        heard_us = at_us + round(dice.lognormvariate(1.0, 0.8) * 1e6)
        facts.append(taken(key, at_us, provider))
        if arrived or provider == "south":
            facts.append(ended(key, heard_us, sent_us=at_us, provider=provider))
        if arrived and dice.random() < 0.4:
            word = subject(key, sent_us=at_us, confirmed=6)
            said_us = heard_us + 20 * SECOND_US
            facts.append(
                Fact(word, "feedback", 6, said_us, "delivered", "delivered", provider, True)
            )
        if provider == "south" and is_held_out(key, SECRET):
            truth.append(arrived)
    learner.learn(sorted(facts, key=lambda fact: fact.at_us))
    learner.look(BEGIN_US + count * SECOND_US + 86_400 * SECOND_US)
    return sum(truth) / len(truth)


@pytest.mark.slow
def test_forecasts_are_checked_on_messages_that_were_never_learnt_from() -> None:
    """What is said of them is about what came, also where receipts are invented."""
    learner = Learner(SECRET)
    truth = lived(learner, 6_000, 11)
    now_us = BEGIN_US + 2 * 86_400 * SECOND_US
    found = learner.calibration(now_us)
    assert (found.reporters, found.held_out_share, found.waiting) == (1, 0.1, 0)
    groups = {each.group: each for each in found.groups}
    assert set(groups) == {(), ("north", "NL"), ("south", "NL")}
    south = groups["south", "NL"]
    last = south.ages[-1].score
    assert last is not None
    assert last.count > 150
    low, high = min(r.arrived_low for r in last.rows), max(r.arrived_high for r in last.rows)
    assert low < truth < high
    assert last.arrived == pytest.approx(truth, abs=0.12)
    assert last.ece < 3 * last.ece_by_chance
    for each in groups[()].ages:
        assert each.score is not None
        assert each.score.ece < 3 * each.score.ece_by_chance
    # By receipts nothing is unknown of the faker, and people vouch for much less.
    assert south.known.low == pytest.approx(1.0)
    assert south.known.confirmed == pytest.approx(0.4 * truth, abs=0.05)
    north = groups["north", "NL"].known
    assert north.low == pytest.approx(0.95, abs=0.02)
    assert north.high == pytest.approx(1.0)


def test_a_contradiction_changes_what_is_known() -> None:
    """The newest word counts; one that was never answered is handed off once."""
    learner = Learner(SECRET)
    one, two = KEYS[:2]
    learner.learn([taken(one, BEGIN_US), ended(one, BEGIN_US)])
    learner.learn([ended(one, BEGIN_US, "failed", before="delivered")])
    silent = ended(two, BEGIN_US, "unknown", sent_us=None)
    learner.learn([silent, ended(two, BEGIN_US, before="unknown", sent_us=None)])
    known = learner.calibration(BEGIN_US).groups[0].known
    assert known.handoffs == pytest.approx(2.0)
    assert (known.delivered, known.failed) == pytest.approx((0.5, 0.5))


def test_what_an_earlier_program_kept_is_still_read() -> None:
    """It kept no record: that begins now, and all else goes on."""
    learner = Learner(SECRET)
    learner.learn([taken(KEYS[0], BEGIN_US), ended(KEYS[0], BEGIN_US + SECOND_US)])
    kept = msgspec.msgpack.decode(learner.encode())
    again = Learner.decode(msgspec.msgpack.encode(kept[:4]), SECRET)
    assert again.cells == learner.cells
    assert again.calibration(BEGIN_US).groups == []


def test_a_learner_has_an_opinion_once_somebody_confirms_or_an_alarm_is_on() -> None:
    learner = Learner(SECRET)
    assert not learner.has_opinion
    assert learner.silent() == []
    learner.settled([1])
    learner._reporters.add("1")
    assert learner.has_opinion
