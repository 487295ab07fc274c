"""What the bench's figures mean: quantiles, medians, targets, loops, and the page."""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench import report
from tests.bench.figures import Figure, Size, medians, quantile, spread, spreads
from tests.bench.load import answer_in, load, request
from tests.bench.open_loop import open_load
from tests.bench.report import Result
from tests.bench.targets import TARGETS, Target, verdicts

FIGURE = Figure(name="sends", messages=100, accepted_per_s=50, settled_per_s=40)
RESULT = Result(
    part="sends",
    about="single sends",
    figures=[FIGURE.beside("raw echo", 80)],
    measures={"closed_64_to_echo": spread([0.4, 0.5, 0.6]), "closed_64_p99_ms": spread([30.0])},
    notes=["A note."],
    rounds=3,
    minutes=1.5,
    on="2026-11-26",
    source="abc",
    machine="two cores",
    busy=0.1,
)
AT_LEAST = Target(part="a", measure="m", what="more", at_least=0.5)
AT_MOST = Target(part="a", measure="m", what="less", unit="ms", at_most=10)
NONE = Target(part="a", measure="m", what="none", at_most=0)


def test_a_quantile_is_a_value_that_was_seen():
    seconds = [n / 1000 for n in range(1, 1001)]
    assert quantile(seconds, 0.5) == pytest.approx(501)
    assert quantile(seconds, 0.999) == pytest.approx(1000)
    assert quantile([0.002], 0.99) == 2
    assert quantile([], 0.5) == 0


def test_rounds_become_medians_by_row_and_spreads_by_measure():
    others = [replace(FIGURE, accepted_per_s=rate, messages=7) for rate in (10.0, 90.0)]
    [row] = medians([[FIGURE], *([each] for each in others)])
    assert (row.accepted_per_s, row.settled_per_s, row.messages) == (50, 40, 100)
    found = spreads([{"a": 1.0}, {"a": 3.0, "b": 5.0}, {"a": 2.0}])
    assert (found["a"].least, found["a"].median, found["a"].most) == (1, 2, 3)
    assert found["b"] == spread([5.0])


def test_a_figure_is_compared_by_what_it_settled():
    assert FIGURE.beside("echo", 80).to_limit == 0.5
    assert replace(FIGURE, settled_per_s=0.0).beside("echo", 80).to_limit == 0.625


def test_a_scale_leaves_something_to_measure():
    assert Size(scale=0.5).of(1_000) == 500
    assert Size(scale=0.000_1).of(1_000) > 0
    assert Size(scale=0.000_1).of(1_000, 7) == 7


@pytest.mark.parametrize(
    ("target", "measured", "held", "reached"),
    [
        (AT_LEAST, 0.5, True, 1.0),
        (AT_LEAST, 0.49, False, 0.98),
        (AT_MOST, 10.0, True, 1.0),
        (AT_MOST, 20.0, False, 0.5),
        (NONE, 0.0, True, 1.0),
        (NONE, 1.0, False, 0.0),
    ],
)
def test_a_target_is_held_at_its_bound(
    target: Target, measured: float, held: bool, reached: float
):
    assert target.is_held_by(measured) is held
    assert target.reached(measured) == pytest.approx(reached)


def test_each_target_has_one_bound_and_a_measure_of_its_own():
    assert all((each.at_least is None) != (each.at_most is None) for each in TARGETS)
    named = [(each.part, each.measure) for each in TARGETS]
    assert len(set(named)) == len(named)


def test_only_parts_that_ran_are_judged_and_what_never_happened_is_open():
    found = verdicts({"overload": {"overload_lost": spread([0.0, 1.0, 1.0])}})
    judged = {each.target.measure: each.held for each in found}
    assert judged["overload_lost"] is False
    assert judged["overload_p99_ms"] is None
    assert "closed_64_to_echo" not in judged


# --- what is written ------------------------------------------------------------------


def test_the_page_is_drawn_from_what_is_kept():
    """docs/performance.md says what docs/performance.json holds, and nothing else."""
    page = report.PAGE.read_text("utf-8")
    found = report.MARKED.search(page)
    assert found is not None
    kept = report.kept()
    assert found[0] == found[1] + report.markdown(kept) + found[2]
    if kept:
        assert report.PLOT.read_text("utf-8") == report.plot(kept)


def test_results_take_the_place_of_older_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- bench: begin -->\nold\n<!-- bench: end -->\nafter\n")
    for name, path in {"KEPT": "kept.json", "PLOT": "plot.svg", "PAGE": "page.md"}.items():
        monkeypatch.setattr(report, name, tmp_path / path)
    other = replace(RESULT, part="batches", measures={})
    report.keep([RESULT], ["batches", "sends"])
    report.keep([other, replace(RESULT, on="2026-11-27")], ["batches", "sends"])
    assert [(each.part, each.on) for each in report.kept()] == [
        ("batches", "2026-11-26"),
        ("sends", "2026-11-27"),
    ]
    text = page.read_text("utf-8")
    assert text.startswith("before\n")
    assert text.endswith("<!-- bench: end -->\nafter\n")
    assert "old" not in text
    assert "| 0.50 (0.40 to 0.60) | held |" in text
    assert "| 30 | not held |" in text


def test_the_plot_is_well_formed_and_tells_without_colour():
    drawn = report.plot([RESULT])
    ours = ET.fromstring(drawn)  # noqa: S314 - we drew it
    texts = [each.text or "" for each in ours.iter() if each.text]
    assert any("held: 0.50" in text for text in texts)
    assert any("missed: 30" in text for text in texts)
    assert "prefers-color-scheme: dark" in drawn


def test_the_table_shows_a_wait_of_nothing_and_hides_what_was_not_measured():
    waited = replace(FIGURE, name="waited").timed([0.0, 0.0, 0.25])
    text = report.table([replace(RESULT, figures=[waited])])
    row = next(line for line in text.splitlines() if line.startswith("waited"))
    assert row.split() == ["waited", "50", "40", "0.0", "250.0", "250.0"]


# --- the load -------------------------------------------------------------------------

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
LATER = b"HTTP/1.1 429 Too Many\r\ncontent-length: 0\r\nretry-after: 1\r\n\r\n"


def test_an_answer_is_read_whole_or_not_at_all():
    assert all(answer_in(ANSWER[:cut]) is None for cut in range(len(ANSWER)))
    whole = answer_in(ANSWER)
    assert whole is not None
    assert (whole.status, whole.body) == (200, b"{}")
    assert (whole.retry_after_s, whole.is_good) == (None, True)
    refused = answer_in(LATER)
    assert refused is not None
    assert (refused.retry_after_s, refused.is_good) == (1, False)


class Stalling(asyncio.Protocol):
    """Answers at once, but for one stretch of time in which it answers nobody."""

    began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        Stalling.began = Stalling.began or loop.time()
        since = loop.time() - Stalling.began
        wait = 0.5 - since if 0.1 < since < 0.5 else 0.0
        loop.call_later(wait, self._transport.write, ANSWER)  # type: ignore[attr-defined]


@pytest.mark.slow
async def test_a_stall_is_in_the_percentiles_of_the_open_loop_only():
    """One of 400 ms in a second: who would have asked meanwhile has waited."""
    server = await asyncio.get_running_loop().create_server(Stalling, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    asked = request("", "/", "", b"")
    offered = await open_load(port, 1, lambda: asked, rate=200, seconds=1.0)
    Stalling.began = 0.0
    many = iter([asked] * 2_000)
    closed, _ = await load(port, 1, lambda: next(many, None))
    server.close()
    assert quantile(offered.latencies, 0.75) > 100
    assert quantile(closed, 0.99) < 100
    assert offered.due == pytest.approx(200, abs=5)
    assert len(offered.taken) == offered.due


class Refusing(Stalling):
    """Tells the first to come again after a second, and takes them then."""

    told = 0

    def data_received(self, data: bytes) -> None:
        Refusing.told += 1
        self._transport.write(LATER if Refusing.told <= 3 else ANSWER)  # type: ignore[attr-defined]


@pytest.mark.slow
async def test_who_is_told_to_come_again_comes_again_once():
    server = await asyncio.get_running_loop().create_server(Refusing, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    asked = request("", "/", "", b"")
    offered = await open_load(port, 4, lambda: asked, rate=20, seconds=1.5, drop=True)
    server.close()
    assert (offered.told_to_wait, offered.then_taken) == (3, 3)
    assert offered.statuses == {429: 3, 200: offered.due}
    assert offered.dropped == 0
