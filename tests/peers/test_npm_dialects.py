"""node-smpp reads what each dialect makes of a message: text, parts, sender and validity."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from arrivals.core.dialect import Dialect, SenderForm
from arrivals.core.text import analyse
from arrivals.providers.submissions import submit_sm
from arrivals.smpp.pdu import encode
from tests.peers.conftest import Node
from tests.providers.smsc import submission

pytestmark = [pytest.mark.slow, pytest.mark.timeout(330)]  # `npm ci` may have to fetch

AT_US = 1_798_761_600_000_000  # 2027-01-01
TEXTS = {
    "one that both alphabets have": "Mail a_b@shop.nl for $20 [now] {or} ~never~",
    "pounds and umlauts": "£5 für Jürgen",
    "accents that no handset's alphabet has": "Crème brûlée",
    "euros": "5 €",
    "three parts": "All work_and no play @ home. " * 12,
    "three parts in UCS-2": "Код 4839 🙂 " * 14,
}
# What node-smpp calls ASCII is GSM-7; ASCII itself is the lower half of its Latin-1.
ALPHABETS = {"gsm7": "ASCII", "latin-1": "LATIN1", "ascii": "LATIN1"}


def read(node: Node, default: str, text: str, dialect: Dialect) -> list[dict[str, Any]]:
    """Return what node-smpp reads of a message in this dialect."""
    handed = submission(
        text=text, sender="+12345", reference=0x1234, expires_at_us=AT_US + 3_600_000_000
    )
    octets = [encode(pdu, sequence_number=1).hex() for pdu in submit_sm(handed, AT_US, dialect)]
    done = subprocess.run(
        node.command("smpp_decode.js", default),
        env=node.environment(),
        input="\n".join(octets),
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("alphabet", ALPHABETS)
@pytest.mark.parametrize("long_messages", ["udh", "sar", "payload"])
@pytest.mark.parametrize("name", TEXTS)
def test_somebody_else_reads_the_text(
    node: Node, alphabet: str, long_messages: str, name: str
) -> None:
    """In the alphabet that this provider reads 0 as, in one part or in many."""
    text = TEXTS[name]
    dialect = Dialect(alphabet=alphabet, long_messages=long_messages)
    found = read(node, ALPHABETS[alphabet], text, dialect)
    segments = analyse(text, alphabet).segments
    assert "".join(each["text"] for each in found) == text
    assert {each["reference"] for each in found} == {0x1234}
    if segments == 1 or long_messages == "payload":
        assert len(found) == 1
        assert found[0]["udh"] == []
    elif long_messages == "sar":
        places = [each["sar"] for each in found]
        assert places == [[0x34, segments, n] for n in range(1, segments + 1)]
        assert not any(each["udh"] or each["esm_class"] for each in found)
    else:
        places = [each["udh"] for each in found]
        assert places == [[f"000334{segments:02x}{n:02x}"] for n in range(1, segments + 1)]


def test_somebody_else_reads_the_rest(node: Node) -> None:
    """A sender's own form, a service type, and a time at which it is of no more use."""
    dialect = Dialect(
        service_type="CMT",
        optional_parameters=False,
        validity="absolute",
        senders=(SenderForm(pattern="[0-9]{5}", ton=0, npi=9),),
    )
    for each in read(node, "ASCII", TEXTS["three parts"], dialect):
        assert each["service_type"] == "CMT"
        assert each["source"] == [0, 9, "12345"]
        assert each["validity"] == "2027-01-01T01:00:00.000Z"
        assert each.get("reference") is None
        assert not any(each["sar"])


def test_a_plus_is_international_to_somebody_else(node: Node) -> None:
    [found] = read(node, "ASCII", "Hello", Dialect(validity="none"))
    assert found["source"] == [1, 1, "12345"]
    assert found["validity"] is None
