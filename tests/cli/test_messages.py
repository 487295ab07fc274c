"""Finding, listing, cancelling, pricing: what is asked, what is shown, and how it ends."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from arrivals.cli.output import put_table
from tests.cli.answering import MESSAGE_ID, Asked, answering, message
from tests.cli.typed import type_in

LINE = {
    "bx_message_id": MESSAGE_ID,
    "order_id": 1,
    "account_id": 2,
    "msisdn": "31612345678",
    "country": "NL",
    "route_id": 3,
    "caller_id": "ARRIVALS",
    "client_ref": "r-1",
    "status": "FAILED",
    "created_at": "2026-11-22T20:05:20.000000Z",
    "layers": {"api": "accepted", "execution": "handed_off", "outcome": "failed"},
    "reason": "handset_memory_full",
}
WHOLE = message("failed") | LINE
WHOLE |= {"layers": message("failed")["layers"], "error": LINE["reason"]}


def server(*pages: list[dict[str, Any]]):
    """Answer with these pages of messages, and with one whole."""
    left = list(pages)

    def answer(asked: Asked):
        if asked.path != "/api/v1/messages":
            return 200, WHOLE
        found = left.pop(0)
        return 200, {"messages": found, "next_cursor": MESSAGE_ID if left else None}

    return answering(answer)


def typed(url: str, *words: object):
    return type_in(*words, "--url", url, "--key", "k")


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (("--number", "+31612345678"), {"msisdn": ["+31612345678"]}),
        (("--ref", "r-1"), {"client_ref": ["r-1"]}),
        (("--ref", "r-1", "--account", "2"), {"client_ref": ["r-1"], "account_id": ["2"]}),
    ],
)
def test_a_message_is_found_by_what_is_known_of_it(words, asked) -> None:
    """A number is looked for in the last days; a reference has an index of its own."""
    with server([LINE]) as here:
        found = typed(here.url, "messages", "find", *words)
    assert found.code == 0
    assert found.out.splitlines()[1].split()[:3] == [MESSAGE_ID, "31612345678", "ARRIVALS"]
    assert f"arrivals explain {MESSAGE_ID}" in found.out
    query = here.asked[0].query
    assert ("from" in query) == ("msisdn" in query)
    assert {name: query[name] for name in asked} == asked


def test_an_id_is_read_straight_away() -> None:
    """In the same form as what is found otherwise."""
    with server() as here:
        found = typed(here.url, "messages", "find", "--id", MESSAGE_ID, "--json")
    assert here.asked[0].path == f"/api/v1/messages/{MESSAGE_ID}"
    layers = LINE["layers"] | {"confirmed": "none"}  # type: ignore[operator]
    assert found.json == {"messages": [LINE | {"layers": layers}], "more": False}


def test_pages_are_followed_until_there_is_enough() -> None:
    """An empty page isn't the end; what is left over is told."""
    with server([], [], [LINE, LINE], [LINE]) as here:
        found = typed(here.url, "messages", "find", "--number", "31612345678", "--json")
        assert len(found.json["messages"]) == 3
        assert not found.json["more"]
        assert here.asked[1].query["cursor"] == [MESSAGE_ID]
    with server([LINE, LINE], [LINE]) as here:
        found = typed(here.url, "messages", "list", "--limit", 1)
    assert found.out.count(MESSAGE_ID) == 1
    assert "--limit" in found.out
    assert len(here.asked) == 1


def test_nothing_found_is_1_and_says_how_far_it_looked() -> None:
    """As JSON it is an empty list all the same."""
    words = ("messages", "find", "--number", "31612345678")
    with server([], []) as here:
        found = typed(here.url, *words, "--days", 2)
    assert found.code == 1
    assert "2 days" in found.err
    with server([]) as here:
        found = typed(here.url, *words, "--json")
    assert (found.code, found.json["messages"]) == (1, [])
    with server([]) as here:
        listed = typed(here.url, "messages", "list")
    assert (listed.code, "no such messages" in listed.out) == (0, True)


def test_filters_of_a_list_are_asked_for_as_they_were_typed() -> None:
    """By the names that the API has for them."""
    with server([LINE]) as here:
        typed(
            here.url, *("messages", "list", "--state", "queued,failed", "--verdict", "open"),
            *("--route", 3, "--country", "NL", "--order", 9, "--from", "2026-11-22"),
            *("--to", "2026-11-23", "--account", 2),
        )  # fmt: skip
    query = {name: value for name, (value,) in here.asked[0].query.items()}
    assert query == {
        "state": "queued,failed", "verdict": "open", "route_id": "3", "country": "NL",
        "order_id": "9", "from": "2026-11-22", "to": "2026-11-23", "account_id": "2",
        "limit": "21",
    }  # fmt: skip


def test_cancelling_says_what_is_free_again() -> None:
    """And a message that can't be cancelled is 1 with the reason."""
    released = WHOLE | {"money": {"released": 0.087, "currency": "EUR"}}
    with answering(lambda _: (200, released)) as here:
        found = typed(here.url, "cancel", MESSAGE_ID)
        assert typed(here.url, "cancel", MESSAGE_ID, "--json").json == released
    assert "0.087 EUR are free again" in found.out
    assert here.asked[0].path == f"/api/v1/messages/{MESSAGE_ID}/cancel"
    problem = {"detail": "The message can't be cancelled: it is submitted", "fix": "Wait."}
    with answering(lambda _: (409, problem)) as here:
        found = typed(here.url, "cancel", MESSAGE_ID)
    assert found.code == 1
    assert "it is submitted" in found.err


def test_the_balance_is_a_sentence() -> None:
    """With what is held, and the limit where there is one."""
    body = {
        "balance": 199.913, "currency": "EUR", "username": "main", "held": 0.087,
        "credit_limit": 5,
    }  # fmt: skip
    with answering(lambda _: (200, body)) as here:
        found = typed(here.url, "balance")
        assert typed(here.url, "balance", "--json").json == body
    assert "199.913 EUR" in found.out
    assert "0.087 EUR" in found.out
    assert "5 EUR below zero" in found.out


def test_an_estimate_says_the_price_and_sends_nothing() -> None:
    """Line by line, and whether the balance reaches."""
    body = {
        "route_id": 3, "currency": "EUR", "estimated_cost": 0.174, "balance": 0.1,
        "sufficient_balance": False, "quote_id": "Q-1",
        "prices": [{"segments": 2, "country": "Netherlands", "price_per_segment": 0.087}],
    }  # fmt: skip
    with answering(lambda _: (200, body)) as here:
        found = typed(here.url, "estimate", "31612345678", "Hi", "--route", 3)
    assert here.asked[0].path == "/api/v1/estimate"
    assert json.loads(here.asked[0].body)["numbers"] == ["31612345678"]
    assert "2 segments to Netherlands" in found.out
    assert "isn't enough" in found.out
    assert "--quote Q-1" in found.out


WHY = "a long reason of several words"


class Terminal(io.StringIO):
    """Somebody's window."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("width", [30, 60, 200])
def test_no_table_breaks_a_word(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """However narrow the terminal is, what can be copied stands whole on one line."""
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("LINES", "25")  # without it a dumb terminal has 80 columns
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr("sys.stdout", terminal := Terminal())
    rows = [
        (MESSAGE_ID, "31612345678", WHY, 7),
        (MESSAGE_ID, "", "", 8),
    ]
    put_table(("message", "number", "why", "account#"), rows, "none")
    shown = terminal.getvalue()
    assert shown.count(MESSAGE_ID) == 2
    assert "31612345678" in shown
    assert set(WHY.split()) <= set(shown.split())
    if width >= 40:
        assert max(map(len, shown.splitlines())) <= width
