"""Write the Grafana dashboard of deploy/: one look at which provider ails, and how.

A panel is a line here: its title, its queries with their legends, its unit, its width.

Usage: python scripts/write_dashboard.py
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[1]
DASHBOARD: Final = ROOT / "deploy" / "grafana" / "arrivals.json"

WIDTH: Final = 24  # of Grafana's grid
HEIGHT: Final = 8
SOURCE: Final = {"type": "prometheus", "uid": "${source}"}
OF: Final = 'provider=~"$provider"'
# Alarms of nobody's have no provider, and are always shown.
OF_REQUESTS: Final = "rate(arrivals_http_request_seconds_bucket[$__rate_interval])"
OF_ANY: Final = 'provider=~"$provider|"'


class Panel(NamedTuple):
    """One panel: what it shows, by which queries with which legends."""

    title: str
    queries: tuple[tuple[str, str], ...]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    red_from: float | None = None  # values that should never be


def rate(metric: str, by: str) -> str:
    """Return how many a second there are of a counter, by its labels."""
    return f"sum by ({by}) (rate({metric}{{{OF}}}[$__rate_interval]))"


def quantile(share: float, metric: str) -> str:
    """Return a quantile of a histogram by provider."""
    buckets = f"rate({metric}_bucket{{{OF}}}[$__rate_interval])"
    return f"histogram_quantile({share}, sum by (provider, le) ({buckets}))"


def both(metric: str) -> tuple[tuple[str, str], ...]:
    """Return the middle and the slow end of a histogram."""
    return (
        (quantile(0.5, metric), "{{provider}} p50"),
        (quantile(0.95, metric), "{{provider}} p95"),
    )


ROWS: Final[dict[str, tuple[Panel, ...]]] = {
    "One look": (
        Panel(
            "Alarms that stand",
            (
                (
                    f"max by (kind, provider) (arrivals_alarms{{{OF_ANY}}})",
                    "{{provider}} {{kind}}",
                ),
            ),
            kind="stat",
            width=12,
            red_from=1,
        ),
        Panel(
            "Bound",
            ((f"max by (provider) (arrivals_bind_up{{{OF}}})", "{{provider}}"),),
            kind="stat",
            width=4,
        ),
        Panel(
            "Broken",
            ((f"max by (provider) (arrivals_provider_broken{{{OF}}})", "{{provider}}"),),
            kind="stat",
            width=4,
            red_from=1,
        ),
        Panel(
            "Paused or draining",
            (
                (
                    "max by (what, name, flow) (arrivals_paused)",
                    "{{what}} {{name}} {{flow}}",
                ),
            ),
            kind="stat",
            width=4,
        ),
    ),
    "Traffic by provider": (
        Panel(
            "Handed over",
            ((rate("arrivals_handoffs_total", "provider"), "{{provider}}"),),
            "cps",
        ),
        Panel(
            "What became of hand-offs",
            (
                (
                    rate("arrivals_handoff_answers_total", "provider, result"),
                    "{{provider}} {{result}}",
                ),
                (rate("arrivals_late_answers_total", "provider"), "{{provider}} late"),
            ),
            "cps",
        ),
        Panel(
            "Refusals, by whose fault and why",
            (
                (
                    rate("arrivals_refusals_total", "provider, fault, reason"),
                    "{{provider}} {{fault}}: {{reason}}",
                ),
            ),
            "cps",
        ),
        Panel(
            "Outcomes",
            ((rate("arrivals_outcomes_total", "provider, state"), "{{provider}} {{state}}"),),
            "cps",
        ),
        Panel(
            "Receipts",
            ((rate("arrivals_receipts_total", "provider, word"), "{{provider}} {{word}}"),),
            "cps",
        ),
        Panel(
            "What came in and came to nothing",
            (
                (
                    rate("arrivals_inbound_ignored_total", "provider, fate"),
                    "{{provider}} {{fate}}",
                ),
                (rate("arrivals_inbound_replies_total", "provider"), "{{provider}} replies"),
            ),
            "cps",
        ),
    ),
    "Is it slow": (
        Panel("Time to an answer", both("arrivals_submit_seconds"), "s"),
        Panel("Time to the receipt", both("arrivals_receipt_seconds"), "s"),
        Panel(
            "Window used",
            (
                (f"max by (provider) (arrivals_bind_window_used{{{OF}}})", "{{provider}}"),
                (f"max by (provider) (arrivals_bind_window{{{OF}}})", "{{provider}} at most"),
            ),
        ),
        Panel(
            "Throttled",
            (
                (
                    rate("arrivals_provider_throttled_total", "provider, scope"),
                    "{{provider}} {{scope}}",
                ),
            ),
            "cps",
        ),
        Panel(
            "Held back by throttling",
            ((f"max by (provider) (arrivals_provider_held_seconds{{{OF}}})", "{{provider}}"),),
            "s",
        ),
        Panel(
            "First in the lane waits",
            (
                (
                    f"max by (provider, lane) (arrivals_queue_oldest_age_seconds{{{OF}}})",
                    "{{provider}} {{lane}}",
                ),
            ),
            "s",
        ),
        Panel(
            "Queue",
            (
                (
                    f"max by (provider, lane) (arrivals_queue_messages{{{OF}}})",
                    "{{provider}} {{lane}}",
                ),
            ),
        ),
        Panel(
            "Open messages",
            (("max by (state) (arrivals_messages_open)", "{{state}}"),),
            width=8,
        ),
        Panel("Parked receipts", (("max(arrivals_parked_receipts)", "parked"),)),
    ),
    "Ourselves": (
        Panel(
            "Requests",
            (
                (
                    "sum by (status) (rate(arrivals_http_requests_total[$__rate_interval]))",
                    "{{status}}",
                ),
            ),
            "reqps",
        ),
        Panel(
            "Time to answer a request, p95",
            (
                (
                    f"histogram_quantile(0.95, sum by (path, le) ({OF_REQUESTS}))",
                    "{{path}}",
                ),
            ),
            "s",
        ),
        Panel(
            "Broken invariants",
            (
                (
                    "max by (invariant) (arrivals_invariant_violations)",
                    "invariant {{invariant}}",
                ),
            ),
            kind="stat",
            red_from=1,
        ),
        Panel(
            "Commits",
            (
                ("sum(rate(arrivals_commits_total[$__rate_interval]))", "transactions"),
                ("sum(rate(arrivals_commit_items_total[$__rate_interval]))", "items in them"),
            ),
            "cps",
        ),
        Panel(
            "Past their outcome deadline",
            (("max(arrivals_outcome_overdue)", "messages"),),
            kind="stat",
            red_from=1,
        ),
        Panel(
            "Since the last check",
            (("time() - max(arrivals_verify_last_run_timestamp_seconds)", "age"),),
            "s",
            kind="stat",
        ),
    ),
}


def dashboard() -> dict[str, Any]:
    """Return the dashboard as Grafana imports it."""
    return {
        "uid": "arrivals",
        "title": "Arrivals",
        "tags": ["sms"],
        "schemaVersion": 38,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {
            "list": [
                {
                    "name": "source",
                    "label": "Source",
                    "type": "datasource",
                    "query": "prometheus",
                },
                {
                    "name": "provider",
                    "label": "Provider",
                    "type": "query",
                    "datasource": SOURCE,
                    "query": {
                        "query": "label_values(arrivals_bind_up, provider)",
                        "refId": "p",
                    },
                    "refresh": 2,
                    "multi": True,
                    "includeAll": True,
                    "allValue": ".*",
                    "current": {"text": "All", "value": "$__all"},
                },
            ]
        },
        "panels": list(_panels()),
    }


def _panels() -> Iterator[dict[str, Any]]:
    number = top = 0
    for title, panels in ROWS.items():
        number += 1
        place = {"x": 0, "y": top, "w": WIDTH, "h": 1}
        yield {"id": number, "type": "row", "title": title, "gridPos": place, "panels": []}
        top, left = top + 1, 0
        for panel in panels:
            if left + panel.width > WIDTH:
                top, left = top + HEIGHT, 0
            number += 1
            place = {"x": left, "y": top, "w": panel.width, "h": HEIGHT}
            yield _drawn(number, panel, place)
            left += panel.width
        top += HEIGHT


def _drawn(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.red_from is not None:
        steps.append({"color": "red", "value": panel.red_from})
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                "min": 0,
                "thresholds": {"mode": "absolute", "steps": steps},
            },
            "overrides": [],
        },
        "options": {"textMode": "value_and_name"} if panel.kind == "stat" else {},
        "targets": [
            {"refId": chr(ord("A") + at), "expr": query, "legendFormat": legend}
            for at, (query, legend) in enumerate(panel.queries)
        ],
    }


def text() -> str:
    """Return the file's text."""
    return json.dumps(dashboard(), indent=1) + "\n"


def main() -> None:
    """Write the file."""
    DASHBOARD.write_text(text(), "utf-8")
    print(f"{DASHBOARD.relative_to(ROOT)}: written")


if __name__ == "__main__":
    main()
