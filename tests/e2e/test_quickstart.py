"""The README's quickstart, executed: its commands, their exit codes and what they print."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.peers.conftest import Node
from tests.peers.conftest import node as published_node
from tests.tidy_checks import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

node = published_node  # the fixture: Node with the published client, installed when absent

PROMISED = {"ready", "api", "smpp", "metrics", "data", "seed", "scenario", "keys"}
STOP_MAX_S = 5.0
COMMAND_MAX_S = 90.0
# Deadlines that a test can wait for; the retries of the throttled number take ten seconds.
SHORT = ("--valid-for", "20", "--outcome-grace", "4", "--speed", "10")

# The fates that are of one segment of several.
SEVERAL_SEGMENTS = {"99900000014", "99900000020", "99900000021"}

README = (ROOT / "README.md").read_text("utf-8")
START = (ROOT / "docs" / "start.md").read_text("utf-8")
SANDBOX = (ROOT / "docs" / "sandbox.md").read_text("utf-8")
CLIENTS = (ROOT / "docs" / "clients.md").read_text("utf-8")

TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")
MESSAGE_ID = re.compile(r"BX-\d+-[0-9a-f]{16}")
TOOK = re.compile(r"\d[\d.,]* (µs|ms|s)\b")


class Dev:
    """`arrivals dev` in a folder of its own, as the quickstart has it."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        command = ("dev", "--json", "--port", "0", "--smpp-port", "0", *SHORT, *options)
        with (folder / "log.txt").open("a") as log:
            self._process = subprocess.Popen(
                arrivals(*command), cwd=folder, env=bare(), text=True,
                stdout=subprocess.PIPE, stderr=log,
            )  # fmt: skip
        assert self._process.stdout is not None
        self.line = self._process.stdout.readline()
        assert self.line, (folder / "log.txt").read_text()
        self.facts: dict[str, Any] = json.loads(self.line)

    def stop(self) -> float:
        """Ask it to stop, and return how many seconds it took."""
        began = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        try:
            assert self._process.wait(COMMAND_MAX_S) == 0
        finally:
            self._process.kill()
            assert self._process.stdout is not None
            self._process.stdout.close()
        return time.monotonic() - began

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the folder, where it finds address and key by itself."""
        return subprocess.run(
            arrivals(*words), cwd=self.folder, env=bare(), text=True,
            capture_output=True, timeout=COMMAND_MAX_S, check=False,
        )  # fmt: skip

    def get(self, path: str) -> Any:
        headers = {"X-API-KEY": self.facts["keys"]["main"]}
        answer = httpx.get(self.facts["api"] + path, headers=headers, timeout=10)
        return answer.raise_for_status().json()


def arrivals(*words: str) -> list[str]:
    return [sys.executable, "-m", "arrivals", *words]


def bare() -> dict[str, str]:
    """Return the environment of somebody who has set nothing."""
    return {name: value for name, value in os.environ.items() if "ARRIVALS" not in name}


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    running = Dev(tmp_path_factory.mktemp("quickstart"))
    yield running
    running.stop()


def block(document: str, language: str, containing: str) -> str:
    """Return the code block of a document that contains some words."""
    found = re.findall(rf"^```{language}\n(.*?)^```", document, re.MULTILINE | re.DOTALL)
    (only,) = [each for each in found if containing in each]
    return str(only)


def follow(dev: Dev, commands: str) -> list[str]:
    """Run each command of a block, check the exit code that it promises; return the outputs."""
    outputs, last_id = [], ""
    for line in commands.splitlines():
        promised = re.search(r"#.*exits with (\d+)", line)
        assert promised, f"the document doesn't say how it ends: {line}"
        program, *words = shlex.split(line, comments=True)
        assert program == ".venv/bin/arrivals"
        done = dev.run(*(last_id if word == "BX-…" else word for word in words))
        assert done.returncode == int(promised[1]), (line, done.stdout, done.stderr)
        outputs.append(done.stdout)
        if words[0] == "send":
            last_id = done.stdout.splitlines()[0]
            assert MESSAGE_ID.fullmatch(last_id)
    return outputs


def constant(text: str) -> list[str]:
    """Return lines without what differs from run to run."""
    return [TOOK.sub("T", MESSAGE_ID.sub("BX-…", line)) for line in text.strip().splitlines()]


def test_the_quickstart_is_true(dev: Dev) -> None:
    """The README's commands end as it says, and explain says what it shows."""
    outputs = follow(dev, block(README, "sh", "explain"))
    shown = block(README, "text", "never answered")
    assert constant(outputs[-2]) == constant(shown)


def test_the_start_page_is_true(dev: Dev) -> None:
    """So do the commands of docs/start.md."""
    follow(dev, block(START, "sh", "timeline"))


@pytest.mark.parametrize("name", ["start.md", "sending.md"])
def test_the_pages_curl_works_as_pasted(dev: Dev, name: str) -> None:
    """Nothing has to be set that the block doesn't set itself."""
    pasted = block((ROOT / "docs" / name).read_text("utf-8"), "sh", "/send_sms")
    assert_sends(dev, pasted.replace("http://127.0.0.1:8025", dev.facts["api"]), bare())


def test_the_readmes_curl_works_behind_the_line_that_dev_prints(dev: Dev) -> None:
    """As its three lines stand."""
    assert_sends(dev, block(README, "sh", "/send_sms"), bare() | address(dev))


def assert_sends(dev: Dev, pasted: str, environment: dict[str, str]) -> None:
    done = subprocess.run(
        ["bash", "-euc", pasted], cwd=dev.folder, env=environment, text=True,
        capture_output=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["status"] == "success", answer
    assert MESSAGE_ID.fullmatch(answer["messages"][0]["bx_message_id"])


def test_the_readmes_examples_are_three_lines_each() -> None:
    """As many as it promises by showing them beside curl."""
    for language, word in (("sh", "/send_sms"), ("python", "send_one"), ("js", "sendOne")):
        lines = block(README, language, word).splitlines()
        assert len([line for line in lines if line]) == 3, lines


def test_the_readmes_python_runs(dev: Dev) -> None:
    """The published client prints the order it made."""
    example = block(README, "python", "send_one")
    assert MESSAGE_ID.search(run_example(dev, sys.executable, "-c", example))


def test_the_readmes_node_runs(dev: Dev, node: Node, tmp_path: Path) -> None:
    """So does the Node client."""
    (tmp_path / "node_modules").symlink_to(node.node_modules)
    script = tmp_path / "example.mjs"
    script.write_text(block(README, "js", "sendOne"))
    assert MESSAGE_ID.search(run_example(dev, node.executable, str(script)))


def test_every_fixed_fate_ends_as_documented(dev: Dev) -> None:
    """All its numbers come to the outcome of the table; one answer is the README's."""
    promised = dict(re.findall(r"^\| `(999\d+)` \| .+? \| (\w+) \|$", SANDBOX, re.MULTILINE))

    def send(number: str) -> dict[str, Any]:
        text = "a text " * (40 if number in SEVERAL_SEGMENTS else 1)
        done = dev.run("send", number, text, "--wait", "--json", "--timeout", "60")
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer["message"]

    with ThreadPoolExecutor(4) as pool:
        messages = dict(zip(promised, pool.map(send, promised), strict=True))
    # A receipt may still revise an outcome: what counts is how it stands at the end.
    found = {
        number: dev.get(message["links"]["self"])["layers"]["outcome"]["state"]
        for number, message in messages.items()
    }
    assert found == promised
    excerpt = json.loads(block(README, "json", "layers"))
    assert_holds(excerpt, messages[excerpt["msisdn"]], "")


def assert_holds(shown: Any, real: Any, place: str) -> None:
    """Assert that what a document shows is in the real answer; times need only be times."""
    if isinstance(shown, dict):
        assert isinstance(real, dict), place
        assert shown.keys() <= real.keys(), place
        for name, value in shown.items():
            assert_holds(value, real[name], f"{place}.{name}")
    elif isinstance(shown, str) and TIME.fullmatch(shown):
        assert TIME.fullmatch(real), place
    else:
        assert real == shown, place


def test_the_python_example_runs(dev: Dev) -> None:
    """The published client sends as docs/clients.md shows it."""
    output = run_example(dev, sys.executable, "-c", block(CLIENTS, "python", "BridgeXAPI"))
    assert MESSAGE_ID.match(output)
    assert " QUEUED\n" in output


def test_the_node_example_runs(dev: Dev, node: Node, tmp_path: Path) -> None:
    """So does the Node client."""
    (tmp_path / "node_modules").symlink_to(node.node_modules)
    script = tmp_path / "example.mjs"
    script.write_text(block(CLIENTS, "js", "BridgeXAPI"))
    output = run_example(dev, node.executable, str(script))
    assert re.fullmatch(r"(QUEUED|SENT|DELIVERED) (true|false)\n", output)


def address(dev: Dev) -> dict[str, str]:
    """Return what the line that `arrivals dev` prints exports."""
    return {"ARRIVALS_URL": dev.facts["api"], "ARRIVALS_API_KEY": dev.facts["keys"]["main"]}


def run_example(dev: Dev, *command: str) -> str:
    """Run a program that finds address and key in its environment; return what it prints."""
    done = subprocess.run(
        command,
        env=bare() | address(dev),
        text=True,
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def without_forecast(message: dict[str, Any]) -> dict[str, Any]:
    """Return a message without what the model thinks of it, which goes on learning."""
    outcome = message["layers"]["outcome"]
    for name in ("bounds", "model", "receipt_to_come"):
        del outcome[name]
    return message


def test_dev_says_where_it_is_stops_soon_and_goes_on(tmp_path: Path) -> None:
    """Its first line has the promised keys; a restart on the same folder keeps everything."""
    first = Dev(tmp_path)
    try:
        assert set(first.facts) == PROMISED
        assert all(f"`{name}`" in SANDBOX for name in PROMISED)
        kept = tmp_path / "arrivals-data" / "dev.json"
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        assert json.loads(kept.read_text())["keys"] == first.facts["keys"]
        sent = first.run("send", "99900000001", "Your code is 4821", "--wait", "--json")
        message = json.loads(sent.stdout)["message"]
    finally:
        assert first.stop() < STOP_MAX_S
    again = Dev(tmp_path)
    try:
        assert again.facts["keys"] == first.facts["keys"]
        assert without_forecast(again.get(message["links"]["self"])) == without_forecast(
            message
        )
        assert again.run("verify").returncode == 0
    finally:
        assert again.stop() < STOP_MAX_S
