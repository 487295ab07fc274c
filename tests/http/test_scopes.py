"""Every operation of the document, with a key of each scope, at another account's things."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx
import pytest

from arrivals.core.catalogue import ApiKey
from arrivals.core.errors import Code
from arrivals.core.ids import hash_api_key, make_api_key
from arrivals.core.permissions import ALLOWED, OPERATORS_ACTS, Act, Scope, Whose
from arrivals.http.endpoints import Endpoint
from arrivals.http.openapi import document
from arrivals.http.table import endpoints
from tests.http.installation import MAIN, OTHER, PEPPER, PUBLIC, Installation

PRIVATE = [each for each in endpoints() if not each.public]
NUMBER, SENDER, REFERENCE = "31612340099", "CANARY", "their-own-ref"
TEXT = "Zanzibar code 480291 for http://zebra.example/q"
WORDS = ("Zanzibar", "480291", "zebra")
SEND = {"route_id": 1, "caller_id": "A B C", "numbers": ["31612345678"], "message": "x"}
CHANGES = {
    ("POST", "/api/v1/send_sms"),
    ("POST", "/api/v1/batches"),
    ("POST", "/api/v1/messages/{bx_message_id}/cancel"),
    ("POST", "/api/v1/messages/{bx_message_id}/feedback"),
}
LISTS = {"/api/v1/orders", "/api/v1/batches", "/api/v1/dlr"}


def name_of(each: Endpoint) -> str:
    return f"{each.method} {each.path}"


class Site:
    """An installation whose main account is the operator's, and what another one sent."""

    def __init__(self, api: Installation) -> None:
        self.api = api
        self.values: dict[str, str] = {}
        self._keys = 0

    async def key(
        self, *scopes: Scope, account: int = MAIN, env: Any = "live", **more: Any
    ) -> str:
        """Make a key and return its text."""
        self._keys += 1
        suffix = f"scope{self._keys}"
        text = make_api_key(env, "aa", suffix, bytes([100 + self._keys]) * 32)
        found = ApiKey(
            key_id=f"aa{suffix}",
            account_id=account,
            environment=env,
            digest=hash_api_key(PEPPER, text),
            scopes=frozenset(scopes),
            **more,
        )
        await self.api.change("key", found.key_id, found)
        return text

    async def ask(self, key: str, each: Endpoint, **query: str) -> httpx.Response:
        """Ask for an operation, where it takes an id at the other account's thing."""
        path = each.path.format(**self.values)
        if path == "/api/v1/compare":
            query |= dict.fromkeys(("a", "b"), self.values["bx_message_id"])
        body: dict[str, Any] = {}
        if path.endswith(("send_sms", "estimate")):
            body["json"] = {
                "route_id": 1,
                "caller_id": "A B C",
                "numbers": ["31612345678"],
                "message": "x",
            }
        elif path.endswith("feedback"):
            body["json"] = {"confirmed": True}
        elif each.method == "POST" and path.endswith("batches"):
            query |= {"route_id": "1", "caller_id": "A B C", "message": "x"}
            body["content"] = b'{"to":"31612345678"}\n'
        async with self.api.client(key) as client:
            return await client.request(each.method, path, params=query, **body)


@pytest.fixture
async def site(api: Installation) -> Site:
    found = Site(api)
    accounts = api.platform.catalogue.accounts
    await api.change("account", str(MAIN), replace(accounts[MAIN], operator=True))
    async with api.client("other") as client:
        sent = await client.post(
            "/api/v1/send_sms",
            json={
                "route_id": 1, "caller_id": SENDER, "numbers": [NUMBER], "message": TEXT,
                "client_ref": REFERENCE,
            },
        )  # fmt: skip
        assert sent.status_code == 200, sent.text
        batch = await client.post(
            "/api/v1/batches",
            params={"route_id": "1", "caller_id": SENDER, "message": TEXT, "name": REFERENCE},
            content=f'{{"to":"{NUMBER}"}}\n'.encode(),
        )
        assert batch.status_code == 200, batch.text
    found.values = {
        "bx_message_id": sent.json()["messages"][0]["bx_message_id"],
        "order_id": str(sent.json()["order_id"]),
        "batch_id": str(batch.json()["batch_id"]),
        "route_id": "1",
    }
    return found


def test_every_operation_of_the_document_is_in_the_table() -> None:
    """What is served and what is described are one, and each has its row."""
    described = {
        (method.upper(), path)
        for path, methods in document(endpoints())["paths"].items()
        for method, operation in methods.items()
        if operation.get("security") != []
    }
    assert described == {(each.method, each.path) for each in PRIVATE}
    assert {each.act for each in PRIVATE} == set(Act)
    spending = {(each.method, each.path) for each in PRIVATE if each.act is Act.SPEND}
    assert spending == CHANGES
    reading = {name_of(each) for each in PRIVATE if each.method != "GET"} - {
        f"{method} {path}" for method, path in CHANGES
    }
    assert reading == {"POST /api/v1/estimate"}


@pytest.mark.parametrize("scope", Scope)
async def test_each_scope_may_do_what_the_table_says_and_nothing_else(
    site: Site, scope: Scope
) -> None:
    """Refused is refused with a code and a fix; allowed sees of another account what it may."""
    key = await site.key(scope, env="test")
    for each in PRIVATE:
        assert each.act is not None
        allowed = ALLOWED[each.act].get(scope)
        everybodys = allowed is Whose.ALL and each.act not in OPERATORS_ACTS
        query = {"account_id": str(OTHER)} if everybodys and each.path in LISTS else {}
        found = await site.ask(key, each, **query)
        said = f"{scope}: {name_of(each)}: {found.status_code} {found.text}"
        if allowed is None:
            assert (found.status_code, found.json()["code"]) == (403, Code.SCOPE_MISSING), said
            assert found.json()["fix"], said
            assert f"it has the scope {scope}" in found.json()["detail"], said
            continue
        assert found.status_code != 403, said
        if everybodys:
            assert found.status_code == 200, said
        elif "{bx_message_id}" in each.path or "{order_id}" in each.path:
            assert found.status_code == 404, said
        shown = any(each in found.text for each in (NUMBER, SENDER, REFERENCE))
        assert everybodys or not shown, said
        assert not any(word in found.text for word in WORDS), said
    async with site.api.client("other") as owner:
        message = (await owner.get(f"/api/v1/messages/{site.values['bx_message_id']}")).json()
    assert message["layers"]["execution"]["state"] == "queued"
    assert message["layers"]["confirmed"]["state"] == "none"


@pytest.mark.parametrize("names", [("main",), ("public",), ("main", "live")])
async def test_no_tenant_sees_another_s_data(site: Site, names: tuple[str, ...]) -> None:
    """With the keys there were before scopes, an operator's own account included."""
    for name in names:
        for each in PRIVATE:
            for query in ({}, {"account_id": str(OTHER)}):
                found = await site.ask(name, each, **query)
                said = f"{name}: {name_of(each)} {query}: {found.status_code} {found.text}"
                canaries = (NUMBER, SENDER, REFERENCE, *WORDS)
                assert not any(word in found.text for word in canaries), said
                listed = each.path.partition(".")[0] in {*LISTS, "/api/v1/messages"}
                if query and listed and each.method == "GET":
                    assert found.json()["code"] == Code.SCOPE_MISSING, said


async def test_support_finds_a_message_of_anybody_and_reads_why(site: Site) -> None:
    """By number, by reference and by order; with the providers' names, without the text."""
    key = await site.key(Scope.SUPPORT)
    async with site.api.client(key) as client:
        for query in (
            {"number": f"+{NUMBER}"},
            {"client_ref": REFERENCE},
            {"account_id": OTHER},
        ):
            found = (await client.get("/api/v1/messages", params=query)).json()["messages"]
            assert site.values["bx_message_id"] in {each["bx_message_id"] for each in found}
            assert {each["account_id"] for each in found} == {OTHER}
        one = (await client.get(f"/api/v1/messages/{site.values['bx_message_id']}")).json()
        assert one["account_id"] == OTHER
        [segment] = one["segments"]
        assert segment["text"] == "xxxxxxxx xxxx xxxxxx xxx xxxx://xxxxx.xxxxxxx/x"
        explained = await client.get(f"/api/v1/messages/{one['bx_message_id']}/explain")
        assert "provider north" in explained.text
        # It belongs to an account too, and reads that as well.
        assert (await client.get("/api/v1/messages", params={"account_id": MAIN})).json()[
            "messages"
        ] == []
        asked = await client.get("/api/v1/messages", params={"account_id": 99})
        assert (asked.status_code, asked.json()["code"]) == (404, Code.NOT_FOUND)
        for path in LISTS:
            refused = await client.get(path)
            assert refused.json()["field"] == "account_id", path
    async with site.api.client("other") as owner:
        own = (await owner.get(f"/api/v1/messages/{site.values['bx_message_id']}")).json()
    assert own["segments"][0]["text"] == TEXT
    assert len(own["segments"]) == len(one["segments"])


async def test_pages_of_everybody_go_on_where_they_stopped(site: Site) -> None:
    """All accounts' messages once each, newest first, through the cursor and by time."""
    for name in ("main", "public"):
        async with site.api.client(name) as client:
            await client.post(
                "/api/v1/send_sms",
                json={
                    "route_id": 1,
                    "caller_id": "A B C",
                    "numbers": ["31612345678", "34612345678"],
                    "message": "x",
                },
            )
    key, seen, cursor = await site.key(Scope.SUPPORT), [], ""
    span: dict[str, Any] = {"limit": 2, "from": "2020-01-01", "to": "2099-01-01"}
    async with site.api.client(key) as client:
        while True:
            found = await client.get("/api/v1/messages", params=span | {"cursor": cursor})
            page = found.json()
            seen += [(each["account_id"], each["bx_message_id"]) for each in page["messages"]]
            if page["next_cursor"] is None:
                break
            cursor = page["next_cursor"]
    assert len(seen) == len(set(seen)) == 6
    assert [account for account, _ in seen] == [PUBLIC, PUBLIC, MAIN, MAIN, OTHER, OTHER]


async def test_an_operator_s_scope_is_nothing_on_a_customer_s_account(site: Site) -> None:
    """Whoever wrote it there: what it opens stays closed."""
    for scope in (Scope.SUPPORT, Scope.ADMIN):
        key = await site.key(scope, Scope.READ, account=PUBLIC)
        async with site.api.client(key) as client:
            assert (await client.get("/api/v1/messages")).json()["messages"] == []
            for path in ("/api/v1/alarms", "/api/v1/calibration"):
                assert (await client.get(path)).json()["code"] == Code.OPERATORS_ONLY
            found = await client.get(f"/api/v1/messages/{site.values['bx_message_id']}")
            assert found.status_code == 404


async def test_support_and_send_in_one_key_acts_for_its_own_account(site: Site) -> None:
    """It reads everybody's messages, and cancels and confirms only its own."""
    key = await site.key(Scope.SUPPORT, Scope.SEND, env="test")
    for each in PRIVATE:
        if "cancel" in each.path or "feedback" in each.path:
            assert (await site.ask(key, each)).status_code == 404
    async with site.api.client(key) as client:
        found = await client.get(f"/api/v1/messages/{site.values['bx_message_id']}")
        assert found.json()["layers"]["execution"]["state"] == "queued"


async def test_a_key_ends_when_it_says(site: Site) -> None:
    """Every operation refuses it from then on, in words that published clients know."""
    now_us = site.api.clock.now_us()
    key = await site.key(*Scope, env="test", expires_at_us=now_us + 60_000_000)
    async with site.api.client(key) as client:
        assert (await client.get("/api/v1/balance")).status_code == 200
    site.api.clock.ahead_us = 61_000_000
    for each in PRIVATE:
        found = await site.ask(key, each)
        assert (found.status_code, found.json()["code"]) == (401, Code.KEY_EXPIRED)
        assert found.json()["detail"].startswith("Invalid or inactive API Key")
        assert found.json()["fix"]
