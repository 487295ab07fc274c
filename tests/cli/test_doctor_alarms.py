"""What doctor says of a server beside it, of the list of alarms, and of what is paused."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import msgspec
import pytest

from arrivals.cli.diagnosis import BAD, GOOD, LOOK
from arrivals.cli.doctor import _alarms, _running
from arrivals.core.catalogue import Flow
from arrivals.core.instants import rfc3339
from arrivals.flows.ailing import cell_of
from arrivals.outcome.episodes import Episode, Trouble, TroubleKind
from arrivals.store.api import Transaction
from tests.flows.installation import installed, provider

WELL = {"status": "ready", "checks": {"store": "ok"}, "binds": {"north": "up"}, "ailing": {}}
AT_US = 1_790_000_000_000_000


class _Ready(BaseHTTPRequestHandler):
    status, said = 200, b"{}"

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(self.said)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HTTPServer]:
    with HTTPServer(("127.0.0.1", 0), _Ready) as found:
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def said(monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any], status: int = 200) -> None:
    monkeypatch.setattr(_Ready, "status", status)
    monkeypatch.setattr(_Ready, "said", json.dumps(answer).encode())


def test_how_each_bind_of_a_running_server_stands_is_told(
    server: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    said(
        monkeypatch,
        WELL
        | {
            "binds": {"north": "up", "south": "down", "far": "up"},
            "ailing": {"south": "is away: refused", "far": "is slowing us"},
        },
    )
    ready, *binds = _running("127.0.0.1", server.server_port)
    assert (ready.what, ready.state) == ("server", GOOD)
    assert [(each.what, each.state, each.found) for each in binds] == [
        ("bind of north", GOOD, "up"),
        ("bind of south", LOOK, "down: is away: refused"),
        ("bind of far", LOOK, "up: is slowing us"),
    ]
    assert all(f"check {each.what[8:]}" in each.fix for each in binds)


def test_what_a_server_lacks_is_told(
    server: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    said(monkeypatch, WELL | {"checks": {"store": "it is damaged", "fleet": "ok"}}, 503)
    trouble, north = _running("127.0.0.1", server.server_port)
    assert (trouble.what, trouble.state, trouble.found) == (
        "server: store",
        BAD,
        "it is damaged",
    )
    assert north.state == GOOD


def test_a_server_that_isn_t_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        [nobody] = _running("127.0.0.1", free.getsockname()[1])
    assert nobody.state == GOOD
    assert "none answers" in nobody.found


async def test_alarms_that_stand_and_what_is_paused_are_told_without_a_server(
    place: str,
) -> None:
    """Report: doctor said that no alarm stands while three did."""

    def put(tx: Transaction) -> None:
        trouble = Trouble(
            kind=TroubleKind.PROVIDER_AWAY,
            cell=cell_of("north"),
            began_us=AT_US,
            words="provider north is away",
            fix="Ask it.",
            messages_at_risk=0,
        )
        tx.save_alarms(
            [Episode(began_us=AT_US, raised_us=AT_US, seen_us=AT_US, trouble=trouble)]
        )
        paused = dataclasses.replace(provider("north", 1), flow=Flow.PAUSED)
        tx.put("provider", "north", msgspec.json.encode(paused).decode())

    async with installed(place, providers=[provider("north", 1)], started=False) as here:
        [calm] = await asyncio.to_thread(lambda: list(_alarms(place)))
        assert (calm.state, calm.found) == (GOOD, "none stands")
        await here.in_transaction(put)
        alarm, paused = await asyncio.to_thread(lambda: list(_alarms(place)))
    assert (alarm.what, alarm.state, alarm.fix) == ("alarm 1", LOOK, "Ask it.")
    assert alarm.found == f"provider north is away, since {rfc3339(AT_US)}"
    assert (paused.state, paused.found) == (LOOK, "provider north is paused")
    assert paused.fix.endswith("arrivals resume provider north")
