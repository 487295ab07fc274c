"""The systemd unit: judged by systemd's own programs, and what it relies on."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from arrivals.cli.notify import notify
from arrivals.cli.output import ExitCode
from tests.cli.typed import type_in
from tests.test_docs import parse
from tests.tidy_checks import ROOT

UNIT = ROOT / "deploy" / "arrivals.service"
EXPOSURE_MAX = 20  # of 100 in systemd's own scale of how much a service may do; 96 is usual


def setting(name: str) -> str:
    found = re.search(rf"^{name}=(.*)$", UNIT.read_text("utf-8"), re.MULTILINE)
    assert found, name
    return found[1]


@pytest.fixture
def analyze() -> str:
    found = shutil.which("systemd-analyze")
    if found is None:
        pytest.skip("there is no systemd-analyze: it comes with the package systemd")
    return found


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a program that is there; nothing else is changed."""
    program = setting("ExecStart").split()[0]
    path = tmp_path / "arrivals.service"
    path.write_text(UNIT.read_text("utf-8").replace(program, sys.executable))
    return path


def run(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False, timeout=30
    )


def test_systemd_finds_nothing_wrong_with_it(analyze: str, unit: Path) -> None:
    """Not a warning either; and a word that isn't one is seen."""
    found = run(analyze, "verify", "--man=no", unit)
    assert (found.returncode, found.stderr, found.stdout) == (0, "", "")
    unit.write_text(unit.read_text("utf-8").replace("[Install]", "Hardened=yes\n[Install]"))
    assert "Hardened" in run(analyze, "verify", "--man=no", unit).stderr


def test_it_may_do_little(analyze: str, unit: Path) -> None:
    """By systemd's own measure."""
    found = run(analyze, "security", "--offline=true", f"--threshold={EXPOSURE_MAX}", unit)
    if "--offline" in found.stderr:
        pytest.skip("this systemd can't judge a unit that isn't loaded: it is before 250")
    assert found.returncode == 0, found.stdout


def test_what_it_starts_is_a_command_with_its_options() -> None:
    """And wrong settings end with the code at which it isn't started again."""
    program, *words = setting("ExecStart").split()
    assert Path(program).name == "arrivals"
    parse(words)
    assert int(setting("RestartPreventExitStatus")) == ExitCode.USAGE
    assert type_in("serve", "--config", "no-such-file.toml").code == ExitCode.USAGE


def test_a_server_says_that_it_is_ready_once_it_is(tmp_path: Path) -> None:
    """By the protocol of Type=notify, over the socket that it is told of."""
    assert setting("Type") == "notify"
    (tmp_path / "arrivals.toml").write_text("[server]\nport = 0\nmetrics_port = 0\n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.settimeout(20)
        heard.bind(str(tmp_path / "notify"))
        with subprocess.Popen(
            [sys.executable, "-m", "arrivals", "serve", "--json"], cwd=tmp_path,
            env={**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify")},
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        ) as server:  # fmt: skip
            assert heard.recv(4096).decode().splitlines()[0] == "READY=1"
            assert server.stdout is not None
            assert json.loads(server.stdout.readline())["ready"]
            server.send_signal(signal.SIGTERM)
            assert heard.recv(4096).decode() == "STOPPING=1"
            assert server.wait(20) == 0


@pytest.mark.parametrize("address", ["", "nowhere", "/nowhere/at/all", "@nobody-listens-here"])
def test_nobody_who_listens_is_no_trouble(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server doesn't depend on who started it."""
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    notify("READY=1")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has such names")
def test_a_name_of_the_kernel_s_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Containers get those."""
    name = f"arrivals-test-{os.getpid()}"
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as heard:
        heard.settimeout(5)
        heard.bind(f"\0{name}")
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        notify("READY=1", "STATUS=well")
        assert heard.recv(4096) == b"READY=1\nSTATUS=well"
