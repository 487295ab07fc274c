"""Scenario files: the shipped ones load, providers differ as said, mistakes are named."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from arrivals.core.dialect import PLAIN, Dialect, SenderForm
from arrivals.world.filters import TRAITS, suspicion
from arrivals.world.installation import provider_as_installed
from arrivals.world.scenario import (
    Scenario,
    ScenarioError,
    load_scenario,
    parse_scenario,
    scenario_names,
)

SMALL = """
name = "small"
about = "The least that a scenario needs."
[expect.default]
truth = { reached = 1.0 }
reported = { delivered = 1.0 }
[providers.default]
window = 7
receipts = { window = 3, coverage = 0.5 }
[providers.other]
receipts = { coverage = 0.9 }
[[carriers]]
name = "one"
"""


@pytest.mark.parametrize("name", scenario_names())
def test_shipped_scenarios_are_named_for_their_files(name: str) -> None:
    scenario = load_scenario(name)
    assert scenario.name == name
    assert {"default", "north", "south"} <= set(scenario.providers)


def test_the_three_first_scenarios_are_there() -> None:
    assert {"clear-day", "bad-day", "wire"} <= set(scenario_names())


@pytest.mark.parametrize("name", scenario_names())
def test_north_and_south_differ_in_their_ids(name: str) -> None:
    scenario = load_scenario(name)
    assert scenario.provider("north").id_form == "decimal"
    assert scenario.provider("south").id_form == "hex_then_decimal"
    assert scenario.provider("north").receipts.echo_reference
    assert not scenario.provider("south").receipts.echo_reference


def test_a_named_provider_states_only_what_differs() -> None:
    other = parse_scenario(SMALL).provider("other")
    assert (other.window, other.receipts.window, other.receipts.coverage) == (7, 3, 0.9)


def test_an_unnamed_provider_is_the_default() -> None:
    scenario = parse_scenario(SMALL)
    assert scenario.provider("anyone") == scenario.provider("default")


def test_a_scenario_of_ones_own_is_read_from_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(SMALL, "utf-8")
    assert load_scenario(str(path)) == parse_scenario(SMALL)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("window = 7", "windw = 7"), "windw"),
        (("window = 7", "window = 0"), "^providers.default.window: expected"),
        (("coverage = 0.9", "coverage = 1.9"), "coverage"),
        (("reached = 1.0", "reached = 0.9"), "sum to 1"),
        (("[providers.default]", "[providers.standard]"), "providers.default"),
        (('name = "one"', 'name = "one"\nprefix = "44"'), "prefix"),
        (('name = "one"', 'name = "one"\nfilter = { modes = { loud = 1 } }'), "loud"),
        (('name = "one"', 'name = "one"\nfilter = { rules = { emoji = 1 } }'), "emoji"),
        (('name = "small"', "name = small"), "line 2"),
    ],
)
def test_a_mistake_is_named(change: tuple[str, str], complaint: str) -> None:
    assert change[0] in SMALL
    with pytest.raises(ScenarioError, match=complaint):
        parse_scenario(SMALL.replace(*change))


def test_a_missing_scenario_says_which_there_are(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="clear-day"):
        load_scenario("sunny-day")
    with pytest.raises(ScenarioError, match=r"none\.toml"):
        load_scenario(str(tmp_path / "none.toml"))


def with_carriers(*carriers: str) -> Scenario:
    return parse_scenario(SMALL + "".join(f"[[carriers]]\n{carrier}\n" for carrier in carriers))


def test_a_carrier_serves_its_prefix_and_its_share() -> None:
    scenario = with_carriers(
        'name = "uk"\nprefix = "44"\nshare = 3', 'name = "uk2"\nprefix = "44"'
    )
    assert scenario.carrier("33612345678", 1).name == "one"
    names = Counter(scenario.carrier(f"44770{number:06d}", 1).name for number in range(4_000))
    assert set(names) == {"uk", "uk2"}
    assert abs(names["uk"] / 4_000 - 0.75) < 0.03


def test_a_number_keeps_its_carrier() -> None:
    scenario = with_carriers('name = "two"', 'name = "three"')
    chosen = {scenario.carrier("33612345678", 5).name for _ in range(10)}
    assert len(chosen) == 1


@pytest.mark.parametrize(
    ("text", "traits"),
    [
        ("Your parcel is here", set()),
        ("See https://example.com/a", {"link"}),
        ("Now at bit.ly/3xyz", {"shortener"}),
        ("You won the jackpot", {"lure"}),
        ("LAST CHANCE TO BUY", {"capitals"}),
        ("OK, NHS", set()),
        ("Your code is 482113", {"code"}),
        ("Your code is on its way", set()),
    ],
)
def test_filters_see_traits(text: str, traits: set[str]) -> None:
    assert {name for name, shows in TRAITS.items() if shows(text)} == traits


def test_suspicion_adds_up_and_stays_a_share() -> None:
    text = "You won the jackpot: bit.ly/3xyz"
    assert suspicion(text, 0.05, {"lure": 0.2, "link": 0.4}) == pytest.approx(0.25)
    assert suspicion(text, 0.05, {"lure": 0.8, "shortener": 0.6}) == 1.0
    assert suspicion("Your code is 482113", 0.05, {"code": -0.3}) == 0.0


def test_a_provider_is_installed_as_its_operator_would_write_it_down() -> None:
    scenario = load_scenario("many-tongues")
    north, south = (provider_as_installed(name, scenario, {}) for name in ("north", "south"))
    assert north.dialect == Dialect(
        system_type="SMPP",
        optional_parameters=False,
        alphabet="latin-1",
        unmarked_receipts=True,
    )
    assert south.dialect == Dialect(
        service_type="CMT",
        interface_version=0x33,
        validity="absolute",
        senders=(SenderForm(pattern="[A-Z]+", ton=5, npi=1),),
        long_messages="sar",
    )
    assert (north.ids_of, south.ids_of) == (None, None)
    assert provider_as_installed("north", load_scenario("wire"), {}).dialect == PLAIN


def test_a_login_that_tells_anothers_receipts_is_installed_so() -> None:
    told = '[providers.north]\nreceipts = { told_to = "south" }\n[[carriers]]'
    scenario = parse_scenario(SMALL.replace("[[carriers]]", told, 1))
    logins = {name: provider_as_installed(name, scenario, {}) for name in ("north", "south")}
    assert {name: each.ids_of for name, each in logins.items()} == {
        "north": None,
        "south": "north",
    }
