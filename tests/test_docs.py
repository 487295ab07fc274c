"""The documents, as a test: they name all there is, and nothing that isn't there.

Tables that the code can write are compared with what it writes; the rest is looked up. What
the documents show being typed must parse, and what they show being sent must be accepted.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer

from arrivals.cli.output import ExitCode
from arrivals.config import DialectTable, ProviderTable
from arrivals.core.depth import LIMITS
from arrivals.core.errors import ERRORS, Code
from arrivals.http.feedback import FeedbackBody
from arrivals.http.send_body import SendBody
from arrivals.http.table import endpoints
from arrivals.outcome.episodes import TroubleKind
from arrivals.telemetry import Telemetry
from arrivals.world.fixed_fates import SCRIPTS
from arrivals.world.scenario import parse_scenario, scenario_names
from scripts.write_reference import SETTINGS, TABLE, TABLES, all_commands, filled
from tests.cli.typed import command_line
from tests.tidy_checks import OTHER_PLACES, ROOT

DOCS = ROOT / "docs"
WRITTEN = sorted(DOCS.glob("*.md"))
OURS = [ROOT / "README.md", *WRITTEN]
# Typer doesn't name the class that all its usage errors have in common.
WRONG_USAGE: Any = next(
    kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "UsageError"
)
BODIES = {"send_sms": SendBody, "estimate": SendBody, "feedback": FeedbackBody}


def text_of(name: str) -> str:
    return (DOCS / name).read_text("utf-8")


def blocks(path: Path, language: str) -> Iterator[str]:
    """Yield a document's code blocks of one language."""
    found = re.findall(
        rf"^```{language}\n(.*?)^```", path.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    yield from (each.replace("\\\n", " ") for each in found)


def typed(path: Path) -> Iterator[list[str]]:
    """Yield what follows `arrivals` in each command line that a document shows."""
    for block in blocks(path, "sh"):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            if words and words[0].removeprefix(".venv/bin/") == "arrivals":
                yield words[1:]


# --- Written from the code ------------------------------------------------------------


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.name)
def test_tables_say_what_the_code_says(path: Path) -> None:
    """Every marked table is what scripts/write_reference.py would write now."""
    text = path.read_text("utf-8")
    assert filled(text) == text, "run: python scripts/write_reference.py"


def test_every_key_of_a_dialect_is_explained() -> None:
    """Who needs it, and by what one knows that; nothing else has a row."""
    text = text_of("providers.md")
    table = text[text.index("| Key |") :].partition("\n\n")[0]
    keys = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert sorted(keys) == sorted(DialectTable.__struct_fields__)


def test_every_table_stands_somewhere() -> None:
    """None of the tables that can be written was lost from the documents."""
    assert {found[2] for path in WRITTEN for found in TABLE.finditer(path.read_text())} == set(
        TABLES
    )


def test_a_stale_table_is_seen() -> None:
    """A table that was changed by hand is written anew."""
    stale = "<!-- table: exits -->\n\n| 9 | made up |\n\n<!-- end of table -->"
    assert "made up" not in filled(stale)
    assert f"| {int(ExitCode.UNREACHABLE)} |" in filled(stale)


def test_the_scenario_works_as_it_is_pasted(tmp_path: Path) -> None:
    """By itself, and with each of the pieces that follow put behind it."""
    text = ""
    for piece in blocks(DOCS / "sandbox.md", "toml"):
        text += piece
        assert parse_scenario(text).name == "my-day"
    assert text.count("[[timeline]]") == 2
    assert "[providers.south]" in text


# --- All there is ---------------------------------------------------------------------


def test_every_error_is_documented() -> None:
    """Each code stands in the reference with its status."""
    text = text_of("reference.md")
    missing = [c for c, row in ERRORS.items() if f"| {row.status} | `{c}` |" not in text]
    assert missing == []


def test_reserved_errors_are_those_that_nothing_raises() -> None:
    """The reference says which codes no answer has yet, and is right."""
    code = "".join(
        path.read_text("utf-8")
        for path in (ROOT / "src").rglob("*.py")
        if path.name != "errors.py"
    )
    unused = {str(each) for each in Code if f"Code.{each.name}" not in code}
    said = re.search(
        r"^Reserved, and never answered yet: (.+)\.$", text_of("reference.md"), re.MULTILINE
    )
    assert (set(re.findall(r"`(\w+)`", said[1])) if said else set()) == unused


def test_every_setting_is_documented() -> None:
    """Each key stands in its own table of the operator's page, with what it does."""
    text = text_of("operate.md")
    for name, kind in SETTINGS.items():
        section = text.split(f"**`{name}`**")[1].split("**`[")[0]
        for field in kind.__struct_fields__:
            row = next((r for r in section.splitlines() if r.startswith(f"| `{field}` |")), "")
            cells = [cell.strip() for cell in row.strip("|").split("|")]
            assert len(cells) == 4, f"{name}.{field}"
            assert all(cells), f"{name}.{field}"


def test_every_metric_is_documented() -> None:
    """Each metric of ours stands in the reference under the name that Prometheus shows."""
    text = text_of("reference.md")
    for family in Telemetry().registry.collect():
        if family.name.startswith("arrivals_"):
            suffix = "_total" if family.type == "counter" else ""
            assert f"| `{family.name}{suffix}` |" in text, family.name


NO_METRICS = {"arrivals_tenant"}  # a role in PostgreSQL


def test_every_metric_that_is_named_exists() -> None:
    """No document sends an operator to look for a metric that isn't there."""
    known = "\n".join(TABLES["metrics"]())
    for path in OURS:
        for name in re.findall(r"`(arrivals_\w+)`", path.read_text("utf-8")):
            assert f"`{name}`" in known or name in NO_METRICS, f"{path.name}: {name}"


def test_every_kind_of_alarm_is_documented() -> None:
    """Each has a row in the operator's list, with what it says and means."""
    rows = re.findall(
        r"^\| (`\w+`(?:, `\w+`)*) \| .+ \| .+ \|$", text_of("operate.md"), re.MULTILINE
    )
    named = {name for row in rows for name in re.findall(r"\w+", row)}
    assert {str(kind) for kind in TroubleKind} <= named


def test_every_runbook_says_where_to_look_what_to_do_and_how_to_know() -> None:
    for section in re.split(r"^## ", text_of("runbooks.md"), flags=re.MULTILINE)[1:]:
        title, _, rest = section.partition("\n")
        steps = re.findall(r"^\*\*(Notice|Look|Do|Verify)\.\*\*", rest, re.MULTILINE)
        wanted = ["Look", "Do", "Verify"]
        assert steps == (wanted if title.startswith("Move") else ["Notice", *wanted]), title
        assert "arrivals " in rest, title


def test_settings_in_runbooks_are_settings() -> None:
    for block in blocks(DOCS / "runbooks.md", "toml"):
        for each in tomllib.loads(block)["providers"]:
            msgspec.convert(each, ProviderTable, strict=True)


def test_every_command_is_documented() -> None:
    """Each command has a heading in the reference, and each of its options a line."""
    text = text_of("reference.md")
    found = list(all_commands())
    assert len(found) > 20
    for command in found:
        heading = re.search(rf"^### `arrivals {command.name}[ `]", text, re.MULTILINE)
        assert heading, command.name
        section = text[heading.end() :].split("\n#")[0]
        for each in command.parameters:
            for option in [*each.opts, *each.secondary_opts]:
                if option.startswith("--") and option != "--help":
                    assert f"`{option}" in section, f"{command.name} {option}"


def test_every_exit_code_is_documented() -> None:
    """Each exit code has a row."""
    text = text_of("reference.md")
    assert all(f"| {int(code)} | " in text for code in ExitCode)


def test_every_scenario_and_every_fixed_fate_is_documented() -> None:
    """The sandbox's page has a row for each, a fate's with what the world says of it."""
    text = text_of("sandbox.md")
    assert [name for name in scenario_names() if f"| `{name}` |" not in text] == []
    fates = re.findall(r"^\| `(999\d+)` \| (.+?) \| \w+ \|$", text, re.MULTILINE)
    assert dict(fates) == {number: script.about for number, script in SCRIPTS.items()}


def test_every_limit_of_receipts_is_documented() -> None:
    """With how deep they reach at most, and with its sources."""
    rows = [row for row in text_of("outcome.md").splitlines() if row.startswith("| ")]
    for limit in LIMITS:
        sources = re.findall(r"\d{9,}", limit.source)
        assert sources
        shown = [row for row in rows if all(each in row for each in sources)]
        assert [f"| `{limit.depth}` |" in row for row in shown] == [True]


def test_numbers_of_the_sandbox_are_numbers_with_a_fate() -> None:
    """Every number of country code 999 in a document has eleven digits and a fate."""
    for path in OURS:
        for number in re.findall(r"\b999\d{5,}\b", path.read_text("utf-8")):
            assert number in SCRIPTS, f"{path.name}: {number}"


# --- Nothing that isn't there ---------------------------------------------------------


def parse(words: list[str]) -> None:
    """Parse a command line without running it; raises what Typer raises for wrong usage."""
    command = command_line()
    rest = list(words)
    while hasattr(command, "commands"):
        assert rest, words
        assert rest[0] in command.commands, words
        command = command.commands[rest.pop(0)]
    command.make_context(" ".join(words), rest)


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_command_lines_parse(path: Path) -> None:
    """What a document shows being typed is a command with options that it has."""
    for words in typed(path):
        parse(words)


def test_a_wrong_command_line_is_seen() -> None:
    """A command, an option or an argument that isn't there doesn't parse."""
    parse(["send", "99900000001", "hi", "--wait"])
    for line in ("send 99900000001", "send 99900000001 hi --now", "accounts open", "fly"):
        with pytest.raises((AssertionError, WRONG_USAGE)):
            parse(line.split())


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_paths_are_served(path: Path) -> None:
    """Each API path that a document names leads to an endpoint, whatever stands for its ids."""
    templates = [
        re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(each.path)) + r"\Z")
        for each in endpoints()
    ]
    for found in re.findall(r"/api/v1/[\w/{}….-]*[\w}…]", path.read_text("utf-8")):
        assert any(each.match(found) for each in templates), f"{path.name}: {found}"


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_requests_are_of_the_form_that_is_accepted(path: Path) -> None:
    """The body of each curl decodes strictly as what its path takes."""
    for block in blocks(path, "sh"):
        words = shlex.split(block, comments=True)
        if "-d" in words:
            body = words[words.index("-d") + 1]
            address = next(word for word in words if "://" in word or "URL/" in word)
            kind = BODIES[address.partition("?")[0].rpartition("/")[2]]
            msgspec.json.decode(body, type=kind, strict=True)


def test_fields_of_a_send_are_documented() -> None:
    """The page on sending has a row for each field, and for none that doesn't exist."""
    fields = set(SendBody.__struct_fields__)
    table = text_of("sending.md").split("## What a request may say")[1].split("\n##")[0]
    rows = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == fields


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_links_resolve(path: Path) -> None:
    """Every relative link leads to a file, and its anchor to a heading there."""
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text("utf-8")):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        assert file.exists(), f"{path.name} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text("utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}
            assert anchor in slugs, f"{path.name} links to {target}"


@pytest.mark.parametrize(
    "path", sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")]), ids=lambda path: path.name
)
def test_documents_name_no_workplace(path: Path) -> None:
    """No document names a place on somebody's machine."""
    assert OTHER_PLACES.search(path.read_text("utf-8")) is None
