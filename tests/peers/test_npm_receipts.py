"""Odd receipts that node-smpp wrote: each is acknowledged, and each delivers its message."""

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


async def test_node_smpp_s_odd_receipts_deliver(node: Node, place: str) -> None:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *node.command("smpp_receipts.js"), env=node.environment(), stdout=pipe
    )
    assert process.stdout is not None
    said = process.stdout

    async def line() -> dict[str, Any]:
        found: dict[str, Any] = json.loads(await said.readline())
        return found

    async with asyncio.timeout(CONVERSATION_TIMEOUT_S):
        begun = await line()
        north = provider("north", begun["port"], window=1)
        async with installed(place, providers=[north]) as here:
            sent = await here.send(
                *(f"316123456{n:02d}" for n in range(begun["kinds"])), sender=OURS
            )
            responses = [await line() for _ in range(begun["kinds"])]
            await here.wait_for(sent)
            states = await here.rows("SELECT state FROM messages ORDER BY id")
            assert here.platform.inbound.totals == {}
            assert await here.unsound() == []
        await process.wait()
    assert sorted((each["nth"], each["status"]) for each in responses) == [
        (n, 0) for n in range(begun["kinds"])
    ]
    assert [state for (state,) in states] == ["delivered"] * begun["kinds"]
    assert process.returncode == 0
