"""What doctor says of a server that runs beside it."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from arrivals.cli.diagnosis import GOOD, LOOK
from arrivals.cli.doctor import _running


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


@pytest.mark.parametrize("status", [200, 503])
def test_the_alarms_of_a_running_server_are_told(
    server: HTTPServer, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    """Report: doctor said that no alarm stands while three did."""
    alarms = ["provider north is away", "provider south is slowing us"]
    monkeypatch.setattr(_Ready, "status", status)
    monkeypatch.setattr(_Ready, "said", json.dumps({"alarms": alarms}).encode())
    found = list(_running("127.0.0.1", server.server_port))
    assert [(each.state, each.found) for each in found] == [(LOOK, each) for each in alarms]


def test_a_server_without_alarms_and_one_that_isn_t_there(server: HTTPServer) -> None:
    [calm] = _running("127.0.0.1", server.server_port)
    assert (calm.state, calm.found) == (GOOD, "none stands")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        [nobody] = _running("127.0.0.1", free.getsockname()[1])
    assert nobody.state == GOOD
    assert "no server answers" in nobody.found
