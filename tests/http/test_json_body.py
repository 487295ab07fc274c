"""What is wrong with a JSON body is said in our words: the field, and what may stand there."""

from __future__ import annotations

import re
from typing import Any

import httpx
import msgspec
import pytest

from arrivals.core.errors import Refusal
from arrivals.http.batch_lines import JsonLines
from arrivals.http.feedback import FeedbackBody
from arrivals.http.json_body import read_json
from arrivals.http.send_body import BodyMessage, SendBody

LIBRARY = re.compile(r"`|\b([Ee]xpected|Object|Invalid|str|int|float|bool|array)\b")
# Of every JSON type one, and of each of its bounds one that is beyond it.
VALUES = (
    "null", "true", "0", "-1", "11", "1.5", "1e400", "99999999999999999999", '""', '"x"',
    f'"{"x" * 2_000}"', "[]", "[1]", "[null]", '[""]', "{}", '[{"to": 1}]', '[{"no": 1}]',
)  # fmt: skip


def refused(text: str, kind: type = SendBody) -> Refusal:
    with pytest.raises(Refusal) as caught:
        read_json(msgspec.json.Decoder(kind, strict=True), text.encode())
    return caught.value


@pytest.mark.parametrize("kind", [SendBody, BodyMessage, FeedbackBody])
def test_no_words_of_the_decoder_are_passed_on(kind: Any) -> None:
    """Whatever stands for a field, and for the whole body."""
    said: list[str] = []
    bodies = [f'{{"{name}": {value}}}' for name in kind.__struct_fields__ for value in VALUES]
    for text in (*bodies, *VALUES):
        try:
            read_json(msgspec.json.Decoder(kind, strict=True), text.encode())
        except Refusal as refusal:
            said += [each["msg"] for each in refusal.errors]
    assert len(said) > len(bodies) / 2
    for words in said:
        assert not LIBRARY.search(words), words
        assert "isn't what can stand here" not in words


@pytest.mark.parametrize(
    ("member", "field", "words"),
    [
        ('"messages": "x"', "messages", "must be a list, not a text in quotation marks"),
        ('"partial": "yes"', "partial", "must be true or false, not a text"),
        ('"route_id": 1.0', "route_id", "not a number with a point"),
        ('"max_price": true', "max_price", "must be an amount such as 0.087, not true"),
        ('"max_price": "much"', "max_price", "must be an amount such as 0.087"),
        ('"valid_for": 0', "valid_for", "must be at least 1"),
        ('"max_segments": 11', "max_segments", "must be at most 10"),
        ('"client_ref": ""', "client_ref", "must not be empty"),
        (f'"client_ref": "{"x" * 65}"', "client_ref", "has at most 64 characters"),
        ('"messages": [1]', "messages.0", "must be an object, not a whole number"),
        ('"numbers": [31612345678]', "numbers.0", "write it as a text"),
        ('"caller_id": "B"', "caller_id", "stands more than once"),
        (r'"caller\u005fid": "B"', "caller_id", "stands more than once"),
        ('"messages": [{"to": "1", "to": "2"}]', "to", "stands more than once"),
        (f'"max_price": {"9" * 5_000}, "max_price": 1', "max_price", "stands more than once"),
    ],
)
def test_what_is_wrong_is_named(member: str, field: str, words: str) -> None:
    refusal = refused(f'{{"caller_id": "A", {member}}}')
    assert (refusal.code, refusal.field) == ("body_invalid", field)
    assert words in refusal.errors[0]["msg"]


@pytest.mark.parametrize(
    ("member", "field", "fix"),
    [
        ('"number": "1"', "number", "Did you mean numbers?"),
        ('"to": "1"', "to", "Did you mean numbers?"),
        ('"Sender": "1"', "Sender", "Did you mean caller_id?"),
        ('"valid-for": 1', "valid-for", "Did you mean valid_for?"),
        ('"messages": [{"number": "1"}]', "messages.0.number", "Did you mean to?"),
        ('"messages": [{"text": "1"}]', "messages.0.text", "Did you mean message?"),
        ('"messages": [{"x": "1"}]', "messages.0.x", "there are to, message, client_ref."),
    ],
)
def test_what_was_meant_is_guessed(member: str, field: str, fix: str) -> None:
    refusal = refused(f'{{"caller_id": "A", {member}}}')
    assert (refusal.code, refusal.field) == ("unknown_field", field)
    assert refusal.fix.endswith(fix)


def test_a_text_may_look_like_a_doubled_name() -> None:
    """Only names count, and only within one object."""
    text = r'{"to": "\"to\": \"to\":", "message": "to \u0022to\u0022"}'
    assert read_json(msgspec.json.Decoder(BodyMessage), text.encode()).message == 'to "to"'
    both = '{"caller_id": "A", "messages": [{"to": "1"}, {"to": "2"}]}'
    assert len(read_json(msgspec.json.Decoder(SendBody), both.encode()).messages or ()) == 2


def test_a_line_with_a_doubled_name_is_refused() -> None:
    """By itself: the others are read."""
    reader = JsonLines()
    text = b'{"to": "1", "to": "2"}\n{"to": "3"}\n'
    first, second = (each for each in reader.feed(text) if each is not None)
    assert first.refusal is not None
    assert first.refusal.errors[0]["loc"] == ["body", "to"]
    assert (second.refusal, second.to) == (None, "3")


async def test_a_doubled_name_sends_nothing(main: httpx.AsyncClient) -> None:
    body = '{"route_id": 1, "caller_id": "A", "message": "x", "numbers": ["31612345678"], '
    for again in ('"numbers": ["34612345678"]}', '"message": "y"}'):
        answer: Any = await main.post("/api/v1/send_sms", content=body + again)
        assert answer.status_code == 422
        assert "more than once" in answer.json()["detail"][0]["msg"]
    assert (await main.get("/api/v1/messages")).json()["messages"] == []
