"""Wrong usage is 64 in every command, help is 0, and neither takes long."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from arrivals import __version__, cli
from arrivals.cli import COMMANDS
from arrivals.cli.output import COLUMNS_APART, TABLE_EDGES, column_widths, visible
from arrivals.world.fixed_fates import SCRIPTS
from arrivals.world.scenario import scenario_names
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


@pytest.mark.parametrize("command", ALL, ids=" ".join)
def test_a_flag_has_no_type(command) -> None:
    """Only Typer's own --help has one, which isn't ours to say."""
    flags = [each for each in type_in(*command, "--help").out.splitlines() if "<bool>" in each]
    assert all("--help" in each for each in flags)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("world", "--port", "abc"), "'--port': write a whole number"),
        (("dev", "--speed", "x"), "'--speed': write a number"),
        (("send", "1", "x", "--timeout", "-1"), "'--timeout': it is at least 0"),
        (("world", "--port", "70000"), "'--port': it is at most 65535"),
        (("serve", "--role", "y"), "'--role': 'y' is not one of 'all', 'api', 'worker'."),
    ],
)
def test_wrong_values_are_told_in_plain_words(words, said) -> None:
    """And not in those of the library that checks them."""
    found = type_in(*words)
    assert found.code == 64
    assert said in " ".join(found.err.replace("│", " ").split())
    assert "should be" not in found.err


@pytest.mark.parametrize("room", [120, 80, 60, 40])
def test_words_stay_whole_in_narrow_tables(room) -> None:
    """Each column is as wide as its longest word, and none is wider than it needs."""
    cells = [["correlated-failures", "1,234", "a few words to be wrapped, more than once"]]
    widths = column_widths(("name", "count#", "what it shows"), cells, room)
    assert widths is not None
    assert widths[:2] == [19, 5]
    assert 7 <= widths[2] <= 41
    assert sum(widths) + 2 * COLUMNS_APART + TABLE_EDGES <= room
    assert (widths[2] == 41) == (room > 70)


def test_a_table_without_room_is_told_row_by_row() -> None:
    assert column_widths(("name", "count#"), [["correlated-failures", "1,234"]], 24) is None


@pytest.mark.slow
@pytest.mark.parametrize("columns", [80, 60, 40, 20])
def test_a_narrow_terminal_breaks_no_word(columns) -> None:
    """As a terminal of so many columns gets it, lines in full."""
    command = [sys.executable, "-m", "arrivals", "scenarios", "--list"]
    shown = seen_on_a_terminal(command, columns)
    words = {name for name in scenario_names() if len(name) < columns}
    assert words <= set(re.findall(r"[\w-]+", shown))
    assert max(len(line) for line in shown.splitlines()) <= columns


def seen_on_a_terminal(command: list[str], columns: int) -> str:
    """Run a command on a terminal of its own, and return what it shows without colours."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in {"COLUMNS", "LINES"}}
    with subprocess.Popen(command, stdout=theirs, stdin=theirs, env=environment):
        os.close(theirs)
        octets = b""
        with contextlib.suppress(OSError):  # Linux says so at the end
            while piece := os.read(ours, 65_536):
                octets += piece
    os.close(ours)
    return re.sub("\x1b\\[[0-9;]*m", "", octets.decode())


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
