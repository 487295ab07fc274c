"""A database's password is printed by no command, however its URL is wrong."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest

from arrivals.store.postgres_words import without_password
from tests.cli.typed import command_line, type_in

SECRET = "correcthorse"

# Each with a port where nothing listens, so that a URL that can be read isn't answered.
URLS = {
    "nothing listens": f"postgresql://me:{SECRET}@127.0.0.1:1/db",
    "an option that isn't one": f"postgresql://me:{SECRET}@127.0.0.1:1/db?foo=bar",
    "a password as an option": f"postgresql://me@127.0.0.1:1/db?password={SECRET}",
    "a misspelt option": f"postgresql://me@127.0.0.1:1/db?passwd={SECRET}",
    "a port too high": f"postgresql://me:{SECRET}@127.0.0.1:99999/db",
    "a bare percent sign": f"postgresql://me:{SECRET}%ZZ@127.0.0.1:1/db",
    "a bare at sign": f"postgresql://me:a@{SECRET}@127.0.0.1:1/db",
    "a bare slash": f"postgresql://me:1/{SECRET}@127.0.0.1:1/db",
    "a bare question mark": f"postgresql://me:1?{SECRET}@127.0.0.1:1/db",
    "a bare question mark in an option": f"postgresql://me:a?{SECRET}=b@127.0.0.1:1/db",
    "a bare hash": f"postgresql://me:a#{SECRET}@127.0.0.1:1/db",
    "a bare colon": f"postgresql://me:a:{SECRET}@127.0.0.1:1/db",
    "a bare bracket": f"postgresql://me:[{SECRET}@127.0.0.1:1/db",
    "no slashes": f"postgresql:me:{SECRET}@127.0.0.1:1/db",
    "one slash": f"postgresql:/me:{SECRET}@127.0.0.1:1/db",
    "another scheme": f"postgresqls://me:{SECRET}@127.0.0.1:1/db",
    "capitals": f"PostgreSQL://me:{SECRET}@127.0.0.1:1/db",
    "words of libpq": f"host=127.0.0.1 port=1 user=me password={SECRET}",
}


def commands(group: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, each in group.commands.items():
        if hasattr(each, "commands"):
            yield from commands(each, (*words, name))
        else:
            yield (*words, name), each


def takes_a_place(command: Any) -> list[str]:
    """Return the options that name a database."""
    options = {"--data", "--from", "--to"}
    return [name for each in command.params for name in each.opts if name in options]


PLACED = {
    words: command for words, command in commands(command_line()) if takes_a_place(command)
}


def line(words: tuple[str, ...], command: Any, url: str, tmp_path: Any) -> list[str]:
    """Return a command line that is whole, and names the database wherever it can."""
    argv = list(words)
    for each in command.params:
        if each.required and each.param_type_name == "argument":
            argv.append(_value(each, tmp_path))
        elif each.required:
            argv += [each.opts[0], _value(each, tmp_path)]
    for option in takes_a_place(command):
        if option in argv:
            argv[argv.index(option) + 1] = url
        else:
            argv += [option, url]
    return argv


def _value(parameter: Any, tmp_path: Any) -> str:
    kind = parameter.type_descriptor.annotation
    if kind is Path:
        path = tmp_path / "file"
        path.write_text("country,country_prefix,price\nGermany,49,0.02\n")
        return str(path)
    return str(get_args(kind)[0]) if get_origin(kind) is Literal else "1"


def test_every_command_that_takes_a_database_is_here() -> None:
    """Or else the next test says nothing of it."""
    assert len(PLACED) >= 20
    assert {("verify",), ("doctor",), ("hold",), ("copy",), ("migrate",)} <= PLACED.keys()


@pytest.mark.slow
@pytest.mark.parametrize("kind", URLS)
def test_no_command_prints_a_password(
    kind: str, tmp_path, monkeypatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither in words nor as JSON, in the log, or in a traceback."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.chdir(tmp_path)
    for words, command in PLACED.items():
        for more in ([], ["--json"]):
            if more and not any("--json" in each.opts for each in command.params):
                continue
            found = type_in(*line(words, command, URLS[kind], tmp_path), *more)
            said = found.out + found.err + caplog.text
            assert SECRET not in said, words
            assert "Traceback" not in said, words
            assert found.code != 0 or words == ("doctor",), (words, said)
    assert [each.name for each in tmp_path.iterdir() if SECRET in each.name] == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", URLS)
def test_no_settings_file_leads_to_one_being_printed(kind: str, tmp_path) -> None:
    """`serve`, `reload` and what reads them."""
    path = tmp_path / "arrivals.toml"
    path.write_text(f'[server]\nport = 0\nmetrics_port = 0\ndatabase = "{URLS[kind]}"\n')
    for words in (("reload",), ("serve",), ("doctor",), ("verify",)):
        for more in ([], ["--json"]):
            found = type_in(*words, "--config", path, *more)
            assert found.code != 0
            assert SECRET not in found.out + found.err, words
            assert "Traceback" not in found.err
    path.write_text(f"[server]\ndatabase = {URLS[kind]}\n")  # a sign of TOML is missing
    assert SECRET not in type_in("reload", "--config", path).err


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:a@b/c?d#e@host:1/db", "postgresql://me@host:1/db"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("postgresql://host:1/db?sslmode=require", "postgresql://host:1/db?sslmode=require"),
        ("postgresql:///db?host=/run&password=x", "postgresql:///db?host=/run"),
        ("postgresql://me:x@one:1,two:2/db", "postgresql://me@one:1,two:2/db"),
    ],
)
def test_a_url_is_shown_by_whose_where_and_which(url: str, shown: str) -> None:
    """And by the options that say no more than that."""
    assert without_password(url) == shown
