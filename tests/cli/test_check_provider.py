"""`arrivals providers check`, and what doctor says of providers' settings."""

from __future__ import annotations

from pathlib import Path

import pytest
from bridgexapi.exceptions import InvalidRouteError
from bridgexapi.validators import validate_route_id

from arrivals.smpp import constants as c
from arrivals.smpp.pdu import Pdu, make_tlv
from tests.cli.typed import type_beside, type_in
from tests.flows.installation import installed, provider
from tests.providers.gatekeeper import a_gatekeeper, answered

VERSION = make_tlv(c.TLV_SC_INTERFACE_VERSION, 0x34)


def settings(
    folder: Path,
    port: int = 2775,
    more: str = "",
    password: str = "secret",
    others: str = "",
) -> Path:
    """Write a settings file whose provider north listens here."""
    (folder / "prices.csv").write_text("country,country_prefix,price\nNetherlands,31,0.087\n")
    path = folder / "arrivals.toml"
    path.write_text(
        f"""
[server]
port = 0
metrics_port = 0
data = "data"

[[providers]]
id = "north"
sandbox = true
host = "127.0.0.1"
port = {port}
system_id = "north"
password = "{password}"
response_timeout = 1.0
{more}
{others}
[[routes]]
id = 1
name = "Standard"
providers = {["north", "south"] if others else ["north"]}
prices = "prices.csv"
"""
    )
    return path


def polite(pdu: Pdu) -> list[Pdu | bytes]:
    if pdu.command_id == c.BIND_TRANSCEIVER:
        return [answered(pdu, fields={"system_id": b"SMSC-7"}, tlvs=(VERSION,))]
    return [answered(pdu)]


async def test_a_bind_that_is_made_is_told_in_words(tmp_path: Path) -> None:
    """No server runs, and there is no data folder yet."""
    async with a_gatekeeper(polite) as gate:
        path = settings(tmp_path, gate.port)
        told = await type_beside("providers", "check", "north", "--config", path)
    assert told.code == 0, told.err
    assert f"Provider north at 127.0.0.1:{gate.port}" in told.out
    assert "as 'SMSC-7', SMPP 3.4 (0x34), no TLS; enquire_link answered in" in told.out
    assert "second bind" not in told.out
    assert not (tmp_path / "data").exists()


async def test_a_refusal_is_told_with_what_to_look_at(tmp_path: Path) -> None:
    """0x53: a provider that wants a system_type and doesn't say so anywhere."""
    async with a_gatekeeper(lambda pdu: [answered(pdu, 0x53)]) as gate:
        path = settings(tmp_path, gate.port)
        told = await type_beside("providers", "check", "north", "--config", path)
        as_json = await type_beside("providers", "check", "north", "--config", path, "--json")
    assert told.code == as_json.code == 1
    assert "refused with ESME_RINVSYSTYP (0x53): it wants another system_type." in told.out
    assert "What to look at: dialect.system_type" in told.out
    [bind] = as_json.json["binds"]
    assert (bind["bound"], bind["status"], bind["status_name"]) == (
        False,
        0x53,
        "ESME_RINVSYSTYP",
    )
    assert (as_json.json["provider"], as_json.json["served"]) == ("north", False)


async def test_both_binds_are_tried_and_one_that_fails_is_enough(tmp_path: Path) -> None:
    def manners(pdu: Pdu) -> list[Pdu | bytes]:
        return [answered(pdu, 0x05 if pdu.command_id == c.BIND_TRANSMITTER else 0)]

    async with a_gatekeeper(manners) as gate:
        path = settings(tmp_path, gate.port, 'bind = "transmitter+receiver"')
        told = await type_beside("providers", "check", "north", "--config", path)
    assert told.code == 1
    assert "receiver: bound" in told.out
    assert "Who tells no version may take no TLVs" in told.out
    assert "transmitter: refused with ESME_RALYBND (0x5)" in told.out
    assert "a server that runs with it" in told.out


def test_nobody_there_is_another_exit_code(tmp_path: Path) -> None:
    told = type_in("providers", "check", "north", "--config", settings(tmp_path, 1))
    assert told.code == 69
    assert "can't connect" in told.out
    assert "host and port" in told.out


def test_a_provider_that_isn_t_there_is_wrong_usage(tmp_path: Path) -> None:
    told = type_in("providers", "check", "nroth", "--config", settings(tmp_path))
    assert told.code == 64
    assert "did you mean 'north'" in told.err


async def test_what_came_meanwhile_and_a_goodbye_without_answer_are_told(
    tmp_path: Path,
) -> None:
    receipt = Pdu(c.DELIVER_SM, 0, 7, {"esm_class": 4, "short_message": b"id:1 stat:DELIVRD"})

    def manners(pdu: Pdu) -> list[Pdu | bytes] | None:
        if pdu.command_id == c.BIND_TRANSCEIVER:
            return [*polite(pdu), receipt]
        return polite(pdu) if pdu.command_id == c.ENQUIRE_LINK else None

    async with a_gatekeeper(manners) as gate:
        path = settings(tmp_path, gate.port)
        told = await type_beside("providers", "check", "north", "--config", path)
    assert told.code == 0
    assert "1 receipts or replies came and were left unanswered" in told.out
    assert "didn't answer our unbind" in told.out


@pytest.mark.slow
@pytest.mark.each_backend
async def test_beside_a_server_the_second_bind_is_said(place: str) -> None:
    """Without a settings file the installation has the provider's settings."""
    async with a_gatekeeper(polite) as gate:
        async with installed(place, providers=[provider("north", gate.port)], started=True):
            await gate.until(c.BIND_TRANSCEIVER)
            told = await type_beside("providers", "check", "north", "--data", place)
        after = await type_beside("providers", "check", "north", "--data", place)
    assert told.code == after.code == 0, told.err
    assert "this was a second bind beside its own" in told.out
    assert "second bind" not in after.out


# --- doctor -----------------------------------------------------------------------------------


def answers(path: Path) -> dict[str, tuple[str, str, str]]:
    """Return what doctor says of providers and routes, by what it looked at."""
    said = type_in("doctor", "--config", path, "--json").json["answers"]
    return {each["what"]: (each["state"], each["found"], each["fix"]) for each in said}


SOUTH = """
[[providers]]
id = "south"
sandbox = true
host = "127.0.0.1"
system_id = "a-login-of-more-than-fifteen"
password = "world"
dialect = { interface_version = 0x33 }
"""


def test_doctor_says_what_smpp_has_room_for(tmp_path: Path) -> None:
    said = answers(settings(tmp_path, password="ninechars", others=SOUTH))
    state, found, fix = said["password of north"]
    assert (state, found) == (
        "look",
        "9 characters, and SMPP 3.4 has room for 8; sent whole",
    )
    assert "arrivals providers check north" in fix
    assert "28 characters" in said["system_id of south"][1]
    assert "password of south" not in said


def test_doctor_looks_at_dialects_and_at_routes_that_mix_alphabets(tmp_path: Path) -> None:
    more = 'dialect = { alphabet = "latin-1", system_type = "SMPP" }'
    said = answers(settings(tmp_path, more=more, others=SOUTH))
    assert said["dialect of north"][:2] == ("good", "sets system_type, alphabet")
    assert "latin-1 (north), gsm7 (south)" in said["alphabets of route 1"][1]
    text = type_in("doctor", "--config", tmp_path / "arrivals.toml").out
    assert "set optional_parameters = false" in text
    assert 'set bind = "transmitter+receiver"' in text


def test_doctor_has_nothing_to_say_of_what_is_usual(tmp_path: Path) -> None:
    said = answers(settings(tmp_path))
    assert not [each for each in said if "north" in each or "alphabets" in each]


def test_doctor_names_routes_that_a_published_client_refuses(tmp_path: Path) -> None:
    """By their numbers, each client by itself; what it refuses is what the package refuses."""
    text = (tmp_path / "arrivals.toml").write_text(
        "".join(
            f'[[routes]]\nid = {number}\nname = "R"\nproviders = ["north"]\nprices = "p.csv"\n'
            for number in range(1, 13)
        )
        + '[[providers]]\nid = "north"\nhost = "smpp.example"\nsystem_id = "me"\n'
        + 'sandbox = true\npassword = "x"\n'
    )
    assert text
    (tmp_path / "p.csv").write_text("country,country_prefix,price\nGermany,49,0.02\n")
    said = type_in("doctor", "--config", tmp_path / "arrivals.toml", "--json").json["answers"]
    found = {each["what"]: each["found"].rpartition(": ")[2] for each in said}

    def refused(number: int) -> bool:
        try:
            validate_route_id(number)
        except InvalidRouteError:
            return True
        return False

    theirs = ", ".join(str(number) for number in range(1, 13) if refused(number))
    assert found["routes for bridgexapi of PyPI"] == theirs == "6, 9, 10, 11, 12"
    assert found["routes for bridgexapi of npm"] == "7, 8, 9, 10, 11, 12"
