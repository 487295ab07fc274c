"""What a settings file says of a provider's dialect, and of what goes by providers."""

from __future__ import annotations

import msgspec
import pytest

from arrivals.core.catalogue import Provider
from arrivals.core.dialect import PLAIN, Dialect, SenderForm
from tests.settings_files import WHOLE, problems, read

# --- a provider's dialect ---------------------------------------------------------------

DIALECT = 'id = "north"\ndialect = '


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("{ alphabet = 'utf-8' }", "alphabet", '"gsm7", "latin-1" or "ascii"'),
        ("{ alphabet = 7 }", "alphabet", "text"),
        ("{ alphabett = 'ascii' }", "alphabett", "did you mean 'alphabet'"),
        ("{ validity = 'never' }", "validity", '"absolute"'),
        ("{ long_messages = 'cut' }", "long_messages", '"payload"'),
        ("{ id_form = 'hex' }", "id_form", '"hex_to_decimal"'),
        ("{ system_type = 'more than twelve' }", "system_type", "up to 12 ASCII"),
        ("{ system_type = 'é' }", "system_type", "up to 12 ASCII"),
        ("{ service_type = 'SIXSIX' }", "service_type", "up to 5 ASCII"),
        ("{ address_range = '" + "9" * 41 + "' }", "address_range", "up to 40 ASCII"),
        ("{ interface_version = 256 }", "interface_version", "0x33, 0x34 or 0x50"),
        ("{ interface_version = '3.4' }", "interface_version", "whole number"),
        ("{ optional_parameters = 'no' }", "optional_parameters", "true or false"),
        ("{ unmarked_receipts = 1 }", "unmarked_receipts", "true or false"),
        ("{ senders = 'ACME' }", "senders", "a list"),
        ("{ senders = [{ pattern = 'A', ton = 7, npi = 0 }] }", "senders[0].ton", "0 to 6"),
        ("{ senders = [{ pattern = 'A', ton = 5, npi = 19 }] }", "senders[0].npi", "0 to 18"),
        ("{ senders = [{ pattern = 'A', ton = 5 }] }", "senders[0].npi", "numbering plan"),
        ("{ senders = [{ pattern = '', ton = 5, npi = 0 }] }", "senders[0].pattern", "1 to 64"),
        ("{ senders = [{ patern = 'A', ton = 5, npi = 0 }] }", "senders[0].patern", "pattern"),
        ("{ senders = [{ pattern = '(', ton = 5, npi = 0 }] }", "senders[0].pattern",
         "regular expression"),
        ("{ senders = [{ pattern = '(A+)+', ton = 5, npi = 0 }] }", "senders[0].pattern",
         "repeats a group"),
        ("{ optional_parameters = false, long_messages = 'sar' }", "long_messages",
         "needs optional parameters"),
        ("{ optional_parameters = false, long_messages = 'payload' }", "long_messages", "udh"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_dialect_is_named_by_its_key(tmp_path, text, key, words) -> None:
    """A table within a table has keys of its own."""
    found = problems(tmp_path, WHOLE.replace('id = "north"', DIALECT + text))
    [told] = [each for each in found if each[0] == f"providers[0].dialect.{key}"]
    assert words in f"{told[1]}; {told[2]}"
    assert len(found) == 1


def test_a_dialect_that_is_no_table(tmp_path) -> None:
    found = problems(tmp_path, WHOLE.replace('id = "north"', DIALECT + "'latin-1'"))
    assert [each[0] for each in found] == ["providers[0].dialect"]
    assert "alphabet" in found[0][2]


def test_all_mistakes_in_a_dialect_are_named_at_once(tmp_path) -> None:
    """Beside those of the tables around it."""
    wrong = "{ alphabet = 'x', validity = 'x', speed = 1, senders = [{ ton = 9 }] }\nport = 0"
    keys = {
        each[0] for each in problems(tmp_path, WHOLE.replace('id = "north"', DIALECT + wrong))
    }
    inner = "providers[0].dialect"
    assert {f"{inner}.alphabet", f"{inner}.validity", f"{inner}.speed"} < keys
    assert "providers[0].port" in keys


def test_a_dialect_is_read_whole(tmp_path) -> None:
    """In one line or as a table, every key of it."""
    text = """
[providers.dialect]
system_type = "SMPP"
service_type = "CMT"
address_range = "^31"
interface_version = 0x33
optional_parameters = false
validity = "absolute"
alphabet = "latin-1"
unmarked_receipts = true
long_messages = "udh"
id_form = "hex_to_decimal"
[[providers.dialect.senders]]
pattern = "[0-9]{4}"
ton = 3
npi = 0
"""
    wanted = read(tmp_path, WHOLE.replace("[[routes]]", f"{text}\n[[routes]]"))
    dialect = wanted.providers[0].dialect
    assert dialect == Dialect(
        system_type="SMPP",
        service_type="CMT",
        address_range="^31",
        interface_version=0x33,
        optional_parameters=False,
        validity="absolute",
        alphabet="latin-1",
        senders=(SenderForm(pattern="[0-9]{4}", ton=3, npi=0),),
        unmarked_receipts=True,
        id_form="hex_to_decimal",
    )
    assert read(tmp_path, WHOLE).providers[0].dialect == PLAIN


@pytest.mark.parametrize(
    ("old", "stored"),
    [
        ({}, PLAIN),
        ({"dialect": {}}, PLAIN),
        ({"dialect": {"alphabet": "ascii"}}, Dialect(alphabet="ascii")),
        ({"dialect": {"of a later version": 1}}, PLAIN),
    ],
)
def test_a_provider_that_was_stored_before_has_the_usual_ways(old, stored) -> None:
    """A row of an older version holds no dialect, or fewer keys."""
    document = msgspec.json.encode({"provider_id": "north", "sandbox": True} | old)
    found = msgspec.json.decode(document, type=Provider)
    assert found.dialect == stored
    assert msgspec.json.decode(msgspec.json.encode(found), type=Provider) == found


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ('category = "otp"', 10),
        ("", None),
        ('category = "bulk"', None),
        ('category = "otp"\nthrottle_failover = 0', None),
        ('category = "otp"\nthrottle_failover = 3', 3),
        ("throttle_failover = 60", 60),
    ],
)
def test_a_code_goes_to_the_next_provider_when_one_slows_us(tmp_path, text, seconds) -> None:
    """Unless the settings say otherwise; other messages have the time."""
    wanted = read(tmp_path, WHOLE.replace('name = "Standard"', f'name = "Standard"\n{text}'))
    assert wanted.routes[0].throttle_failover_s == seconds


def test_how_long_a_slow_provider_may_hold_a_message_has_bounds(tmp_path) -> None:
    text = WHOLE.replace("id = 1\nname", "id = 1\nthrottle_failover = 86401\nname", 1)
    [told] = problems(tmp_path, text)
    assert told[0] == "routes[0].throttle_failover"


def test_another_login_s_ids_are_of_a_provider_that_is_there(tmp_path) -> None:
    text = WHOLE.replace('id = "north"', 'id = "north"\nids_of = "{}"')
    for name in ("south", "north"):
        [told] = problems(tmp_path, text.format(name))
        assert told[0] == "providers[0].ids_of"
    other = text.format("south").replace(
        "[[routes]]",
        '[[providers]]\nid = "south"\nhost = "h"\nsystem_id = "s"\n'
        'password_env = "NORTH"\n[[routes]]',
    )
    assert read(tmp_path, other).providers[0].ids_of == "south"
