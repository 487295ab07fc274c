"""What serving commands set up before anything listens: the log, and dev's windows."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from arrivals.cli.dev_installation import (
    ROUTES,
    SandboxAddress,
    dev_preparation,
)
from arrivals.cli.serving import serve_until_stopped
from arrivals.world.installation import PROVIDERS
from arrivals.world.scenario import load_scenario, scenario_names
from tests.cli.typed import type_in
from tests.flows.installation import installed, provider


class Terminal(io.StringIO):
    """A standard error that somebody looks at, or not."""

    def __init__(self, *, watched: bool) -> None:
        super().__init__()
        self._watched = watched

    def isatty(self) -> bool:
        return self._watched


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    root, store = logging.getLogger(), logging.getLogger("arrivals.store")
    server = [logging.getLogger(name) for name in ("uvicorn", "uvicorn.access")]
    before = root.handlers[:], root.level, store.filters[:]
    servers = [(each.level, each.disabled) for each in server]
    yield
    root.handlers[:], store.filters[:] = before[0], before[2]
    root.setLevel(before[1])
    for each, (level, disabled) in zip(server, servers, strict=True):
        each.setLevel(level)
        each.disabled = disabled


async def _log_a_line(_: asyncio.Event) -> None:
    logging.getLogger("arrivals.test").info("hello")
    logging.getLogger("uvicorn.error").info("Started server process")


@pytest.mark.parametrize(
    ("in_production", "watched", "as_json"),
    [(True, False, True), (True, True, False), (False, False, False), (False, True, False)],
)
def test_the_log_is_json_where_no_person_reads_it(
    monkeypatch: pytest.MonkeyPatch, *, in_production: bool, watched: bool, as_json: bool
) -> None:
    """One line a record, and the server inside says nothing of its own start."""
    stream = Terminal(watched=watched)
    monkeypatch.setattr("sys.stderr", stream)
    serve_until_stopped(_log_a_line, in_production=in_production)
    [line] = stream.getvalue().splitlines()
    if as_json:
        assert json.loads(line)["message"] == "hello"
    else:
        assert line.endswith("arrivals.test: hello")


@pytest.mark.parametrize("scenario", scenario_names())
async def test_dev_s_windows_stay_below_what_the_scenario_takes(tmp_path, scenario: str):
    """Half of it, so that answers which are lost don't fill it."""
    loaded = load_scenario(scenario)
    world = SandboxAddress(host="127.0.0.1", port=1, scenario=loaded)
    prepare = dev_preparation({}, world)
    async with installed(tmp_path, providers=[provider("north", 1)], started=False) as here:
        await here.in_transaction(prepare)
        catalogue = await here.in_transaction(lambda tx: tx.catalogue())
    assert set(PROVIDERS) <= set(world.providers) == set(catalogue.providers)
    for name in world.providers:
        assert catalogue.providers[name].window == loaded.provider(name).window // 2 > 0
    assert len(catalogue.routes) == len(ROUTES)
    for route_id in catalogue.routes.keys() - {1}:  # which the installation came with
        assert sorted(catalogue.routes[route_id].providers) == sorted(world.providers)


async def test_providers_of_an_earlier_scenario_follow_the_world(tmp_path):
    """Nothing dials a port where nobody listens any more."""
    async with installed(tmp_path, providers=[provider("north", 1)], started=False) as here:
        for scenario, port in (("happy-liar", 1), ("clear-day", 2)):
            world = SandboxAddress(
                host="127.0.0.1", port=port, scenario=load_scenario(scenario)
            )
            await here.in_transaction(dev_preparation({}, world))
        catalogue = await here.in_transaction(lambda tx: tx.catalogue())
    assert set(catalogue.providers) == {"north", "south", "budget"}
    assert {each.settings["port"] for each in catalogue.providers.values()} == {2}
    assert catalogue.routes[3].providers[0] == "budget"


SETTINGS = """
[server]
port = 0
metrics_port = 0
[[providers]]
id = "north"
host = "127.0.0.1"
port = 1
sandbox = true
system_id = "me"
password = "x"
[[routes]]
id = 1
name = "{name}"
prices = "prices.csv"
providers = ["north"]
"""


@pytest.fixture
def serving(tmp_path) -> Iterator[tuple[Path, subprocess.Popen[str]]]:
    """A server of its own process, and the settings file that it was started with."""
    file = tmp_path / "arrivals.toml"
    (tmp_path / "prices.csv").write_text("country,country_prefix,price\nGermany,49,0.02\n")
    file.write_text(SETTINGS.format(name="First"))
    with subprocess.Popen(
        [sys.executable, "-m", "arrivals", "serve", "--config", str(file), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None
        assert json.loads(server.stdout.readline())["ready"]
        yield file, server
        server.kill()


def _said(server: subprocess.Popen[str], words: str) -> str:
    """Return the next line of the log with these words."""
    assert server.stderr is not None
    for line in server.stderr:
        if words in line:
            return str(json.loads(line)["message"])
    raise AssertionError(f"it ended without {words}")


@pytest.mark.slow
def test_a_hangup_applies_the_settings_file_again(serving) -> None:
    """As `reload` does; what is wrong with it changes nothing, and the server goes on."""
    file, server = serving
    file.write_text(SETTINGS.format(name="Second"))
    server.send_signal(signal.SIGHUP)
    said = _said(server, "SIGHUP")
    assert "changed: route 1" in said
    assert "only a restart applies: nothing that changed" in said
    file.write_text(
        SETTINGS.format(name="Second").replace("[server]", "[server]\nverify_every = 5")
    )
    server.send_signal(signal.SIGHUP)
    assert "only a restart applies: server.verify_every" in _said(server, "SIGHUP")
    told = type_in("reload", "--config", file)
    assert "Only a restart applies: server.verify_every" in told.out
    file.write_text(SETTINGS.format(name="Third").replace("[server]", "[sever]"))
    server.send_signal(signal.SIGHUP)
    assert "isn't applied" in _said(server, "SIGHUP")
    found = type_in("routes", "list", "--data", file.parent / "arrivals-data", "--json")
    assert [each["name"] for each in found.json] == ["Second"]
    assert server.poll() is None


@pytest.mark.slow
def test_a_stop_says_what_it_waits_for(serving) -> None:
    """And that nothing is left."""
    _, server = serving
    server.send_signal(signal.SIGTERM)
    assert "waits up to 2 s for 0 requests" in _said(server, "stopping")
    assert "all that was under way has ended" in _said(server, "stopped")
    assert server.wait(10) == 0
