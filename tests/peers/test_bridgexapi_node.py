"""The published Node client, unmodified, against our API over real sockets."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from arrivals.cli.doctor_providers import PUBLISHED_ROUTES
from arrivals.core.message import Move
from tests.http.installation import Installation
from tests.peers.conftest import Node
from tests.peers.served import Served
from tests.tidy_checks import ROOT

pytestmark = pytest.mark.slow

CLIENTS = (ROOT / "docs" / "clients.md").read_text("utf-8")
Ask = Callable[..., list[dict[str, Any]]]

SEND: dict[str, Any] = {
    "routeId": 1,
    "callerId": "BRIDGEXAPI",
    "numbers": ["31612345678"],
    "message": "hello",
}


@pytest.fixture
def ask(server: Served, node: Node) -> Ask:
    """`ask((method, argument), …, who="main")` calls the client and returns its answers."""

    def run(*steps: tuple[str, Any], who: str = "main") -> list[dict[str, Any]]:
        key = server.keys.get(who, who)
        done = node.run_node("bridgexapi_client.mjs", server.url, key, *map(json.dumps, steps))
        assert done.returncode == 0, done.stderr
        answers: list[dict[str, Any]] = json.loads(done.stdout)
        return answers

    return run


def test_send_sms(ask: Ask) -> None:
    numbers = ["31612345678", "34612345678", "99900000001"]
    (answer,) = ask(("sendSMS", SEND | {"numbers": numbers, "message": " żółć 😀 "}))
    sent = answer["value"]
    assert sent["success"] is True
    assert isinstance(sent["orderId"], int)
    assert len(sent["bxIds"]) == sent["count"] == sent["queued"] == 3
    assert all(each.startswith(f"BX-{sent['orderId']}-") for each in sent["bxIds"])
    assert sent["debited"] is True
    assert sent["cost"] == 0.147
    assert sent["routeId"] == 1


def test_a_report_is_a_success_only_when_delivered(ask: Ask, server: Served) -> None:
    (answer,) = ask(("sendOne", SEND | {"number": "31612345678"}))
    (name,) = answer["value"]["bxIds"]

    def move(*moves: Move) -> None:
        async def work(installation: Installation) -> None:
            key = installation.platform.ids.decode(name)
            assert key is not None
            await installation.move(key, *moves)

        server.do(work)

    (queued,) = ask(("getDLRByBxId", name))
    move(Move.CLAIMED, Move.TAKEN)
    (sent,) = ask(("getDLRByBxId", name))
    move(Move.RECEIPT_DELIVERED)
    (delivered,) = ask(("getDLRByBxId", name))
    statuses = [each["value"]["status"] for each in (queued, sent, delivered)]
    assert statuses == ["QUEUED", "SENT", "DELIVERED"]
    assert [each["value"]["success"] for each in (queued, sent, delivered)] == [
        False, False, True,
    ]  # fmt: skip
    assert queued["value"]["deliveredAt"] is None
    assert delivered["value"]["deliveredAt"]
    assert delivered["value"]["vendorMessageId"] == "7f3a"
    assert delivered["value"]["bxId"] == name


def test_an_order_by_number_and_by_text(ask: Ask) -> None:
    (answer,) = ask(("sendSMS", SEND | {"numbers": ["31612345678"] * 3}))
    order_id = answer["value"]["orderId"]
    by_number, by_text = ask(("getOrderDLR", order_id), ("getOrderDLR", str(order_id)))
    assert by_number == by_text
    assert by_number["value"]["total"] == 3


def test_refusals_become_the_client_s_own_errors(ask: Ask) -> None:
    (bad_key,) = ask(("sendSMS", SEND), who="nonsense")
    assert bad_key == {
        "error": "AuthenticationError",
        "message": "Invalid or inactive API Key",
        "status": 401,
    }
    (casino,) = ask(("sendSMS", SEND | {"routeId": 5}), who="public")
    assert casino["error"] == "AuthenticationError"
    assert casino["message"] == "You are not authorized for the Casino route"
    (poor,) = ask(("sendSMS", SEND), who="empty")
    assert (poor["error"], poor["status"]) == ("APIRequestError", 402)
    short, unpriced, absent, long = ask(
        ("sendSMS", SEND | {"numbers": ["01612345678"]}),
        ("sendSMS", SEND | {"numbers": ["905321234567"]}),
        ("getDLRByBxId", "BX-1-0000000000000000"),
        ("sendSMS", SEND | {"message": "x" * 2_000}),
    )
    assert (short["error"], short["status"]) == ("APIRequestError", 422)
    assert short["message"].startswith("The number can't be used")
    assert unpriced["message"] == "Pricing failed: No pricing available for destination"
    assert (absent["message"], absent["status"]) == ("DLR record not found", 404)
    assert long["message"] == "The message takes 14 segments, at most 10 are allowed"


def test_eight_digit_numbers_pass(ask: Ask) -> None:
    (answer,) = ask(("sendSMS", SEND | {"numbers": ["99900001"]}))
    assert answer["value"]["success"] is True


def test_what_it_cannot_reach_is_what_the_documents_say(ask: Ask) -> None:
    """By route and by digits; what it refuses itself never comes to us."""
    routes = ask(*(("sendSMS", SEND | {"routeId": number}) for number in range(10)))
    refused = {
        n for n, each in enumerate(routes) if "routeId must be" in each.get("message", "")
    }
    reached = set(range(10)) - refused
    assert reached == PUBLISHED_ROUTES["bridgexapi of npm"]
    digits = range(6, 18)
    numbers = ask(*(("sendSMS", SEND | {"numbers": ["3" * n]}) for n in digits))
    own = {
        n
        for n, each in zip(digits, numbers, strict=True)
        if "Length" in each.get("message", "")
    }
    said = re.search(r"\| Node 0.1.0 \| (\d) to (\d) \| (\d+) to (\d+) digits", CLIENTS)
    assert said
    first, last, least, most = map(int, said.groups())
    assert reached == set(range(first, last + 1))
    assert set(digits) - own == set(range(least, most + 1))
