"""Log lines: one an event, bounded, with nothing in them that belongs to somebody."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrivals.core.buckets import Buckets
from arrivals.telemetry import (
    LINE_OCTETS_MAX,
    JsonLines,
    PlainLines,
    Telemetry,
    configure_logging,
    masked,
)

KEY = "arr_test_aakey000_1QYdDVHhGvTGnqHXdnHXet6lBRMmYd6QXmvxDehfmCs_1f2t6S"


def fail() -> None:
    raise ValueError("Your code is 4821")


def record(message: str, *values: Any, error: bool = False) -> logging.LogRecord:
    caught = None
    if error:
        try:
            fail()
        except ValueError as raised:
            caught = (type(raised), raised, raised.__traceback__)
    return logging.LogRecord(
        "arrivals.test", logging.WARNING, __file__, 1, message, values, caught
    )


def line(message: str, *values: Any, error: bool = False) -> dict[str, str]:
    text = JsonLines().format(record(message, *values, error=error))
    found: dict[str, str] = json.loads(text)
    return found


def test_replies_are_counted_by_what_became_of_them() -> None:
    """Each scrape takes over running totals, which never go back."""
    telemetry = Telemetry()
    for confirmed, unmatched in ((0, 0), (2, 1), (3, 1)):
        telemetry.take_over("replies", {"confirmed": confirmed, "unmatched": unmatched})
    text = telemetry.exposition().decode()
    assert 'arrivals_replies_total{result="confirmed"} 3.0' in text
    assert 'arrivals_replies_total{result="unmatched"} 1.0' in text


def test_what_came_to_nothing_is_counted_by_provider_and_fate() -> None:
    """Each scrape takes over running totals, which never go back."""
    telemetry = Telemetry()
    for count in (1, 5):
        totals = {("north", "unmarked"): count, ("south", "malformed"): 2}
        telemetry.take_over("inbound_ignored", totals)
    text = telemetry.exposition().decode()
    assert 'arrivals_inbound_ignored_total{fate="unmarked",provider="north"} 5.0' in text
    assert 'arrivals_inbound_ignored_total{fate="malformed",provider="south"} 2.0' in text


def test_a_line_is_json_and_says_when_where_and_what() -> None:
    """Times are RFC 3339 in UTC."""
    found = line("the sweep waits for %s", "the store")
    assert found["message"] == "the sweep waits for the store"
    assert (found["level"], found["logger"]) == ("warning", "arrivals.test")
    assert found["at"].endswith("Z")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("to 31612345678 failed", "to #### failed"),
        ("code 4821", "code ####"),
        ("attempt 2 of 123", "attempt 2 of 123"),
        (f"key {KEY}", "key arr_test_…"),
    ],
)
def test_numbers_codes_and_keys_are_masked(text: str, shown: str) -> None:
    """Runs of four digits or more, and whatever begins like a key (invariant 44)."""
    assert masked(text) == shown


def test_an_exception_is_told_by_kind_and_place() -> None:
    """Its own words may quote a text, so they stay out (invariant 44)."""
    found = line("a sweep failed", error=True)
    assert found["error"] == "ValueError"
    assert "test_telemetry.py" in found["where"]
    assert "code" not in json.dumps(found)


@given(st.text(max_size=3_000).map(lambda text: text * 8))
def test_a_line_is_one_line_of_ascii_and_bounded(message: str) -> None:
    """Whatever is logged: no break, no control or bidirectional mark, at most 8 KiB."""
    text = JsonLines().format(record("%s", message))
    assert text.isascii()
    assert text.isprintable()
    assert len(text) <= LINE_OCTETS_MAX
    assert json.loads(text)["level"] == "warning"


@pytest.mark.parametrize("character", ["a", "\\", "é", "€", "😀", "\u202e"])
@pytest.mark.parametrize("surplus", range(1, 40))
def test_a_line_that_is_a_little_too_long_is_cut_once(character: str, surplus: int) -> None:
    """However little is too much, the line ends with the mark, and is as long as may be."""
    escaped = len(json.dumps(character)) - 2
    around = len(JsonLines().format(record("%s", "")))
    count = (LINE_OCTETS_MAX - around) // escaped + surplus
    text = JsonLines().format(record("%s", character * count))
    assert LINE_OCTETS_MAX - escaped < len(text) <= LINE_OCTETS_MAX
    assert json.loads(text)["message"].endswith("… (shortened)")


def test_a_terminal_line_stays_one_line() -> None:
    """A break in what is logged can't forge a second line."""
    text = PlainLines().format(record("one\ntwo\r31612345678"))
    assert "\n" not in text
    assert text.endswith("one\\ntwo\\r####")


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    found = logging.getLogger()
    access = logging.getLogger("uvicorn.access")
    server = logging.getLogger("uvicorn")
    before = (found.handlers[:], found.level, access.disabled, server.level)
    yield found
    found.handlers[:], access.disabled = before[0], before[2]
    found.setLevel(before[1])
    server.setLevel(before[3])


@pytest.mark.parametrize("as_json", [True, False])
def test_a_process_logs_to_one_place(root: logging.Logger, *, as_json: bool) -> None:
    """What was set up before is replaced, and the server's own access log is silent."""
    stream = io.StringIO()
    configure_logging(stream, as_json=as_json)
    logging.getLogger("arrivals.x").info("hello %d", 123456)
    logging.getLogger("uvicorn.access").info("GET /?message=secret")
    logging.getLogger("uvicorn.error").info("Started server process")
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request")
    assert "hello ####" in stream.getvalue()
    assert "secret" not in stream.getvalue()
    assert "Started" not in stream.getvalue()
    assert "Invalid HTTP request" in stream.getvalue()
    assert stream.getvalue().startswith("{") == as_json
    assert len(root.handlers) == 1


def test_requests_are_counted_by_template() -> None:
    """One that waited on purpose is counted, and its time is not."""
    telemetry = Telemetry()
    telemetry.answered("GET", "/api/v1/messages/{bx_message_id}", 200, 1_500)
    telemetry.answered("GET", "/api/v1/messages/{bx_message_id}", 200, None)
    text = telemetry.exposition().decode()
    labels = 'method="GET",path="/api/v1/messages/{bx_message_id}",status="200"'
    assert f"arrivals_http_requests_total{{{labels}}} 2.0" in text
    path = 'path="/api/v1/messages/{bx_message_id}"'
    assert f"arrivals_http_request_seconds_count{{{path}}} 1.0" in text


def test_durations_are_told_by_provider() -> None:
    """As Prometheus wants them: each bound counts all that is below it."""
    telemetry, times = Telemetry(), Buckets((0.1, 1.0))
    telemetry.take_times("submit_seconds", {"north": times})
    for each in (0.05, 0.5, 7.0):
        times.add(each)
    text = telemetry.exposition().decode()
    for bound, count in (("0.1", 1), ("1.0", 2), ("+Inf", 3)):
        labels = f'le="{bound}",provider="north"'
        assert f"arrivals_submit_seconds_bucket{{{labels}}} {count}.0" in text
    assert 'arrivals_submit_seconds_sum{provider="north"} 7.55' in text


def test_no_series_says_when_it_began() -> None:
    """Report: `*_created` doubled the counters."""
    telemetry = Telemetry()
    telemetry.answered("GET", "/", 200, 1)
    telemetry.committed(1, 1)
    assert "_created" not in telemetry.exposition().decode()


def test_what_is_gone_isn_t_told_of() -> None:
    telemetry = Telemetry()
    telemetry.bind("north", up=True)
    telemetry.window("north", 10, 3)
    telemetry.lane("north", 0, 1.0, 5)
    telemetry.begin_anew()
    assert "north" not in telemetry.exposition().decode()
