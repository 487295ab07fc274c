"""The whole API in this process, asked whatever its own OpenAPI document allows, and more.

Schemathesis draws the requests from the document, sound ones and broken ones, and judges the
answers by it; they go through ASGI, so no socket can be slow.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any, Final

import httpx
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.http.installation import Installation, installed

CHECKS: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
IDS: Final = {
    "order_id": re.compile(r'"order_id": ?(\d+)'),
    "batch_id": re.compile(r'"batch_id": ?(\d+)'),
    "bx_message_id": re.compile(r'"bx_message_id": ?"([^"]+)"'),
}
CANARY: Final = "canary"  # in all that the first account stores: nobody else may ever read it
OURS, THEIRS = "main", "other"  # two accounts' keys


class Api:
    """An installation, and what its answers have told of ids so far."""

    def __init__(self, here: Installation, runner: asyncio.Runner) -> None:
        self.here, self._runner = here, runner
        self._clients = {name: here.client(name) for name in (OURS, THEIRS, None, "nonsense")}
        found = self.ask("GET", "/openapi.json", who=None)
        self.document: dict[str, Any] = found.json()
        self.schema = schemathesis.openapi.from_dict(self.document)
        self.ids: dict[str, list[str]] = {name: [] for name in IDS}

    def ask(
        self, method: str, url: str, *, who: str | None = OURS, **request: Any
    ) -> httpx.Response:
        """Send one request with the key of this name; keep the ids in our own answers."""
        asking = self._clients[who].request(method, url, **request)
        answer = self._runner.run(asking)
        if who == OURS:
            for name, pattern in IDS.items():
                known = self.ids[name]
                known += [each for each in pattern.findall(answer.text) if each not in known]
        return answer

    def send(self, case: schemathesis.Case, *, who: str | None = OURS) -> httpx.Response:
        """Send a drawn request; the key is ours to choose, and nobody waits."""
        kwargs = case.as_transport_kwargs(base_url="http://arrivals")
        headers = {
            name: value
            for name, value in kwargs["headers"].items()
            if name.lower() not in {"x-api-key", "user-agent"} and value is not None
        }
        params = dict(kwargs.get("params") or {})
        for name in ("timeout", "wait"):
            if str(params.get(name, "")).rstrip("s").replace(".", "").isdigit():
                params[name] = 0
        if params.get("wait") == "outcome":
            params["timeout"] = 0
        content = kwargs.get("data")
        if "json" in kwargs:
            content = json.dumps(kwargs["json"]).encode()
        return self.ask(
            kwargs["method"],
            kwargs["url"],
            who=who,
            headers=headers,
            params=params,
            content=content,
        )

    def fill(self) -> None:
        """Store something of every kind for our account, with the canary in it."""
        body = {
            "route_id": 1,
            "caller_id": "ARRIVALS",
            "message": f"{CANARY} text",
            "numbers": ["31612345678", "31687654321"],
            "client_ref": f"{CANARY} ref",
        }
        assert self.ask("POST", "/api/v1/send_sms", json=body).status_code == 200
        lines = json.dumps({"to": "31612345678", "message": CANARY, "client_ref": CANARY})
        answer = self.ask(
            "POST",
            f"/api/v1/batches?caller_id=ARRIVALS&route_id=1&name={CANARY}",
            content=lines,
            headers={"Content-Type": "application/x-ndjson", "Idempotency-Key": "fill"},
        )
        assert answer.status_code == 200, answer.text
        for path in ("messages", "orders", "batches"):
            self.ask("GET", f"/api/v1/{path}")
        assert all(self.ids.values()), self.ids

    async def close(self) -> None:
        """Let go of the clients."""
        for each in self._clients.values():
            await each.aclose()


@contextmanager
def running(place: str) -> Iterator[Api]:
    """Run the API in this process, on a loop that only moves while it's asked."""
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        here = runner.run(stack.enter_async_context(installed(place)))
        api = Api(here, runner)
        api.fill()
        try:
            yield api
        finally:
            runner.run(api.close())
            runner.run(stack.aclose())
