"""What a receipt's words come to, and which of two that disagree is taken."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrivals.smpp import constants as c
from arrivals.smpp.receipt_states import (
    ABBREVIATIONS,
    STATES,
    UNRECOGNISED,
    agree_on,
    of_stats,
    state_in,
    tells_of_states,
)

# (the kind of report, its words, the state)
PHRASES = [
    ("long words for the handset's own word", "Delivered to handset", "DELIVRD"),
    ("a sentence", "The message was successfully delivered.", "DELIVRD"),
    ("words run together", "DeliveredToTerminal", "DELIVRD"),
    ("words joined by underscores", "DELIVERED_TO_HANDSET", "DELIVRD"),
    ("the noun, and that it went well", "Delivery success", "DELIVRD"),
    ("a name for the report beside it", "MSG_DELIVERED", "DELIVRD"),
    ("delivered, to whoever stands between", "Delivered to network", "ENROUTE"),
    ("the same, run together", "DeliveredToNetwork", "ENROUTE"),
    ("delivered to the SMSC", "delivered to SMSC", "ENROUTE"),
    ("a negation before the word", "not delivered", "UNDELIV"),
    ("a negation joined to it", "NOT_DELIVRD", "UNDELIV"),
    ("a negation at the end of a verb", "couldn't be delivered", "UNDELIV"),
    ("no delivery", "no delivery possible", "UNDELIV"),
    ("a negation and a failure", "Delivery failed: not delivered", "UNDELIV"),
    ("a negation of what went well", "delivery not confirmed", "UNDELIV"),
    ("delivery that failed", "DELIVERY FAILED", "UNDELIV"),
    ("an attempt that can't be", "DeliveryImpossible", "UNDELIV"),
    ("a failure with its reason", "Undelivered - absent subscriber", "UNDELIV"),
    ("a failure to deliver", "Failed to deliver to handset", "UNDELIV"),
    ("a refusal and who gave it", "Rejected by carrier", "REJECTD"),
    ("a refusal before a failure", "Rejected: delivery failed", "REJECTD"),
    ("a validity that ran out", "Message expired", "EXPIRED"),
    ("a message that was taken back", "message deleted", "DELETED"),
    ("a queue", "Message queued at operator", "ENROUTE"),
    ("a word for handed on", "sent to carrier", "ENROUTE"),
    ("a word for taken", "accepted by the operator", "ACCEPTD"),
    ("not yet", "not yet delivered", "ENROUTE"),
    ("still not", "still not delivered", "ENROUTE"),
    ("not yet, after a failure", "failed, not yet delivered", UNRECOGNISED),
    ("a failure that is tried again", "failed, retrying", UNRECOGNISED),
    ("a failure that may pass", "temporarily undeliverable", UNRECOGNISED),
    ("an attempt that failed", "Delivery attempt failed", UNRECOGNISED),
    ("delivered after failures", "delivered after failed tries", UNRECOGNISED),
    ("delivered and sent", "sent, delivered", UNRECOGNISED),
    ("delivered, in part", "partially delivered", UNRECOGNISED),
    ("delivered, with a word nobody knows", "delivered frumpily", UNRECOGNISED),
    ("it will be", "will be delivered", UNRECOGNISED),
    ("not a failure", "not rejected", UNRECOGNISED),
    ("accepted and not delivered", "accepted, not delivered", UNRECOGNISED),
    ("a subscriber whom nobody knows", "Unknown subscriber", UNRECOGNISED),
    ("a success of what isn't said", "SUCCESS", UNRECOGNISED),
    ("a number for delivered", "2", "DELIVRD"),
    ("a number with zeros", "005", "UNDELIV"),
    ("zero, which is none", "0", UNRECOGNISED),
    ("a number that nobody knows", "77", UNRECOGNISED),
    ("a full stop", "DELIVRD.", "DELIVRD"),
    ("brackets", "[DELIVRD]", "DELIVRD"),
    ("nothing", "", UNRECOGNISED),
    ("somebody's message", "delivered " * 40, UNRECOGNISED),
]


@pytest.mark.parametrize(
    ("words", "state"), [each[1:] for each in PHRASES], ids=[each[0] for each in PHRASES]
)
def test_phrases(words: str, state: str) -> None:
    assert state_in(words) == state
    if " " in words:  # capitals part words that run together
        assert state_in(words.upper()) == state


@pytest.mark.parametrize(
    "word",
    ["ACKED", "BUFFRED", "SENT", "QUEUED", "TRANSMITTED", "PENDING", "FORWARDED", "SUBMITD"],
)
def test_words_for_on_its_way_are_progress(word: str) -> None:
    assert state_in(word) == state_in(f" {word.lower()}. ") == "ENROUTE"


FAILURES = [
    "UNDELIV", "UNDELIVERED", "UNDELIVERABLE", "FAILED", "failure", "REJECTD", "rejected",
    "EXPIRED", "DELETED", "not delivered", "DELIVERY FAILED", "delivery failure",
    "could not be delivered", "non-delivered", "no delivery", "never delivered", "UNDELIVRD",
    "DELIVERY_FAILED", "DeliveryFailed", "cannot deliver", "unable to deliver", "blocked",
]  # fmt: skip
AROUND = st.lists(
    st.sampled_from(
        ["delivered", "DELIVERED", "to", "handset", "message", "was", "successfully", "status",
         "sent", "yet", "absent", "subscriber", "the", "delivery", "42", "retry", ",", ":", "-"]
    ),
    max_size=5,
).map(" ".join)  # fmt: skip


@given(AROUND, st.sampled_from(FAILURES), AROUND)
def test_no_words_of_a_failure_are_ever_read_as_a_success(
    before: str, failure: str, after: str
) -> None:
    assert state_in(f"{before} {failure} {after}") != "DELIVRD"


@given(st.text(max_size=60))
def test_any_words_mean_a_state_or_nothing(words: str) -> None:
    assert state_in(words) in {*c.MESSAGE_STATES, UNRECOGNISED}


def test_every_word_means_a_state_of_the_specification() -> None:
    assert set(STATES.values()) == set(c.MESSAGE_STATES)
    assert set(STATES) >= ABBREVIATIONS


def test_what_speaks_of_states_is_told_from_what_does_not() -> None:
    assert tells_of_states("reason:failed")
    assert not tells_of_states("smsc:north-4")


# --- two that disagree -------------------------------------------------------------------

# (why, message_state, the text's state, what is taken, what message_state is kept as)
DISAGREEMENTS = [
    ("they agree", 2, "DELIVRD", "DELIVRD", None),
    ("there is no number", None, "UNDELIV", "UNDELIV", None),
    ("a number out of range", 0x63, "DELIVRD", "DELIVRD", None),
    ("the text has no state", 5, UNRECOGNISED, "UNDELIV", None),
    ("neither has one", 0x63, UNRECOGNISED, UNRECOGNISED, None),
    ("zero is no state in 3.4", 0, "DELIVRD", "DELIVRD", None),
    ("zero is no state in 3.4, and the text failed", 0, "UNDELIV", "UNDELIV", None),
    ("zero where nothing else is said", 0, UNRECOGNISED, "SCHEDULED", None),
    ("a template's delivered beside a failure", 2, "UNDELIV", "UNDELIV", "DELIVRD"),
    ("a failure's number beside delivered", 5, "DELIVRD", "UNDELIV", "UNDELIV"),
    ("a rejection's number beside delivered", 8, "DELIVRD", "REJECTD", "REJECTD"),
    ("on its way, filled in before the end", 1, "DELIVRD", "DELIVRD", "ENROUTE"),
    ("accepted, filled in before the end", 6, "UNDELIV", "UNDELIV", "ACCEPTD"),
    ("delivered by the number, beside a word on its way", 2, "ENROUTE", "ENROUTE", "DELIVRD"),
    ("a failure's number beside a word on its way", 5, "ACCEPTD", "UNDELIV", "UNDELIV"),
    ("unknown beside who knows", 7, "DELIVRD", "DELIVRD", "UNKNOWN"),
    ("skipped beside who knows", 9, "UNDELIV", "UNDELIV", "SKIPPED"),
    ("unknown beside on its way", 7, "ENROUTE", "ENROUTE", "UNKNOWN"),
    ("a number that knows beside unknown", 2, "UNKNOWN", "DELIVRD", "DELIVRD"),
    ("two failures: the number's", 3, "UNDELIV", "EXPIRED", "EXPIRED"),
]


@pytest.mark.parametrize(
    ("number", "said", "state", "kept"),
    [each[1:] for each in DISAGREEMENTS],
    ids=[each[0] for each in DISAGREEMENTS],
)
def test_number_and_text(number: int | None, said: str, state: str, kept: str | None) -> None:
    assert agree_on(number, said) == (state, kept)


def test_a_failure_beside_delivered_is_a_failure_whoever_says_it() -> None:
    failures = ("UNDELIV", "REJECTD", "DELETED", "EXPIRED")
    for number, said in itertools.product(range(1, 10), [*c.MESSAGE_STATES, UNRECOGNISED]):
        both = {c.MESSAGE_STATE_WORDS[number], said}
        if both & set(failures):
            assert agree_on(number, said)[0] in failures


@pytest.mark.parametrize(
    ("values", "taken"),
    [
        (["DELIVRD"], "DELIVRD"),
        (["OK", "DELIVRD"], "DELIVRD"),
        (["UNDELIV", "DELIVRD"], "UNDELIV"),
        (["DELIVRD", "FAILED"], "FAILED"),
        (["what", "ever"], "what"),
    ],
)
def test_of_several_states_in_a_text(values: list[str], taken: str) -> None:
    assert of_stats(values) == taken
