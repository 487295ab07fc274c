"""promtool reads the alert rules and the dashboard: they ask for what there is, and fire."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from arrivals.outcome.episodes import TroubleKind
from arrivals.telemetry import Telemetry
from scripts.write_dashboard import DASHBOARD, dashboard, text
from tests.tidy_checks import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # fetching promtool may take minutes

RULES = ROOT / "deploy" / "prometheus" / "arrivals.rules.yml"
TESTS = RULES.with_name("arrivals.rules.test.yml")
FILLED_IN = {"$provider": ".*", "$__rate_interval": "5m"}  # by Grafana


def run(promtool: str, *words: str) -> str:
    done = subprocess.run(
        [promtool, *words], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def alerts() -> list[tuple[str, str]]:
    """Return each alert's name with its rule's text."""
    parts = re.split(r"^ +- alert: (\w+)$", RULES.read_text("utf-8"), flags=re.MULTILINE)
    return list(zip(parts[1::2], parts[2::2], strict=True))


def queries() -> Iterator[str]:
    """Yield what the dashboard asks."""
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            query = target["expr"]
            for name, value in FILLED_IN.items():
                query = query.replace(name, value)
            yield query


def test_the_rules_fire_when_they_should(promtool: str) -> None:
    assert "SUCCESS" in run(promtool, "check", "rules", str(RULES))
    assert "SUCCESS" in run(promtool, "test", "rules", str(TESTS))


def test_every_alert_is_tried() -> None:
    """None was written without being seen to fire."""
    tried = TESTS.read_text("utf-8")
    assert [name for name, _ in alerts() if name not in tried] == []
    assert len(alerts()) > 10


def test_a_rule_that_never_fires_is_seen(promtool: str, tmp_path: Path) -> None:
    shutil.copy(TESTS, tmp_path)
    broken = RULES.read_text("utf-8").replace("arrivals_alarms) > 0", "arrivals_alarms) > 1")
    (tmp_path / RULES.name).write_text(broken, "utf-8")
    with pytest.raises(AssertionError, match="FAILED"):
        run(promtool, "test", "rules", str(tmp_path / TESTS.name))


def test_the_dashboard_is_the_written_one() -> None:
    assert DASHBOARD.read_text("utf-8") == text(), "run: python scripts/write_dashboard.py"
    places = [panel["gridPos"] for panel in json.loads(text())["panels"]]
    assert len({(place["x"], place["y"]) for place in places}) == len(places)


def test_prometheus_understands_what_the_dashboard_asks(promtool: str, tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:query{number}", "expr": query}
        for number, query in enumerate(queries())
    ]
    path = tmp_path / "queries.yml"
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}), "utf-8")
    assert f"{len(rules)} rules found" in run(promtool, "check", "rules", str(path))


def labels() -> dict[str, set[str]]:
    """Return the labels of each of our series, under the names that Prometheus shows."""
    telemetry = Telemetry()
    known = {
        each.describe()[0].name: set(each._labelnames)
        for each in vars(telemetry).values()
        if hasattr(each, "_labelnames")
    }
    found: dict[str, set[str]] = {}
    for family in telemetry.registry.collect():
        names = known.get(family.name, set(getattr(family, "_labelnames", ())))
        endings = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}
        for ending in endings.get(family.type, [""]):
            found[family.name + ending] = names | ({"le"} if ending == "_bucket" else set())
    return found


def test_every_series_that_is_asked_for_is_there_with_its_labels() -> None:
    """In the rules, their tests and the dashboard."""
    known = labels()
    texts = [RULES.read_text("utf-8"), TESTS.read_text("utf-8"), "\n".join(queries())]
    asked = [
        (name, chosen or "")
        for each in texts
        for name, chosen in re.findall(r"\b(arrivals_\w+)(?:\{([^}]*)\})?", each)
    ]
    assert len(asked) > 50
    for name, chosen in asked:
        assert name in known, name
        names = set(re.findall(r"(\w+) *(?:=~|!~|!=|=) *\"", chosen)) - {"instance"}
        assert names <= known[name], (name, names)
    for grouping, name in re.findall(
        r"by \(([\w, ]+)\) \(\w*\(?(arrivals_\w+)", "\n".join(texts)
    ):
        assert set(grouping.split(", ")) - {"instance"} <= known[name], (grouping, name)


def test_the_kinds_of_alarms_that_are_tried_exist() -> None:
    tried = set(re.findall(r'kind="(\w+)"', TESTS.read_text("utf-8")))
    assert tried <= {str(kind) for kind in TroubleKind}
    assert tried


def test_every_alert_leads_to_a_page() -> None:
    for name, rule in alerts():
        [target] = re.findall(r"runbook: (\S+)$", rule, re.MULTILINE)
        file, _, anchor = target.partition("#")
        headings = re.findall(r"^#+ (.+)$", (ROOT / file).read_text("utf-8"), re.MULTILINE)
        slugs = {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}
        assert not anchor or anchor in slugs, f"{name} leads to {target}"
