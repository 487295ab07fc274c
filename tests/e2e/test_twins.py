"""The same request twice, two fates: compared as people do, on a real installation."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_dev import ask, started
from tests.cli.typed import type_in

pytestmark = pytest.mark.slow

PAIRS = 30
WAIT_S = 20.0
DEV = (
    "dev", "--port", 0, "--smpp-port", 0, "--scenario", "twin-requests", "--speed", 100,
    "--valid-for", 3, "--outcome-grace", 2,
)  # fmt: skip


def twins(facts: Any) -> list[tuple[str, str]]:
    """Send pairs of messages that are alike in all that is asked; return their ids."""
    pairs = []
    for n in range(PAIRS):
        number = f"316123456{n:02d}"
        body = {
            "route_id": 3,
            "caller_id": "ARRIVALS",
            "numbers": [number, number],
            "message": f"Your table for {n + 1} is ready",
        }
        answer = ask(facts, "main", "POST", "/api/v1/send_sms", json=body).json()
        one, other = (each["bx_message_id"] for each in answer["messages"])
        pairs.append((one, other))
    return pairs


def ends(facts: Any, ids: list[str]) -> dict[str, str]:
    """Return how every message ended, once they all have."""
    until = time.monotonic() + WAIT_S
    while True:
        path = "/api/v1/messages?limit=200"
        lines = ask(facts, "main", "GET", path).json()["messages"]
        found = {each["bx_message_id"]: each["layers"]["outcome"] for each in lines}
        if "pending" not in found.values():
            return {each: found[each] for each in ids}
        assert time.monotonic() < until, found
        time.sleep(0.2)


def test_twins_that_end_differently_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with started(*DEV, folder=tmp_path) as (_, facts):
        pairs = twins(facts)
        found = ends(facts, [each for pair in pairs for each in pair])
        unlike = [(a, b) for a, b in pairs if found[a] == "delivered" != found[b]]
        assert unlike, "in this world every fourth message doesn't arrive"
        a, b = unlike[0]
        monkeypatch.chdir(tmp_path)
        told = type_in("compare", a, b, "--json").json
        text = type_in("compare", a, b)
        cohort = type_in("explain", a, "--cohort", "--json").json["cohort"]

    assert (told["a"]["state"], told["b"]["state"]) == ("delivered", found[b])
    assert told["same_request"] is True
    stretches = told["latency"]["stretches"]
    whole = round(told["latency"]["difference_ms"] * 1_000)
    assert whole == sum(round(each["difference_ms"] * 1_000) for each in stretches)
    outcome = told["outcome"]
    assert outcome["difference"] == -1.0
    assert sum(outcome["goes_with"].values()) + outcome["unexplained"] == pytest.approx(
        -1, abs=1e-3
    )
    # One request, one provider or a good one each: what parts them, nobody saw.
    assert outcome["unexplained"] < -0.7
    assert text.code == 0
    assert text.out.splitlines()[0] == f"A  {a}  delivered"
    assert "go with nothing that we saw: the carrier, the handset, or chance." in text.out

    assert sum(cohort["verdicts"].values()) == cohort["messages"] == 2 * PAIRS
    assert 0.1 < cohort["determinism"] < 0.9
