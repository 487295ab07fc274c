"""A wire to PostgreSQL that is cut at a COMMIT: before it arrives, or before its answer."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Final, Literal, Self
from urllib.parse import urlsplit

Place = Literal["before", "after"]

COMMIT: Final = b"COMMIT\x00"


class CutWire:
    """Forward connections to a server; cut the next COMMIT of one when told to.

    `before`: the server never hears of it. `after`: the server does it, and its answer is lost;
    `first` runs just before the server gets the COMMIT.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname or "", parts.port or 0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        user = f"{parts.username}@" if parts.username else ""
        self.url = parts._replace(netloc=f"{user}127.0.0.1:{port}").geturl()
        self._cut: tuple[Place, Callable[[], None]] | None = None
        self._sockets: list[socket.socket] = []
        self.cuts = 0
        self.is_open = True  # whether new connections get through

    def cut(self, place: Place, first: Callable[[], None] = lambda: None) -> None:
        """Cut the wire at the next COMMIT."""
        self._cut = (place, first)

    def cut_now(self) -> None:
        """Cut every connection there is."""
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self.cut_now()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if not self.is_open:
                client.close()
                continue
            server = socket.create_connection(self._target)
            self._sockets += [client, server]
            for run, pair in ((self._up, (client, server)), (self._down, (server, client))):
                threading.Thread(target=run, args=pair, daemon=True).start()

    def _up(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError), client, server:
            while octets := client.recv(65536):
                if self._cut is not None and COMMIT in octets:
                    (place, first), self._cut = self._cut, None
                    self.cuts += 1
                    if place == "after":
                        # From here on no answer gets back.
                        client.shutdown(socket.SHUT_WR)
                        first()
                        server.sendall(octets)
                        server.shutdown(socket.SHUT_WR)
                    else:  # `close` alone would wait for whoever reads
                        client.shutdown(socket.SHUT_RDWR)
                        server.shutdown(socket.SHUT_RDWR)
                    return
                server.sendall(octets)
            server.shutdown(socket.SHUT_WR)

    def _down(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while octets := server.recv(65536):
                client.sendall(octets)
            client.shutdown(socket.SHUT_RDWR)
