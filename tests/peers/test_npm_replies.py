"""A subscriber of node-smpp's answers: each part is acknowledged, and the first confirms."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.flows.installation import installed, provider
from tests.peers.conftest import Node

pytestmark = [pytest.mark.slow, pytest.mark.timeout(330)]  # `npm ci` may have to fetch

CONVERSATION_TIMEOUT_S = 30
OURS = "31201234567"


async def test_node_smpp_s_subscriber_answers(node: Node, place: str) -> None:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *node.command("smpp_replies.js"), env=node.environment(), stdout=pipe
    )
    assert process.stdout is not None
    said = process.stdout

    async def line() -> dict[str, Any]:
        found: dict[str, Any] = json.loads(await said.readline())
        return found

    async with asyncio.timeout(CONVERSATION_TIMEOUT_S):
        north = provider("north", (await line())["port"])
        async with installed(place, providers=[north]) as here:
            await here.send("31612345678", sender=OURS)
            responses = [await line() for _ in range(3)]
            [(confirmed,)] = await here.rows("SELECT confirmed FROM messages")
            events = await here.rows("SELECT actor, body FROM events WHERE kind = 'feedback'")
            assert await here.unsound() == []
        await process.wait()
    assert [(each["command"], each["status"]) for each in responses] == [
        ("deliver_sm_resp", 0)
    ] * 3
    assert confirmed == "confirmed"
    [(actor, body)] = events
    assert (actor, json.loads(body)) == (
        "provider:north",
        {"confirmed": True, "kind": "reply"},
    )
    assert process.returncode == 0
