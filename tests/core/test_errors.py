"""Errors: every code once, in the words that published clients understand."""

from __future__ import annotations

import json
from string import Formatter
from typing import Any

import bridgexapi.exceptions as published
import pytest
from bridgexapi import BridgeXAPI

from arrivals.core import errors
from arrivals.core.errors import (
    ERRORS,
    Code,
    Refusal,
    body_invalid,
    refuse,
    route_not_allowed,
    to_problem,
)

# Facts as flows give them; a detail that asks for another name fails here.
FACTS: dict[str, str | int] = {
    "route_id": 8,
    "route_currency": "USD",
    "currency": "EUR",
    "env": "test",
    "needed": "0.087",
    "available": "0.01",
    "problem": "it has letters",
    "limit": "2 MiB",
    "name": "colour",
    "segments": 11,
    "segments_max": 10,
    "line": 3,
    "lines": 8,
    "price": "12.5",
    "what": "order",
    "method": "PATCH",
    "state": "delivered",
    "has": "read",
    "needs": "send",
    "expired_at": "2026-12-31T00:00:00.000000Z",
}

# The published Python client's literals, lower-cased, and who may use each.
LITERALS: dict[str, set[str]] = {
    "missing api key": {"missing_key"},
    "missing x-api-key header": set(),
    "invalid or inactive api key": {"invalid_key", "key_expired"},
    "invalid route_id": {"invalid_route"},
    "you are not authorized for route": {"route_not_allowed"},
    "not authorized for the casino route": set(),
    "sender id not allowed for route 8": {"sender_not_allowed"},
    "insufficient balance": {"insufficient_balance"},
    "vendor send failed": set(),
    "pricing failed": {"no_price"},
    "estimate failed": {"estimate_failed"},
    "dlr record not found": {"dlr_not_found"},
}

CLIENT_CLASSES: dict[str, type[Exception]] = {
    "missing_key": published.AuthenticationError,
    "invalid_key": published.AuthenticationError,
    "key_expired": published.AuthenticationError,
    "invalid_route": published.InvalidRouteError,
    "route_not_allowed": published.UnauthorizedRouteError,
    "sender_not_allowed": published.UnauthorizedRouteError,
    "insufficient_balance": published.InsufficientBalanceError,
    "no_price": published.ValidationError,
    "estimate_failed": published.ValidationError,
}


def rendered(code: Code) -> Refusal:
    names = {name for _, name, _, _ in Formatter().parse(ERRORS[code].detail) if name}
    facts: dict[str, Any] = {name: FACTS[name] for name in names}
    return refuse(code, **facts)


def published_error(refusal: Refusal) -> Exception:
    """Return what the unmodified published client raises for a refusal."""
    body = json.loads(json.dumps(to_problem(refusal, "req-1")))
    with pytest.raises(published.BridgeXAPIError) as caught:
        BridgeXAPI(api_key="x")._raise_for_error(refusal.status, body)
    return caught.value


@pytest.mark.parametrize("code", Code)
def test_every_code_renders(code: Code) -> None:
    refusal = rendered(code)
    problem = to_problem(refusal, "req-1")
    assert problem["code"] == code.value == refusal.code
    assert problem["status"] == refusal.status
    assert problem["type"] == f"/docs/errors#{code}"
    assert problem["request_id"] == "req-1"
    for words in (refusal.title, refusal.detail, refusal.fix):
        assert words
        assert "{}" not in words
        assert not words.startswith(" ")
    assert refusal.fix.endswith(".")
    assert not refusal.detail.endswith("."), "a detail is a phrase, clients join them"
    assert str(refusal) == refusal.detail
    assert 400 <= refusal.status < 600


@pytest.mark.parametrize("code", Code)
def test_422_is_a_list_and_everything_else_a_string(code: Code) -> None:
    refusal = rendered(code)
    detail = to_problem(refusal, "req-1")["detail"]
    if refusal.status == 422:
        assert isinstance(detail, list)
        assert [sorted(each) for each in detail] == [["loc", "msg", "type"]]
    else:
        assert detail == refusal.detail


@pytest.mark.parametrize("code", Code)
def test_no_code_holds_the_literal_of_another(code: Code) -> None:
    said = rendered(code).detail.lower()
    for literal, owners in LITERALS.items():
        assert (literal in said) == (code.value in owners), literal


@pytest.mark.parametrize("code", Code)
def test_the_published_client_raises_the_class_of_its_table(code: Code) -> None:
    refusal = rendered(code)
    default = published.ValidationError if refusal.status == 422 else published.ApiRequestError
    error = published_error(refusal)
    assert type(error) is CLIENT_CLASSES.get(code.value, default)
    assert str(error) == refusal.detail


def test_the_casino_route_has_its_own_words() -> None:
    refusal = route_not_allowed(5, "Casino")
    assert refusal.detail == str(refusal) == "You are not authorized for the Casino route"
    assert refusal.code == "route_not_allowed"
    assert type(published_error(refusal)) is published.UnauthorizedRouteError
    assert route_not_allowed(7, "iGaming").detail == "You are not authorized for route 7"


def test_the_docstring_draws_the_tree() -> None:
    assert errors.__doc__ is not None
    kinds = {row.kind for row in ERRORS.values()}
    # Those of this module: another one may have kinds of its own to carry more along.
    here = {each for each in Refusal.__subclasses__() if each.__module__ == Refusal.__module__}
    assert kinds == here
    for kind in kinds:
        statuses = {row.status for row in ERRORS.values() if row.kind is kind}
        line = next(
            line for line in errors.__doc__.splitlines() if f" {kind.__name__} " in line
        )
        assert {int(word) for word in line.split() if word.isdigit()} == statuses


def test_every_code_has_a_row() -> None:
    assert list(ERRORS) == list(Code)


def test_later_means_a_number_of_seconds() -> None:
    for row in ERRORS.values():
        if row.status in {429, 503, 507}:
            assert row.retry_after_s is not None
    refusal = refuse(Code.QUEUE_FULL, retry_after_s=7)
    assert to_problem(refusal, "r")["retry_after_s"] == refusal.retry_after_s == 7
    assert "retry_after_s" not in to_problem(refuse(Code.INTERNAL), "r")


def test_a_field_names_its_place() -> None:
    refusal = refuse(Code.INVALID_NUMBER, field="numbers.3", problem="it has letters")
    assert to_problem(refusal, "r")["field"] == "numbers.3"
    assert list(refusal.errors) == [
        {
            "loc": ["body", "numbers", 3],
            "msg": "The number can't be used: it has letters",
            "type": "invalid_number",
        }
    ]
    mismatch = refuse(Code.IDEMPOTENCY_KEY_MISMATCH)
    assert mismatch.errors[0]["loc"] == ["header", "Idempotency-Key"]
    assert "field" not in to_problem(refuse(Code.INTERNAL), "r")


def test_a_body_may_be_wrong_in_many_places() -> None:
    refusal = body_invalid(
        [("numbers.0", "Expected `str`", "type"), ("", "Field required", "missing")]
    )
    assert refusal.field == "numbers.0"
    assert [error["loc"] for error in refusal.errors] == [["body", "numbers", 0], ["body"]]
    assert str(published_error(refusal)) == "Expected `str`"
    query = body_invalid([("", "Not a number", "type")], place="query")
    assert query.field is None
    assert query.errors[0]["loc"] == ["query"]


def test_extra_members_never_hide_the_standard_ones() -> None:
    refusal = refuse(
        Code.INSUFFICIENT_BALANCE,
        extra={"needed": 0.087, "status": 200},
        needed="0.087",
        available="0",
        currency="EUR",
    )
    problem = to_problem(refusal, "r")
    assert (problem["needed"], problem["status"]) == (0.087, 402)


def test_a_refusal_can_be_made_by_hand() -> None:
    refusal = Refusal(code="odd_case", status=418, detail="An odd case")
    assert to_problem(refusal, "r")["title"] == "Odd case"
