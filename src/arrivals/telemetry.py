"""Say what a process does, in numbers and in lines: its metrics and its log.

Labels are bounded: routes, providers, lanes, states and path templates, never a number, an
account or an id. Log lines are JSON, one an event, with nothing in them that could be a
phone number, a code, a key or a control character (invariant 44).
"""

from __future__ import annotations

import json
import logging
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import IO, Any, Final, NamedTuple

from prometheus_client import (
    CollectorRegistry,
    Gauge,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric

from arrivals import __version__
from arrivals.core.buckets import Buckets

# --- numbers --------------------------------------------------------------------------

LANE_NAMES: Final = ("otp", "alert", "bulk")

# From a page out of memory to a request that waited as long as it may.
_SECONDS: Final = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0,
)  # fmt: skip


class Total(NamedTuple):
    """What a running total counts, and by what."""

    about: str
    labels: tuple[str, ...] = ()


# Running totals that others keep; each is told as it stands, and never goes back.
TOTALS: Final[dict[str, Total]] = {
    "http_requests": Total("Requests answered", ("method", "path", "status")),
    "commits": Total("Transactions committed and synced"),
    "commit_items": Total("Requests, answers and receipts committed"),
    "verify_runs": Total("Runs of the checks, by all processes of the installation"),
    "replies": Total(
        "Messages from handsets: the first answer to one of ours (confirmed), a further one"
        " (repeated), or nobody's that can be told (unmatched)",
        ("result",),
    ),
    "handoffs": Total("Messages handed to a provider's connection", ("provider",)),
    "handoff_answers": Total(
        "What became of hand-offs, each once: taken, throttled, refused, unanswered, not_bound"
        " (it says that we aren't bound), or not_sent (nothing of it left)",
        ("provider", "result"),
    ),
    "late_answers": Total("Answers to hand-offs that had been given up", ("provider",)),
    "refusals": Total(
        "Hand-offs that a provider refused, by whose fault it is and our reason for its code",
        ("provider", "fault", "reason"),
    ),
    "provider_throttled": Total(
        "Answers of a provider that say: not so fast; of one message's destination"
        " (message), or of all that goes there (bind)",
        ("provider", "scope"),
    ),
    "outcomes": Total(
        "Messages that ended, by the provider that had them last; one whose end is revised"
        " counts in both",
        ("provider", "state"),
    ),
    "receipts": Total("Receipts that a provider sent, by their word", ("provider", "word")),
    "inbound_replies": Total("Messages from handsets that a provider sent", ("provider",)),
    "inbound_ignored": Total(
        "What a provider sent and nobody acts on, by why: unmarked (written like a receipt"
        " and not marked as one), unreadable, alert, unasked, unknown_command, wrong_state,"
        " malformed, stream_lost",
        ("provider", "fate"),
    ),
}
# Durations that others count, by one label.
TIMES: Final[dict[str, Total]] = {
    "submit_seconds": Total(
        "Time from a submit_sm to the answer that takes it; of a message of several parts the"
        " slowest one's",
        ("provider",),
    ),
    "receipt_seconds": Total(
        "Time from a hand-off, or its last news, to the receipt that ends it", ("provider",)
    ),
    "http_request_seconds": Total(
        "Time to answer, without requests that asked to wait", ("path",)
    ),
}
Label = str | tuple[str, ...]


class _Running:
    """The totals as Prometheus reads them."""

    def __init__(self) -> None:
        none: Mapping[Label, float] = {}
        self.totals = dict.fromkeys(TOTALS, none)
        for name in ("commits", "commit_items", "verify_runs"):
            self.totals[name] = {(): 0.0}
        self.times: dict[str, Mapping[str, Buckets]] = {name: {} for name in TIMES}

    def collect(self) -> Iterator[Metric]:
        for name, (about, labels) in TOTALS.items():
            counter = CounterMetricFamily(f"arrivals_{name}", about, labels=labels)
            for key, total in sorted(self.totals[name].items()):
                counter.add_metric([key] if isinstance(key, str) else list(key), total)
            yield counter
        for name, (about, labels) in TIMES.items():
            histogram = HistogramMetricFamily(f"arrivals_{name}", about, labels=labels)
            for label, times in sorted(self.times[name].items()):
                histogram.add_metric([label], times.cumulative(), times.total)
            yield histogram


class Telemetry:
    """The metrics of one process, in a registry of its own."""

    content_type: Final = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        # When each series began is of no use to anybody here, and doubles them.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._running = _Running()
        self.registry.register(self._running)
        build = self._gauge("build_info", "The version that runs; always 1", "version")
        build.labels(__version__).set(1)
        self._store = self._gauge("store_up", "1 if the database answered this very question")
        self._open = self._gauge(
            "messages_open", "Messages without a final outcome, counted up to 100,000", "state"
        )
        self._tell_of_queues()
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
        self._tell_of_providers()
        self._alarms = self._gauge(
            "alarms",
            "Alarms that stand, by kind and provider (none: of several, or of nobody); GET"
            " /api/v1/alarms and /readyz have each in words",
            "kind",
            "provider",
        )
        self._tell_of_the_checks()
        self._requests: defaultdict[tuple[str, str, int], int] = defaultdict(int)
        self._seconds: defaultdict[str, Buckets] = defaultdict(lambda: Buckets(_SECONDS))
        self.take_times("http_request_seconds", self._seconds)

    def _tell_of_queues(self) -> None:
        self._ready = self._gauge("queue_ready", "Messages that could be handed off right now")
        self._waiting = self._gauge(
            "queue_messages",
            "Messages that wait in a lane and could go, counted up to 10,000",
            "provider",
            "lane",
        )
        self._oldest = self._gauge(
            "queue_oldest_age_seconds",
            "How long a lane's first message has been ready; 0 if nothing there may go",
            "provider",
            "lane",
        )

    def _tell_of_providers(self) -> None:
        self._bind_up = self._gauge(
            "bind_up", "1 while a provider's connection takes messages", "provider"
        )
        self._window = self._gauge(
            "bind_window",
            "Unanswered PDUs that a provider may have, over its binds",
            "provider",
        )
        self._window_used = self._gauge(
            "bind_window_used", "Unanswered PDUs that it has", "provider"
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
        self._paused = self._gauge(
            "paused",
            "1 while a provider or a route is paused or draining; of accounts how many are",
            "what",
            "name",
            "flow",
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

    def answered(self, method: str, path: str, status: int, latency_us: int | None) -> None:
        """Count a request; `path` is its template; `latency_us` None if it waited."""
        self._requests[method, path, status] += 1
        if latency_us is not None:
            self._seconds[path].add(latency_us / 1e6)

    def begin_anew(self) -> None:
        """Forget how providers were: one that is gone, or somebody else's, isn't told of."""
        for each in (self._waiting, self._oldest, self._bind_up, self._window):
            each.clear()
        for each in (self._window_used, self._held, self._broken):
            each.clear()

    def take_over(self, name: str, totals: Mapping[Any, float]) -> None:
        """Tell running totals from now on; keys are labels, one or several as TOTALS says."""
        self._running.totals[name] = totals

    def take_times(self, name: str, times: Mapping[str, Buckets]) -> None:
        """Tell durations by their label from now on."""
        self._running.times[name] = times

    def committed(self, commits: int, items: int) -> None:
        """Take over the store's own running totals."""
        self.take_over("commits", {(): commits})
        self.take_over("commit_items", {(): items})

    def store(self, *, up: bool) -> None:
        """Take over whether the database answers."""
        self._store.set(1 if up else 0)

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

    def lane(self, provider: str, lane: int, age_s: float, waiting: int) -> None:
        """Take over how long the first message of a lane has waited, and how many do."""
        self._oldest.labels(provider, LANE_NAMES[lane]).set(age_s)
        self._waiting.labels(provider, LANE_NAMES[lane]).set(waiting)

    def bind(self, provider: str, *, up: bool) -> None:
        """Take over whether a provider's connection takes messages."""
        self._bind_up.labels(provider).set(1 if up else 0)

    def window(self, provider: str, size: int, used: int) -> None:
        """Take over how much of a provider's window is used."""
        self._window.labels(provider).set(size)
        self._window_used.labels(provider).set(used)

    def condition(self, provider: str, *, broken: bool, held_s: float) -> None:
        """Take over how a provider is."""
        self._broken.labels(provider).set(1 if broken else 0)
        self._held.labels(provider).set(held_s)

    def paused(self, found: Mapping[tuple[str, str, str], int]) -> None:
        """Take over what is paused or draining: by what it is, its name, and which of both."""
        self._paused.clear()
        for labels, count in found.items():
            self._paused.labels(*labels).set(count)

    def alarms(self, standing: Mapping[tuple[str, str], int]) -> None:
        """Take over how many alarms stand, by kind and provider."""
        self._alarms.clear()
        for labels, count in standing.items():
            self._alarms.labels(*labels).set(count)

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
        self.take_over("verify_runs", {(): runs})

    def exposition(self) -> bytes:
        """Return all metrics as Prometheus reads them."""
        self.take_over(
            "http_requests",
            {(*at, str(status)): count for (*at, status), count in self._requests.items()},
        )
        return generate_latest(self.registry)

    def _gauge(self, name: str, about: str, *labels: str) -> Gauge:
        return Gauge(f"arrivals_{name}", about, labels, registry=self.registry)


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
