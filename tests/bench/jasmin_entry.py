"""Start one of Jasmin's daemons inside Jasmin's own environment, mended as far as it must be.

Run by that environment's Python: `jasmin_entry.py FOLDER no|yes SCRIPT ARGUMENTS...`. What is
mended, and why, is told in docs/peers.md.
"""

from __future__ import annotations

import importlib
import runpy
import sys
from pathlib import Path
from typing import Any

WINDOW = 500  # as ours


def keep_locks_in(folder: Path) -> None:
    """Let a daemon lock a file of ours; its own stands in /tmp, one for the whole machine."""
    lockfile: Any = importlib.import_module("lockfile")
    theirs = lockfile.FileLock
    lockfile.FileLock = lambda path: theirs(str(folder / Path(path).name))


def carry_the_response() -> None:
    """Let a request know its response, which 0.11.1 reads from it and never writes.

    Without it every response ends in an AttributeError after the message was acknowledged, and
    no receipt finds its message.
    """
    protocol: Any = importlib.import_module("jasmin.protocols.smpp.protocol")
    theirs = protocol.SMPPOutboundTxnResult

    def result(sender: Any, request: Any, response: Any) -> Any:
        request.response = response
        return theirs(sender, request, response)

    protocol.SMPPOutboundTxnResult = result


def send_at_once() -> None:
    """Turn Nagle's algorithm off on all of its connections."""
    tcp = importlib.import_module("twisted.internet.tcp")
    for kind in (tcp.Client, tcp.Server):
        _undelayed(kind)


def take_many() -> None:
    """Let a connector have a window of messages under way, where it has one."""
    factory = importlib.import_module("jasmin.queues.factory").AmqpFactory
    theirs = factory._channel_open

    def channel_open(self: Any, answer: Any) -> None:
        qos = self.chan.basic_qos
        self.chan.basic_qos = lambda prefetch_count: qos(prefetch_count=WINDOW)
        theirs(self, answer)

    factory._channel_open = channel_open


def _undelayed(kind: Any) -> None:
    theirs = kind.startReading

    def start_reading(self: Any) -> None:
        self.setTcpNoDelay(True)
        theirs(self)

    kind.startReading = start_reading


if __name__ == "__main__":
    folder, helped, *command = sys.argv[1:]
    keep_locks_in(Path(folder))
    carry_the_response()
    if helped == "yes":
        send_at_once()
        take_many()
    sys.argv = command
    runpy.run_path(command[0], run_name="__main__")
