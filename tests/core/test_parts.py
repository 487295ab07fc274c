"""The parts of a long message: one outcome in any order, and no sum over two hand-offs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrivals.core.message import Move
from arrivals.core.parts import (
    FINAL_MOVES,
    begin,
    contradicts,
    count_of,
    has_arrived_in_part,
    lacks_part,
    outcomes,
    part_in_doubt,
    place_of,
    roll_up,
    whole_handoffs,
)

D, E, F, X = (
    Move.RECEIPT_DELIVERED,
    Move.RECEIPT_EXPIRED,
    Move.RECEIPT_FAILED,
    Move.RECEIPT_FILTERED,
)
Said = tuple[int, int, Move]  # attempt, part, what its receipt says


def fold(said: list[Said], segments: int = 2) -> tuple[str | None, Move | None]:
    parts: str | None = None
    move = None
    for attempt, part, each in said:
        parts, move = roll_up(parts, segments, attempt, part, each)
    return parts, move


@pytest.mark.parametrize(
    ("said", "known", "move"),
    [
        ([(1, 1, D)], "1:d.", None),
        ([(1, 1, D), (1, 2, D)], "1:dd", D),
        ([(1, 1, D), (1, 2, F)], "1:df", F),
        ([(1, 2, F), (1, 2, X)], "1:.x", X),
        ([(1, 1, E)], "1:e.", E),
        ([(1, 1, F), (1, 1, D), (1, 2, D)], "1:Fd", D),
        # A part that says it is another than it can be counts for the nearest.
        ([(1, 0, D), (1, 9, D)], "1:dd", D),
        # Half of one hand-off and half of another are no message on any handset.
        ([(1, 1, D), (2, 2, D)], "1:d. 2:.d", None),
        ([(2, 1, D), (1, 1, F), (2, 2, D)], "1:f. 2:dd", D),
        ([(1, 1, F), (2, 1, D)], "1:f. 2:d.", F),
    ],
)
def test_parts_add_up_by_hand_off(said: list[Said], known: str, move: Move | None):
    assert fold(said) == (known, move)


@given(
    st.lists(
        st.tuples(st.integers(1, 2), st.integers(1, 3), st.sampled_from(sorted(FINAL_MOVES))),
        max_size=8,
    ).flatmap(lambda said: st.tuples(st.just(said), st.permutations(said)))
)
def test_what_is_known_of_parts_only_grows(both: tuple[list[Said], list[Said]]):
    """Invariant 36, part by part: letters and the move they add up to, in any order."""
    assert fold(both[0], 3) == fold(both[1], 3)


def test_a_receipt_without_an_id_is_about_the_last_part_still_open():
    assert part_in_doubt(None, 3, 1) == 3
    assert part_in_doubt("1:..d", 3, 1) == 2
    assert part_in_doubt("1:..d", 3, 2) == 3
    assert part_in_doubt("1:dfd", 3, 1) == 3


def test_the_hand_off_of_which_most_arrived_is_shown():
    arrived, unheard = "delivered", None
    assert outcomes(None, 2) == [unheard, unheard]
    assert outcomes("1:dd. 3:d..", 3) == [arrived, arrived, unheard]
    assert outcomes("1:f.. 3:...", 3) == [unheard] * 3  # of equals the newest
    assert outcomes("1:efx", 3) == ["expired", "failed", "filtered"]
    assert outcomes("1:dEFX", 4) == [arrived] * 4


def test_an_id_takes_its_own_place_unless_a_guess_did():
    assert place_of(None, 3, 1, 2) == 2
    assert place_of("1:.d.", 3, 1, 1) == 1
    assert place_of("1:.d.", 3, 1, 2) == 3  # a guess has it: the last one open
    assert place_of("1:ddf", 3, 1, 2) == 2  # none is open: an id too many
    assert place_of("1:ddd", 3, 2, 2) == 2  # each hand-off has places of its own
    assert place_of(None, 3, 1, 9) == 3


@given(st.permutations(["a", "b", "c"]), st.lists(st.integers(1, 3), min_size=3, max_size=3))
def test_whatever_is_guessed_each_id_has_one_place(ids: list[str], guesses: list[int]):
    parts, places, move = None, set(), None
    for _, guess in zip(ids, guesses, strict=True):
        place = place_of(parts, 3, 1, guess)
        places.add(place)
        parts, move = roll_up(parts, 3, 1, place, Move.RECEIPT_DELIVERED)
    assert places == {1, 2, 3}
    assert move is Move.RECEIPT_DELIVERED


@pytest.mark.parametrize(
    ("parts", "said", "contradicts_it"),
    [
        (None, D, False),
        ("1:..", F, False),
        ("1:d.", D, False),
        ("1:d.", F, True),
        ("1:f.", D, True),
        ("1:f.", X, False),
        ("1:F.", D, True),
        ("1:F.", F, True),
        ("2:d.", F, False),
    ],
)
def test_a_part_contradicts_itself(parts: str | None, said: Move, contradicts_it: bool):
    assert contradicts(parts, 2, 1, 1, said) is contradicts_it


def test_what_arrived_is_counted_by_hand_off():
    assert not has_arrived_in_part(None)
    assert not has_arrived_in_part("1:fx")
    assert has_arrived_in_part("1:.. 2:d.")
    assert [whole_handoffs(each) for each in (None, "1:d.", "1:dd", "1:dF 2:dd")] == [
        0,
        0,
        1,
        2,
    ]


def test_a_hand_off_lacks_a_part_of_which_only_bad_was_said():
    assert not lacks_part(None, 1)
    assert not lacks_part("1:d..", 1)
    assert not lacks_part("1:df. 2:d..", 2)
    assert not lacks_part("1:dF.", 1)
    assert lacks_part("1:df.", 1)


# --- a hand-off in other parts than were priced -----------------------------------------


@pytest.mark.parametrize(
    ("known", "segments", "attempt", "count", "begun"),
    [
        (None, 1, 1, 1, None),  # as many as were priced: nothing to note
        (None, 1, 1, 2, "1:.."),  # the next provider's alphabet needs two
        (None, 2, 1, 1, "1:."),  # or one
        ("1:d.", 2, 2, 3, "1:d. 2:..."),
        ("1:d.", 2, 2, 2, "1:d."),
        # Throttled a hundred times: what was proved to be nothing leaves nothing.
        ("100:..", 1, 101, 2, "101:.."),
        ("7:.d 100:..", 1, 101, 2, "7:.d 101:.."),
    ],
)
def test_another_count_of_parts_is_noted_before_the_hand_off(
    known: str | None, segments: int, attempt: int, count: int, begun: str | None
):
    assert begin(known, segments, attempt, count, may_be_out=False) == begun


def test_what_may_be_out_keeps_its_count_however_often_the_next_one_is_tried():
    parts = begin(None, 1, 3, 2, may_be_out=False)
    for attempt in range(4, 200):
        parts = begin(parts, 1, attempt, 3, may_be_out=True)
    assert parts == "3:.. 199:..."


def test_a_hand_off_has_as_many_parts_as_were_noted():
    assert [count_of("1:d. 3:....", 2, each) for each in (1, 2, 3)] == [2, 2, 4]
    assert count_of(None, 3, 1) == 3


@pytest.mark.parametrize(
    ("count", "said", "move"),
    [
        (2, [(1, D)], None),
        (2, [(1, D), (2, D)], D),
        (2, [(1, D), (2, F)], F),
        (1, [(1, D)], D),
        (1, [(3, F)], F),
        (3, [(1, D), (2, D), (9, D)], D),
    ],
)
def test_a_message_arrived_when_the_parts_that_left_did(
    count: int, said: list[tuple[int, Move]], move: Move | None
):
    """Priced as one segment or two, handed off in `count` parts."""
    for segments in (1, 2):
        parts = begin(None, segments, 1, count, may_be_out=False)
        found = None
        for part, each in said:
            parts, found = roll_up(parts, segments, 1, part, each)
        assert found == move
        assert whole_handoffs(parts) == (move is D)


def test_a_place_is_found_within_the_parts_that_left():
    assert part_in_doubt("1:...", 1, 1) == 3
    assert part_in_doubt("1:ddd", 1, 1) == 3
    assert place_of("1:d..", 1, 1, 9) == 3
    assert contradicts("1:..f", 1, 1, 3, D)


@pytest.mark.parametrize(
    ("parts", "segments", "told"),
    [
        ("1:dd", 1, ["delivered"]),  # all of it arrived, in more parts than are shown
        ("1:d.", 1, [None]),
        ("1:d", 3, ["delivered"] * 3),
        ("1:df", 3, [None] * 3),
        ("1:.. 2:d", 2, ["delivered"] * 2),  # the hand-off of which the greater share arrived
        ("1:d. 2:f", 2, ["delivered", None]),
    ],
)
def test_segments_are_told_of_by_the_parts_that_left(
    parts: str, segments: int, told: list[str | None]
):
    assert outcomes(parts, segments) == told
