"""The settings file: what is right works, what is wrong is named with its key and its fix."""

from __future__ import annotations

import http.server
import json
import re
import subprocess
import sys
import threading

import pytest

from arrivals.config import (
    AccountTable,
    DefaultTimes,
    DialectTable,
    InvalidConfig,
    KeyTable,
    ProviderTable,
    RouteTable,
    SenderTable,
    Server,
    read_settings,
)
from arrivals.core.catalogue import FLOOR, Strategy
from arrivals.core.ids import make_api_key
from arrivals.core.instants import rfc3339
from arrivals.core.money import Micros
from arrivals.core.permissions import Scope
from arrivals.flows.configuration import configuration_of, defaults_of
from arrivals.flows.plan import Defaults
from tests.settings_files import ENVIRONMENT, WHOLE, a_key, problems, read
from tests.tidy_checks import ROOT

EXAMPLE = ROOT / "src" / "arrivals" / "cli" / "examples" / "arrivals.toml"
DEPLOYED = ROOT / "deploy"


# --- what is right --------------------------------------------------------------------


def test_the_example_works_as_it_stands() -> None:
    """The example is free of problems and needs nothing from the environment."""
    settings = read_settings(EXAMPLE)
    wanted = configuration_of(settings, {})
    assert [each.provider_id for each in wanted.providers] == ["world"]
    assert wanted.providers[0].sandbox
    assert wanted.providers[0].settings["port"] == 2775
    assert settings.data == EXAMPLE.parent / "arrivals-data"
    assert wanted.opening_funds == {1: Micros(100_000_000)}
    assert all(wanted.prices.values())


def test_what_is_deployed_as_containers_is_free_of_problems() -> None:
    """Its settings are whole, and the commands of compose.yaml are those that there are."""
    key = make_api_key("live", "aa", "deploy", bytes(32))
    settings = read_settings(DEPLOYED / "arrivals.toml")
    wanted = configuration_of(settings, {"ARRIVALS_KEY": key, "NORTH_PASSWORD": "secret"})
    assert settings.place == "postgresql://arrivals@postgres/arrivals"
    assert [each.provider_id for each in wanted.providers] == ["north"]
    commands = re.findall(r'command: \["(serve.*)"\]', (DEPLOYED / "compose.yaml").read_text())
    assert len(commands) == 4
    for each in commands:
        arguments = each.split('", "')
        assert arguments[:2] == ["serve", "--config"]
        assert arguments[3:] in (["--role", "api", "--json"], ["--role", "worker", "--json"])


@pytest.mark.slow
@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1), (None, 1)])
def test_a_container_is_as_healthy_as_its_process_is_ready(
    status: int | None, code: int
) -> None:
    """What compose.yaml runs in each of ours asks /readyz, where operators do."""
    text = (DEPLOYED / "compose.yaml").read_text("utf-8")
    assert text.count("<<: *arrivals") == 4  # all of ours take it over
    anchor = text[text.index("x-arrivals:") : text.index("services:")]
    [command] = re.findall(r'test: (\["CMD", "python".*\])', anchor)
    words = json.loads(command)[1:]

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path == "/readyz"
            self.send_response(status or 0)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.handle_request, daemon=True)
        port = server.server_address[1] if status else 1  # where nobody listens
        words = [each.replace(":9025/", f":{port}/") for each in words]
        if status:
            thread.start()
        done = subprocess.run([sys.executable, *words[1:]], capture_output=True, check=False)
        if status:
            thread.join()
    assert done.returncode == code


def test_the_example_shows_every_setting() -> None:
    """Each field of each table stands in the example, in use or behind a comment sign."""
    text = EXAMPLE.read_text("utf-8")
    tables = (
        *(Server, DefaultTimes, ProviderTable, DialectTable, SenderTable),
        *(RouteTable, AccountTable, KeyTable),
    )
    for table in tables:
        for name in table.__struct_fields__:
            inner = (f"{parent}.{name}]" for parent in ("accounts", "providers.dialect"))
            assert f"{name} = " in text or any(each in text for each in inner), name


def test_a_provider_may_have_several_hosts_and_binds(tmp_path) -> None:
    """One host, hosts beside it, or hosts alone; each is dialled at its own port."""
    for host, expected in (
        ('host = "a"', {"host": "a", "port": 2775}),
        (
            'host = "a"\nhosts = ["b:2776", "a"]\nbinds = 2',
            {"host": "a", "port": 2775, "hosts": [["a", 2775], ["b", 2776]], "binds": 2},
        ),
        ('hosts = ["[::1]:1"]\nport = 2', {"host": "::1", "port": 1}),
    ):
        wanted = read(tmp_path, WHOLE.replace('host = "smpp.example"', host))
        found = wanted.providers[0].settings
        names = ("host", "port", "hosts", "binds")
        assert {each: found[each] for each in names if each in found} == expected


def test_a_small_file_is_enough(tmp_path) -> None:
    """What isn't said has a default, and a password's place is kept instead of the password."""
    wanted = read(tmp_path, WHOLE)
    provider = wanted.providers[0]
    assert not provider.sandbox
    assert provider.settings["password_env"] == "NORTH"
    assert "secret" not in repr(wanted)
    assert wanted.routes[0].access == "public"
    assert wanted.prices[1][0].price == 87_000
    assert wanted.accounts[0].credit_limit == 0


def test_test_phones_are_numbers_with_their_plus(tmp_path) -> None:
    """What is compared is a number's digits."""
    text = WHOLE.replace("port = 0", 'probes = ["+31612345678"]\nkeep_days = 30')
    read(tmp_path, f"{text}\n[defaults]\nvalid_for = 60\noutcome_grace = 70\nresend_after = 80")
    assert defaults_of(read_settings(tmp_path / "arrivals.toml")) == Defaults(
        valid_for_s=60,
        outcome_grace_s=70,
        resend_after_s=80,
        keep_days=30,
        probes=frozenset({"31612345678"}),
    )


def test_a_route_may_choose_by_outcome(tmp_path) -> None:
    by_outcome = 'strategy = "outcome"\nfloor = 0.9\nexplore = 0.02\nprices'
    (plain,) = read(tmp_path, WHOLE).routes
    (chosen,) = read(tmp_path, WHOLE.replace("prices", by_outcome, 1)).routes
    assert (plain.strategy, plain.floor, plain.explore) == (Strategy.PRIORITY, FLOOR, 0.0)
    assert (chosen.strategy, chosen.floor, chosen.explore) == (Strategy.OUTCOME, 0.9, 0.02)


def test_a_key_comes_from_the_environment_or_a_file(tmp_path) -> None:
    """Keys are read where the file says, and don't show when they are printed."""
    first, second = a_key("live"), a_key("test")
    (tmp_path / "second.key").write_text(second + "\n")
    text = WHOLE + (
        '[[accounts.keys]]\nname = "one"\nkey_env = "ONE"\n'
        '[[accounts.keys]]\nname = "two"\nkey_file = "second.key"\n'
    )
    wanted = read(tmp_path, text, {**ENVIRONMENT, "ONE": first})
    assert [(each.account_id, each.key) for each in wanted.keys] == [(1, first), (1, second)]
    assert first not in repr(wanted)


def test_a_key_in_the_file_has_scopes_and_an_end(tmp_path) -> None:
    """As one that is made by hand; a wrong word or day is named."""
    table = '[[accounts.keys]]\nkey_env = "ONE"\n'
    environment = {**ENVIRONMENT, "ONE": a_key("live")}
    (plain,) = read(tmp_path, WHOLE + table, environment).keys
    assert plain.scopes == {Scope.SEND, Scope.READ}
    assert plain.expires_at_us is None
    more = 'scopes = ["read"]\nexpires = "2027-01-31"\n'
    (key,) = read(tmp_path, WHOLE + table + more, environment).keys
    assert key.scopes == {Scope.READ}
    assert rfc3339(key.expires_at_us or 0) == "2027-02-01T00:00:00.000000Z"
    for wrong, place in (('scopes = ["fly"]', "scopes"), ('expires = "soon"', "expires")):
        [(where, _, _)] = problems(tmp_path, f"{WHOLE}{table}{wrong}\n", environment)
        assert where.startswith(f"accounts[0].keys[0].{place}")


def test_a_password_may_come_from_a_file_beside_the_settings(tmp_path) -> None:
    """The provider's document holds the whole path."""
    (tmp_path / "north.password").write_text("secret\n")
    text = WHOLE.replace('password_env = "NORTH"', 'password_file = "north.password"')
    path = read(tmp_path, text).providers[0].settings["password_file"]
    assert path == str(tmp_path / "north.password")


# --- what is wrong --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "key", "words"),
    [
        ("port = 0", "prot = 0", "server.prot", "did you mean 'port'"),
        ("port = 0", 'port = "0"', "server.port", "a port"),
        ("port = 0", "port = 65536", "server.port", "65535"),
        ("port = 0", "port = true", "server.port", "true or false"),
        ("port = 0", 'probes = ["0612345678"]', "server.probes[0]", "+4915"),
        ("port = 0", 'probes = ["+31 612345678"]', "server.probes[0]", "+4915"),
        ("port = 0", 'probes = ["+336123456789"]', "server.probes[0]", "10 digits"),
        ("port = 0", f"probes = {['+31612345678'] * 1_001}", "server.probes", "1000"),
        ("[server]", "[sever]", "sever", "did you mean 'server'"),
        ("[server]", "[[server]]", "server", "expected a table"),
        ("[server]", "[defaults]\nvalid_for = 0\n[server]", "defaults.valid_for", "seconds"),
        ('id = "north"', 'id = "North"', "providers[0].id", "lower-case"),
        ('host = "smpp.example"', "", "providers[0].host", "needed"),
        ('host = "smpp.example"', "host = 1", "providers[0].host", "host name"),
        ('host = "smpp.example"', 'hosts = ["a b"]', "providers[0].hosts[0]", "b:2776"),
        ('host = "smpp.example"', 'hosts = ["a:70000"]', "providers[0].hosts[0]", "65535"),
        ('host = "smpp.example"', "hosts = []", "providers[0].host", "needed"),
        ('id = "north"', 'id = "north"\nbinds = 33', "providers[0].binds", "1 to 32"),
        ('password_env = "NORTH"', "", "providers[0].password_env", "password_file"),
        ('password_env = "NORTH"', 'password_env = "SOUTH"', "providers[0].password_env",
         "export SOUTH"),
        ('password_env = "NORTH"', 'password = "secret"', "providers[0].password", "sandbox"),
        ('password_env = "NORTH"', 'password_file = "none"', "providers[0].password_file",
         "can be read"),
        ('id = "north"', 'id = "north"\ncost = 0.5', "providers[0].cost", '"0.087"'),
        ('id = "north"', 'id = "north"\ncost = "1e3"', "providers[0].cost", "exponent"),
        ('id = "north"', 'id = "north"\ncost = "-1"', "providers[0].cost", "negative"),
        ('id = "north"', 'id = "north"\nwindow = 0', "providers[0].window", "unanswered"),
        ('id = "north"', 'id = "north"\nbind = "x"', "providers[0].bind", "transceiver"),
        ('id = "north"', 'id = "north"\nthroughput = 0', "providers[0].throughput", "PDUs"),
        ('id = "north"', 'id = "north"\ntls_ca = "prices.csv"', "providers[0].tls_ca",
         "tls = true"),
        ('id = "north"', 'id = "north"\nids_of = "nroth"', "providers[0].ids_of",
         "did you mean 'north'"),
        ('id = "north"', 'id = "north"\nids_of = "north"', "providers[0].ids_of", "itself"),
        ('name = "Standard"', 'name = "a_b"', "routes[0].name", "none of _"),
        ('["north"]', "[]", "routes[0].providers", "1 to 32"),
        ('["north"]', '["nroth"]', "routes[0].providers", "did you mean 'north'"),
        ('["north"]', '["north", "north"]', "routes[0].providers", "twice"),
        ('"prices.csv"', '"none.csv"', "routes[0].prices", "can be read"),
        ('"prices.csv"', '"arrivals.toml"', "routes[0].prices", "header"),
        ("id = 1\nname", "id = 1\ncurrency = 'eur'\nname", "routes[0].currency", "EUR"),
        ("id = 1\nname", "id = 1\ncategory = 'x'\nname", "routes[0].category", "otp"),
        ("id = 1\nname", "id = 1\non_ambiguous = 'x'\nname", "routes[0].on_ambiguous", "wait"),
        ("id = 1\nname", "id = 1\nstrategy = 'x'\nname", "routes[0].strategy", "thompson"),
        ("id = 1\nname", "id = 1\nfloor = 1\nname", "routes[0].floor", "between 0 and 1"),
        ("id = 1\nname", "id = 1\nexplore = 0.3\nname", "routes[0].explore", "0 to 0.2"),
        ("id = 1\nname", "id = 1\nexplore = 0.1\nname", "routes[0].explore", "outcome"),
        ("id = 1\nname", "id = 1\nvalid_for = 300000\nname", "routes[0].valid_for", "72 hours"),
        ('username = "app"', 'username = "a p"', "accounts[0].username", "letters"),
        ('username = "app"', 'username = "app"\nroutes = [7]', "accounts[0].routes",
         "[[routes]]"),
        ('username = "app"', 'username = "app"\ndefault_route = 7',
         "accounts[0].default_route", "no route 7"),
        ('username = "app"', 'username = "app"\nsenders = ["é"]', "accounts[0].senders[0]",
         "3 to 11"),
        ('username = "app"', 'username = "app"\nrefund_on = ["delivered"]',
         "accounts[0].refund_on[0]", "failed"),
        ('username = "app"', 'username = "app"\n[[accounts.keys]]\nkey = "x"',
         "accounts[0].keys[0].key", "key_env"),
        ('username = "app"', 'username = "app"\n[[accounts.keys]]\nname = "x"',
         "accounts[0].keys[0]", "key_file"),
        ('username = "app"', 'username = "app"\n[[accounts.keys]]\nkey_env = "NORTH"',
         "accounts[0].keys[0].key_env", "arrivals keys generate"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_key_and_its_fix(tmp_path, old, new, key, words) -> None:
    """One mistake is one problem: its key, and words that help."""
    found = problems(tmp_path, WHOLE.replace(old, new, 1))
    assert key in [each[0] for each in found]
    told = next(each for each in found if each[0] == key)
    assert words in f"{told[1]}; {told[2]}"


LOGINS = """
[[providers]]
id = "{name}"
host = "smpp.example"
system_id = "app"
password_env = "NORTH"
{more}
"""


def logins(**ids_of: str) -> str:
    """Return a file with three logins, each with the ids of another's where that is said."""
    text = WHOLE.replace('id = "north"', f'id = "north"\n{ids_of.get("north", "")}', 1)
    return text + "".join(
        LOGINS.format(name=name, more=ids_of.get(name, "")) for name in ("south", "east")
    )


def test_two_logins_of_one_carrier_may_name_each_other(tmp_path) -> None:
    """A receipt over either may tell an id of the other's."""
    text = logins(north='ids_of = "south"', south='ids_of = "north"')
    wanted = read(tmp_path, text)
    assert [each.ids_of for each in wanted.providers] == ["south", "north", None]


@pytest.mark.parametrize(
    ("ids_of", "words"),
    [
        ({"north": 'ids_of = "south"', "south": 'ids_of = "east"'}, 'write ids_of = "east"'),
        ({"north": 'ids_of = "east"', "east": "sandbox = true"}, "from a sandbox only"),
    ],
)
def test_a_chain_of_logins_and_a_sandbox_s_ids_are_named(tmp_path, ids_of, words) -> None:
    """Only one step is followed, and never from the sandbox to a live provider."""
    [(key, _, fix)] = problems(tmp_path, logins(**ids_of))
    assert (key, words in fix) == ("providers[0].ids_of", True)


def test_all_mistakes_are_named_at_once(tmp_path) -> None:
    """Whoever mends a file reads it once: mistakes in one table and in many come together."""
    text = WHOLE.replace("port = 0", 'prot = 0\nhost = 1\nmetrics_port = "x"')
    text = text.replace('system_id = "app"', "").replace('username = "app"', "credit_limit = 1")
    keys = {each[0] for each in problems(tmp_path, text)}
    assert keys == {
        "server.prot", "server.host", "server.metrics_port", "providers[0].system_id",
        "accounts[0].username", "accounts[0].credit_limit",
    }  # fmt: skip


def test_what_tables_mean_together_is_told_at_once(tmp_path) -> None:
    """Names that lead nowhere and secrets that aren't there come in one answer too."""
    text = WHOLE.replace('["north"]', '["south"]').replace("prices.csv", "none.csv")
    keys = {each[0] for each in problems(tmp_path, text, {})}
    assert keys == {"providers[0].password_env", "routes[0].providers", "routes[0].prices"}


def test_mistakes_of_all_kinds_are_named_at_once(tmp_path) -> None:
    """A wrong type hides no name that leads nowhere, and no secret that isn't there."""
    text = WHOLE.replace("port = 0", 'port = "0"').replace("prices.csv", "none.csv")
    text = text.replace('["north"]', '["south"]') + "routes = [2]\n"
    text += '[[accounts.keys]]\nnam = "a"\nkey_env = "K"\n[[accounts.keys]]\nkey_evn = "K"\n'
    found = problems(tmp_path, text, {})
    assert {each[0] for each in found} == {
        "server.port", "providers[0].password_env", "routes[0].providers", "routes[0].prices",
        "accounts[0].keys[0].nam", "accounts[0].keys[1].key_evn",
    }  # fmt: skip
    assert len(found) == 6


def test_what_could_not_be_read_is_not_called_absent(tmp_path) -> None:
    """Its own problem is told, at its place in the file, and none that only follows from it."""
    text = WHOLE.replace('host = "smpp.example"', "host = 1").replace('"Standard"', "1")
    text += 'routes = [1]\n[[routes]]\nid = 2\nname = "B"\nproviders = ["south"]\n'
    found = problems(tmp_path, text + 'prices = "none.csv"\n')
    assert [each[0] for each in found] == [
        "providers[0].host", "routes[0].name", "routes[1].prices",
    ]  # fmt: skip


def test_ids_stand_once(tmp_path) -> None:
    """The same id twice is a problem of its list."""
    again = '\n[[accounts]]\nid = 1\nname = "B"\nusername = "b"\n'
    assert [each[0] for each in problems(tmp_path, WHOLE + again)] == ["accounts"]


def test_one_key_belongs_to_one_place(tmp_path) -> None:
    """The same key twice is a problem."""
    text = WHOLE + '[[accounts.keys]]\nkey_env = "K"\n[[accounts.keys]]\nkey_env = "K"\n'
    found = problems(tmp_path, text, {**ENVIRONMENT, "K": a_key()})
    assert [each[0] for each in found] == ["accounts[0].keys[1]"]


def test_a_password_too_long_for_smpp_is_named_and_not_shown(tmp_path) -> None:
    """The problem says what is wrong without the password."""
    found = problems(tmp_path, WHOLE, {"NORTH": "much-too-long" * 5})
    assert found[0][0] == "providers[0].password_env"
    assert "much-too-long" not in str(found)


@pytest.mark.parametrize(
    "octets", [b"[server\n", b"x = \xff", b"x" * 5_000_000], ids=["toml", "utf-8", "size"]
)
def test_a_file_that_is_no_settings_file(tmp_path, octets) -> None:
    """Text that isn't TOML, isn't text, or is far too much."""
    path = tmp_path / "arrivals.toml"
    path.write_bytes(octets)
    with pytest.raises(InvalidConfig) as caught:
        read_settings(path)
    assert [each.key for each in caught.value.problems] == ["file"]


def test_a_file_that_is_not_there(tmp_path) -> None:
    """The problem names what writes one."""
    with pytest.raises(InvalidConfig, match="arrivals init"):
        read_settings(tmp_path / "none.toml")


def test_a_bad_price_list_names_its_lines(tmp_path) -> None:
    """The price file's own problems come through with their lines."""
    (tmp_path / "bad.csv").write_text("country,country_prefix,price\nX,31,free\nY,0,1\n")
    found = problems(tmp_path, WHOLE.replace("prices.csv", "bad.csv"))
    assert [each[1].rpartition("line ")[2][0] for each in found] == ["2", "3"]
