"""The published Python client, unmodified, against our API over real sockets."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests
from bridgexapi import BridgeXAPI
from bridgexapi.exceptions import (
    ApiRequestError,
    AuthenticationError,
    InsufficientBalanceError,
    InvalidRouteError,
    UnauthorizedRouteError,
    ValidationError,
)

from arrivals.core.message import Move
from tests.http.installation import RATES, Installation
from tests.peers.conftest import HERE, install, one_at_a_time
from tests.peers.development import Platform
from tests.peers.served import Served, served

pytestmark = pytest.mark.slow  # tests/http tests the same contract

Connect = Callable[..., BridgeXAPI]

SEND: dict[str, Any] = {"route_id": 1, "caller_id": "BRIDGEXAPI", "message": "hello"}


@pytest.fixture
def connect(server: Served) -> Iterator[Connect]:
    """`connect("main")` gives a client with this account's key."""
    sessions: list[requests.Session] = []

    def connected(name: str = "main", **settings: Any) -> BridgeXAPI:
        session = settings.pop("session", None) or requests.Session()
        sessions.append(session)
        key = server.keys.get(name, name)
        return BridgeXAPI(key, base_url=server.url, session=session, **settings)

    yield connected
    for session in sessions:
        session.close()


def move(server: Served, name: str, *moves: Move, reason: str | None = None) -> None:
    """Let a message take its course, as the dispatcher and the carrier would."""

    async def work(installation: Installation) -> None:
        key = installation.platform.ids.decode(name)
        assert key is not None
        await installation.move(key, *moves, reason=reason)

    server.do(work)


def test_send_one(connect: Connect) -> None:
    client = connect()
    before = client.get_balance().balance
    answer = client.send_one(number="31612345678", **SEND)
    assert answer.status == "success"
    assert isinstance(answer.order_id, int)
    assert answer.order_id > 0
    (message,) = answer.messages
    assert re.fullmatch(rf"BX-{answer.order_id}-[0-9a-f]{{16}}", message.bx_message_id)
    assert message.status == "QUEUED"
    assert message.msisdn == "31612345678"
    assert Decimal(str(answer.balance_after)) == Decimal(str(before)) - Decimal(
        str(answer.cost)
    )
    assert client.get_balance().balance == answer.balance_after


def test_three_numbers_are_one_order(connect: Connect) -> None:
    client = connect()
    numbers = ["31612345678", "34612345678", "31687654321"]
    answer = client.send_sms(numbers=numbers, **SEND)
    assert answer.count == 3
    assert [each.msisdn for each in answer.messages] == numbers
    order = client.get_order_dlr(answer.order_id)
    assert order.total == 3
    assert [each.bx_message_id for each in order.messages] == [
        each.bx_message_id for each in answer.messages
    ]
    assert (
        client.get_order_dlr(answer.order_id, limit=1, skip=2).messages[0].msisdn == numbers[2]
    )


def test_an_estimate_is_the_price_and_takes_nothing(connect: Connect) -> None:
    client = connect()
    payload = SEND | {"numbers": ["31612345678", "34612345678"]}
    before = client.get_balance().balance
    estimate = client.estimate(**payload)
    assert client.get_balance().balance == before == estimate.balance
    assert estimate.sufficient_balance
    assert estimate.sandbox
    assert client.send_sms(**payload).cost == estimate.estimated_cost
    prices = client.get_route_pricing(1)["pricing"]
    by_prefix = {each["country_prefix"]: Decimal(str(each["price"])) for each in prices}
    assert by_prefix["31"] + by_prefix["34"] == Decimal(str(estimate.estimated_cost))


def test_a_message_is_queued_then_sent_then_delivered(connect: Connect, server: Served) -> None:
    client = connect()
    name = client.send_one(number="31612345678", **SEND).messages[0].bx_message_id
    assert client.get_dlr(name).status == "QUEUED"
    move(server, name, Move.CLAIMED, Move.TAKEN)
    assert client.get_dlr(name).status == "SENT"
    move(server, name, Move.RECEIPT_DELIVERED)
    report = client.get_dlr(name)
    assert report.status == "DELIVERED"
    assert report.error is None
    assert report.route_id == 1


def test_a_failed_message_says_why(connect: Connect, server: Served) -> None:
    client = connect()
    name = client.send_one(number="31612345678", **SEND).messages[0].bx_message_id
    move(server, name, Move.CLAIMED, Move.TAKEN)
    move(server, name, Move.RECEIPT_FAILED, reason="absent_subscriber")
    assert client.get_dlr(name).status == "FAILED"
    assert client.get_dlr(name).error == "absent_subscriber"


def test_lists_are_newest_first_and_take_every_filter(connect: Connect, server: Served) -> None:
    client = connect("other")
    first = client.send_one(number="34612345678", **SEND)
    last = client.send_one(number="31612345678", **SEND | {"route_id": 2})
    move(server, last.messages[0].bx_message_id, Move.CLAIMED, Move.TAKEN)
    newest = client.list_dlr(limit=1).messages[0]
    assert newest.sms_order_id == last.order_id
    assert client.get_order_dlr(newest.sms_order_id).total == 1
    today = newest.created_at[:10]
    for filters, found in (
        ({"status": "SENT"}, [last]),
        ({"status": "QUEUED"}, [first]),
        ({"msisdn": "34612345678"}, [first]),
        ({"order_id": first.order_id}, [first]),
        ({"route_id": 2}, [last]),
        ({"from_date": today}, [last, first]),
        ({"to_date": "2020-01-01"}, []),
        ({"from_date": today, "to_date": today}, [last, first]),
        (
            {
                "status": "SENT", "msisdn": "31612345678", "order_id": last.order_id,
                "route_id": 2, "from_date": today, "to_date": today,
            },
            [last],
        ),
    ):  # fmt: skip
        page = client.list_dlr(**filters)
        orders = [each.sms_order_id for each in page.messages]
        assert orders == [each.order_id for each in found]
        assert page.total == len(found)


def test_another_account_s_id_is_not_there(connect: Connect) -> None:
    name = connect().send_one(number="31612345678", **SEND).messages[0].bx_message_id
    with pytest.raises(ApiRequestError, match=r"^DLR record not found$") as refused:
        connect("other").get_dlr(name)
    assert type(refused.value) is ApiRequestError


def test_an_account_without_traffic_can_read_its_activity(place: str) -> None:
    with served(place) as server, requests.Session() as session:
        client = BridgeXAPI(server.keys["empty"], base_url=server.url, session=session)
        assert client.get_activity_summary().summary.total_requests == 0
        assert client.get_activity_logs().logs[0].endpoint == "/api/v1/activity/summary"
        assert len(client.get_activity_usage(days=7).usage) == 7
        assert client.get_activity_endpoints().endpoints
        assert client.list_dlr().messages == []
        filtered = client.get_activity_logs(route_id="1", status_code=200, endpoint="/x")
        assert filtered.logs == []


def test_all_eight_routes_are_listed_with_their_prices(connect: Connect) -> None:
    client = connect()
    routes = {each["route_id"]: each for each in client.list_routes()["routes"]}
    assert routes.keys() == set(range(1, 9))
    for route_id in (1, 2, 3, 4, 5, 7, 8):  # what this client lets through
        assert client.get_route(route_id)["name"] == routes[route_id]["name"]
        prices = client.get_route_pricing(route_id)["pricing"]
        assert {each["country_prefix"] for each in prices} == {rate[0] for rate in RATES}


def test_refusals_become_the_client_s_own_exceptions(connect: Connect) -> None:
    payload = SEND | {"number": "31612345678"}
    for name, change, expected, words in (
        ("revoked", {}, AuthenticationError, "Invalid or inactive API Key"),
        (
            "public",
            {"route_id": 7},
            UnauthorizedRouteError,
            "You are not authorized for route 7",
        ),
        ("public", {"route_id": 5}, UnauthorizedRouteError, "the Casino route"),
        ("main", {"route_id": 8}, UnauthorizedRouteError, "Sender ID not allowed for route 8"),
        ("empty", {}, InsufficientBalanceError, "Insufficient balance"),
        ("main", {"number": "905321234567"}, ValidationError, "Pricing failed"),
        ("main", {"message": ""}, ValidationError, "text"),
    ):
        with pytest.raises(expected, match=words) as refused:
            connect(name).send_one(**payload | change)
        assert type(refused.value) is expected
    client = connect()
    with pytest.raises(InvalidRouteError, match="Invalid route_id"):
        client._request("POST", "/api/v1/send_sms", json=raw(route_id=99))
    # Before they pass its own checks, this client takes True for route 1.
    with pytest.raises(ValidationError, match="must be a whole number, not true or false"):
        client.send_one(**payload | {"route_id": True})


def raw(**change: Any) -> dict[str, Any]:
    return SEND | {"numbers": ["31612345678"]} | change


def test_a_key_with_spaces_and_a_prefix_slash(connect: Connect, server: Served) -> None:
    with requests.Session() as session:
        client = BridgeXAPI(
            f"  {server.keys['main']} ", base_url=f"{server.url}//", session=session
        )
        assert client.get_balance().username == "main"


def test_an_idempotency_key_through_the_client_s_own_session(connect: Connect) -> None:
    with requests.Session() as session:
        session.headers["Idempotency-Key"] = "one-order"
        client = connect(session=session)
        before = client.get_balance().balance
        first = client.send_one(number="31612345678", **SEND)
        again = client.send_one(number="31612345678", **SEND)
        assert again.order_id == first.order_id
        assert again.raw == first.raw
        spent = Decimal(str(before)) - Decimal(str(client.get_balance().balance))
        assert spent == Decimal(str(first.cost))


def test_a_hundred_parallel_sends_with_funds_for_sixty(place: str) -> None:
    """Invariant 5, through the client and real sockets."""
    together = threading.Barrier(20)
    refusals: list[type[Exception]] = []
    orders: list[int] = []

    with served(place) as server:

        def send_five() -> None:
            with requests.Session() as session:
                client = BridgeXAPI(server.keys["tiny"], base_url=server.url, session=session)
                together.wait(20)
                for _ in range(5):
                    try:
                        orders.append(client.send_one(number="99900000001", **SEND).order_id)
                    except InsufficientBalanceError as error:
                        refusals.append(type(error))

        with ThreadPoolExecutor(20) as threads:
            for done in [threads.submit(send_five) for _ in range(20)]:
                done.result()
        with requests.Session() as session:
            client = BridgeXAPI(server.keys["tiny"], base_url=server.url, session=session)
            assert client.get_balance().balance == 0
    assert len(set(orders)) == len(orders) == 60
    assert len(refusals) == 40


def test_a_large_body_is_answered_with_json(server: Served) -> None:
    with requests.Session() as session:
        headers = {"X-API-KEY": server.keys["main"]}
        for data in (b"x" * 3_000_000, iter([b"x" * 100_000] * 30)):
            response = session.post(f"{server.url}/api/v1/send_sms", data=data, headers=headers)
            assert response.status_code == 413
            assert response.json()["code"] == "body_too_large"


# --- 0.1.0, which matches details case-sensitively -----------------------------------------

OLD_VERSION = "0.1.0"


@pytest.fixture(scope="session")
def old_client(pytestconfig: pytest.Config) -> Path:
    """A folder with the older version, beside the installed one."""
    cache = pytestconfig.cache
    assert cache is not None
    folder = Path(cache.mkdir(f"bridgexapi-{OLD_VERSION}"))
    with one_at_a_time("bridgexapi"):
        if not (folder / "bridgexapi").exists():
            install(
                [
                    sys.executable, "-m", "pip", "install", "--quiet", "--no-deps",
                    "--target", str(folder), f"bridgexapi=={OLD_VERSION}",
                ]
            )  # fmt: skip
    return folder


@pytest.mark.slow
def test_the_older_client(server: Served, old_client: Path) -> None:
    keys = [server.keys[name] for name in ("main", "public", "empty")]
    done = subprocess.run(
        [sys.executable, str(HERE / "bridgexapi_old.py"), server.url, *keys],
        env={"PYTHONPATH": str(old_client)},
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert not found["has_reports"]  # it is the older one indeed
    assert found["order_id"] > 0
    assert found["ids"][0].startswith(f"BX-{found['order_id']}-")
    bad_key, casino, unpriced, poor, wrong = found["refusals"]
    assert bad_key == ["AuthenticationError", "Invalid or inactive API Key"]
    assert casino == [
        "UnauthorizedRouteError",
        "You are not authorized for the Casino route",
    ]
    assert unpriced[0] == wrong[0] == "ValidationError"
    assert poor[0] == "InsufficientBalanceError"


# --- outcomes, with the whole platform and its carrier world ----------------------------


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """`arrivals dev`, as a developer starts it."""
    platform = Platform(tmp_path_factory.mktemp("dev"))
    platform.start()
    yield platform
    platform.stop()


@pytest.mark.slow
def test_a_code_is_delivered_with_every_status_on_its_way(dev: Platform) -> None:
    with dev.client() as client:
        name = client.send_one(number="99900000001", **SEND).messages[0].bx_message_id
        seen = statuses(client, name)
    assert seen[-1] == "DELIVERED"
    assert seen == [each for each in ("QUEUED", "SENT", "DELIVERED") if each in seen]


@pytest.mark.slow
def test_a_number_that_is_switched_off_fails_with_a_reason(dev: Platform) -> None:
    with dev.client() as client:
        name = client.send_one(number="99900000002", **SEND).messages[0].bx_message_id
        assert statuses(client, name)[-1] == "FAILED"
        assert client.get_dlr(name).error == "absent_subscriber"


@pytest.mark.slow
def test_a_message_filtered_in_silence_is_never_delivered(dev: Platform) -> None:
    with dev.client() as client:
        name = client.send_one(number="99900000003", **SEND).messages[0].bx_message_id
        seen = statuses(client, name)
    assert "DELIVERED" not in seen
    assert seen[-1] in {"UNKNOWN", "FILTERED"}


@pytest.mark.slow
def test_a_send_can_wait_for_its_outcome(dev: Platform) -> None:
    with dev.session() as session:
        answer = session.post(
            f"{dev.url}/api/v1/send_sms?wait=outcome&timeout=30",
            json=SEND | {"numbers": ["99900000001", "99900000002"]},
        ).json()
    assert [each["status"] for each in answer["messages"]] == ["DELIVERED", "FAILED"]
    assert answer["counts"] == {"delivered": 1, "failed": 1}


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_kill_9_between_answer_and_hand_off(tmp_path: Path) -> None:
    """Every accepted message ends, none is handed off twice, and the ledger balances."""
    platform = Platform(tmp_path, "--valid-for", "5", "--outcome-grace", "5")
    platform.start()
    accepted: list[str] = []
    with platform.client() as client:
        before = client.get_balance().balance
        for _ in range(3):
            answer = client.send_sms(numbers=["99900000001"] * 300, **SEND)
            accepted += [each.bx_message_id for each in answer.messages]
    platform.kill()
    ((unsettled,),) = ask(tmp_path, "SELECT count(*) FROM messages WHERE resolution IS NULL")
    assert unsettled > 0  # the kill came in between
    platform.start()
    try:
        with platform.client() as client:
            found: dict[str, str] = {}
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                found = {}
                for skip in (0, 500):
                    page = client.list_dlr(limit=500, skip=skip)
                    found |= {each.bx_message_id: each.status for each in page.messages}
                if not {"QUEUED", "SENT"} & set(found.values()):
                    break
                time.sleep(0.2)
            balance = client.get_balance()
        assert found.keys() == set(accepted)
        assert set(found.values()) <= {"DELIVERED", "UNKNOWN", "EXPIRED"}
        assert balance.raw["held"] == 0
        charged = sum(status in {"DELIVERED", "UNKNOWN"} for status in found.values())
        spent = Decimal(str(before)) - Decimal(str(balance.balance))
        assert spent == charged * Decimal("0.01")
    finally:
        platform.stop()
    # A message may have left at most once: with an answer, or with none.
    ((most,),) = ask(
        tmp_path,
        "SELECT max(n) FROM (SELECT count(*) AS n FROM events WHERE kind IN "
        "('taken', 'unanswered', 'lease_lost') GROUP BY message_id)",
    )
    assert most == 1
    entries = ask(
        tmp_path,
        "SELECT sum(amount * ((credit = 'held:1') - (debit = 'held:1'))) FROM postings",
    )
    assert entries == [(0,)]


def ask(folder: Path, query: str) -> list[Any]:
    """Ask a platform's database."""
    database = sqlite3.connect(folder / "arrivals.db")
    try:
        return database.execute(query).fetchall()
    finally:
        database.close()


def statuses(client: BridgeXAPI, name: str) -> list[str]:
    """Poll a message to its end and return every status on the way, once."""
    seen: list[str] = []
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        status = client.get_dlr(name).status
        if status not in seen:
            seen.append(status)
        if status not in {"QUEUED", "SENT"}:
            return seen
        time.sleep(0.02)
    return seen
