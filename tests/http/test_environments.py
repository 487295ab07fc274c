"""A test key and a live key of one account are two callers: each has its own answers."""

from __future__ import annotations

import httpx
import pytest

from arrivals.core.catalogue import Provider
from arrivals.store.statements import migrations
from tests.http.installation import Installation

SEND = {"route_id": 1, "caller_id": "ARRIVALS", "numbers": ["31612345678"], "message": "x"}
BATCH = "/api/v1/batches?route_id=1&caller_id=ARRIVALS&message=x"
LINES = b'{"to":"31612345678"}\n{"to":"31612345679"}\n'
NAMED = {"Idempotency-Key": "order-1"}


@pytest.fixture
async def both(api: Installation) -> Installation:
    """A route with a provider for each."""
    await api.change("provider", "south", Provider(provider_id="south", sandbox=False))
    return api


async def ask(api: Installation, name: str, what: str) -> httpx.Response:
    async with api.client(name) as client:
        if what == "send":
            return await client.post("/api/v1/send_sms", json=SEND, headers=NAMED)
        return await client.post(BATCH, content=LINES, headers=NAMED)


async def providers(api: Installation) -> list[str]:
    found = await api.sql("SELECT provider_id FROM messages ORDER BY id")
    return [each[0] for each in found]


@pytest.mark.parametrize("what", ["send", "batch"])
async def test_what_was_tried_is_no_answer_to_the_real_thing(
    both: Installation, what: str
) -> None:
    """The same body under the same key: each is sent once, to whom its key belongs."""
    tried = [await ask(both, "main", what) for _ in range(2)]
    real = [await ask(both, "live", what) for _ in range(2)]
    for first, again in (tried, real):
        assert (first.status_code, again.status_code) == (200, 200)
        assert "idempotent-replayed" not in first.headers
        assert again.headers["idempotent-replayed"] == "true"
        assert first.text == again.text
    each = 1 if what == "send" else 2
    assert await providers(both) == ["north"] * each + ["south"] * each
    if what == "batch":
        assert {answer.json()["key"] for answer in (*tried, *real)} == {"order-1"}
        async with both.client() as client:
            listed = (await client.get("/api/v1/batches")).json()["batches"]
        assert [line["key"] for line in listed] == ["order-1", "order-1"]


@pytest.mark.parametrize("what", ["send", "batch"])
@pytest.mark.parametrize("name", ["main", "live"])
async def test_what_was_promised_before_they_were_told_apart_holds(
    both: Installation, what: str, name: str
) -> None:
    """A record from before answers the kind of key that it was made for, and no other."""
    first = await ask(both, name, what)
    await _as_before(both)
    other = "live" if name == "main" else "main"
    fresh, again = await ask(both, other, what), await ask(both, name, what)
    assert "idempotent-replayed" not in fresh.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert again.text == first.text
    assert len(await providers(both)) == (2 if what == "send" else 4)


async def _as_before(api: Installation) -> None:
    """Write the records as they were written, then do to them what the migration does."""
    [text] = [
        each for _, each in migrations(api.backend.name) if "test key was promised" in each
    ]
    await api.in_store(
        lambda tx: [
            api.backend.execute(tx, statement, ())
            for statement in (
                "UPDATE idempotency SET scope = replace(scope, 'test ', '')",
                "UPDATE batches SET key = 'order-1'",
                *_statements(text),
            )
        ]
    )


def _statements(text: str) -> list[str]:
    lines = [line for line in text.splitlines() if not line.startswith("--")]
    return [each for each in "\n".join(lines).split(";") if each.strip()]
