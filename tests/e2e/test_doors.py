"""A real process that may open few files, and clients that take all it has."""

from __future__ import annotations

import contextlib
import json
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

FILES_MAX = 256
CLIENTS = 400
HALF_A_HEAD = b"GET /healthz HTTP/1.1\r\nHost: a\r\nX"


def _may_open_few() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES_MAX, FILES_MAX))


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[tuple[dict[str, str], int]]:
    """Run `arrivals dev`; yield where it listens, and its process's id."""
    command = [sys.executable, "-m", "arrivals", "dev", "--json", "--port", "0"]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(
            [*command, "--smpp-port", "0", "--data", str(folder / "data")],
            stdout=subprocess.PIPE, stderr=log, preexec_fn=_may_open_few,  # noqa: PLW1509
        ) as process,
    ):  # fmt: skip
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline()), process.pid
        except BaseException:
            process.kill()
            raise
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_readiness_names_each_part_of_a_process(tmp_path: Path) -> None:
    """Report: operators read of a check named "Task-3"."""
    with serving(tmp_path) as (where, _):
        url = where["metrics"].removesuffix("/metrics") + "/readyz"
        assert set(httpx.get(url, timeout=5).json()["checks"]) == {
            "store", "catalogue", "fleet", "sweep", "verify", "learning", "requests",
            "operators' requests", "uses of keys",
        }  # fmt: skip


@pytest.mark.parametrize("octets", [b"", HALF_A_HEAD], ids=["silent", "half a head"])
def test_a_crowd_shuts_nobody_out(tmp_path: Path, octets: bytes) -> None:
    """More clients come than there are files: all is served, and files are left for work."""
    with serving(tmp_path) as (where, pid), contextlib.ExitStack() as crowd:
        api = urlsplit(where["api"])
        for _ in range(CLIENTS):
            client = crowd.enter_context(
                socket.create_connection((api.hostname, api.port), timeout=5)
            )
            client.sendall(octets)
        for url in (where["api"], where["metrics"].removesuffix("/metrics")):
            for path in ("/healthz", "/readyz"):
                assert httpx.get(url + path, timeout=5).status_code == 200
        assert httpx.get(where["metrics"], timeout=5).status_code == 200
        key = {"X-API-KEY": where["keys"]["main"]}  # type: ignore[index]
        assert httpx.get(where["api"] + "/api/v1/balance", headers=key).status_code == 200
        if sys.platform == "linux":
            assert len(list(Path(f"/proc/{pid}/fd").iterdir())) < FILES_MAX - 64
    assert b"Traceback" not in (tmp_path / "log").read_bytes()
