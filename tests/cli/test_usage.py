"""Wrong usage is 64 in every command, help is 0, and neither takes long."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from arrivals import __version__, cli
from arrivals.cli import COMMANDS
from arrivals.cli.output import visible
from arrivals.world.fixed_fates import SCRIPTS
from tests.cli.typed import type_in

GROUPS = {
    "messages": ("find", "list"),
    "accounts": ("list", "create", "credit", "debit", "limit", "remove"),
    "keys": ("list", "create", "generate", "revoke"),
    "routes": ("list", "remove"),
    "providers": ("list", "remove"),
    "prices": ("import", "list"),
}
SINGLE = [
    (command.__name__.replace("_", "-"),) for panel in COMMANDS.values() for command in panel
]
ALL = [*SINGLE, *((group, name) for group, names in GROUPS.items() for name in names)]


@pytest.mark.parametrize("command", ALL, ids=" ".join)
def test_an_unknown_option_is_64(command) -> None:
    """In each command alike, so that it can't be taken for an outcome."""
    found = type_in(*command, "--no-such-option")
    assert found.code == 64
    assert "--no-such-option" in found.err


@pytest.mark.parametrize("command", ALL, ids=" ".join)
def test_every_command_explains_itself_and_speaks_json(command) -> None:
    """Help is 0, says what the command does, and offers --json."""
    found = type_in(*command, "--help")
    assert found.code == 0
    assert "--json" in found.out
    assert len(found.out.splitlines()) > 8


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("nothing-like-it",),
        ("send",),
        ("send", "31612345678"),
        ("send", "31612345678", "Hi", "--route", "x"),
        ("send", "31612345678", "Hi", "--timeout", "-1"),
        ("dev", "--port", "70000"),
        ("dev", "--port", "x"),
        ("dev", "--speed", "0"),
        ("dev", "--speed", "nan"),
        ("dev", "--scenario", "nowhere"),
        ("dev", "--valid-for", "0"),
        ("world", "--speed", "-1"),
        ("world", "--scenario", "nowhere.toml"),
        ("explain", "BX-1"),
        ("timeline", "x"),
        ("compare", "BX-1-c5f4f53431ed22c2"),
        ("compare", "BX-1-c5f4f53431ed22c2", "x"),
        ("watch", "x"),
        ("messages", "find"),
        ("messages", "find", "--number", "31612345678", "--ref", "x"),
        ("messages", "find", "--id", "x"),
        ("cancel", "x"),
        ("estimate", "31612345678"),
        ("accounts",),
        ("accounts", "credit", "1", "x", "--reason", "r", "--reference", "r"),
        ("accounts", "credit", "1", "-5", "--reason", "r", "--reference", "r"),
        ("accounts", "credit", "1", "5"),
        ("accounts", "create", "A", "--username", "a", "--currency", "euro"),
        ("keys", "create", "--account", "1", "--environment", "production"),
        ("pause", "everything", "1"),
        ("serve", "--config", "no-such-file.toml"),
        ("reload", "--config", "no-such-file.toml"),
        ("verify", "--config", "no-such-file.toml"),
        ("prices", "import", "1", "no-such-file.csv"),
        ("accounts", "create", "", "--username", "a"),
        ("accounts", "create", "A", "--username", "two words"),
        ("accounts", "create", "A", "--username", "a", "--sender", "!!!"),
        ("accounts", "credit", "1", "5", "--reason", "r", "--reference", ""),
        ("send", "31612345678", "Hi", "--url", "http://", "--key", "k"),
        ("send", "31612345678", "Hi", "--url", "http://[::1", "--key", "k"),
        ("send", "31612345678", "\udcff", "--url", "http://127.0.0.1:1", "--key", "k"),
        ("send-bulk", "no-such-file.csv", "--url", "http://127.0.0.1:1", "--key", "k"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_64(words) -> None:
    """Whatever is wrong with the words, before anything is done."""
    found = type_in(*words)
    assert found.code == 64, found
    assert found.out + found.err


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is always full")
def test_output_that_cannot_be_written_is_told_in_words() -> None:
    """Neither a traceback nor a code that could be an outcome."""
    with Path("/dev/full").open("w") as full:
        found = subprocess.run(
            [sys.executable, "-u", "-m", "arrivals", "keys", "generate"],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=30,
        )  # fmt: skip
    assert found.returncode == 74
    assert found.stderr.startswith("Error: No space left on device")


def test_a_settings_problem_is_told_as_json_too(tmp_path) -> None:
    """File, key, problem and fix, one by one."""
    path = tmp_path / "arrivals.toml"
    path.write_text("[server]\nprot = 1\n")
    found = type_in("reload", "--config", path, "--json")
    assert found.code == 64
    assert found.json["file"] == str(path)
    assert [each["key"] for each in found.json["problems"]] == ["server.prot"]


def test_the_numbers_that_are_offered_have_a_fate() -> None:
    """Whatever help or a greeting says to send to is in the carrier world's table."""
    texts = [path.read_text("utf-8") for path in Path(cli.__file__).parent.glob("*.py")]
    offered = {each for text in texts for each in re.findall(r"\b999\d+\b", text)}
    patterns = {each for text in texts for each in re.findall(r"\b999\d+(?=N)", text)}
    assert offered
    assert offered <= SCRIPTS.keys()
    assert patterns == {next(iter(SCRIPTS))[:9]}


def test_the_version() -> None:
    """It is the package's."""
    assert type_in("--version").out == f"arrivals {__version__}\n"


def test_help_loads_nothing_heavy() -> None:
    """What takes long to import is imported by the commands that need it."""
    heavy = {"httpx", "apsw", "uvicorn", "starlette", "msgspec", "phonenumbers", "asyncio"}
    code = (
        "import sys; import arrivals.cli; "
        f"print(sorted({heavy!r} & {{name.split('.')[0] for name in sys.modules}}))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert found.stdout.strip() == b"[]"


@pytest.mark.slow
def test_the_package_runs_as_a_module() -> None:
    """`python -m arrivals` is the same command line, and a pipe gets no escape codes."""
    found = subprocess.run(
        [sys.executable, "-m", "arrivals", "explain", "x"], capture_output=True, check=False
    )
    assert found.returncode == 64
    assert b"\x1b" not in found.stderr


def test_what_a_terminal_would_obey_is_spelled_out() -> None:
    """A provider's id cleared the screen of whoever asked what became of a message."""
    assert visible("id \x1b[2Jab\x07\x9b\u202e €") == r"id \x1b[2Jab\x07\x9b\u202e €"
    assert visible("one\n\ttwo") == "one\n\ttwo"
