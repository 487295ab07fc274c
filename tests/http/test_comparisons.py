"""Two messages side by side, and one among its look-alikes, over HTTP."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from arrivals.core.compare import Covariates, Expected
from arrivals.core.message import Move
from arrivals.store import traces
from tests.http.installation import Installation
from tests.http.test_messages import get, key_of, send

HANDED_OFF = (Move.CLAIMED, Move.TAKEN)
DAY_US = 86_400_000_000


def expect(told: Covariates) -> Expected:
    """Expect less in Spain."""
    chance = 0.4 if told.country == "ES" else 0.9
    return Expected(delivered=None, reported=chance, heard_by=0.5)


async def compared(client: httpx.AsyncClient, a: str, b: str, **rest: str) -> Any:
    response = await client.get("/api/v1/compare", params={"a": a, "b": b, **rest})
    assert response.status_code == 200, response.text
    return response.text if "format" in rest else response.json()


async def test_two_messages_are_compared(api: Installation, main: httpx.AsyncClient) -> None:
    """Time to the microsecond, the outcome by what was expected, and the rest by nothing."""
    api.platform.expect = expect
    a, b = await send(main, "31612345678", "34612345678")
    await api.move(key_of(api, a), *HANDED_OFF, Move.RECEIPT_DELIVERED)
    await api.move(key_of(api, b), *HANDED_OFF, Move.DEADLINE_PASSED)
    found = await compared(main, a, b)
    assert [found[side]["bx_message_id"] for side in "ab"] == [a, b]
    assert [found[side]["state"] for side in "ab"] == ["delivered", "unknown"]
    assert found["same_request"] is False
    assert {each["name"] for each in found["factors"] if not each["same"]} == {
        "recipient", "country", "carrier",
    }  # fmt: skip
    latency = found["latency"]
    assert [each["stretch"] for each in latency["stretches"]] == [
        "queued", "handing over", "with the carrier",
    ]  # fmt: skip
    # Microseconds, so that no float is in the way.
    whole = round(latency["difference_ms"] * 1_000)
    assert whole == round(latency["b_ms"] * 1_000) - round(latency["a_ms"] * 1_000)
    assert whole == sum(round(each["difference_ms"] * 1_000) for each in latency["stretches"])
    outcome = found["outcome"]
    assert outcome["measure"] == "reported delivered"
    assert outcome["expected"] == {"a": 0.9, "b": 0.4}
    assert outcome["found"] == {"a": 1.0, "b": 0.0}
    assert outcome["goes_with"] == {"destination": -0.5}
    assert (outcome["difference"], outcome["unexplained"]) == (-1.0, -0.5)
    events = {side: (await get(main, f"/api/v1/messages/{one}/timeline"))["events"]
              for side, one in (("a", a), ("b", b))}  # fmt: skip
    for remark in found["remarks"]:
        for side in "ab":
            assert set(remark[side]) <= {each["seq"] for each in events[side]}


async def test_a_comparison_can_be_read(api: Installation, main: httpx.AsyncClient) -> None:
    """Sentences first, then what differs, then two journeys in columns."""
    api.platform.expect = expect
    a, b = await send(main, "31612345678", "34612345678")
    await api.move(key_of(api, a), *HANDED_OFF, Move.RECEIPT_FAILED, reason="opted_out")
    await api.move(key_of(api, b), Move.CLAIMED)
    text = await compared(main, a, b, format="text")
    lines = text.splitlines()
    assert lines[0] == f"A  {a}  failed: opted_out"
    assert lines[1] == f"B  {b}  sending"
    assert (
        "  recipient                             31612345678             34612345678" in lines
    )
    assert "B isn't handed off yet." in lines
    [with_carrier] = [each for each in lines if each.startswith("  with the carrier (carrier)")]
    assert with_carrier.split()[-1] != "+"
    assert " -  " in with_carrier
    [running] = [each for each in lines if each.startswith("  handing over (provider)")]
    assert "so far [2]" in running
    assert lines[-1].startswith("  in all")
    itself = await compared(main, a, a, format="text")
    assert "what differs" not in itself
    assert "Both ask for the same" in itself


async def test_nobody_elses_message_is_compared(
    api: Installation, main: httpx.AsyncClient
) -> None:
    """On either side, another account's, a made-up one and nonsense get one answer."""
    [ours] = await send(main)
    async with api.client("other") as other:
        [theirs] = await send(other)
        for name in (ours, "BX-1-0123456789abcdef", "nonsense", ""):
            for pair in ({"a": theirs, "b": name}, {"a": name, "b": theirs}):
                response = await other.get("/api/v1/compare", params=pair)
                assert response.status_code == 404, response.text
                assert response.json()["code"] == "not_found"
            if name:
                response = await other.get(f"/api/v1/messages/{name}/cohort")
                assert response.json()["code"] == "not_found"


@pytest.mark.parametrize("missing", ["a", "b"])
async def test_two_are_wanted(main: httpx.AsyncClient, missing: str) -> None:
    [sent] = await send(main)
    pair = {"a": sent, "b": sent}
    del pair[missing]
    response = await main.get("/api/v1/compare", params=pair)
    assert response.status_code == 422
    assert response.json()["detail"][0]["loc"] == ["query", missing]


async def test_without_a_model_nothing_is_expected(
    api: Installation, main: httpx.AsyncClient
) -> None:
    a, b = await send(main, "31612345678", "31687654321")
    for each in (a, b):
        await api.move(key_of(api, each), *HANDED_OFF)
    found = await compared(main, a, b)
    assert found["outcome"] is None
    assert found["remarks"][-1]["text"].startswith("No model of outcomes runs here")


async def test_a_text_that_was_erased_is_no_shape(
    api: Installation, main: httpx.AsyncClient
) -> None:
    [a, b] = await send(main, "31612345678", "31687654321")
    erasure = f"UPDATE orders SET text = NULL WHERE id = {key_of(api, a) >> 17}"

    def erase(tx: Any) -> None:
        tx._connection.execute(erasure)

    await api.in_store(erase)
    factors = {each["name"]: each for each in (await compared(main, a, b))["factors"]}
    assert (factors["text"]["a"], factors["template"]["a"]) == (None, None)
    cohort = await get(main, f"/api/v1/messages/{a}/cohort")
    assert (cohort["messages"], cohort["determinism"]) == (0, None)


# --- look-alikes ----------------------------------------------------------------------


async def test_a_message_among_its_look_alikes(
    api: Installation, main: httpx.AsyncClient
) -> None:
    """Its own account's, by template; with what their ends go with."""
    numbers = [f"3161234567{n}" for n in range(6)]
    fine = [each for code in (11, 22, 333)
            for each in await send(main, *numbers, message=f"Your code is {code}")]  # fmt: skip
    lost = await send(main, *numbers, *numbers, message="Your code is 4444", route_id=2)
    await send(main, *numbers, message="Another text")
    [waits] = await send(main, message="Your code is 5")
    async with api.client("other") as other:
        await send(other, *numbers, message="Your code is 6")
    for each in fine:
        await api.move(key_of(api, each), *HANDED_OFF, Move.RECEIPT_DELIVERED)
    for each in lost:
        await api.move(key_of(api, each), *HANDED_OFF, Move.DEADLINE_PASSED)
    found = await get(main, f"/api/v1/messages/{waits}/cohort")
    assert found["bx_message_id"] == waits
    assert (found["messages"], found["open"], found["cut"]) == (31, 1, False)
    assert found["verdicts"] == {"delivered": 18, "unknown": 12}
    assert found["determinism"] == pytest.approx(1 - 0.971 / 2.322, abs=1e-3)
    best = found["goes_with"][0]
    assert (best["factor"], best["beyond_chance"]) == ("route", True)
    assert best["values"][0] == {"value": "1", "verdicts": {"delivered": 18}}
    text = (await main.get(f"/api/v1/messages/{waits}/cohort?format=text")).text
    assert text.splitlines() == [waits, *found["sentences"]]
    assert found["sentences"][-1].startswith("The route goes with 100% of the difference")


async def test_look_alikes_are_of_one_day(api: Installation, main: httpx.AsyncClient) -> None:
    """The last one that a message is part of, or the one that began with it."""
    sent = []
    for ahead in (0, 0.75, 1.5, 4):  # days
        api.clock.ahead_us = round(ahead * DAY_US)
        sent += await send(main)
    counts = [(await get(main, f"/api/v1/messages/{each}/cohort"))["messages"] for each in sent]
    assert counts == [2, 2, 1, 1]
    api.clock.ahead_us = round(1.6 * DAY_US)
    newer = await get(main, f"/api/v1/messages/{sent[1]}/cohort")
    assert newer["messages"] == 2


async def test_a_cohort_that_was_cut_says_so(
    api: Installation, main: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traces, "LOOKALIKES_MAX", 2)
    sent = await send(main, "31612345678", "31612345679", "31612345670")
    found = await get(main, f"/api/v1/messages/{sent[0]}/cohort")
    assert (found["messages"], found["cut"]) == (2, True)
    assert found["sentences"][-1].endswith("messages of the account were looked at.")
