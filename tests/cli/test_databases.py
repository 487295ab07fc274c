"""The commands on a PostgreSQL database, which a URL names in place of a folder."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from typing import Any

import apsw
import msgspec
import pytest

from arrivals.cli.doctor_postgresql import look_at_postgresql
from arrivals.clock import SystemClock
from arrivals.store import postgres_beside
from arrivals.store.statements import migrations
from tests.cli.typed import Typed, type_in
from tests.postgres.programs import choose, installed
from tests.postgres.server import create_database, drop_database, execute
from tests.store.inhabited import inhabit
from tests.store.schemas import schema_of

pytestmark = pytest.mark.slow

SECRET = "correct-horse"
VERSIONS = [number for number, _ in migrations()]


@pytest.fixture(scope="module")
def url(postgres_server: str) -> Iterator[str]:
    """A database in which something of every kind has happened; the URL has a password."""
    name = f"arrivals_test_{os.urandom(8).hex()}"
    made = create_database(postgres_server, name)
    asyncio.run(inhabit(made))
    yield made.replace("postgres@", f"postgres:{SECRET}@")
    drop_database(postgres_server, name)


def say_nothing_secret(found: Typed) -> None:
    assert SECRET not in found.out + found.err


def test_verify_says_that_all_holds(url) -> None:
    """As on a folder; a URL is shown without its password."""
    found = type_in("verify", "--data", url, "--json")
    assert found.code == 0
    assert found.json["violations"] == 0
    assert found.json["data"] == url.replace(f":{SECRET}", "")
    assert "checks hold" in type_in("verify", "--data", url).out


def test_a_place_comes_from_the_environment_or_the_settings(url, monkeypatch, tmp_path) -> None:
    """ARRIVALS_DATA, or `[server] database`."""
    settings = tmp_path / "arrivals.toml"
    settings.write_text(f'[server]\nport = 0\ndatabase = "{url}"\n')
    for words in (("verify",), ("accounts", "list"), ("keys", "list"), ("routes", "list")):
        assert type_in(*words, "--config", settings).code == 0
    assert type_in("reload", "--config", settings).code == 0
    monkeypatch.setenv("ARRIVALS_DATA", url)
    accounts = type_in("accounts", "list", "--json").json
    assert [each["account_id"] for each in accounts] == [1, 2]


def test_money_and_keys(url) -> None:
    """What an operator books is booked once."""
    words = ("accounts", "credit", 1, "5", "--reason", "paid", "--reference", "i-1", "--data")
    first, second = (type_in(*words, url, "--json").json for _ in range(2))
    assert (first["repeated"], second["repeated"]) == (False, True)
    assert first["available"] == second["available"]
    made = type_in("keys", "create", "--account", 1, "--data", url, "--json").json
    assert type_in("keys", "revoke", made["key_id"], "--data", url).code == 0
    assert type_in("pause", "provider", "north", "--data", url).code == 0
    assert type_in("resume", "provider", "north", "--data", url).code == 0
    assert type_in("verify", "--data", url).code == 0


@pytest.mark.parametrize(
    "words", [("verify",), ("accounts", "list"), ("pause", "provider", "north")]
)
def test_a_database_without_a_schema_is_told(postgres_url, words) -> None:
    """As a folder that holds none; no command makes one there in passing."""
    found = type_in(*words, "--data", postgres_url)
    assert found.code in {1, 2}
    assert "holds no Arrivals database" in found.err
    tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
    assert execute(postgres_url, tables) == [(0,)]


@pytest.mark.parametrize("words", [("verify",), ("accounts", "list"), ("doctor",)])
def test_a_database_out_of_reach_is_told(words) -> None:
    """In a sentence, without the password."""
    found = type_in(*words, "--data", f"postgresql://me:{SECRET}@127.0.0.1:1/none")
    assert found.code in {1, 2}
    assert "can't be reached" in found.out + found.err
    say_nothing_secret(found)


@pytest.mark.parametrize(
    ("prepare", "user", "option", "words"),
    [
        ((), "ghost", "", "there is no such user"),
        (("CREATE ROLE {role}",), "{role}", "", "may not log in"),
        (("CREATE ROLE {role} LOGIN CONNECTION LIMIT 0",), "{role}", "", "no connection left"),
        (("CREATE ROLE {role} LOGIN",), "{role}", "", "the database's user may not do that"),
        ((), "postgres", "?sslmode=require", "speaks no TLS"),
        ((), "postgres", "?options=-csearch_path%3Dnowhere", "no schema of the search_path"),
        (("ALTER DATABASE {name} SET default_transaction_read_only = on",), "postgres", "",
         "takes no writes"),
        (("UPDATE pg_database SET encoding = 8 WHERE datname = '{name}'",), "postgres", "",
         "keeps texts in LATIN1"),
    ],
)  # fmt: skip
def test_what_a_server_refuses_is_told_at_its_start(
    postgres_server: str, tmp_path, prepare, user, option, words
) -> None:
    """In words of its own, with what to do; not as a traceback."""
    name = f"arrivals_test_{os.urandom(8).hex()}"
    role = f"role_{name}"
    made = create_database(postgres_server, name)
    try:
        for each in prepare:
            execute(postgres_server, each.format(name=name, role=role))
        url = made.replace("postgres@", f"{user.format(role=role)}:{SECRET}@") + option
        path = tmp_path / "arrivals.toml"
        path.write_text(f'[server]\nport = 0\nmetrics_port = 0\ndatabase = "{url}"\n')
        found = type_in("serve", "--config", path)
    finally:
        drop_database(postgres_server, name)
        execute(postgres_server, f"DROP ROLE IF EXISTS {role}")
    assert found.code == 1
    assert words in found.err
    assert "What to do" in found.err
    assert "another folder" not in found.err
    say_nothing_secret(found)


def test_odd_settings_of_a_database_are_no_trouble(postgres_server: str) -> None:
    """Our sessions set what they need."""
    name = f"arrivals_test_{os.urandom(8).hex()}"
    made = create_database(postgres_server, name)
    try:
        for each in (
            "statement_timeout = '50ms'",
            "standard_conforming_strings = off",
            "datestyle = 'German'",
            "bytea_output = 'escape'",
            "default_transaction_isolation = 'serializable'",
        ):
            execute(postgres_server, f"ALTER DATABASE {name} SET {each}")
        assert type_in("migrate", "--data", made).code == 0
        asyncio.run(inhabit(made))
        assert type_in("verify", "--data", made).code == 0
    finally:
        drop_database(postgres_server, name)


def test_another_kind_of_url_is_wrong_usage() -> None:
    """It isn't taken for a folder."""
    assert type_in("verify", "--data", "mysql://somewhere/it").code == 64


def test_backup_and_restore_name_the_programs_that_do_it(url, tmp_path) -> None:
    """With the line to type."""
    found = type_in("backup", tmp_path / "copy", "--data", url)
    assert found.code == 1
    assert "pg_dump --format=custom" in found.err
    assert "pg_basebackup" in found.err
    say_nothing_secret(found)
    found = type_in("restore", tmp_path / "copy", "--data", url)
    assert found.code == 1
    assert "pg_restore" in found.err
    assert "arrivals hold" in found.err
    say_nothing_secret(found)
    assert list(tmp_path.iterdir()) == []


def test_what_was_restored_is_held(url) -> None:
    """Providers are paused, and order ids begin where nobody was."""
    newest = execute(url, "SELECT max(id) FROM orders")[0][0]
    held = type_in("hold", "--data", url, "--json")
    say_nothing_secret(held)
    assert held.json["paused"] == ["north", "south"]
    assert held.json["order_floor"] >= newest + 1_000_000
    assert execute(url, "SELECT nextval('order_ids')")[0][0] > held.json["order_floor"]
    assert type_in("verify", "--data", url).code == 0


# --- doctor -------------------------------------------------------------------------------


def states(answers) -> dict[str, str]:
    return {each["what"]: each["state"] for each in answers}


def test_doctor_looks_at_the_database(url) -> None:
    """Version, durability, schema, tenant role and clocks; the tests' server isn't durable."""
    found = type_in("doctor", "--data", url, "--json")
    say_nothing_secret(found)
    seen = states(found.json["answers"])
    for what in ("database", "PostgreSQL", "text encoding", "schema", "clocks"):
        assert seen[what] == "good"
    assert seen["role arrivals_tenant"] == seen["synchronous_commit"] == "good"
    durable = execute(url, "SHOW fsync") == [("on",)]
    assert seen["fsync"] == seen["full_page_writes"] == ("good" if durable else "bad")
    assert found.code == (0 if durable else 1)


def test_doctor_sees_what_is_wrong(url, monkeypatch) -> None:
    """Each planted fault turns its line."""
    facts = postgres_beside.postgres_facts(url, SystemClock())
    wrong: dict[str, dict[str, Any]] = {
        "PostgreSQL": {"version": 14, "version_text": "14.1"},
        "role of the server": {"is_standby": True},
        "fsync": {"settings": facts.settings | {"fsync": "off"}},
        "full_page_writes": {"settings": facts.settings | {"full_page_writes": "off"}},
        "text encoding": {"encoding": "SQL_ASCII"},
        "schema": {"refused": "a newer Arrivals made this database (schema 9)"},
        "role arrivals_tenant": {"has_tenant_role": False},
        "clocks": {"ahead_us": -31_000_000},
    }
    for what, changes in wrong.items():
        spoilt = msgspec.structs.replace(facts, **changes)
        monkeypatch.setattr(postgres_beside, "postgres_facts", lambda *_, found=spoilt: found)
        answers = {each.what: each for each in look_at_postgresql(url, SystemClock())}
        assert answers[what].state == "bad"
        assert answers[what].fix


def test_doctor_on_a_database_without_a_schema(postgres_url) -> None:
    """To be looked at, and nothing is made."""
    answers = type_in("doctor", "--data", postgres_url, "--json").json["answers"]
    assert states(answers)["schema"] == "look"
    assert execute(postgres_url, "SELECT to_regclass('schema_versions')") == [(None,)]


# --- migrate ------------------------------------------------------------------------------


def test_a_plan_is_told_and_then_carried_out(postgres_url, tmp_path) -> None:
    """Both of a database and of a folder."""
    for place in (postgres_url, tmp_path / "data"):
        planned = type_in("migrate", "--plan", "--data", place, "--json").json
        assert planned["schema"] is None
        assert [each["version"] for each in planned["migrations"]] == VERSIONS
        assert not planned["ran"]
        assert "Nothing was changed." in type_in("migrate", "--plan", "--data", place).out
        assert type_in("migrate", "--data", place, "--json").json["ran"]
        assert (
            f"is up to date: schema {VERSIONS[-1]}" in type_in("migrate", "--data", place).out
        )
        assert type_in("verify", "--data", place).code == 0


def test_a_database_of_a_newer_program_is_told(postgres_url) -> None:
    """With what to do."""
    assert type_in("migrate", "--data", postgres_url).code == 0
    execute(postgres_url, "INSERT INTO schema_versions VALUES (9, 9)")
    found = type_in("migrate", "--data", postgres_url)
    assert found.code == 1
    assert "a newer Arrivals made this database (schema 9)" in found.err
    answers = type_in("doctor", "--data", postgres_url, "--json").json["answers"]
    assert states(answers)["schema"] == "bad"
    found = type_in("accounts", "list", "--data", postgres_url)
    assert found.code == 1
    assert "schema 9" in found.err


# --- copy ---------------------------------------------------------------------------------


def test_an_installation_moves_to_a_database_and_back(postgres_url, tmp_path) -> None:
    """What was moved is told, and both ends are verified."""
    asyncio.run(inhabit(tmp_path / "data"))
    secret = postgres_url.replace("postgres@", f"postgres:{SECRET}@")
    there = type_in("copy", "--from", tmp_path / "data", "--to", secret, "--json")
    assert there.code == 0
    say_nothing_secret(there)
    assert there.json["violations"] == {"from": {}, "to": {}}
    assert there.json["rows"]["adjustments"] > 0
    back = type_in("copy", "--from", secret, "--to", tmp_path / "back")
    assert back.code == 0
    say_nothing_secret(back)
    assert "Serve one of them only" in back.out
    again = type_in("copy", "--from", tmp_path / "data", "--to", secret)
    assert again.code == 1
    assert "isn't empty" in again.err
    say_nothing_secret(again)


def test_a_copy_of_what_is_broken_says_so(postgres_url, tmp_path) -> None:
    """What the database's own rules allow and the checks don't."""
    asyncio.run(inhabit(tmp_path))
    connection = apsw.Connection(str(tmp_path / "arrivals.db"))
    connection.execute("UPDATE balances SET held = held + 1")
    connection.close()
    found = type_in("copy", "--from", tmp_path, "--to", postgres_url)
    assert found.code == 1
    assert found.out.count("broken 2 ×: Every balance is the sum") == 2


# --- PostgreSQL's own backup ----------------------------------------------------------------


@pytest.mark.slow
def test_the_commands_that_backup_names_work(url, postgres_url, tmp_path) -> None:
    """A dump restored into an empty database and held keeps every invariant."""
    programs = installed()[choose()]
    for words in (
        ("pg_dump", "--format=custom", f"--file={tmp_path / 'dump'}", url),
        ("pg_restore", "--exit-on-error", f"--dbname={postgres_url}", str(tmp_path / "dump")),
    ):
        command = [programs / words[0], *words[1:]]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert type_in("hold", "--data", postgres_url).code == 0
    found = type_in("verify", "--data", postgres_url, "--json").json
    assert [each for each in found["checks"] if each["count"]] == []
    assert schema_of(postgres_url) == schema_of(url)
