"""A server that does nothing: what HTTP alone costs, with the server that Arrivals runs on.

`python -m tests.bench.echo` prints its port and gives every request's body back as JSON, or its
length where it is long.
"""

from __future__ import annotations

import os
import socket
from typing import Any

import uvicorn

LONG = 64 * 1024  # octets; a stream of recipients is counted and not sent back


async def echo(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer as ASGI asks, and look at nothing."""
    if scope["type"] != "http":
        return
    body, more = b"", True
    octets = 0
    while more:
        event = await receive()
        chunk, more = event["body"], event["more_body"]
        octets += len(chunk)
        if octets <= LONG:
            body += chunk
    if octets > LONG:
        body = b'{"octets":%d}' % octets
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def main() -> None:
    """Serve until killed, on one core as Arrivals does."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[os.getpid() % len(cores)]})
    listening = socket.create_server(("127.0.0.1", 0), backlog=2_048)
    print(listening.getsockname()[1], flush=True)
    config = uvicorn.Config(
        echo,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
    )
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
