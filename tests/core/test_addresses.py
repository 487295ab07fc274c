"""Hosts with and without ports."""

from __future__ import annotations

import re

import pytest

from arrivals.core.addresses import HOST_AND_PORT, address_of


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("smpp.example", ("smpp.example", 2775)),
        ("smpp.example:2776", ("smpp.example", 2776)),
        ("192.0.2.1", ("192.0.2.1", 2775)),
        ("192.0.2.1:1", ("192.0.2.1", 1)),
        ("[2001:db8::1]", ("2001:db8::1", 2775)),
        ("[2001:db8::1]:2776", ("2001:db8::1", 2776)),
        ("smpp.example:0", None),
        ("smpp.example:65536", None),
    ],
)
def test_a_host_may_have_a_port_of_its_own(text: str, address: tuple[str, int] | None) -> None:
    assert re.match(HOST_AND_PORT, text)
    assert address_of(text, 2775) == address


@pytest.mark.parametrize(
    "text", ["", "a b", "a:", "a:b", "2001:db8::1", "[::1", "a:1:2", "smpp://a", "a:123456"]
)
def test_what_is_no_host_is_refused(text: str) -> None:
    assert not re.match(HOST_AND_PORT, text)
