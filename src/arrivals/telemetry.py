"""Say what a process does, in numbers and in lines: its metrics and its log.

Labels are bounded: routes, providers, lanes, states and path templates, never a number, an
account or an id. Log lines are JSON, one an event, with nothing in them that could be a
phone number, a code, a key or a control character (invariant 44).
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import IO, Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from arrivals import __version__

# --- numbers --------------------------------------------------------------------------

LANE_NAMES: Final = ("otp", "alert", "bulk")

# From a page out of memory to a request that waited as long as it may.
_SECONDS: Final = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0,
)  # fmt: skip


class Telemetry:
    """The metrics of one process, in a registry of its own."""

    content_type: Final = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        build = self._gauge("build_info", "The version that runs; always 1", "version")
        build.labels(__version__).set(1)
        self._open = self._gauge(
            "messages_open", "Messages without a final outcome, counted up to 100,000", "state"
        )
        self._ready = self._gauge("queue_ready", "Messages that could be handed off right now")
        self._oldest = self._gauge(
            "queue_oldest_age_seconds",
            "How long a lane's first message has been ready; 0 if nothing there may go",
            "provider",
            "lane",
        )
        self._ambiguous = self._gauge(
            "ambiguous_attempts", "Hand-offs that nobody answered and no receipt explained yet"
        )
        self._overdue = self._gauge(
            "outcome_overdue", "Open messages past their outcome deadline; must be 0"
        )
        self._parked = self._gauge("parked_receipts", "Receipts that match no message so far")
        self._parked_age = self._gauge(
            "parked_receipts_oldest_age_seconds", "Age of the oldest parked receipt"
        )
        self._replies = self._counter(
            "replies",
            "Messages from handsets: the first answer to one of ours (confirmed), a further one"
            " (repeated), or nobody's that can be told (unmatched)",
            "result",
        )
        self._ignored = self._counter(
            "inbound_ignored",
            "What a provider sent and nobody acts on, by why: unmarked (written like a receipt"
            " and not marked as one), unreadable, alert, unasked, unknown_command, wrong_state,"
            " malformed, stream_lost",
            "provider",
            "fate",
        )
        self._bind_up = self._gauge(
            "bind_up", "1 while a provider's connection takes messages", "provider"
        )
        self._tell_of_providers()
        self._alarms = self._gauge(
            "alarms", "What waits or has been away for too long; /readyz names each"
        )
        self._tell_of_the_checks()
        self._commits = self._counter("commits", "Transactions committed and synced")
        self._items = self._counter("commit_items", "Requests, answers and receipts committed")
        self._requests = self._counter(
            "http_requests", "Requests answered", "method", "path", "status"
        )
        self._seconds = Histogram(
            "arrivals_http_request_seconds",
            "Time to answer, without requests that asked to wait",
            ("path",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        # Finding a label's child takes longer than counting; paths and statuses are few.
        self._counters: dict[tuple[str, str, int], Counter] = {}
        self._histograms: dict[str, Histogram] = {}
        self._committed = (0, 0)
        self._replied: dict[str, int] = {}
        self._throttled: dict[tuple[str, str], int] = {}
        self._was_ignored: dict[tuple[str, str], int] = {}

    def _tell_of_providers(self) -> None:
        self._throttles = self._counter(
            "provider_throttled",
            "Answers of a provider that say: not so fast; of one message's destination"
            " (message), or of all that goes there (bind)",
            "provider",
            "scope",
        )
        self._held = self._gauge(
            "provider_held_seconds",
            "For how long a provider's throttling has held back what could have gone out; 0 if"
            " it doesn't",
            "provider",
        )
        self._broken = self._gauge(
            "provider_broken",
            "1 while a provider takes messages and never answers, and is tried one at a time",
            "provider",
        )

    def _tell_of_the_checks(self) -> None:
        self._violations = self._gauge(
            "invariant_violations",
            "How often an invariant is broken, as the last run of the checks found; must be 0",
            "invariant",
        )
        self._verified_at = self._gauge(
            "verify_last_run_timestamp_seconds", "When the checks were last run; 0: never"
        )
        self._verified_whole_at = self._gauge(
            "verify_last_full_run_timestamp_seconds",
            "When everything was last checked, and not only what had changed; 0: never",
        )
        self._verify_seconds = self._gauge(
            "verify_last_run_duration_seconds", "How long the last run of the checks took"
        )
        self._verify_runs = self._counter(
            "verify_runs", "Runs of the checks, by all processes of the installation"
        )
        self._ran = 0

    def answered(self, method: str, path: str, status: int, latency_us: int | None) -> None:
        """Count a request; `path` is its template; `latency_us` None if it waited."""
        counter = self._counters.get((method, path, status))
        if counter is None:
            counter = self._requests.labels(method, path, str(status))
            self._counters[method, path, status] = counter
        counter.inc()
        if latency_us is not None:
            histogram = self._histograms.get(path)
            if histogram is None:
                histogram = self._histograms[path] = self._seconds.labels(path)
            histogram.observe(latency_us / 1e6)

    def committed(self, commits: int, items: int) -> None:
        """Take over the store's own running totals."""
        before = self._committed
        self._commits.inc(max(0, commits - before[0]))
        self._items.inc(max(0, items - before[1]))
        self._committed = (commits, items)

    def open_messages(self, by_state: Mapping[str, int], ready: int, overdue: int) -> None:
        """Take over how many messages are open."""
        self._open.clear()
        for state, count in by_state.items():
            self._open.labels(state).set(count)
        self._ambiguous.set(by_state.get("ambiguous", 0))
        self._ready.set(ready)
        self._overdue.set(overdue)

    def parked(self, count: int, oldest_age_s: float) -> None:
        """Take over how many receipts are parked, and since when."""
        self._parked.set(count)
        self._parked_age.set(oldest_age_s)

    def replies(self, totals: Mapping[str, int]) -> None:
        """Take over the running totals of replies by what became of them."""
        for result, total in totals.items():
            self._replies.labels(result).inc(max(0, total - self._replied.get(result, 0)))
        self._replied = dict(totals)

    def ignored(self, totals: Mapping[tuple[str, str], int]) -> None:
        """Take over the running totals of what came to nothing, by provider and fate."""
        for (provider, fate), total in totals.items():
            before = self._was_ignored.get((provider, fate), 0)
            self._ignored.labels(provider, fate).inc(max(0, total - before))
        self._was_ignored = dict(totals)

    def lane_age(self, provider: str, lane: int, age_s: float) -> None:
        """Take over how long the first message of a lane has waited."""
        self._oldest.labels(provider, LANE_NAMES[lane]).set(age_s)

    def bind(self, provider: str, *, up: bool) -> None:
        """Take over whether a provider's connection takes messages."""
        self._bind_up.labels(provider).set(1 if up else 0)

    def condition(self, provider: str, *, broken: bool, held_s: float) -> None:
        """Take over how a provider is."""
        self._broken.labels(provider).set(1 if broken else 0)
        self._held.labels(provider).set(held_s)

    def throttles(self, totals: Mapping[tuple[str, str], int]) -> None:
        """Take over the running totals of throttled answers by provider and scope."""
        for place, total in totals.items():
            self._throttles.labels(*place).inc(max(0, total - self._throttled.get(place, 0)))
        self._throttled = dict(totals)

    def alarms(self, count: int) -> None:
        """Take over how many alarms are raised."""
        self._alarms.set(count)

    def verified(
        self, found: Mapping[int, int], runs: int, at_s: float, full_at_s: float, took_s: float
    ) -> None:
        """Take over what the newest run of the checks found, by invariant."""
        self._violations.clear()
        for invariant, count in found.items():
            self._violations.labels(str(invariant)).set(count)
        self._verified_at.set(at_s)
        self._verified_whole_at.set(full_at_s)
        self._verify_seconds.set(took_s)
        self._verify_runs.inc(max(0, runs - self._ran))
        self._ran = runs

    def exposition(self) -> bytes:
        """Return all metrics as Prometheus reads them."""
        return generate_latest(self.registry)

    def _gauge(self, name: str, about: str, *labels: str) -> Gauge:
        return Gauge(f"arrivals_{name}", about, labels, registry=self.registry)

    def _counter(self, name: str, about: str, *labels: str) -> Counter:
        return Counter(f"arrivals_{name}", about, labels, registry=self.registry)


# --- lines ----------------------------------------------------------------------------

LINE_OCTETS_MAX: Final = 8 * 1024
_SHORTENED: Final = " … (shortened)"
_FRAMES_MAX: Final = 20

_DIGITS: Final = re.compile(r"\d{4,}")
_API_KEY: Final = re.compile(r"arr_(live|test)_\w+")


def masked(text: str) -> str:
    """Hide what could be a number, a code or a key."""
    return _DIGITS.sub("####", _API_KEY.sub(r"arr_\1_…", text))


class JsonLines(logging.Formatter):
    """Write each record as one line of ASCII JSON, at most 8 KiB long."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {
            "at": at.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": masked(record.getMessage()),
        }
        if record.exc_info and record.exc_info[0] is not None:
            # The kind and the places, never an exception's words: they may quote a text.
            line["error"] = record.exc_info[0].__name__
            line["where"] = _where(record)
        text = _dumps(line)
        if len(text) > LINE_OCTETS_MAX:
            surplus = len(text) - LINE_OCTETS_MAX
            room = _escaped_octets(line["message"]) - surplus - _escaped_octets(_SHORTENED)
            line["message"] = _first_octets(line["message"], room) + _SHORTENED
            text = _dumps(line)
        return text


def _dumps(line: Mapping[str, str]) -> str:
    # ASCII: control characters, bidirectional marks and line breaks come out as escapes.
    return json.dumps(line, ensure_ascii=True, separators=(",", ":"))


def _escaped_octets(text: str) -> int:
    return len(json.dumps(text)) - len('""')


def _first_octets(text: str, octets: int) -> str:
    """Return as much of a text's beginning as takes so many octets once it is escaped."""
    used = 0
    for at, character in enumerate(text):
        used += _escaped_octets(character)
        if used > octets:
            return text[:at]
    return text


def _where(record: logging.LogRecord) -> str:
    places: list[str] = []
    step = record.exc_info[2] if record.exc_info else None
    while step is not None:
        code = step.tb_frame.f_code
        places.append(f"{code.co_filename.rpartition('/')[2]}:{step.tb_lineno} {code.co_name}")
        step = step.tb_next
    return " < ".join(reversed(places[-_FRAMES_MAX:]))


class PlainLines(logging.Formatter):
    """Write records for a terminal, masked like the others."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Return the line before any traceback."""
        record.message = masked(record.getMessage()).replace("\n", "\\n").replace("\r", "\\r")
        return super().formatMessage(record)


def configure_logging(stream: IO[str], *, as_json: bool, level: int = logging.INFO) -> None:
    """Send this process's log to a stream, in place of whatever was set up before."""
    output = logging.StreamHandler(stream)
    output.setFormatter(JsonLines() if as_json else PlainLines())
    root = logging.getLogger()
    root.handlers[:] = [output]
    root.setLevel(level)
    # It tells at its start and its end what the commands tell already.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    # Its lines hold whole addresses with their queries; the request log holds templates.
    logging.getLogger("uvicorn.access").disabled = True
