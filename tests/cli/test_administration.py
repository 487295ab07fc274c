"""Accounts, keys, prices and pauses: typed beside a live server, and undone by nothing."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest

from arrivals.clock import SystemClock
from arrivals.core.catalogue import Flow
from arrivals.core.errors import Refusal
from arrivals.core.ids import parse_api_key
from arrivals.store.verifying import run_checks
from tests.cli.typed import type_beside, type_in
from tests.flows.installation import installed, provider

pytestmark = pytest.mark.slow

PRICES = "country,country_prefix,price\nNetherlands,31,0.05\nBelgium,32,0.06\n"


@pytest.fixture
def data(tmp_path):
    """A data folder with a provider, route 1 and account 1 that has 100,000 EUR."""

    async def make() -> None:
        async with installed(tmp_path, providers=[provider("north", 1)], started=False):
            pass

    asyncio.run(make())
    return tmp_path


def sound(data) -> bool:
    """Tell whether every invariant holds."""
    return not any(each.count for each in run_checks(data, SystemClock()))


def test_money_comes_in_once_for_each_reference(data) -> None:
    """The same reference twice is one posting (invariants 2 and 6)."""
    credit = ("accounts", "credit", 1, "25.5", "--reason", "first", "--reference", "P-1")
    first = type_in(*credit, "--data", data, "--json").json
    again = type_in(*credit, "--data", data, "--json").json
    assert (first["repeated"], again["repeated"]) == (False, True)
    assert first["posting_id"] == again["posting_id"]
    assert first["available"] == again["available"] == 100_025.5
    taken = ("accounts", "debit", 1, "0.5", "--reason", "back", "--reference", "P-2")
    assert type_in(*taken, "--data", data, "--json").json["available"] == 100_025
    assert sound(data)


def test_a_reference_is_not_good_for_another_amount(data) -> None:
    """A repeat that isn't one is refused, and nothing is booked (invariant 2)."""
    credit = ("--reason", "first", "--reference", "P-1", "--data", data)
    type_in("accounts", "credit", 1, "25.5", *credit)
    for verb, amount in (("credit", "25.6"), ("debit", "25.5")):
        told = type_in("accounts", verb, 1, amount, *credit)
        assert told.code == 1, told
        assert "booked before" in told.err
    assert sound(data)


def test_more_than_there_is_cannot_be_taken(data) -> None:
    """A debit keeps to the limit, and the limit to the balance (invariant 5)."""
    taken = ("accounts", "debit", 1, "100001", "--reason", "all", "--reference", "P-3")
    refused = type_in(*taken, "--data", data)
    assert refused.code == 1
    assert "100000 EUR available" in refused.err
    assert type_in("accounts", "limit", 1, "5", "--data", data).code == 0
    assert type_in(*taken, "--data", data).code == 0
    below = type_in("accounts", "limit", 1, "0.5", "--data", data)
    assert below.code == 1
    assert "below a limit of 0.5" in below.err
    assert sound(data)


def test_an_account_is_opened_and_listed(data) -> None:
    """It gets the next number, and nobody else's username."""
    create = ("accounts", "create", "Bank", "--username", "bank", "--sender", "BANK")
    assert type_in(*create, "--data", data, "--json").json["account_id"] == 2
    assert type_in(*create, "--data", data).code == 1
    listed = type_in("accounts", "list", "--data", data, "--json").json
    assert [(each["username"], each["available"]) for each in listed] == [
        ("user1", 100_000),
        ("bank", 0),
    ]
    assert "Bank" in type_in("accounts", "list", "--data", data).out


def test_accounts_are_listed_by_number(data) -> None:
    """The tenth stands behind the second."""
    for number in range(2, 11):
        type_in("accounts", "create", "B", "--username", f"b{number}", "--data", data)
    listed = type_in("accounts", "list", "--data", data, "--json").json
    assert [each["account_id"] for each in listed] == list(range(1, 11))


def test_an_account_names_routes_that_are_there(data) -> None:
    """Else it could never use them, and nobody would be told."""
    create = ("accounts", "create", "B", "--username", "b", "--data", data, "--route")
    refused = type_in(*create, 77)
    assert (refused.code, "no route 77" in refused.err) == (1, True)
    assert type_in(*create, 1).code == 0


def test_a_terminal_without_our_letters_is_no_reason_to_stop(data) -> None:
    """They become question marks."""
    type_in("accounts", "create", "Zoë", "--username", "zoe", "--data", data)
    found = subprocess.run(
        [sys.executable, "-m", "arrivals", "accounts", "list", "--data", data],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert (found.returncode, "Zo?" in found.stdout) == (0, True), found


def test_a_key_is_shown_once_and_kept_as_a_hash(data) -> None:
    """Its text is nowhere in the folder (invariant 44)."""
    made = type_in("keys", "create", "--account", 1, "--environment", "test", "--data", data)
    key = made.out.splitlines()[0]
    parts = parse_api_key(key)
    assert parts is not None
    assert parts.env == "test"
    assert not any(key.encode() in path.read_bytes() for path in data.iterdir())
    listed = type_in("keys", "list", "--data", data, "--json").json
    assert [(each["key_id"], each["active"]) for each in listed] == [(parts.key_id, True)]
    assert type_in("keys", "revoke", parts.key_id, "--data", data).code == 0
    listed = type_in("keys", "list", "--data", data, "--json").json
    assert [each["active"] for each in listed] == [False]


def test_a_key_has_scopes_and_an_end(data) -> None:
    """They are told when it is made and in the list; without a word it sends and reads."""
    plain = type_in("keys", "create", "--account", 1, "--data", data, "--json").json
    assert (plain["scopes"], plain["expires_at"]) == (["send", "read"], None)
    made = type_in(
        *("keys", "create", "--account", 1, "--scope", "read", "--expires", "2099-01-31"),
        *("--data", data, "--json"),
    ).json
    assert (made["scopes"], made["expires_at"]) == (["read"], "2099-02-01T00:00:00.000000Z")
    listed = type_in("keys", "list", "--data", data, "--json").json
    found = {each["key_id"]: each for each in listed}
    assert {each["last_used_at"] for each in listed} == {None}
    assert found[made["key_id"]]["scopes"] == ["read"]
    assert found[made["key_id"]]["state"] == "active"
    assert "2099-02-01 00:00" in type_in("keys", "list", "--data", data).out
    for words in (("--expires", "soon"), ("--expires", "2020-01-31"), ("--scope", "fly")):
        refused = type_in("keys", "create", "--account", 1, *words, "--data", data)
        assert refused.code == 64, refused


def test_what_opens_all_accounts_is_for_the_operators_live_keys(data) -> None:
    """A customer's account and a test key are refused it, with what to do."""
    operator = ("accounts", "create", "Desk", "--username", "desk", "--operator")
    type_in(*operator, "--data", data)
    create = ("keys", "create", "--scope", "support", "--data", data, "--account")
    for words in ((1,), (2, "--environment", "test")):
        refused = type_in(*create, *words)
        assert refused.code == 1
        assert "What to do: " in refused.err
    made = type_in(*create, 2, "--expires", "90d", "--json")
    assert made.json["scopes"] == ["support"]


def test_a_generated_key_is_registered_nowhere(data) -> None:
    """It is only well formed."""
    assert parse_api_key(type_in("keys", "generate", "--json").json["key"]) is not None
    assert type_in("keys", "list", "--data", data, "--json").json == []


@pytest.mark.parametrize(
    "words",
    [
        ("accounts", "credit", 9, 1, "--reason", "r", "--reference", "r"),
        ("accounts", "limit", 9, 1),
        ("keys", "create", "--account", 9),
        ("keys", "revoke", "aa000000"),
        ("prices", "list", 9),
        ("pause", "provider", "none"),
        ("drain", "route", 9),
        ("resume", "account", "x"),
    ],
    ids=lambda words: " ".join(str(word) for word in words),
)
def test_what_is_not_there_is_1_with_a_way_on(data, words) -> None:
    """The answer says what doesn't exist and where to look; JSON says it too."""
    found = type_in(*words, "--data", data)
    assert found.code == 1
    assert "What to do: " in found.err
    assert "no " in found.err
    assert type_in(*words, "--data", data, "--json").json["fix"]


def test_what_is_removed_was_drained_and_isn_t_in_the_file(data, tmp_path_factory) -> None:
    """Each refusal says what to do; what is gone is in no list."""
    file = tmp_path_factory.mktemp("settings") / "arrivals.toml"
    server = f'[server]\ndata = "{data}"\n'
    listed = '[[accounts]]\nid = 2\nname = "B"\nusername = "b"\n'
    file.write_text(server + listed)
    type_in("accounts", "create", "B", "--username", "b", "--data", data)
    type_in("keys", "create", "--account", 2, "--data", data)
    for words, said in (
        (("accounts", "remove", 2, "--config", file), "bring it back"),
        (("accounts", "remove", 2, "--data", data), "arrivals drain account 2"),
        (("accounts", "remove", 9, "--data", data), "no account 9"),
        (("providers", "remove", "none", "--data", data), "no provider none"),
        (("routes", "remove", 9, "--data", data), "no route 9"),
    ):
        refused = type_in(*words)
        assert refused.code == 1, refused
        assert said in refused.err
        assert "What to do: " in refused.err
    file.write_text(server)
    assert type_in("drain", "account", 2, "--data", data).code == 0
    removed = type_in("accounts", "remove", 2, "--config", file)
    assert removed.code == 0, removed
    assert "keys are revoked" in removed.out
    accounts = type_in("accounts", "list", "--data", data, "--json").json
    assert [each["account_id"] for each in accounts] == [1]
    assert type_in("keys", "list", "--data", data, "--json").json == []


def test_prices_are_versions_and_the_same_ones_are_none(data, tmp_path_factory) -> None:
    """An import is a new version unless nothing differs; a bad file changes nothing."""
    file = tmp_path_factory.mktemp("prices") / "prices.csv"
    file.write_text(PRICES)
    imported = ("prices", "import", 1, file, "--data", data, "--json")
    assert type_in(*imported).json["version"] == 2
    assert type_in(*imported).json["version"] is None
    file.write_text(PRICES + "Germany,49,free\n")
    bad = type_in(*imported)
    assert bad.code == 64
    assert [each["line"] for each in bad.json["problems"]] == [4]
    listed = type_in("prices", "list", 1, "--data", data, "--json").json
    assert [each["price"] for each in listed["pricing"]] == [0.05, 0.06]


def test_lists_are_for_people_and_for_programs(data) -> None:
    """Without a terminal a table is plain columns; no password is in any of them."""
    for words in (("routes", "list"), ("providers", "list"), ("prices", "list", 1)):
        plain = type_in(*words, "--data", data)
        assert plain.code == 0
        assert "\x1b" not in plain.out
        assert len(plain.out.splitlines()) >= 2
        as_json = type_in(*words, "--data", data, "--json")
        assert as_json.json
        assert "password" not in plain.out + as_json.out


def test_a_folder_without_a_database_stays_without_one(tmp_path) -> None:
    """Looking creates nothing."""
    assert type_in("accounts", "list", "--data", tmp_path).code == 1
    assert list(tmp_path.iterdir()) == []


async def test_commands_work_beside_a_live_server(tmp_path) -> None:
    """While a server writes, commands write too; its catalogue's version tells it."""
    async with installed(tmp_path, providers=[provider("north", 1)], started=False) as here:
        before = (await here.in_transaction(lambda tx: tx.catalogue())).version
        stop = asyncio.Event()

        async def write() -> int:
            sent = 0
            while not stop.is_set():
                await here.send("31600000001")
                sent += 1
            return sent

        writing = asyncio.create_task(write())
        for words in (
            ("pause", "provider", "north"),
            ("drain", "route", 1),
            ("keys", "create", "--account", 1),
            ("accounts", "credit", 1, 5, "--reason", "r", "--reference", "live"),
        ):
            typed = await type_beside(*words, "--data", tmp_path)
            assert typed.code == 0, typed
        stop.set()
        assert await writing > 0
        catalogue = await here.in_transaction(lambda tx: tx.catalogue())
        assert catalogue.version == before + 3  # money is no part of the catalogue
        assert catalogue.providers["north"].flow is Flow.PAUSED
        here.platform.swap(catalogue)
        with pytest.raises(Refusal):
            await here.send("31600000001")
    assert sound(tmp_path)
