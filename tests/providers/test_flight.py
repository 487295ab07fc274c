"""What the answers of a message's parts add up to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrivals.providers.api import (
    NotBound,
    NotSent,
    PartHeld,
    Refused,
    Result,
    Taken,
    Throttled,
    Unanswered,
)
from arrivals.providers.flight import Flight
from tests.providers.smsc import submission

THROTTLED, SYSTEM_ERROR, BAD_NUMBER, NOT_BOUND = 0x58, 0x08, 0x0B, 0x04
STATUS = {"h": THROTTLED, "r": SYSTEM_ERROR, "b": BAD_NUMBER, "u": NOT_BOUND}
SECOND = 1_000_000
NOW = 1_800_000_000 * SECOND


def refused_part(part: int, *taken: int, status: int = BAD_NUMBER) -> Refused:
    reason = {BAD_NUMBER: "invalid_number", SYSTEM_ERROR: "provider_error"}
    return Refused(
        status,
        reason.get(status, "rate_limited_provider"),
        retryable=False,
        elsewhere=False,
        part=part,
        parts_accepted=tuple((each, f"id{each}", f"ID{each}") for each in taken),
    )


STOPPED = "stopped_halfway"


def lacking(part: int, status: int, reason: str, cause: str, *taken: int) -> Refused:
    ids = refused_part(part, *taken).parts_accepted
    return Refused(status, reason, False, False, part, ids, cause)


# What happens to each part in turn: t(aken), s(ilent), r(efused), b(ad number), h(eld off),
# u(nbound) or stays (-); and what that adds up to. None: it goes on, part by part.
CASES: list[tuple[str, Result | None]] = [
    ("t", Taken(((1, "id1", "ID1"),))),
    ("s", Unanswered("no answer came")),
    ("-", NotSent("gone")),
    ("h", Throttled(THROTTLED)),
    ("r", Refused(SYSTEM_ERROR, "provider_error", True, False)),
    ("b", Refused(BAD_NUMBER, "invalid_number", False, False)),
    ("u", NotBound(NOT_BOUND)),
    ("tt", Taken(((1, "id1", "ID1"), (2, "id2", "ID2")))),
    ("--", NotSent("gone")),
    ("h-", Throttled(THROTTLED)),
    ("b-", Refused(BAD_NUMBER, "invalid_number", False, False)),
    ("bb", Refused(BAD_NUMBER, "invalid_number", False, False)),
    ("hb", Refused(BAD_NUMBER, "invalid_number", False, False)),
    ("rh", Refused(SYSTEM_ERROR, "provider_error", True, False)),
    ("uh", Throttled(THROTTLED)),
    ("uu", NotBound(NOT_BOUND)),
    ("s-", Unanswered("no answer came")),
    ("ss", Unanswered("no answer came")),
    ("t-", None),
    ("ts", Unanswered("no answer came", ((1, "id1", "ID1"),))),
    ("tb", refused_part(2, 1)),
    ("bt", refused_part(1, 2)),
    ("tbb", refused_part(2, 1)),
    ("tbh", refused_part(2, 1)),
    ("thb", refused_part(3, 1)),
    ("tb-", refused_part(2, 1)),
    ("hs", Unanswered("a part was refused")),
    ("us", Unanswered("a part was refused")),
    ("b--", Refused(BAD_NUMBER, "invalid_number", False, False)),
    ("tth", None),
    ("htt", None),
    ("tr", None),
    ("tu", None),
    ("th-", None),
    ("ths", Unanswered("a part was refused", ((1, "id1", "ID1"),))),
]


def fly(fates: str) -> tuple[Flight, Result | None]:
    """Let the parts that leave do so, then answer each; there is one end, and it comes last."""
    flight = Flight(submission(expires_at_us=NOW + 3_600 * SECOND), len(fates), "")
    for fate in fates:
        if fate != "-":
            flight.left()
            assert flight.end("gone") is None
    answer(flight, list(enumerate(fates, 1)))
    return flight, flight.end("gone")


def answer(flight: Flight, fates: list[tuple[int, str]]) -> None:
    for part, fate in fates:
        assert flight.end("gone") is None
        assert not flight.can_go_on
        if fate == "-":
            flight.stays(part)
        elif fate == "t":
            flight.taken(part, f"ID{part}", 0.0)
        elif fate == "s":
            flight.silent()
        else:
            flight.refused(part, STATUS[fate])


def go_on(flight: Flight, fates: str) -> list[int]:
    """Let what was missing go out, and answer it."""
    parts = flight.resume()
    for _ in parts:
        flight.left()
    answer(flight, list(zip(parts, fates, strict=True)))
    return parts


@pytest.mark.parametrize(("fates", "result"), CASES)
def test_parts_add_up(fates: str, result: Result | None):
    """Invariants 26 and 29: one answer, and no claim that isn't proved."""
    flight, found = fly(fates)
    assert found == result
    assert flight.can_go_on == (result is None)


@given(st.text(alphabet="tshrbu-", min_size=1, max_size=5))
def test_an_answer_claims_no_more_than_is_proved(fates: str):
    """Invariant 26: not sent if nothing left, refused if nothing can have been taken."""
    flight, result = fly(fates)
    if isinstance(result, NotSent):
        assert set(fates) == {"-"}
    if isinstance(result, Throttled | NotBound) or (
        isinstance(result, Refused) and not result.part
    ):
        assert not set(fates) & {"t", "s"}
    if isinstance(result, Refused) and result.part:
        assert "t" in fates
        assert "s" not in fates
    if isinstance(result, Unanswered):
        assert "s" in fates
    assert isinstance(result, Taken) == (set(fates) == {"t"})
    assert (result is None) == flight.can_go_on


# --- a part that is put off -----------------------------------------------------------


def test_a_part_that_was_throttled_is_tried_by_itself():
    """A message of three was "never answered" because one part met "throttled"."""
    flight, _ = fly("tht")
    assert flight.put_off(NOW, 1.0) == NOW + SECOND
    taken = ((1, "id1", "ID1"), (3, "id3", "ID3"))
    assert flight.held(NOW + 9 * SECOND, NOW + 1) == PartHeld(
        2, THROTTLED, NOW + 9 * SECOND, taken, NOW + 1
    )
    assert go_on(flight, "t") == [2]
    result = flight.end("gone")
    assert isinstance(result, Taken)
    assert [part for part, _, _ in result.ids] == [1, 2, 3]


def test_parts_behind_one_that_is_put_off_go_out_after_it():
    flight, _ = fly("th--")
    flight.put_off(NOW, 1.0)
    assert go_on(flight, "ttt") == [2, 3, 4]
    assert isinstance(flight.end("gone"), Taken)


def test_parts_that_lost_their_link_before_they_left_go_out_on_the_next():
    flight, _ = fly("t--")
    assert flight.put_off(NOW, 1.0) == NOW + SECOND // 2
    assert flight.held(NOW, NOW).status == 0
    assert go_on(flight, "tt") == [2, 3]
    assert isinstance(flight.end("gone"), Taken)


def test_waits_grow_while_a_part_is_throttled_and_begin_anew_once_one_is_taken():
    flight, _ = fly("thh")
    waits = []
    for _ in range(8):
        due_us = flight.put_off(NOW, 1.0)
        assert due_us is not None
        waits.append((due_us - NOW) // SECOND)
        go_on(flight, "hh")
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    flight.put_off(NOW, 1.0)
    go_on(flight, "th")
    assert flight.put_off(NOW, 1.0) == NOW + SECOND


def test_a_provider_s_own_error_is_tried_five_times_then_it_stands():
    flight, _ = fly("tr")
    waits = []
    while (due_us := flight.put_off(NOW, 1.0)) is not None:
        waits.append((due_us - NOW) // SECOND)
        go_on(flight, "r")
    assert waits == [10, 30, 90, 270]
    assert flight.give_up() == refused_part(2, 1, status=SYSTEM_ERROR)
    assert flight.ended


def test_a_part_that_is_throttled_until_its_validity_ends_was_refused():
    """Nothing about it is unknown: that part isn't there, and the others are."""
    flight, _ = fly("tth")
    last_us = flight.submission.expires_at_us - SECOND // 2
    assert flight.put_off(last_us, 1.0) is None
    assert flight.give_up() == refused_part(3, 1, 2, status=THROTTLED)


def test_a_part_that_never_left_until_its_validity_ended():
    flight, _ = fly("t--")
    assert flight.put_off(flight.submission.expires_at_us, 1.0) is None
    assert flight.give_up() == lacking(2, 0, "expired_in_our_queue", "its validity ended", 1)


def test_a_bind_that_was_forgotten_between_parts_costs_half_a_second():
    flight, _ = fly("tu")
    assert flight.put_off(NOW, 1.0) == NOW + SECOND // 2
    go_on(flight, "t")
    assert isinstance(flight.end("gone"), Taken)


def test_the_longest_wait_counts_when_parts_wait_for_different_reasons():
    flight, _ = fly("thr")
    assert flight.put_off(NOW, 1.0) == NOW + 10 * SECOND


def test_a_part_refused_for_good_on_a_later_try_ends_it():
    flight, _ = fly("th-")
    flight.put_off(NOW, 1.0)
    parts = flight.resume()
    flight.left()
    flight.refused(parts[0], BAD_NUMBER)
    assert flight.stopped
    flight.stays(parts[1])
    assert flight.end("gone") == refused_part(2, 1)


def test_a_part_tried_again_and_never_answered_is_a_doubt():
    flight, _ = fly("th")
    flight.put_off(NOW, 1.0)
    go_on(flight, "s")
    assert flight.end("gone") == Unanswered("no answer came", ((1, "id1", "ID1"),))


def test_who_stops_says_that_a_part_was_put_off():
    """Each part's fate is known: it was called unanswered, and charged as a doubt."""
    flight, _ = fly("tth")
    assert flight.abandon("stopped") == lacking(3, THROTTLED, STOPPED, "stopped", 1, 2)
    flight, _ = fly("t--")
    assert flight.abandon("stopped") == lacking(2, 0, STOPPED, "stopped", 1)


def test_who_stops_between_two_tries_of_a_part_says_why_it_was_put_off():
    flight, _ = fly("tth")
    flight.resume()
    flight.stays(3)
    assert flight.end("gone") is None
    assert flight.abandon("stopped") == lacking(3, THROTTLED, STOPPED, "stopped", 1, 2)


def test_a_message_is_lost_with_any_part_that_isn_t_answered():
    for fates in ("s", "ss", "s-", "ts", "hs"):
        assert fly(fates)[0].is_lost
    for fates in ("t", "h", "-", "t-"):
        assert not fly(fates)[0].is_lost


def test_a_message_of_which_a_part_stayed_here_was_not_answered():
    for fates in ("-", "t-"):
        assert fly(fates)[0].came_back
    for fates in ("t", "h", "th", "h-"):
        assert not fly(fates)[0].came_back


def test_a_submission_is_answered_once():
    flight, _ = fly("t")
    assert flight.end("again") is None


def test_late_answers_are_told_as_they_turn_up():
    flight, _ = fly("sss")
    assert flight.late(2, "ID2", 0) == Unanswered("an answer came late", ((2, "id2", "ID2"),))
    flight.late(1, "ID1", 0)
    whole = flight.late(3, "ID3", 0)
    assert isinstance(whole, Taken)
    assert [part for part, _, _ in whole.ids] == [1, 2, 3]


def test_late_refusals_count_when_they_are_all_there():
    flight, _ = fly("ss")
    assert flight.late(1, None, BAD_NUMBER) is None
    assert flight.late(2, None, THROTTLED) == Refused(
        BAD_NUMBER, "invalid_number", False, False
    )


def test_a_part_refused_late_ends_the_doubt_once_every_part_is_answered():
    """It stayed "unknown whether it was handed off" although all three were answered."""
    flight, _ = fly("tst")
    assert flight.late(2, None, BAD_NUMBER) == refused_part(2, 1, 3)
    flight, _ = fly("tss")
    assert flight.late(2, None, BAD_NUMBER) is None
    assert flight.late(3, None, THROTTLED) == refused_part(2, 1)
    flight, _ = fly("tss")
    assert flight.late(2, None, BAD_NUMBER) is None
    assert flight.late(3, "ID3", 0) == refused_part(2, 1, 3)
    flight, _ = fly("sb")
    assert flight.late(1, "ID1", 0) == refused_part(2, 1)


@pytest.mark.parametrize("status", [THROTTLED, SYSTEM_ERROR, NOT_BOUND])
def test_a_part_put_off_late_is_tried_again_by_itself(status: int):
    flight, _ = fly("tst")
    assert flight.late(2, None, status) is None
    assert flight.can_go_on
    assert flight.put_off(NOW, 1.0) is not None
    assert go_on(flight, "t") == [2]
    assert isinstance(flight.end("gone"), Taken)


def test_a_part_that_stayed_behind_a_silence_goes_out_once_that_is_answered():
    flight, _ = fly("ts-")
    assert flight.late(2, "ID2", 0) is None
    flight.put_off(NOW, 1.0)
    assert go_on(flight, "t") == [3]
    assert isinstance(flight.end("gone"), Taken)


def test_nothing_more_is_sent_of_a_doubt_that_may_have_been_sent_again_whole():
    """It ended with nothing known, so a policy may have let it go out a second time."""
    flight, _ = fly("ss")
    assert flight.late(1, "ID1", 0) == Unanswered("an answer came late", ((1, "id1", "ID1"),))
    assert flight.late(2, None, THROTTLED) == refused_part(2, 1, status=THROTTLED)
    assert not flight.can_go_on
    flight, _ = fly("s-")
    assert flight.late(1, "ID1", 0) == lacking(2, 0, STOPPED, "it was in doubt", 1)


def test_a_late_answer_changes_nothing_of_what_is_still_under_way():
    flight = Flight(submission(expires_at_us=NOW + 3_600 * SECOND), 2, "")
    flight.left()
    flight.left()
    flight.silent()
    assert flight.late(1, "ID1", 0) is None
    flight.taken(2, "ID2", 0.0)
    assert isinstance(flight.end("gone"), Taken)
