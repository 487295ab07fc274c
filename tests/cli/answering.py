"""A local HTTP server that answers as it was told, for commands that ask one."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

MESSAGE_ID = "BX-1-c5f4f53431ed22c2"


@dataclass
class Asked:
    """One request that came."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes


# Status, body and if need be more headers, each as (name, value).
Answer = Callable[[Asked], tuple[Any, ...] | None]


@dataclass
class Answering:
    """A server, and what it was asked. An answer of None cuts the connection instead."""

    answer: Answer
    url: str = ""
    asked: list[Asked] = field(default_factory=list)


@contextmanager
def answering(answer: Answer) -> Iterator[Answering]:
    """Run a server on a free port."""
    here = Answering(answer)

    class Door(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *words: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            """Answer."""
            self._take("GET", b"")

        def do_POST(self) -> None:
            """Answer."""
            self._take("POST", self._body())

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def _take(self, method: str, body: bytes) -> None:
            where = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(method, where.path, parse_qs(where.query), headers, body)
            here.asked.append(asked)
            found = here.answer(asked)
            if found is None:
                self.close_connection = True
                return
            status, value, *more = found
            octets = value if isinstance(value, bytes) else json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(octets)))
            for name, its in more:
                self.send_header(name, its)
            self.end_headers()
            self.wfile.write(octets)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    server.daemon_threads = True
    here.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield here
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def accepted() -> dict[str, Any]:
    """What the API answers to a send, as far as a command reads it."""
    return {
        "order_id": 1,
        "route_id": 3,
        "messages": [{"bx_message_id": MESSAGE_ID, "msisdn": "31612345678"}],
        "cost": 0.087,
        "balance_after": 9.913,
        "currency": "EUR",
        "committed": {"prices": [{"segments": 1}]},
    }


def message(outcome: str, *, final: bool = True) -> dict[str, Any]:
    """A message whole, as far as a command reads it."""
    since = "2026-11-22T20:05:21.639230Z"
    layer = {"state": "accepted", "since": since, "final": True, "cause": None}
    return {
        "bx_message_id": MESSAGE_ID,
        "created_at": "2026-11-22T20:05:20.000000Z",
        "attempts": [{"provider": "north"}],
        "money": {"price": 0.087, "currency": "EUR"},
        "layers": {
            "api": layer,
            "execution": {**layer, "state": "handed_off"},
            "outcome": {**layer, "state": outcome, "final": final, "final_after": since},
            "confirmed": {**layer, "state": "none"},
        },
    }
