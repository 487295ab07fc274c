"""Health, metrics, the OpenAPI document and the reference made from it.

The document is pinned as tests/golden/openapi.json. After a change that is meant, look at
the difference and take it over with

    ARRIVALS_GOLDEN=write pytest tests/http/test_operations.py -k golden
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest

from arrivals.core.catalogue import Flow
from arrivals.core.errors import ERRORS, Code
from arrivals.core.instants import rfc3339
from arrivals.core.message import Move
from arrivals.flows.alarms import LOOKS, Alarms
from arrivals.flows.conditions import Condition
from arrivals.http.openapi import document, example
from arrivals.http.operations import OperationsApp
from arrivals.http.table import endpoints
from arrivals.outcome.habits import FORM_RECEIPTS_MIN
from arrivals.store.api import StoreDamaged, StoreError, StoreFull, StoreUnavailable
from arrivals.store.verifying import verify
from arrivals.telemetry import Telemetry
from tests.http.installation import MAIN, Installation

GOLDEN = Path(__file__).parents[1] / "golden" / "openapi.json"


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(document(endpoints())))
    return found


def operations_client(app: OperationsApp) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://ops")


# --- health ---------------------------------------------------------------------------


async def test_health_needs_no_key(api: Installation) -> None:
    """Alive says the version; ready says what was checked."""
    async with api.client(None) as client:
        alive = (await client.get("/healthz")).json()
        assert alive["status"] == "ok"
        ready = await client.get("/readyz")
        assert ready.json() == {
            "status": "ready",
            "checks": {"store": "ok", "catalogue": "ok"},
            "alarms": [],
            "paused": [],
            "binds": {},
            "ailing": {},
            "receipts": {},
            "invariants": None,
        }


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (StoreFull("no room at /a/path"), "there is no room on its disk: sends are refused"),
        (StoreDamaged("/a/path is damaged"), "it is damaged"),
        (StoreUnavailable("away"), "it does not commit"),
    ],
)
async def test_it_is_not_ready_while_nothing_can_be_kept(
    api: Installation, monkeypatch: pytest.MonkeyPatch, trouble: StoreError, said: str
) -> None:
    """At every look and at both doors, in words without a path; and ready again after it."""

    async def fails() -> None:
        raise trouble

    async with (
        api.client(None) as client,
        operations_client(OperationsApp(api.platform, Telemetry())) as operators,
    ):
        for _ in range(3):
            with monkeypatch.context() as patch:
                patch.setattr(api.platform.store, "probe", fails)
                for each in (client, operators):
                    found = await each.get("/readyz")
                    assert found.status_code == 503
                    assert found.json()["checks"]["store"] == said
            for each in (client, operators):
                assert (await each.get("/readyz")).status_code == 200


async def test_the_newest_proof_is_shown(api: Installation) -> None:
    """When it was and what it found, as counts: to operators by invariant, and no ids."""
    verdict = await asyncio.to_thread(verify, api.place, api.platform.clock)
    expected = {
        "last_run_at": rfc3339(verdict.run.ended_at_us),
        "kind": "full",
        "checks": len(verdict.findings),
        "violations": 0,
    }
    operations = OperationsApp(api.platform, Telemetry())
    async with api.client(None) as client, operations_client(operations) as operators:
        for each in (client, operators):
            assert (await each.get("/readyz")).json()["invariants"] == expected
        text = (await operators.get("/metrics")).text
    for number in {each.invariant for each in verdict.findings}:
        assert f'arrivals_invariant_violations{{invariant="{number}"}} 0.0' in text
    assert "arrivals_verify_runs_total 1.0" in text
    for which in ("last", "last_full"):
        shown = re.search(
            rf"^arrivals_verify_{which}_run_timestamp_seconds (\S+)$", text, re.MULTILINE
        )
        assert shown is not None
        assert round(float(shown[1]) * 1e6) == verdict.run.ended_at_us


async def test_what_waits_too_long_is_shown_and_doesn_t_make_it_unready(
    api: Installation,
) -> None:
    """It goes on accepting: alarms and lost connections are for an operator to see."""
    conditions, now = api.platform.conditions, api.platform.clock.monotonic()
    conditions.note("south", Condition.AWAY, now - 75, there=True)
    conditions.bound("south", "", "the bind was refused: ESME_RINVPASWD", now)
    alarms = Alarms(api.platform)
    for _ in range(LOOKS):
        await alarms.look()
    stopped = dataclasses.replace(api.platform.catalogue.providers["south"], flow=Flow.PAUSED)
    await api.change("provider", "south", stopped)
    ending = dataclasses.replace(api.platform.catalogue.accounts[MAIN], flow=Flow.DRAINING)
    await api.change("account", str(MAIN), ending)
    api.platform.binds = lambda: {"north": True, "south": False}
    for _ in range(FORM_RECEIPTS_MIN):
        api.platform.habits.saw("north", "hex_to_decimal", 3_600_000_000, 0)
    async with (
        api.client(None) as client,
        operations_client(OperationsApp(api.platform, Telemetry())) as operators,
    ):
        # Before anybody, providers are told apart and not named.
        for each, north, south in (
            (client, "provider 1", "provider 2"), (operators, "north", "south")
        ):  # fmt: skip
            found = await each.get("/readyz")
            assert found.status_code == 200
            [alarm] = found.json()["alarms"]
            away = "provider south" if each is operators else south
            if each is operators:
                assert alarm.startswith(
                    "provider south is away (the bind was refused: ESME_RINVPASWD), since 20"
                )
                assert "No message waits for it now." in alarm
                assert "`arrivals providers check south`" in alarm
                [ails] = found.json()["ailing"].values()
                assert ails == "is away: the bind was refused: ESME_RINVPASWD"
            else:
                assert alarm == f"{away} is away (the bind was refused: ESME_RINVPASWD)"
                assert found.json()["ailing"] == {}
            paused = [f"{away} is paused", f"account {MAIN} is draining"]
            assert found.json()["paused"] == paused[: 2 if each is operators else 1]
            assert found.json()["binds"] == {north: "up", south: "down"}
            assert found.json()["receipts"] == {
                north: {
                    "seen": FORM_RECEIPTS_MIN,
                    "id_form": "hex_to_decimal",
                    "clock_offset_minutes": 60,
                    "matched_otherwise": 0,
                }
            }
        text = (await operators.get("/metrics")).text
    assert 'arrivals_alarms{kind="provider_away",provider="south"} 1.0' in text
    assert 'arrivals_bind_up{provider="south"} 0.0' in text
    assert 'arrivals_paused{flow="paused",name="south",what="provider"} 1.0' in text
    assert 'arrivals_paused{flow="draining",name="",what="account"} 1.0' in text


async def test_a_store_that_doesnt_commit_isnt_ready(
    api: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process lives, and says that it can't accept anything now."""

    async def write(*_: object) -> None:
        raise StoreUnavailable("the database is locked by another process")

    monkeypatch.setattr(api.platform.store, "write", write)
    async with api.client(None) as client:
        assert (await client.get("/healthz")).status_code == 200
        response = await client.get("/readyz")
        assert (response.status_code, response.json()["code"]) == (503, "unavailable")
        assert response.json()["checks"]["store"] == "it does not commit"


async def test_operators_see_the_parts_of_the_process(api: Installation) -> None:
    """A part that complains makes the process not ready, by name."""
    complaints: dict[str, str | None] = {"dispatch": None}
    app = OperationsApp(api.platform, Telemetry(), alive=lambda: complaints)
    async with operations_client(app) as client:
        assert (await client.get("/readyz")).json()["checks"]["dispatch"] == "ok"
        complaints["dispatch"] = "north has been away for 40 s"
        response = await client.get("/readyz")
        assert response.status_code == 503
        assert response.json()["checks"]["dispatch"] == "north has been away for 40 s"


# --- metrics --------------------------------------------------------------------------


async def test_metrics_tell_what_is_open(api: Installation, main: httpx.AsyncClient) -> None:
    """States, queue ages and commits, with bounded labels and no number or account."""
    body = {"route_id": 1, "caller_id": "ARRIVALS", "message": "Hi",
            "numbers": ["31612345678", "34612345678"]}  # fmt: skip
    answer = (await main.post("/api/v1/send_sms", json=body)).json()
    key = api.platform.ids.decode(answer["messages"][0]["bx_message_id"])
    assert key is not None
    await api.move(key, Move.CLAIMED, Move.TAKEN)
    app = OperationsApp(
        api.platform,
        Telemetry(),
        binds=lambda: {"north": True, "south": False},
        commits=lambda: api.store.commits,
    )
    async with operations_client(app) as client:
        response = await client.get("/metrics")
        text = response.text
    assert response.headers["content-type"].startswith("text/plain")
    assert 'arrivals_messages_open{state="accepted"} 1.0' in text
    assert 'arrivals_messages_open{state="submitted"} 1.0' in text
    assert 'arrivals_queue_oldest_age_seconds{lane="bulk",provider="north"}' in text
    assert 'arrivals_bind_up{provider="south"} 0.0' in text
    assert re.search(r"^arrivals_commits_total [1-9]", text, re.MULTILINE)
    assert "arrivals_outcome_overdue 0.0" in text
    assert 'arrivals_replies_total{result="unmatched"} 0.0' in text
    for secret in ("31612345678", "34612345678", *api.keys.values()):
        assert secret not in text


async def test_metrics_are_told_while_the_store_is_away(
    api: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The alert for it could never fire if the page itself failed."""

    async def read(*_: object) -> None:
        raise StoreUnavailable("away")

    async with operations_client(OperationsApp(api.platform, Telemetry())) as client:
        assert "arrivals_store_up 1.0" in (await client.get("/metrics")).text
        monkeypatch.setattr(api.platform.store, "read", read)
        answer = await client.get("/metrics")
    assert answer.status_code == 200
    assert "arrivals_store_up 0.0" in answer.text


async def test_running_totals_go_up_by_what_is_new() -> None:
    """The store's totals are taken over, never added twice."""
    telemetry = Telemetry()
    for commits, items in ((3, 10), (5, 12), (5, 12)):
        telemetry.committed(commits, items)
    text = telemetry.exposition().decode()
    assert "arrivals_commits_total 5.0" in text
    assert "arrivals_commit_items_total 12.0" in text


async def test_the_operations_port_serves_nothing_else(api: Installation) -> None:
    """Other paths and methods are refused in JSON, and HEAD has no body."""
    async with operations_client(OperationsApp(api.platform, Telemetry())) as client:
        assert (await client.get("/api/v1/balance")).json()["code"] == "unknown_path"
        refused = await client.post("/metrics")
        assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")
        head = await client.head("/metrics")
        assert (head.status_code, head.content) == (200, b"")
        assert (await client.get("/healthz")).status_code == 200


# --- the OpenAPI document -------------------------------------------------------------


def test_what_a_parameter_may_say_is_described(described: dict[str, Any]) -> None:
    """Needed ones, choices and bounds, so that a client made from it sends no nonsense."""
    found = {
        each["name"]: each
        for path, method in (("/api/v1/batches", "post"), ("/api/v1/messages", "get"))
        for each in described["paths"][path][method]["parameters"]
    }
    assert [name for name, each in found.items() if each.get("required")] == ["caller_id"]
    assert found["category"]["schema"]["enum"] == ["otp", "alert", "bulk"]
    assert "DELIVERED" in found["status"]["schema"]["enum"]
    assert found["limit"]["schema"]["minimum"] == 1
    schemas = described["components"]["schemas"]
    assert schemas["FeedbackBody"]["properties"]["kind"]["enum"][0] == "otp"
    assert re.fullmatch(schemas["SendBody"]["properties"]["caller_id"]["pattern"], "ACME Inc.")


def test_the_document_is_the_golden_one(described: dict[str, Any]) -> None:
    """Nobody changes the published API by accident."""
    if os.environ.get("ARRIVALS_GOLDEN") == "write":
        text = json.dumps(described, indent=1, ensure_ascii=False)
        GOLDEN.write_text(text + "\n", "utf-8")
    assert json.loads(GOLDEN.read_text("utf-8")) == described, (
        "the API changed: if that is meant, see this module's first lines"
    )


async def test_the_document_is_served(api: Installation, described: dict[str, Any]) -> None:
    """As it was built, to anybody."""
    async with api.client(None) as client:
        assert (await client.get("/openapi.json")).json() == described


def test_every_endpoint_is_in_the_document(described: dict[str, Any]) -> None:
    """With an id of its own, its path's parameters, and a key unless it is public."""
    ids: list[str] = []
    for each in endpoints():
        operation = described["paths"][each.path][each.method.lower()]
        ids.append(operation["operationId"])
        names = {name["name"] for name in operation.get("parameters", ())}
        assert set(re.findall(r"{(\w+)}", each.path)) <= names
        assert (operation.get("security") == []) == each.public
        for code in each.errors:
            answer = operation["responses"][str(ERRORS[code].status)]
            assert code in answer["content"]["application/problem+json"]["examples"]
    assert len(set(ids)) == len(ids)


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for each in value.values():
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def test_every_reference_leads_somewhere(described: dict[str, Any]) -> None:
    """And every schema is used."""
    found = set(references(described))
    for reference in found:
        place: Any = described
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]
    schemas = {f"#/components/schemas/{name}" for name in described["components"]["schemas"]}
    assert schemas <= found


def test_names_suit_those_who_make_clients_of_them(described: dict[str, Any]) -> None:
    """A schema has one plain name, as its key and as its title; an operation's is plain too."""
    schemas = described["components"]["schemas"]
    for name, schema in schemas.items():
        assert re.fullmatch(r"[A-Z][A-Za-z]+", name), name
        assert schema["title"] == name
    folded = [name.casefold() for name in schemas]
    assert len(set(folded)) == len(folded)


def test_an_answer_may_hold_words_that_a_client_was_not_made_for(
    described: dict[str, Any],
) -> None:
    """What a request may say is listed; of answers no list is closed, so that it may grow."""
    schemas = described["components"]["schemas"]
    taken = {"SendBody", "FeedbackBody", "BatchBody", "BodyMessage"}
    closed = [
        name for name in schemas if name not in taken and "enum" in json.dumps(schemas[name])
    ]
    assert closed == []


def test_every_operation_is_described(described: dict[str, Any]) -> None:
    """By a plain id, by what it is for, by what it takes, and by each of its answers."""
    refused: set[str] = set()
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            assert re.fullmatch(r"[a-z_]+", operation["operationId"]), (path, method)
            assert operation["summary"]
            assert operation["description"]
            body = operation.get("requestBody")
            assert body is None or (body["description"] and body["content"])
            for status, answer in operation["responses"].items():
                assert answer["description"]
                for content in answer["content"].values():
                    assert content["schema"], (path, status)
                    refused |= set(content.get("examples", ()))
    assert {code.value for code in Code} - refused == {
        "unknown_path", "method_not_allowed",  # of what is no operation
        "duplicate",  # of a batch's line
        "recipient_opted_out", "rate_limited",  # kept for what isn't there yet
    }  # fmt: skip


def test_every_error_code_is_in_the_document(described: dict[str, Any]) -> None:
    """With an example that has what every problem has."""
    examples = described["components"]["examples"]
    needed = set(described["components"]["schemas"]["Problem"]["required"])
    assert set(examples) == {code.value for code in Code}
    for code in Code:
        assert examples[code]["value"] == json.loads(json.dumps(example(code)))
        assert needed <= set(examples[code]["value"])


# --- the pages ------------------------------------------------------------------------


class Page(HTMLParser):
    """What a page holds: its anchors, its links, whatever it would fetch, open elements."""

    EMPTY = frozenset({"meta", "wbr", "br", "link"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.ids += [found["id"] or ""] if "id" in found else []
        self.links += [found["href"] or ""] if tag == "a" else []
        self.fetched += [tag] if tag in {"script", "link", "img"} or "src" in found else []
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


async def test_the_bare_address_leads_to_the_reference(api: Installation) -> None:
    """By a redirection, and by a link for whoever doesn't follow it."""
    async with api.client(None) as client:
        answer = await client.get("/")
        assert (answer.status_code, answer.headers["location"]) == (302, "/docs")
        assert Page(answer.text).links == ["/docs"]
        assert (await client.get("/", follow_redirects=True)).url.path == "/docs"


@pytest.mark.parametrize("path", ["/docs", "/docs/errors"])
async def test_a_page_stands_alone_and_its_links_hold(api: Installation, path: str) -> None:
    """Nothing is fetched, elements are closed, anchors are unique and links lead to them."""
    async with api.client(None) as client:
        response = await client.get(path)
        assert response.headers["content-type"] == "text/html; charset=utf-8"
        assert "default-src 'none'" in response.headers["content-security-policy"]
        pages = {
            each: Page((await client.get(each)).text) for each in ("/docs", "/docs/errors")
        }
    page = pages[path]
    assert page.fetched == []
    assert page.open == []
    assert len(set(page.ids)) == len(page.ids)
    for link in page.links:
        where, _, anchor = link.partition("#")
        if where != "/openapi.json":
            assert not anchor or anchor in pages[where or path].ids, link


async def test_every_problem_type_leads_to_its_entry(
    api: Installation, main: httpx.AsyncClient
) -> None:
    """The `type` of an error is an address that answers, with an anchor that is there."""
    problem = (await main.get("/api/v1/messages/nonsense")).json()
    where, _, anchor = problem["type"].partition("#")
    page = Page((await main.get(where)).text)
    assert anchor in page.ids
    assert {code.value for code in Code} <= set(page.ids)
