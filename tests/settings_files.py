"""A small settings file, and what comes of it and of its mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from arrivals.clock import SystemChance
from arrivals.config import InvalidConfig, read_tables
from arrivals.core.ids import cell_name, key_suffix, make_api_key
from arrivals.flows.configuration import Configuration, configuration_of

WHOLE = """
[server]
port = 0

[[providers]]
id = "north"
host = "smpp.example"
system_id = "app"
password_env = "NORTH"

[[routes]]
id = 1
name = "Standard"
providers = ["north"]
prices = "prices.csv"

[[accounts]]
id = 1
name = "App"
username = "app"
"""

ENVIRONMENT = {"NORTH": "secret"}


def a_key(environment="live"):
    """Return an API key that nobody has."""
    entropy = SystemChance().entropy
    return make_api_key(environment, cell_name(0), key_suffix(entropy(8)), entropy(32))


def read(folder: Path, text: str, environment: dict[str, str] | None = None) -> Configuration:
    """Read a settings file with this text, beside a price list."""
    (folder / "prices.csv").write_text("country,country_prefix,price\nNetherlands,31,0.087\n")
    path = folder / "arrivals.toml"
    path.write_text(text)
    return configuration_of(
        read_tables(path), ENVIRONMENT if environment is None else environment
    )


def problems(folder: Path, text: str, environment: dict[str, str] | None = None):
    """Return the (key, problem, fix) that reading this text names, and check how they print."""
    with pytest.raises(InvalidConfig) as caught:
        read(folder, text, environment)
    for each in caught.value.problems:
        assert each.key
        assert each.problem
        assert each.fix
        assert str(folder / "arrivals.toml") in str(caught.value)
        assert each.key in str(caught.value)
    return [(each.key, each.problem, each.fix) for each in caught.value.problems]
