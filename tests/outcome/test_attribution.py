"""Attribution: the slice that a lack goes with is named, and no slice where there is none."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrivals.outcome.attribution import (
    FINDINGS_MAX,
    VALUES_MAX,
    Dimension,
    Finding,
    Tally,
    says,
    slices,
)

HOUR_US = 3_600_000_000
Left = Callable[[Mapping[Dimension, str]], float]


def tally(left: Left, messages: int = 1_500, seed: int = 1, usual: float = 0.9) -> Tally:
    """Play messages of six dimensions, of which `left` of the usual chance is left."""
    draw = random.Random(seed)
    found = Tally()
    for number in range(messages):
        sender = draw.choice(["Acme", "Bank", "Club"])
        message = {
            Dimension.SENDER: sender,
            Dimension.TEMPLATE: f"{sender}-{draw.randrange(3)}",  # three a sender
            Dimension.CARRIER: draw.choice(["blue", "red"]),
            Dimension.ROUTE: draw.choice(["alpha", "beta"]),
            Dimension.HOUR: f"1{number * 3 // messages}",
        }
        if draw.random() < 0.5:
            message[Dimension.LINK] = draw.choice(["bit.ly", "acme.example"])
        chance = usual * left(message)
        found.add(message, usual=usual, positive=draw.random() < chance)
    return found


def first(found: Tally) -> tuple[str, str]:
    """Return the dimension and value that explain most."""
    finding = found.findings()[0]
    return finding.dimension, finding.value


@pytest.mark.parametrize(
    ("dimension", "value"),
    [
        (Dimension.SENDER, "Bank"),
        (Dimension.TEMPLATE, "Bank-1"),
        (Dimension.LINK, "bit.ly"),
        (Dimension.CARRIER, "red"),
        (Dimension.ROUTE, "beta"),
        (Dimension.HOUR, "12"),
    ],
)
@pytest.mark.parametrize("left", [0.0, 0.5])
def test_the_slice_that_is_hit_is_named_first(
    dimension: Dimension, value: str, left: float
) -> None:
    """Also where a sender's one bad template makes the sender look bad."""
    found = tally(lambda message: left if message.get(dimension) == value else 1.0)
    assert first(found) == (dimension, value)
    finding = found.findings()[0]
    assert finding.explains > 0.8
    assert finding.ratio.low < (left or 0.01) < finding.ratio.high


@pytest.mark.parametrize("left", [1.0, 0.6])
def test_where_all_suffer_alike_no_slice_is_named(left: float) -> None:
    """One alarm in a hundred may name one by chance; here, none of twenty."""
    assert [tally(lambda _: left, seed=seed).findings() for seed in range(20)] == [[]] * 20


def test_nothing_is_said_of_nothing() -> None:
    assert Tally().findings() == []
    better = Tally()
    for _ in range(100):
        better.add({Dimension.SENDER: "Acme"}, usual=0.9, positive=True)
    assert better.findings() == []


def test_a_slice_with_all_messages_explains_nothing() -> None:
    """What every message has in common can't be compared with anything."""
    found = Tally()
    for _ in range(500):
        found.add({Dimension.CARRIER: "red"}, usual=0.9, positive=False)
    assert found.findings() == []


def test_findings_are_few() -> None:
    found = Tally()
    for value in range(20):
        for _ in range(100):
            found.add({Dimension.SENDER: str(value)}, usual=0.9, positive=value > 8)
    assert len(found.findings()) == FINDINGS_MAX


def test_rare_values_make_room_and_busy_ones_stay() -> None:
    """Of 5,000 senders seen once and one seen often and late, the busy one is there."""
    draw, found = random.Random(1), Tally()
    for number in range(5_000):
        found.add({Dimension.SENDER: f"rare {number}"}, usual=0.9, positive=draw.random() < 0.9)
        if number >= 3_000 and number % 10 == 0:
            found.add({Dimension.SENDER: "busy"}, usual=0.9, positive=False)
    (finding,) = found.findings()
    assert finding.value == "busy"
    assert finding.messages == 200
    assert len(found._by_value[Dimension.SENDER]) == VALUES_MAX


def test_tallies_add_up_as_far_as_there_is_room() -> None:
    """Two routes' messages tell together what both tell; the rarest values are left out."""
    whole, half = tally(lambda slices: 1.0, seed=1), tally(lambda slices: 1.0, seed=2)
    for n in range(VALUES_MAX + 5):
        for _ in range(3 if n < VALUES_MAX else 1):
            half.add({Dimension.LINK: f"host {n}"}, usual=0.9, positive=True)
    whole.add({Dimension.LINK: "own.example"}, usual=0.9, positive=True)
    before, added = whole._whole.messages, half._whole.messages
    whole.merge(half)
    assert whole._whole.messages == before + added
    assert len(whole._by_value[Dimension.LINK]) == VALUES_MAX
    for value, count in whole._by_value[Dimension.ROUTE].items():
        assert count.messages > half._by_value[Dimension.ROUTE][value].messages


def test_a_sentence_claims_no_cause() -> None:
    sentence = says(tally(lambda m: 0.0 if m[Dimension.ROUTE] == "beta" else 1.0).findings()[0])
    assert sentence.startswith("route beta goes with ")
    assert sentence.endswith("a correlation, not a cause")
    assert "0 of " in sentence


def test_a_message_has_its_slices() -> None:
    """Six with a link; what isn't known is left out, and an erased text says nothing."""
    key = b"k" * 16
    whole = slices(
        sender="Acme",
        text="Hi Ann: https://acme.example/1",
        carrier="red",
        route="alpha",
        at_us=491_000 * HOUR_US,
        key=key,
    )
    assert set(whole) == set(Dimension)
    assert whole[Dimension.LINK] == "acme.example"
    assert whole[Dimension.HOUR] == "2026-01-05T08"
    plain = slices(sender="A", text="Hi", carrier=None, route="b", at_us=0, key=key)
    assert set(plain) == set(Dimension) - {Dimension.LINK, Dimension.CARRIER}
    erased = slices(sender="A", text=None, carrier="red", route="b", at_us=0, key=key)
    assert Dimension.TEMPLATE not in erased


@given(
    st.lists(
        st.tuples(st.sampled_from("ABCD"), st.sampled_from("xy"), st.booleans()), max_size=400
    ),
    st.randoms(use_true_random=False),
)
def test_the_order_of_messages_does_not_matter(messages, random) -> None:
    """Unless values had to make room, only what was counted decides."""

    def found(rows) -> list[Finding]:
        counted = Tally()
        for sender, route, positive in rows:
            message = {Dimension.SENDER: sender, Dimension.ROUTE: route}
            counted.add(message, usual=0.75, positive=positive)  # exact in binary
        return counted.findings()

    shuffled = list(messages)
    random.shuffle(shuffled)
    assert found(shuffled) == found(messages)


@pytest.mark.parametrize(("left", "missing"), [(0.0, 0.89), (0.5, 0.82), (0.9, 0.47)])
def test_of_what_is_silent_in_a_slice_it_is_known_how_much_is_too_much(
    left: float, missing: float
) -> None:
    """Nine in ten are heard elsewhere; here `left` of that, and the rest is missing."""
    found = tally(lambda message: left if message[Dimension.SENDER] == "Bank" else 1.0, 6_000)
    finding = next(each for each in found.findings() if each.value == "Bank")
    assert finding.missing_of_silent == pytest.approx(missing, abs=0.05)
