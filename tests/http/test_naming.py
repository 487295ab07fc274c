"""Whose providers they are: the operator reads their names and costs, a customer doesn't."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import httpx
import msgspec
import pytest

from arrivals.core.catalogue import Account, Provider
from arrivals.core.layers import Forecast
from arrivals.core.message import Move
from arrivals.core.timeline import BROKEN, SLOWED, UNBOUND, TimelineEvent, attempts, stages
from arrivals.flows.alarms import LOOKS, Alarms
from arrivals.flows.conditions import IN_A_ROW, Condition, RefusalWatch
from arrivals.flows.ignored import IGNORED_MIN
from arrivals.http.naming import ANOTHER, Names, in_words, names_on
from arrivals.http.table import endpoints
from arrivals.outcome.habits import Habit
from arrivals.providers.api import Fate, Ignored
from arrivals.store.api import Transaction
from arrivals.store.rows import Event
from tests.http.installation import MAIN, Installation

NAMES = re.compile(r"north|south|east", re.IGNORECASE)  # east is on no route
COSTS = re.compile(r'"provider_cost": *(?!null)|0\.7777')
PLACES = ("north", "south")
SEND = {"route_id": 1, "caller_id": "ARRIVALS", "numbers": ["31612345678"], "message": "x"}
BATCH = "/api/v1/batches?route_id=1&caller_id=ARRIVALS&message=x"
NEVER_READ = {"/openapi.json", "/docs", "/docs/errors"}  # the same to everybody


def account(*, operator: bool = False) -> Account:
    return Account(account_id=1, name="A", username="a", currency="EUR", operator=operator)


def event(kind: str, actor: str = "worker", **body: Any) -> TimelineEvent:
    return TimelineEvent(2, 5_000, kind, "waiting", "waiting", actor, body)


async def be_operator(api: Installation, *, operator: bool) -> None:
    found = api.platform.catalogue.accounts[MAIN]
    await api.change("account", str(MAIN), dataclasses.replace(found, operator=operator))


# What a timeline may tell of providers, each kind of event with all that its body can hold.
BY = {"provider": "north", "attempt": 1}
LIFE: list[tuple[str, str, dict[str, Any]]] = [
    ("claimed", "worker", BY | {"epoch": 1, "held_us": 900_000}),
    ("throttled", "provider:north", BY | {"status": 0x58, "whole_bind": True, "not_before": 1}),
    ("throttled", "provider:north", BY | {"status": 0x58, "late": True}),
    ("not_bound", "provider:north", BY | {"status": 4, "not_before": 1}),
    ("not_sent", "provider:north", BY | {"cause": "not bound"}),
    ("diverted", "worker", BY | {"to": "south", "cause": BROKEN, "policy": "failover"}),
    ("diverted", "worker", BY | {"to": "east", "cause": SLOWED, "held_us": 5}),
    ("failed_over", "provider:north", BY | {"to": "south", "cause": UNBOUND, "status": 4}),
    ("failed_over", "provider:north", BY | {"to": "south", "cause": SLOWED, "status": 0x58}),
    ("failed_over", "provider:north", BY | {"to": "east", "status": 8, "reason": "x"}),
    ("refused_retryable", "provider:south", BY | {"status": 8, "reason": "provider_error"}),
    ("part_held", "provider:south", BY | {"part": 2, "until": 9, "status": 0x58}),
    ("part_held", "provider:south", BY | {"part": 2, "until": 9, "parts_accepted": [1]}),
    ("part_refused", "provider:south", BY | {"part": 2, "status": 11, "parts_accepted": [1]}),
    ("unanswered", "worker", BY | {"cause": "no answer came", "parts_accepted": [1, 2]}),
    ("lease_lost", "clock", BY | {"policy": "resend", "resend_at": 9}),
    ("resend_dropped", "clock", BY | {"cause": "the resend was refused in part"}),
    ("refused", "provider:south", BY | {"status": 1, "reason": "provider_dialect"}),
    ("taken", "provider:south", BY | {"ids": ["7f"], "elapsed_us": 5, "late": True}),
    ("receipt", "carrier:north", BY | {"came_over": "east", "stat": "ENROUTE", "part": 1}),
    ("receipt_delivered", "carrier:south", BY | {"came_over": "north", "stat": "DELIVRD"}),
    ("receipt_delivered", "clock", BY | {"cause": "one part's receipt came"}),
    ("feedback", "provider:south", {"kind": "reply", "confirmed": True}),
    ("judged", "model", {"model": {"verdict": "likely_filtered", "probability": None,
                                   "filtered_by": "carrier kpn, provider gone-east",
                                   "cell": ["NL alphanumeric", "kpn", "north"]}}),
    ("heard_of_later", "provider:east", BY | {"came_over": "east"}),
]  # fmt: skip


async def live(api: Installation, key: int) -> None:
    """Give a message a long life; nothing of it but its events and its cost is new."""

    def run(tx: Transaction) -> None:
        [before] = tx.load([key]).values()
        state = before.state
        for later, (kind, actor, body) in enumerate(LIFE, 1):
            seq, at_us = before.seq + later, before.changed_at_us + later
            event = Event(key, seq, at_us, kind, state, state, actor, body)
            after = msgspec.structs.replace(
                before, seq=seq, changed_at_us=at_us, provider_cost=777_777
            )
            tx.save([after], [event])

    await api.in_store(run)


async def be_in_trouble(api: Installation) -> None:
    """Let everything be wrong with providers that can be."""
    platform, now = api.platform, api.platform.clock.monotonic()
    conditions, since = platform.conditions, now - 1_000
    platform.binds = lambda: {"north": True, "south": False, "east": False}
    platform.habits.by_provider["north"] = platform.habits.by_provider["east"] = Habit()
    conditions.slowed("north", 400.0, since)
    why = "the bind was refused: ESME_RBINDFAIL"
    conditions.bound("south", "some of its binds", why, since)
    conditions.note("south", Condition.BROKEN, since, there=True)
    conditions.note("east", Condition.AWAY, since, there=True)
    conditions.note("east", Condition.UNBOUND, since, there=True)
    conditions.bound("east", "", why, since)
    conditions.held_s["east"] = 900.0
    conditions._unbound_at |= {"east": now}
    conditions.refusing["south"] = refused = RefusalWatch(since)
    for key in range(IN_A_ROW):
        refused.refused(key, 1)
    conditions.note("gone-east", Condition.AWAY, now, there=False)
    wasted = Ignored(provider_id="gone-east", fate=Fate.MALFORMED, command="deliver_sm")
    platform.inbound.note([wasted] * IGNORED_MIN)
    alarms = Alarms(platform)
    for _ in range(LOOKS):
        await alarms.look()
    kinds = {each.trouble.kind for each in platform.alarms}
    assert len(kinds) == 7, platform.alarms


async def everything(api: Installation) -> dict[str, str]:
    """Send over two routes, wait, amend; return all answers there are, by path."""
    east = Provider(provider_id="east", sandbox=True, ids_of="north")
    await api.change("provider", "east", east)
    await be_in_trouble(api)
    found: dict[str, str] = {}
    async with api.client("main") as client:

        async def ask(method: str, path: str, **more: Any) -> Any:
            answer = await client.request(method, path, **more)
            assert answer.status_code < 500, answer.text
            found[f"{method} {path}"] = answer.text
            kind = answer.headers["content-type"]
            return answer.json() if "json" in kind and "nd" not in kind else None

        first = await ask("POST", "/api/v1/send_sms", json=SEND)
        waited = "/api/v1/send_sms?wait=outcome&timeout=0"
        second = await ask("POST", waited, json=SEND | {"route_id": 2})
        await ask("POST", "/api/v1/estimate", json=SEND)
        batch = await ask("POST", BATCH, content=b'{"to":"31612345678"}\n')
        keys = [row[0] for row in await api.sql("SELECT id FROM messages ORDER BY id")]
        await api.move(keys[0], Move.CLAIMED, Move.TAKEN)
        await live(api, keys[0])
        ids = {
            "a": first["messages"][0]["bx_message_id"],
            "b": second["messages"][0]["bx_message_id"],
            "bx_message_id": first["messages"][0]["bx_message_id"],
            "order_id": first["order_id"],
            "batch_id": batch["batch_id"],
            "route_id": 1,
        }
        for each in endpoints():
            if each.method != "GET" or each.path in NEVER_READ:
                continue
            path = each.path.format(**ids)
            for query in ("", "?format=text"):
                compared = f"?a={ids['a']}&b={ids['b']}" if path.endswith("compare") else ""
                await ask("GET", path + compared + query.replace("?", "&" if compared else "?"))
        for query in ("", "?format=text"):  # of one that waits still
            await ask("GET", f"/api/v1/messages/{ids['b']}/explain{query}")
        here = f"/api/v1/messages/{ids['a']}"
        await ask("POST", f"{here}/feedback", json={"kind": "verified"})
        await ask("POST", f"/api/v1/messages/{ids['b']}/cancel")
    return found


async def test_no_answer_names_a_provider_to_a_customer(api: Installation) -> None:
    """Whatever it asks for, as text and as JSON, and whatever it does."""
    found = await everything(api)
    told = {path: text for path, text in found.items() if NAMES.search(text)}
    assert told == {}
    assert {path: text for path, text in found.items() if COSTS.search(text)} == {}


async def test_an_operator_reads_all_of_it(api: Installation) -> None:
    """In the very places where a customer reads a number."""
    await be_operator(api, operator=True)
    found = await everything(api)
    named = {path.split("?")[0] for path, text in found.items() if NAMES.search(text)}
    assert {re.sub(r"BX-[0-9a-f-]+|\d+$", "…", path) for path in named} >= {
        "POST /api/v1/send_sms", "POST /api/v1/estimate", "GET /api/v1/orders/…",
        "GET /api/v1/routes/1/health", "GET /api/v1/messages/…", "GET /readyz",
        "GET /api/v1/messages/…/timeline", "GET /api/v1/messages/…/explain",
        "GET /api/v1/compare",
    }  # fmt: skip


@pytest.mark.parametrize("operator", [False, True])
async def test_what_a_provider_costs_is_the_operators(
    api: Installation, operator: bool
) -> None:
    await be_operator(api, operator=operator)
    async with api.client("main") as client:
        sent = (await client.post("/api/v1/send_sms", json=SEND)).json()
        whole = await client.get(f"/api/v1/messages/{sent['bx_id']}")
    assert whole.json()["money"]["provider_cost"] == (0 if operator else None)


async def test_one_provider_is_one_number_in_all_answers_about_a_route(
    api: Installation, main: httpx.AsyncClient
) -> None:
    """So that a customer sees where a message went over another one."""
    sent = (await main.post("/api/v1/send_sms", json=SEND)).json()
    [(key,)] = await api.sql("SELECT id FROM messages")
    await api.move(key, Move.CLAIMED, Move.TAKEN)
    here = f"/api/v1/messages/{sent['bx_id']}"
    whole = (await main.get(here)).json()
    health = (await main.get("/api/v1/routes/1/health")).json()
    order = (await main.get(f"/api/v1/orders/{sent['order_id']}")).json()
    explained = (await main.get(f"{here}/explain?format=text")).text
    assert sent["committed"]["queue"]["provider"] == "provider 1"
    assert sent["open"][0]["waiting_for"] == "hand-off to provider 1"
    assert whole["attempts"][0]["provider"] == "provider 1"
    assert [each["provider"] for each in health["providers"]] == ["provider 1", "provider 2"]
    assert order["decision"]["route"]["providers"] == ["provider 1", "provider 2"]
    assert "\nProvider 1 took it" in explained


def test_what_events_say_of_providers() -> None:
    """Each place where an event has one: who did it, whose attempt, where it went."""
    events = [
        event("claimed", provider="north", attempt=1),
        event("throttled", "provider:north", provider="north", attempt=1, cause="wait"),
        event("diverted", provider="north", to="south"),
        event("failed_over", "provider:south", provider="south", to="gone", attempt=2),
        event("receipt_delivered", "carrier:south", stat="DELIVRD", attempt=2),
        event("receipt", "carrier:north", provider="north", came_over="south", attempt=1),
        event("receipt", "carrier:north", provider="north", came_over="gone", attempt=1),
        event("judged", model={"filtered_by": "carrier kpn, provider south, sender A",
                               "cell": ["NL alphanumeric", "kpn", "north", "A"]}),
        event("feedback", "customer", to="the moon"),
    ]  # fmt: skip
    told = Names(account(), PLACES, (*PLACES, "gone")).events(events)
    text = msgspec.json.encode([told, attempts(told), stages(told)]).decode()
    assert NAMES.search(text) is None
    assert "gone" not in text
    assert [each.body.get("to") for each in told if "to" in each.body] == [
        "provider 2", ANOTHER, "the moon",
    ]  # fmt: skip
    assert [each.body.get("came_over") for each in told if "came_over" in each.body] == [
        "provider 2", ANOTHER,
    ]  # fmt: skip
    assert told[7].body["model"] == {
        "filtered_by": "carrier kpn, provider 2, sender A",
        "cell": ["NL alphanumeric", "kpn", "provider 1", "A"],
    }
    assert Names(account(operator=True), PLACES).events(events) == events


def test_what_a_forecast_says_of_providers() -> None:
    found = Forecast(
        probability=None, low=0.0, high=1.0, verdict=None, filtered_by="provider north",
        receipt_to_come=0.5, p50_us=None, p90_us=None,
        cell=("NL alphanumeric", "kpn", "north"), handoffs=3.0,
    )  # fmt: skip
    told = Names(account(), PLACES).forecast(found)
    assert told is not None
    assert (told.filtered_by, told.cell[2]) == ("provider 1", "provider 1")
    assert Names(account(operator=True), PLACES).forecast(found) is found
    assert Names(account(), PLACES).forecast(None) is None


def test_alarms_name_nobody_not_even_who_is_gone() -> None:
    """A provider that isn't in the catalogue any more has no number, and no name either."""
    called = {"north": "provider 1", "north-2": "provider 2"}
    text = "provider north, provider north-2 and provider northern are away"
    assert in_words(text, called, ANOTHER) == (
        "provider 1, provider 2 and another provider are away"
    )


def test_a_route_that_is_gone_has_no_numbers(api: Installation) -> None:
    names = names_on(account(), api.platform.catalogue, 999)
    assert (names.of("north"), names.of("")) == (ANOTHER, "")
