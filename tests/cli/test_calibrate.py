"""`arrivals calibrate`: what was said of messages beside what came, from what a server kept."""

from __future__ import annotations

import asyncio
import random

import pytest

from arrivals.cli.calibrate import BAR, bar
from arrivals.flows.learning import Learning
from arrivals.http.calibration import NO_FEEDBACK, ReliabilityRow
from arrivals.outcome.calibration import AGES_S
from arrivals.outcome.learner import Learner
from tests.cli.typed import type_in
from tests.flows.installation import installed, provider

SECRET = b"a secret of this test"


def checked() -> Learner:
    """Return a learner that has checked its forecasts: of 100 messages 80 arrived."""
    learner, dice = Learner(SECRET), random.Random(1)
    learner._reporters.add("1")
    for n in range(200):
        group = ("north", "NL")
        at_us = 1_700_000_000_000_000 + n
        learner._record.handed_off(group, at_us)
        if n < 150:
            learner._record.received(group, at_us, positive=n < 140)
        p = dice.choice((0.15, 0.85))
        arrivals = 2.0 if dice.random() < p / 2 else 0.0
        learner._record.came(group, at_us, [p] * len(AGES_S), arrivals)
    return learner


def kept(place, learner: Learner) -> None:
    async def keep() -> None:
        async with installed(place, providers=[provider("north", 1)], started=False) as here:
            model = Learning(here.platform, SECRET, learns=True)
            model._learner = learner
            await model.keep()

    asyncio.run(keep())


@pytest.fixture
def data(tmp_path):
    kept(tmp_path, checked())
    return tmp_path


def test_figures_are_printed_with_their_bounds_and_bars(data) -> None:
    told = type_in("calibrate", "--data", data, "--age", "90000")
    assert told.code == 0
    lines = told.out.splitlines()
    (rate,) = [line.split() for line in lines if line.startswith("north") and "%" in line]
    assert rate[3:] == ["70.0%", "5.0%", "25.0%", "70.0%", "95.0%", "0.0%"]
    scores = [line for line in lines if line.startswith("all") and "%" not in line]
    assert [line.split()[1:3] for line in scores] == [
        ["0", "s"], ["1", "min"], ["10", "min"], ["1", "h"], ["1", "d"],
    ]  # fmt: skip
    assert "Of all messages 1 d after hand-off; bar: arrived, |: said" in lines
    assert any(line.startswith("  0.80 to 0.90  █") and "|" in line for line in lines)
    assert any("not a random sample" in line for line in lines)


def test_the_same_is_told_as_json(data) -> None:
    found = type_in("calibrate", "--data", data, "--json").json
    (group,) = [each for each in found["groups"] if each["provider"] == "north"]
    assert (group["rate"]["low"], group["rate"]["high"]) == (0.7, 0.95)
    assert found["reporters"] == 1


def test_where_nobody_reports_there_is_no_figure(tmp_path) -> None:
    """Neither before anything was learnt nor after."""

    async def make() -> None:
        async with installed(tmp_path, providers=[provider("north", 1)], started=False):
            pass

    asyncio.run(make())
    for _ in range(2):
        told = type_in("calibrate", "--data", tmp_path)
        assert told.code == 0
        assert NO_FEEDBACK in told.out
        assert "Brier" not in told.out
        kept(tmp_path, Learner(SECRET))


def test_what_cannot_be_read_is_said(data) -> None:
    async def spoil() -> None:
        async with installed(data, providers=[provider("north", 1)], started=False) as here:
            await here.in_transaction(lambda tx: tx.set_setting("learnt", '{"shared": 1}'))

    asyncio.run(spoil())
    told = type_in("calibrate", "--data", data)
    assert told.code == 2
    assert "can't be read" in told.err


@pytest.mark.parametrize(
    ("said", "arrived", "drawn"),
    [
        (0.0, 0.0, "|" + "·" * 29),
        (1.0, 1.4, "█" * 29 + "|"),
        (0.5, 0.1, "███" + "·" * 12 + "|"),
    ],
)
def test_a_bar_shows_both(said: float, arrived: float, drawn: str) -> None:
    row = ReliabilityRow(
        low=0.0,
        high=1.0,
        messages=1.0,
        said=said,
        arrived=arrived,
        arrived_low=0.0,
        arrived_high=1.0,
    )
    assert bar(row).startswith(drawn)
    assert len(bar(row)) == BAR
