"""Every part of the bench runs in its smallest form, and what it reports is whole."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from arrivals.clock import SystemClock
from arrivals.store.verifying import run_checks
from tests.bench import growth
from tests.bench.__main__ import PARTS, measured
from tests.bench.end_to_end import looking_into
from tests.bench.figures import Size
from tests.bench.report import ROOT
from tests.bench.site import BenchSite, Ground
from tests.bench.stored import fill
from tests.bench.targets import TARGETS

SMALL = Size(scale=0.001, rounds=1, stored=100_000, say=lambda _: None)
# What is told only where somebody was refused, and where so many are stored.
PERHAPS = {"overload_retry_after_kept", "ten_million_to_empty"}


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("part", PARTS)
async def test_a_part_reports_rows_and_all_its_measures(part: str):
    result = await measured(part, SMALL)
    assert result.figures
    for figure in result.figures:
        numbers = (figure.accepted_per_s, figure.settled_per_s, figure.p999_ms, figure.rss_mb)
        assert any(number > 0 for number in numbers), figure
        assert all(number >= 0 for number in numbers), figure
        assert figure.p50_ms <= figure.p99_ms <= figure.p999_ms, figure
        # In so short an overload a slow machine may answer nobody before it is over.
        compared = figure.to_limit > 0 or (part == "overload" and bool(figure.limit))
        assert bool(figure.limit) == compared, figure
    wanted = {each.measure for each in TARGETS if each.part == part} - PERHAPS
    assert wanted <= result.measures.keys()


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_stored_messages_are_such_as_arrivals_leaves(tmp_path: Path):
    """The checks of `arrivals verify` find nothing wrong, over all of them."""
    accounts, messages = 7, 3_000
    site = BenchSite(tmp_path, Ground(accounts=accounts, verify_every=0))
    await growth.send_template(site)
    await asyncio.to_thread(fill, site.data, messages, accounts, lambda _: None)
    findings = list(run_checks(site.data, SystemClock()))
    assert [each for each in findings if each.count] == []
    with closing(looking_into(site)) as connection:
        [(stored, owners)] = connection.execute(
            "SELECT count(*), count(DISTINCT account_id) FROM messages"
        ).fetchall()
        [(names,)] = connection.execute("SELECT count(DISTINCT external_id) FROM handoffs")
    assert (stored, owners, names) == (messages + 1, accounts, messages + 1)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_the_command_reports_json_and_draws(tmp_path: Path):
    plot = tmp_path / "plot.svg"
    command = [sys.executable, "-m", "tests.bench", "--only", "start-up", "--scale", "0.001"]
    done = subprocess.run(
        [*command, "--json", "--plot", str(plot), "--folder", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    said = json.loads(done.stdout)
    assert [part["part"] for part in said["parts"]] == ["start-up"]
    assert {each["target"]["measure"] for each in said["targets"]} == {
        "dev_ready_s",
        "import_s",
    }
    assert all(each["held"] in {True, False} for each in said["targets"])
    assert "start-up" in done.stderr
    assert plot.read_text("utf-8").startswith("<svg")
