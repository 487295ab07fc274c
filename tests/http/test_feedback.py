"""What a customer says about a message: that it is to be cancelled, or what became of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from arrivals.core.message import Move
from arrivals.outcome.clicks import SOONEST_S, USER_AGENT_CHARS_MAX
from tests.http.installation import Installation
from tests.http.test_messages import get, key_of, send


async def test_a_queued_message_can_be_cancelled_once(
    api: Installation, main: httpx.AsyncClient
) -> None:
    """Its hold comes back in full (invariant 13); after a hand-off it is too late."""
    before = (await get(main, "/api/v1/balance"))["balance"]
    first, second = await send(main, "31612345678", "34612345678")
    keyed = {"Idempotency-Key": "c1"}
    for replayed in (None, "true"):
        response = await main.post(f"/api/v1/messages/{first}/cancel", headers=keyed)
        assert response.status_code == 200, response.text
        assert response.headers.get("idempotent-replayed") == replayed
        found = response.json()
        assert found["layers"]["outcome"]["verdict"] == "cancelled"
        assert found["layers"]["execution"]["state"] == "not_executed"
        assert (found["money"]["released"], found["money"]["charged"]) == (0.087, 0)
    assert (await get(main, "/api/v1/balance"))["balance"] == pytest.approx(before - 0.05)
    again = await main.post(f"/api/v1/messages/{first}/cancel")
    assert (again.status_code, again.json()["code"]) == (409, "not_cancellable")
    await api.move(key_of(api, second), Move.CLAIMED, Move.TAKEN)
    late = await main.post(f"/api/v1/messages/{second}/cancel")
    assert (late.status_code, late.json()["code"]) == (409, "not_cancellable")


async def test_feedback_is_a_layer_of_its_own(
    api: Installation, main: httpx.AsyncClient
) -> None:
    """It confirms or denies, and the outcome's own state stays what the evidence said."""
    [sent] = await send(main)
    await api.move(key_of(api, sent), Move.CLAIMED, Move.TAKEN)
    path = f"/api/v1/messages/{sent}/feedback"
    found = (await main.post(path, json={"confirmed": True, "kind": "otp"})).json()
    assert found["layers"]["confirmed"]["state"] == "confirmed"
    assert found["layers"]["confirmed"]["cause"]["code"] == "otp"
    assert found["layers"]["outcome"]["state"] == "pending"
    assert found["layers"]["outcome"]["probability"] == 1
    found = (await main.post(path, json={"confirmed": False})).json()
    assert found["layers"]["confirmed"]["state"] == "denied"
    assert found["layers"]["outcome"]["probability"] is None


async def test_nothing_can_be_said_of_what_never_left(
    api: Installation, main: httpx.AsyncClient
) -> None:
    """Cancelled or expired in our queue, nobody can have got it, or missed it."""
    cancelled, expired, refused = await send(main, *["31612345678"] * 3)
    assert (await main.post(f"/api/v1/messages/{cancelled}/cancel")).status_code == 200
    await api.move(key_of(api, expired), Move.VALIDITY_PASSED)
    for name, state in ((cancelled, "cancelled"), (expired, "expired")):
        for confirmed in (True, False):
            said = {"confirmed": confirmed}
            answer = await main.post(f"/api/v1/messages/{name}/feedback", json=said)
            assert (answer.status_code, answer.json()["code"]) == (409, "never_handed_off")
            assert f"it was {state} before" in answer.json()["detail"]
        found = await get(main, f"/api/v1/messages/{name}")
        assert found["layers"]["confirmed"]["state"] == "none"
    # Who refused it may have sent it on all the same.
    await api.move(key_of(api, refused), Move.CLAIMED, Move.REFUSED)
    heard = await main.post(f"/api/v1/messages/{refused}/feedback", json={"confirmed": True})
    assert heard.json()["layers"]["confirmed"]["state"] == "confirmed"


async def test_who_asks_again_neither_confirms_nor_denies(
    api: Installation, main: httpx.AsyncClient
) -> None:
    """It is kept as a hint, whatever was said before, and explained as no more."""
    [sent] = await send(main)
    await api.move(key_of(api, sent), Move.CLAIMED, Move.TAKEN)
    path = f"/api/v1/messages/{sent}/feedback"
    asked = {"confirmed": False, "kind": "asked_again"}
    found = (await main.post(path, json=asked)).json()
    assert found["layers"]["confirmed"]["state"] == "none"
    assert found["layers"]["outcome"]["evidence"][-1]["says"] == "asked_again"
    await main.post(path, json={"confirmed": True, "kind": "probe"})
    found = (await main.post(path, json=asked)).json()
    assert found["layers"]["confirmed"]["state"] == "confirmed"
    assert found["layers"]["confirmed"]["cause"]["code"] == "probe"
    said = (await get(main, f"/api/v1/messages/{sent}/explain"))["sentences"]
    assert "asked for another one" in said[3]["text"]


PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15"


@pytest.mark.parametrize(
    ("told", "by", "why"),
    [
        ({"user_agent": PHONE, "method": "GET"}, "human", "nothing_against"),
        ({"clicked_at": 60}, "human", "nothing_against"),
        ({"user_agent": "WhatsApp/2.23.20.0 A"}, "scanner", "preview"),
        ({"user_agent": ""}, "scanner", "no_user_agent"),
        ({"method": "HEAD"}, "scanner", "head"),
        ({"user_agent": PHONE, "clicked_at": 1}, "scanner", "too_soon"),
    ],
)
async def test_a_click_confirms_only_if_it_is_a_persons(
    api: Installation, main: httpx.AsyncClient, told: dict[str, Any], by: str, why: str
) -> None:
    """What it was taken for is kept, and what it was told by; not who said it was what."""
    [sent] = await send(main)
    await api.move(key_of(api, sent), Move.CLAIMED, Move.TAKEN)
    path = f"/api/v1/messages/{sent}"
    events = (await get(main, f"{path}/timeline"))["events"]
    if "clicked_at" in told:
        taken = datetime.fromisoformat(events[-1]["at"])
        moment = taken + timedelta(seconds=told["clicked_at"])
        told = told | {"clicked_at": moment.isoformat()}
    body = {"confirmed": True, "kind": "click", "clicked_at": await later(events), **told}
    response = await main.post(f"{path}/feedback", json=body)
    assert response.status_code == 200, response.text
    layers = response.json()["layers"]
    [evidence] = [each for each in layers["outcome"]["evidence"] if each["kind"] == "feedback"]
    confirmed = (layers["confirmed"]["state"], layers["outcome"]["probability"])
    if by == "human":
        assert (confirmed, evidence["says"]) == (("confirmed", 1), "confirmed")
    else:
        assert (confirmed, evidence["says"]) == (("none", None), "scanner_click")
        assert (evidence["depth"], evidence["reason"]) == ("carrier", why)
        assert layers["outcome"]["depth"] == "carrier"
    [kept] = (await get(main, f"{path}/timeline"))["events"][len(events) :]
    assert (kept["facts"]["by"], kept["facts"]["why"]) == (by, why)
    assert set(kept["facts"]) == {"kind", "by", "why"} | ({"confirmed"} & kept["facts"].keys())
    said = (await get(main, f"{path}/explain"))["sentences"][len(events)]
    assert ("machine's click" in said["text"]) == (by == "scanner")


async def later(events: list[dict[str, Any]]) -> str:
    """Return a moment at which somebody may have read a message."""
    return (datetime.fromisoformat(events[-1]["at"]) + timedelta(seconds=30)).isoformat()


async def test_a_machines_click_changes_no_word_before_it(
    api: Installation, main: httpx.AsyncClient
) -> None:
    """Nor is it one: a person's click afterwards confirms."""
    [sent] = await send(main)
    await api.move(key_of(api, sent), Move.CLAIMED, Move.TAKEN)
    path = f"/api/v1/messages/{sent}/feedback"
    machine = {"confirmed": True, "kind": "click", "user_agent": "curl/8.5.0"}
    states = []
    for body in (
        {"confirmed": False},
        machine,
        {"confirmed": True, "kind": "click"},  # nothing told: the customer's own word
        machine,
        {"confirmed": False},
        {"confirmed": True, "kind": "click", "user_agent": PHONE},  # at once
    ):
        found = (await main.post(path, json=body)).json()
        states.append(found["layers"]["confirmed"]["state"])
    assert states == ["denied", "denied", "confirmed", "confirmed", "denied", "denied"]
    api.clock.ahead_us += round(SOONEST_S * 1e6)
    body = {"confirmed": True, "kind": "click", "user_agent": PHONE}
    found = (await main.post(path, json=body)).json()
    assert found["layers"]["confirmed"]["state"] == "confirmed"


async def test_what_is_wrong_with_a_click_is_said(main: httpx.AsyncClient) -> None:
    [sent] = await send(main)
    click: dict[str, Any] = {"confirmed": True, "kind": "click"}
    for body, field in (
        (click | {"user_agent": "x" * (USER_AGENT_CHARS_MAX + 1)}, "user_agent"),
        (click | {"user_agent": 7}, "user_agent"),
        (click | {"method": "BREW"}, "method"),
        (click | {"clicked_at": "yesterday"}, "clicked_at"),
        (click | {"clicked_at": "2026-11-26T12:00:00"}, "clicked_at"),
        (click | {"clicked_at": "2999-01-01T00:00:00Z"}, "clicked_at"),
        (click | {"user_agent": PHONE, "confirmed": False}, "user_agent"),
        ({"confirmed": True, "kind": "otp", "method": "GET"}, "method"),
        ({"confirmed": True, "clicked_at": "2026-11-26T12:00:00Z"}, "clicked_at"),
    ):
        response = await main.post(f"/api/v1/messages/{sent}/feedback", json=body)
        assert (response.status_code, response.json()["field"]) == (422, field), body
        assert response.json()["detail"][0]["msg"]
    assert len((await get(main, f"/api/v1/messages/{sent}/timeline"))["events"]) == 1


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"confirmed": "yes"}, "body_invalid"),
        ({"confirmed": True, "kind": "rumour"}, "body_invalid"),
        ({"confirmed": True, "kind": "asked_again"}, "body_invalid"),
        ({"confirmed": True, "who": "Ann"}, "unknown_field"),
        ({}, "body_invalid"),
    ],
)
async def test_feedback_is_read_strictly(
    main: httpx.AsyncClient, body: dict[str, Any], code: str
) -> None:
    """What isn't understood is refused by name, and nothing is recorded."""
    [sent] = await send(main)
    response = await main.post(f"/api/v1/messages/{sent}/feedback", json=body)
    assert (response.status_code, response.json()["code"]) == (422, code)
    assert len((await get(main, f"/api/v1/messages/{sent}/timeline"))["events"]) == 1
