"""`arrivals dev` as a process of its own, for tests that need outcomes."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests
from bridgexapi import BridgeXAPI

STOP_TIMEOUT_S = 15


class Platform:
    """The whole platform with its carrier world, in a folder."""

    def __init__(self, folder: Path, *options: str) -> None:
        self._command = [
            str(Path(sys.executable).with_name("arrivals")), "dev", "--port", "0",
            "--smpp-port", "0", "--data", str(folder), "--json", "--speed", "20",
            *(options or ("--valid-for", "3", "--outcome-grace", "3")),
        ]  # fmt: skip
        self._log = folder / "log.txt"
        self._process: subprocess.Popen[str] | None = None
        self.facts: dict[str, Any] = {}

    @property
    def url(self) -> str:
        return str(self.facts["api"])

    def start(self) -> None:
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                self._command, stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, self._log.read_text()
        self.facts = json.loads(line)

    def stop(self) -> None:
        self._end(self._running().terminate)

    def kill(self) -> None:
        """End it as `kill -9` does."""
        self._end(self._running().kill)

    @contextlib.contextmanager
    def session(self, key: str = "main") -> Iterator[requests.Session]:
        with requests.Session() as session:
            session.headers["X-API-KEY"] = self.facts["keys"][key]
            yield session

    @contextlib.contextmanager
    def client(self, key: str = "main") -> Iterator[BridgeXAPI]:
        with requests.Session() as session:
            yield BridgeXAPI(self.facts["keys"][key], base_url=self.url, session=session)

    def _running(self) -> subprocess.Popen[str]:
        assert self._process is not None
        return self._process

    def _end(self, how: Any) -> None:
        process = self._running()
        how()
        process.wait(STOP_TIMEOUT_S)
        assert process.stdout is not None
        process.stdout.close()
        self._process = None
