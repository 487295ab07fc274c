"""`arrivals dev`, `world` and `serve`, started as people start them."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from arrivals.cli.dev_installation import ROUTES, demo_prices
from arrivals.core.phone import countries
from tests.cli.typed import type_in

pytestmark = pytest.mark.slow

STOP_S = 5


@contextmanager
def started(*words: object, folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], Any]]:
    """Start a serving command, and give its process and its first line once it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", "arrivals", *(str(word) for word in words), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=folder,
    )
    assert process.stdout is not None
    try:
        yield process, json.loads(process.stdout.readline() or b"null")
    finally:
        stop(process)
        process.stdout.close()


def stop(process: subprocess.Popen[bytes]) -> int:
    """Ask a process to end, and see that it does in time."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        return process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise


def dev(folder: Path):
    """Start `arrivals dev` on free ports, in its default data folder."""
    return started("dev", "--port", 0, "--smpp-port", 0, "--speed", 20, folder=folder)


def ask(facts: Any, key: str, method: str, path: str, **request: Any) -> httpx.Response:
    """Ask the API with one of the five keys."""
    headers = {"X-API-KEY": facts["keys"][key]}
    return httpx.request(method, f"{facts['api']}{path}", headers=headers, **request)


def send(facts: Any, key: str, route: int = 3, number: str = "99900000001") -> httpx.Response:
    """Send one message with one of the five keys."""
    body = {
        "route_id": route,
        "caller_id": "ARRIVALS",
        "numbers": [number],
        "message": "Your code is 4839",
    }
    return ask(facts, key, "POST", "/api/v1/send_sms", json=body)


def test_dev_has_five_keys_that_are_what_they_are_called(tmp_path, monkeypatch) -> None:
    """Main may do all; the others each lack one thing."""
    monkeypatch.delenv("ARRIVALS_URL", raising=False)
    monkeypatch.delenv("ARRIVALS_API_KEY", raising=False)
    with dev(tmp_path) as (process, facts):
        assert facts["ready"] is True
        assert set(facts) == {
            "ready", "api", "smpp", "metrics", "data", "seed", "scenario", "keys",
        }  # fmt: skip
        assert {send(facts, "main", route).status_code for route in range(1, 9)} == {200}
        assert send(facts, "empty").status_code == 402
        assert send(facts, "revoked").status_code == 401
        allowed = {route: send(facts, "public", route).status_code for route in range(1, 9)}
        assert [route for route, status in allowed.items() if status == 403] == [5, 7, 8]
        assert send(facts, "other").status_code == 200
        assert httpx.get(facts["metrics"]).status_code == 200

        # A second terminal, in the same folder, needs neither address nor key.
        monkeypatch.chdir(tmp_path)
        for fate, code in (("01", 0), ("02", 2), ("04", 3)):
            found = type_in("send", f"999000000{fate}", "Hi", "--wait", "--json")
            assert found.code == code, found
        message_id = found.json["message"]["bx_message_id"]
        assert type_in("explain", message_id).code == 0
        assert type_in("verify").code == 0

        path = tmp_path / "arrivals-data" / "dev.json"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stop(process) == 0


def test_dev_goes_on_where_it_stopped(tmp_path) -> None:
    """The same folder has the same keys, orders and balance; funds come once."""
    with dev(tmp_path) as (_, before):
        order = send(before, "main").json()["order_id"]
        balance = ask(before, "main", "GET", "/api/v1/balance").json()["balance"]
    paused = ("pause", "route", 1, "--data", tmp_path / "arrivals-data")
    assert type_in(*paused).code == 0
    with dev(tmp_path) as (_, after):
        assert after["keys"] == before["keys"]
        assert ask(after, "main", "GET", "/api/v1/balance").json()["balance"] == balance
        assert send(after, "main").json()["order_id"] > order
    routes = type_in("routes", "list", "--data", tmp_path / "arrivals-data", "--json").json
    assert routes[0]["flow"] == "paused"


def test_dev_that_is_killed_comes_back_sound(tmp_path) -> None:
    """`kill -9` costs nothing that was accepted (invariants 15 and 20)."""
    with dev(tmp_path) as (process, facts):
        ids = [send(facts, "main").json()["messages"][0]["bx_message_id"] for _ in range(20)]
        process.send_signal(signal.SIGKILL)
        process.wait()
    with dev(tmp_path) as (_, facts):
        found = {ask(facts, "main", "GET", f"/api/v1/dlr/{each}").status_code for each in ids}
    assert found == {200}
    assert type_in("verify", "--data", tmp_path / "arrivals-data").code == 0


def test_two_servers_do_not_share_a_folder(tmp_path) -> None:
    """The second says so and goes; the first serves on."""
    with dev(tmp_path) as (_, facts):
        words = ("dev", "--port", "0", "--smpp-port", "0", "--json")
        second = subprocess.run(
            [sys.executable, "-m", "arrivals", *words],
            cwd=tmp_path, capture_output=True, check=False, timeout=20,
        )  # fmt: skip
        assert second.returncode == 1
        assert "in use by another" in json.loads(second.stdout)["error"]
        assert send(facts, "main").status_code == 200


@pytest.mark.parametrize("option", ["--port", "--smpp-port"])
def test_a_port_that_is_taken_is_69(tmp_path, option) -> None:
    """And nothing else was started or left behind."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ports = {"--port": "0", "--smpp-port": "0", option: port}
        words = [word for pair in ports.items() for word in pair]
        found = subprocess.run(
            [sys.executable, "-m", "arrivals", "dev", *words],
            cwd=tmp_path, capture_output=True, check=False, timeout=20,
        )  # fmt: skip
    assert found.returncode == 69, found
    assert b"Traceback" not in found.stderr
    assert found.stderr.splitlines()[0].endswith(b":%s: Address already in use" % port.encode())


def test_a_damaged_database_is_not_taken_for_one_in_use(tmp_path) -> None:
    """What to do is another thing."""
    (tmp_path / "arrivals.db").write_bytes(b"not a database" * 1_000)
    words = ("dev", "--port", "0", "--smpp-port", "0", "--json", "--data", ".")
    found = subprocess.run(
        [sys.executable, "-m", "arrivals", *words],
        cwd=tmp_path, capture_output=True, check=False, timeout=20,
    )  # fmt: skip
    assert found.returncode == 1
    told = json.loads(found.stdout)
    assert "damaged" in told["error"]
    assert "arrivals restore" in told["fix"]


def test_the_example_serves_beside_the_world(tmp_path) -> None:
    """The annotated example works as it stands, but for ports that others may have."""
    assert type_in("init", "--to", tmp_path).code == 0
    config = tmp_path / "arrivals.toml"
    truth = tmp_path / "truth.ndjson"
    world = ("world", "--port", 0, "--speed", 20, "--truth", truth)
    with started(*world, folder=tmp_path) as (_, there):
        port = there["smpp"].rpartition(":")[2]
        text = config.read_text("utf-8").replace("port = 2775", f"port = {port}")
        text = text.replace("port = 8025", "port = 0").replace("port = 9025", "port = 0")
        config.write_text(text)
        with started("serve", "--config", config, folder=tmp_path) as (process, facts):
            make = ("keys", "create", "--account", 1, "--environment", "test")
            key = type_in(*make, "--config", config, "--json").json["key"]
            wait_for_key(facts["api"], key)
            place = ("--url", facts["api"], "--key", key)
            assert type_in("send", "99900000001", "Hi", *place, "--wait").code == 0
            assert stop(process) == 0
    assert truth.read_bytes()
    assert type_in("verify", "--config", config).code == 0


def wait_for_key(url: str, key: str) -> None:
    """Wait until a running server knows a key: five seconds at most."""
    until = time.monotonic() + STOP_S
    headers = {"X-API-KEY": key}
    while httpx.get(f"{url}/api/v1/balance", headers=headers).status_code != 200:
        assert time.monotonic() < until, "the server should notice within five seconds"
        time.sleep(0.05)


def test_serve_opens_no_door_to_the_world_without_a_key(tmp_path) -> None:
    """Beyond this machine nobody is let in before there is a key."""
    (tmp_path / "arrivals.toml").write_text(
        '[server]\nhost = "0.0.0.0"\nport = 0\nmetrics_port = 0\n'
    )
    found = subprocess.run(
        [sys.executable, "-m", "arrivals", "serve"],
        cwd=tmp_path, capture_output=True, check=False, timeout=20, env={**os.environ},
    )  # fmt: skip
    assert found.returncode == 1, found
    assert b"no API key yet" in found.stderr
    assert b"Traceback" not in found.stderr


def test_every_country_has_a_demo_price() -> None:
    """On each route, and the sandbox at 0.01."""
    codes = {each.calling_code for each in countries()}
    for route in ROUTES:
        prices = {row.prefix: row.price for row in demo_prices(route.route_id)}
        assert set(prices) == codes
        assert prices["999"] == 10_000
        assert min(prices.values()) > 0
