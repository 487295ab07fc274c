"""node-smpp and what users run: a gateway on the carrier world, and an SMSC for a provider."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from arrivals.providers.api import Taken, Throttled
from arrivals.smpp import constants as c
from tests.flows.installation import carrier_world
from tests.peers.conftest import Node
from tests.peers.test_npm_smpp import lines_of, start
from tests.providers.smsc import connected, submission

pytestmark = [pytest.mark.slow, pytest.mark.timeout(330)]  # `npm ci` may have to fetch

CONVERSATION_TIMEOUT_S = 30

# What each fixed fate shows a gateway: the answer's status and the receipts' states.
FATES = {
    "01": (c.ESME_ROK, [2]),
    "02": (c.ESME_ROK, [5]),
    "03": (c.ESME_ROK, []),
    "04": (c.ESME_ROK, [8]),
    "07": (c.ESME_ROK, [2, 2, 2]),
    "15": (c.ESME_RINVDSTADR, []),
    "16": (c.ESME_ROK, [2]),
}


async def test_a_gateway_by_node_smpp_uses_the_carrier_world(node: Node) -> None:
    async with (
        carrier_world("wire", speed=20) as world,
        asyncio.timeout(CONVERSATION_TIMEOUT_S),
    ):
        lines = await lines_of(await start(node, "smpp_gateway.js", world.port))
        texts = {each.number: each for each in world.inbox.texts()}
        assert world.truth.counters["receipts_acknowledged"] == len(of(lines, "receipt"))
    binds = [(line["what"], line["status"]) for line in lines[:3]]
    assert binds == [
        ("bind_transceiver", c.ESME_RINVPASWD),
        ("bind_receiver", c.ESME_ROK),
        ("bind_transmitter", c.ESME_ROK),
    ]
    assert lines[1]["by"] == "carrier-world"

    answers = {line["name"]: line for line in of(lines, "answer")}
    for fate, (status, states) in FATES.items():
        number = f"999000000{fate}"
        found = [line for line in of(lines, "receipt") if line["about"] == number]
        assert answers[number]["status"] == status
        assert [line["state"] for line in found] == states
        if fate == "16":
            assert [int(line["id"]) for line in found] == [int(answers[number]["id"], 16)]
        else:
            assert {line["id"] for line in found} <= {answers[number].get("id")}
    throttled = [answers[f"throttled {time}"]["status"] for time in range(1, 5)]
    assert throttled == [c.ESME_RTHROTTLED] * 3 + [c.ESME_ROK]

    [sent] = of(lines, "texts")
    assert (texts["447700900001"].text, texts["447700900001"].parts) == (sent["long"], 3)
    assert (texts["447700900002"].text, texts["447700900002"].parts) == (sent["wide"], 3)
    assert (texts["447700900003"].text, texts["447700900003"].parts) == (sent["wide"], 1)
    assert {texts[number].sender for number in texts if number[:3] == "447"} == {"GATEWAY"}
    for line in of(lines, "receipt"):
        assert line["kind"] == c.ESM_DELIVERY_RECEIPT
        assert f"id:{line['id']} sub:001" in line["text"]


def of(lines: list[dict[str, Any]], what: str) -> list[dict[str, Any]]:
    return [line for line in lines if line["what"] == what]


GSM = "Grüße € [und] {mehr} ~ zum Anhören. " * 9
WIDE = "Ваш код 4839 🙂 " * 9


async def test_a_provider_hands_off_to_an_smsc_by_node_smpp(node: Node) -> None:
    async with asyncio.timeout(CONVERSATION_TIMEOUT_S):
        process = await start(node, "smpp_server.js")
        assert process.stdout is not None
        port = json.loads(await process.stdout.readline())["port"]
        async with connected(port, password="secret", window=3) as (connection, news):
            connection.submit(
                [
                    submission(1, "Hello €{}"),
                    submission(2, GSM),
                    submission(3, WIDE),
                    submission(4, msisdn="throttled"),
                ]
            )
            await news.results(4)
            await news.until(lambda: len(news.receipts) == 7)
            connection.acknowledge(news.tokens)
        lines = await lines_of(process)
    results = {each.key: each.result for each in news.answers}
    assert results[4] == Throttled(c.ESME_RTHROTTLED)
    ids: list[str] = []
    for key, parts in ((1, 1), (2, 3), (3, 3)):
        taken = results[key]
        assert isinstance(taken, Taken)
        assert [part for part, _, _ in taken.ids] == list(range(1, parts + 1))
        ids += [each for _, each, _ in taken.ids]
    assert sorted(each.external_id or "" for each in news.receipts) == sorted(ids)
    assert {each.word for each in news.receipts} == {"DELIVRD"}

    heard = [line["fields"] for line in lines if line["way"] == "heard"]
    submits = [fields for fields in heard if "short_message" in fields]
    assert [each["user_message_reference"] for each in submits] == [1, 2, 2, 2, 3, 3, 3, 4]
    messages = [each["short_message"] for each in submits]
    assert messages[0] == {"message": "Hello €{}"}
    for first, text in ((1, GSM), (4, WIDE)):
        parts_heard = messages[first : first + 3]
        headers = [each["udh"][0]["hex"] for each in parts_heard]
        reference = submits[first]["user_message_reference"]
        assert headers == [f"0003{reference:02x}03{number:02x}" for number in (1, 2, 3)]
        assert "".join(each["message"] for each in parts_heard) == text
    acknowledged = [
        line for line in lines if line["way"] == "heard" and line["command_id"] == 0x80000005
    ]
    assert len(acknowledged) == 7
