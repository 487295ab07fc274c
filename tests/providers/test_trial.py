"""A bind that is tried once: what the provider answered, and what to look at."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from arrivals.clock import SystemClock
from arrivals.core.catalogue import Provider
from arrivals.core.dialect import Dialect
from arrivals.providers.dialling import link_settings
from arrivals.providers.trial import REFUSALS, Trial, meaning_of, try_bind
from arrivals.smpp import constants as c
from arrivals.smpp.pdu import Pdu, make_tlv
from tests.providers.certificates import self_signed
from tests.providers.gatekeeper import Manners, a_gatekeeper, answered
from tests.providers.smsc import an_smsc

VERSION = make_tlv(c.TLV_SC_INTERFACE_VERSION, 0x34)


def north(port: int, **changes: object) -> Provider:
    settings = {
        "host": "127.0.0.1",
        "port": port,
        "system_id": "north",
        "response_timeout_s": 0.3,
        **changes,
    }
    return Provider(
        provider_id="north", sandbox=True, settings=settings, dialect=Dialect(system_type="X")
    )


async def tried(port: int, command_id: int = c.BIND_TRANSCEIVER, **changes: object) -> Trial:
    settings = link_settings(north(port, **changes), str(changes.get("password", "secret")))
    return await try_bind(settings, command_id, SystemClock())


def polite(pdu: Pdu) -> list[Pdu | bytes]:
    if pdu.command_id == c.BIND_TRANSCEIVER:
        return [answered(pdu, fields={"system_id": b"SMSC-7"}, tlvs=(VERSION,))]
    return [answered(pdu)]


async def test_what_a_provider_says_of_itself_is_told() -> None:
    async with a_gatekeeper(polite) as gate:
        found = await tried(gate.port)
        bind, probe, unbind = gate.heard
    assert found.is_bound
    assert found.was_reached
    assert (found.bind, found.system_id, found.interface_version) == (
        "transceiver",
        "SMSC-7",
        0x34,
    )
    assert found.bind_ms is not None
    assert found.enquire_link_ms is not None
    assert found.unbound
    assert (found.problem, found.tls) == (None, None)
    assert bind.octets("system_type") == b"X"
    assert (probe.command_id, unbind.command_id) == (c.ENQUIRE_LINK, c.UNBIND)


async def test_the_same_of_our_own_smsc() -> None:
    async with an_smsc() as smsc:
        for command_id in (c.BIND_RECEIVER, c.BIND_TRANSMITTER):
            found = await tried(smsc.port, command_id)
            assert (found.status_name, found.system_id) == ("ESME_ROK", "test")
            assert found.interface_version == 0x34


@pytest.mark.parametrize("status", [*REFUSALS, 0x100, 0x4FF, 0x15])
async def test_a_refusal_is_told_with_the_setting_to_look_at(status: int) -> None:
    async with a_gatekeeper(lambda pdu: [answered(pdu, status)]) as gate:
        found = await tried(gate.port)
        assert len(gate.heard) == 1  # nothing more is asked of who refused
    assert not found.is_bound
    assert found.was_reached
    assert found.status == status
    assert (found.problem, found.look_at) == meaning_of(status)
    assert found.problem
    assert found.look_at


@pytest.mark.parametrize(
    ("status", "setting"),
    [
        (0x03, "transmitter+receiver"),
        (0x05, "server that runs"),
        (0x0A, "address_range"),
        (0x0D, "IP address"),
        (0x0E, "password"),
        (0x0F, "system_id"),
        (0x53, "system_type"),
        (0x402, "ask it"),
        (0xFF, "system_id and password"),
    ],
)
def test_the_setting_is_the_one_that_the_status_is_about(status: int, setting: str) -> None:
    assert setting in meaning_of(status)[1]


def nack(pdu: Pdu, status: int) -> list[Pdu | bytes]:
    return [Pdu(c.GENERIC_NACK, status, pdu.sequence_number)]


@pytest.mark.parametrize(("status", "told"), [(0x03, 0x03), (0, c.ESME_RSYSERR)])
async def test_a_nack_is_a_refusal(status: int, told: int) -> None:
    """An SMSC of 3.3 that knows no transceivers; one that says no and gives no status."""
    async with a_gatekeeper(lambda pdu: nack(pdu, status)) as gate:
        found = await tried(gate.port)
    assert found.status == told


async def test_a_receipt_that_comes_meanwhile_is_left_to_whoever_serves() -> None:
    """A second bind is sent receipts at once; answering one would lose it."""
    receipt = Pdu(c.DELIVER_SM, 0, 7, {"esm_class": 4, "short_message": b"id:1 stat:DELIVRD"})
    probe = Pdu(c.ENQUIRE_LINK, 0, 8)

    def manners(pdu: Pdu) -> list[Pdu | bytes]:
        return (
            [receipt, probe, *polite(pdu)]
            if pdu.command_id == c.BIND_TRANSCEIVER
            else ([] if pdu.is_response else polite(pdu))
        )

    async with a_gatekeeper(manners) as gate:
        found = await tried(gate.port)
        assert found.is_bound
        assert found.left_waiting == 1
        answers = [each.command_id for each in gate.heard if each.is_response]
    assert answers == [c.ENQUIRE_LINK_RESP]


BREAKS: list[tuple[Manners, str]] = [
    (lambda _: None, "closed without an answer"),
    (lambda _: [], "no answer came within 0.3 s"),
    (lambda _: [b"HTTP/1.1 400 Bad Request\r\n\r\n"], "doesn't speak SMPP"),
]


@pytest.mark.parametrize(("manners", "words"), BREAKS)
async def test_who_doesn_t_answer_wasn_t_reached(manners: Manners, words: str) -> None:
    """An address that isn't allowed, a load balancer with nobody behind it, a web server."""
    async with a_gatekeeper(manners) as gate:
        found = await tried(gate.port)
    assert not found.was_reached
    assert words in (found.problem or "")
    assert "IP address" in (found.look_at or "")


async def test_a_bind_that_is_made_and_no_more_is_told_as_that() -> None:
    def manners(pdu: Pdu) -> list[Pdu | bytes] | None:
        return polite(pdu) if pdu.command_id == c.BIND_TRANSCEIVER else None

    async with a_gatekeeper(manners) as gate:
        found = await tried(gate.port)
    assert found.is_bound
    assert (found.enquire_link_ms, found.unbound) == (None, False)


async def test_nobody_listens_there() -> None:
    async with a_gatekeeper(polite) as gate:
        port = gate.port
    found = await tried(port)
    assert not found.was_reached
    assert "can't connect" in (found.problem or "")


async def test_tls_where_none_is_spoken() -> None:
    async with a_gatekeeper(polite, greeting=b"\0\0\0\x10not a handshake") as gate:
        found = await tried(gate.port, tls=True)
    assert found.problem == "no TLS is spoken there"
    assert "tls" in (found.look_at or "")


async def test_a_login_that_fits_into_no_bind() -> None:
    async with a_gatekeeper(polite) as gate:
        found = await tried(gate.port, password="p" * 65)
        assert gate.heard == []
    assert not found.was_reached
    assert "doesn't fit" in (found.problem or "")


async def test_a_nack_without_our_number_is_the_refusal_all_the_same() -> None:
    async with a_gatekeeper(lambda _: [Pdu(c.GENERIC_NACK, 0x03, 0)]) as gate:
        found = await tried(gate.port)
    assert (found.is_bound, found.status) == (False, 0x03)


async def test_an_answer_to_something_else_doesn_t_let_us_in() -> None:
    async with a_gatekeeper(
        lambda pdu: [Pdu(c.SUBMIT_SM_RESP, 0, pdu.sequence_number)]
    ) as gate:
        found = await tried(gate.port)
    assert not found.is_bound
    assert "no answer came" in (found.problem or "")


async def test_who_takes_no_connection_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A firewall that drops what comes from an unknown address."""

    async def nobody(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("arrivals.providers.trial.CONNECT_TIMEOUT_S", 0.05)
    monkeypatch.setattr(asyncio, "open_connection", nobody)
    found = await tried(1)
    assert "no connection within" in (found.problem or "")
    assert "IP address" in (found.look_at or "")


async def test_nothing_secret_is_shown() -> None:
    async with a_gatekeeper(polite) as gate:
        found = await tried(gate.port, password="hidden-one")
    assert "hidden-one" not in repr(found)


async def test_tls_is_told_and_a_stranger_s_certificate_isn_t_trusted(tmp_path: Path) -> None:
    context, certificate = await asyncio.to_thread(self_signed, tmp_path)
    async with a_gatekeeper(polite, tls=context) as gate:
        trusted = await tried(gate.port, tls=True, tls_ca=str(certificate))
        strange = await tried(gate.port, tls=True)
        plain = await tried(gate.port)
    assert (trusted.is_bound, trusted.tls) == (True, "TLSv1.3")
    assert not strange.was_reached
    assert "certificate isn't trusted" in (strange.problem or "")
    assert "tls_ca" in (strange.look_at or "")
    assert not plain.was_reached
    assert "tls" in (plain.look_at or "")
