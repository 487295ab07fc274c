"""A code asked for again, over the whole platform: HTTP, SMPP, and a minute and a half."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from arrivals.clock import SeededChance
from arrivals.sim.loop import VirtualLoop
from arrivals.sim.process import install
from arrivals.sim.stage import Stage
from arrivals.world.scenario import load_scenario

CODE = {"route_id": 1, "caller_id": "ARRIVALS", "numbers": ["31612345678"], "category": "otp"}


async def ask_twice(stage: Stage, folder: Path) -> tuple[Any, Any, str]:
    """Send two codes 45 s apart; return what is said of the first, and the second's id."""
    await install(folder, stage._clock, SeededChance("secrets"), stage._configuration())
    await stage._world.start()
    await stage._begin_life()

    async def ask(method: str, path: str, body: Any = None) -> Any:
        answer = await stage._serving.call(method, path, stage._keys["main"], body)
        assert answer is not None
        assert answer.status == 200, answer.body
        return answer.body

    sent = []
    for code in ("1234", "5678"):
        body = CODE | {"message": f"Your code is {code}"}
        answer = await ask("POST", "/api/v1/send_sms", body)
        sent.append(answer["messages"][0]["bx_message_id"])
        await asyncio.sleep(45)
    path = f"/api/v1/messages/{sent[0]}"
    found = await ask("GET", f"{path}/explain"), await ask("GET", f"{path}/timeline"), sent[1]
    await stage._serving.stop()
    await stage._world.stop()
    return found


def test_the_first_codes_explanation_tells_of_the_second(tmp_path: Path) -> None:
    scenario = msgspec.structs.replace(load_scenario("clear-day"), traffic=())
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(lambda: 0.0)) as runner:
        stage = Stage(scenario, 1, tmp_path, runner.get_loop())  # type: ignore[arg-type]
        explained, told, second = runner.run(ask_twice(stage, tmp_path))
    [event] = [each for each in told["events"] if each["kind"] == "feedback"]
    assert (event["actor"], event["facts"]["noticed"]) == ("worker", second)
    [said] = [each for each in explained["sentences"] if second in each["text"]]
    assert said["cites"] == [event["seq"]]
    assert "another code was asked for" in said["text"]
