"""A night in which one provider ails in one way: what operators see of it, and of its end.

The whole platform against the built-in carrier world on a virtual clock, each time-out as it is
in life. The same trouble must stand in GET /api/v1/alarms, in /readyz and in /metrics, name the
provider and no other, and be over when it is over.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from arrivals.flows.configuration import Configuration
from arrivals.http.operations import OperationsApp
from arrivals.outcome.episodes import TroubleKind
from arrivals.sim import stage
from arrivals.sim.loop import VirtualLoop
from arrivals.sim.stage import Stage
from arrivals.telemetry import Telemetry
from arrivals.world.scenario import parse_scenario

pytestmark = pytest.mark.slow

EVERY_S = 10.0
FROM_S, UNTIL_S, SEEN_S = 300, 1_300, 2_200
NIGHT = f"""
name = "night"
about = "One provider ails for a while; another is fine."

[[traffic]]
name = "alerts"
text = "Alarm {{n}}: door open"
count = COUNT
over_s = 2000

[[timeline]]
about = "It ails."
from_s = {FROM_S}
until_s = {UNTIL_S}
providers.north = {{ AILS }}

[providers.default]
window = 50
answer = {{ median_s = 0.04, sigma = 0.5 }}
queue = {{ median_s = 0.6, sigma = 0.8 }}
receipts = {{ delay = {{ median_s = 0.8, sigma = 1.0 }}, window = 50 }}

[providers.north]
id_form = "decimal"

[providers.south]
id_form = "decimal"

[[carriers]]
name = "meridian"
radio = {{ median_s = 2.5, sigma = 0.7 }}

[expect.alerts]
truth = {{ reached = 1.0 }}
reported = {{ delivered = 1.0 }}
"""
AILS = {
    TroubleKind.PROVIDER_AWAY: "up = false",
    TroubleKind.PROVIDER_BROKEN: "lost_answers = 1.0",
    TroubleKind.PROVIDER_SLOWING: 'rate = { per_s = 0.1, over = "throttle" }',
    TroubleKind.MESSAGES_REFUSED: "errors = 1.0",
    TroubleKind.FORM_REFUSED: 'dialect = { validity = ["none"] }',
    TroubleKind.RECEIPTS_STOPPED: "receipts = { coverage = 0.0 }",
}


class Night(Stage):
    """A stage with an operator who looks every ten seconds."""

    seen: list[tuple[float, dict[str, Any], dict[str, Any], str]]

    def _configuration(self) -> Configuration:
        made = super()._configuration()
        accounts = tuple(
            dataclasses.replace(each, operator=each.name == "main") for each in made.accounts
        )
        return dataclasses.replace(made, accounts=accounts)

    async def watch(self) -> None:
        """Play the traffic, and some minutes beyond it, under an operator's eyes."""
        self.seen = []
        playing = asyncio.create_task(self.play(None))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SEEN_S):
                while not playing.done():
                    await asyncio.sleep(EVERY_S)
                    if self._process is not None and self._process.platform is not None:
                        await self._look()
        playing.cancel()
        await asyncio.wait([playing])
        await self._serving.stop()

    async def _look(self) -> None:
        process = self._serving
        assert process.platform is not None
        answer = await process.call("GET", "/api/v1/alarms", self._keys["main"])
        assert answer is not None
        app = OperationsApp(process.platform, Telemetry())
        ready = json.loads(await got(app, "/readyz"))
        metrics = (await got(app, "/metrics")).decode()
        again = await process.call("GET", "/api/v1/alarms", self._keys["main"])
        if ids_of(answer.body) == ids_of(again.body if again else None):
            self.seen.append((self._loop.time(), answer.body, ready, metrics))


def ids_of(listed: Any) -> list[int]:
    """Return the alarms that stand: between two questions one may begin or end."""
    return [each["id"] for each in listed["alarms"] if each["ended_at"] is None]


async def got(app: OperationsApp, path: str) -> bytes:
    """Return what the operators' port answers."""
    bodies: list[bytes] = []

    async def send(event: Any) -> None:
        bodies.append(event.get("body", b""))

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    await app({"type": "http", "method": "GET", "path": path}, receive, send)
    return b"".join(bodies)


def night_of(ails: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Night:
    """Play a night; return what was seen."""
    monkeypatch.setattr(stage, "PATIENCE", 1.0)  # of who looks: as in life
    monkeypatch.setattr(stage, "ENQUIRE_S", 15.0)
    busy = 1_500 if "throttle" in ails else 500  # only who has more to send is held back
    scenario = parse_scenario(NIGHT.replace("AILS", ails).replace("COUNT", str(busy)))
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(lambda: 0.0)) as runner:
        night = Night(scenario, 1, folder, runner.get_loop())  # type: ignore[arg-type]
        runner.run(night.watch())
    return night


@pytest.mark.parametrize("kind", AILS, ids=str)
def test_what_ails_a_provider_is_seen_everywhere_and_so_is_its_end(
    kind: TroubleKind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = night_of(AILS[kind], tmp_path, monkeypatch)
    standing: list[float] = []
    for at_s, listed, ready, metrics in night.seen:
        alarms = [each for each in listed["alarms"] if each["ended_at"] is None]
        # One list: the same number everywhere, and each of it in words.
        assert len(ready["alarms"]) == len(alarms)
        counted = re.findall(
            r'^arrivals_alarms\{kind="(\w+)",provider="(\w*)"\} 1\.0$', metrics, re.MULTILINE
        )
        assert len(counted) == len(alarms)
        assert not any("task-" in name.lower() for name in ready["checks"])
        for each in alarms:
            assert each["where"]["provider"] == "north", each
            assert (each["kind"], "north") in counted
            assert any(each["words"] in said for said in ready["alarms"])
        mine = [each for each in alarms if each["kind"] == kind]
        if mine:
            standing.append(at_s)
            [alarm] = mine
            assert alarm["cost"]
            assert alarm["fix"]
            assert any(alarm["fix"] in said and "since 20" in said for said in ready["alarms"])
    assert standing, [each[1] for each in night.seen[-1:]]
    assert FROM_S < standing[0] < UNTIL_S
    assert UNTIL_S - 2 * EVERY_S <= standing[-1] < UNTIL_S + 300
    if kind is TroubleKind.PROVIDER_AWAY:
        said = [each["words"] for _, listed, _, _ in night.seen for each in listed["alarms"]]
        assert any("(the bind was refused: ESME_RBINDFAIL)" in each for each in said), said[:3]
    # It began once, and nothing stands at the end.
    last = night.seen[-1][1]["alarms"]
    assert [each["kind"] for each in last].count(kind) == 1
    assert [each for each in last if each["ended_at"] is None] == []
    assert night.seen[-1][2]["alarms"] == []
    assert "arrivals_alarms{" not in night.seen[-1][3]
