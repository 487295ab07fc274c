"""What operators read of the model of outcomes: how good it is, and what it finds wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import httpx
import msgspec
import pytest

from arrivals.core.message import Move
from arrivals.flows.learning import Learning
from arrivals.http.calibration import NO_FEEDBACK, NO_NUMBERS, NOT_YET
from arrivals.http.operations import OperationsApp
from arrivals.outcome.calibration import AGES_S
from arrivals.outcome.episodes import Episode, Trouble, TroubleKind
from arrivals.outcome.learner import Calibration, Fact, Subject
from arrivals.outcome.record import TrackRecord
from arrivals.telemetry import Telemetry
from tests.http.installation import MAIN, SECRET, Installation
from tests.http.test_messages import key_of, send
from tests.http.test_operations import operations_client

AT_US = 1_790_000_000_000_000
FELL, DOUBTED = TroubleKind.RECEIPTS_FELL, TroubleKind.RECEIPTS_DOUBTED
ONE, OTHERS, LINK = "QuietShop", "LoudBank", "track.example/q7"


@pytest.fixture
async def operator(api: Installation, main: httpx.AsyncClient) -> httpx.AsyncClient:
    """Return a client of an account of the operator's."""
    account = msgspec.to_builtins(api.platform.catalogue.accounts[MAIN])
    await api.change("account", str(MAIN), account | {"operator": True})
    return main


async def raise_alarms(api: Installation, count: int, money: int | None = 2_500_000) -> None:
    episodes = [
        Episode(
            began_us=AT_US,
            raised_us=AT_US + 1,
            seen_us=AT_US + 2,
            trouble=Trouble(
                kind=TroubleKind.RECEIPTS_FELL,
                cell=("NL alphanumeric", "kpn", f"provider {n}"),
                began_us=AT_US,
                words=f"receipts of provider {n} fell",
                expected=120.04,
                observed=20,
                messages_at_risk=100,
                money_at_risk=money,
            ),
        )
        for n in range(count)
    ]
    await api.in_store(lambda tx: tx.save_alarms(episodes))


async def end_alarm(api: Installation, number: int) -> None:
    def end(tx: Any) -> None:
        found = tx.standing_alarms()[number]
        tx.save_alarms([msgspec.structs.replace(found, ended_us=found.seen_us)])

    await api.in_store(end)


def one_sender_falls(until_us: int, count: int, *, from_n: int) -> list[Fact]:
    """Return facts of two senders on one route; one is heard of no more from `from_n` on."""
    found = []
    for n in range(count):
        at_us = until_us - (count - n) * 1_000_000
        for key, sender in ((2 * n, OTHERS), (2 * n + 1, ONE)):
            text = f"Your order is at {LINK}"
            about = Subject(
                key, "1", "NL", "31611000000", sender, "otp", at_us, None, 50_000, text
            )
            found.append(Fact(about, "taken", 3, at_us, "sending", "submitted", "north"))
            if sender == OTHERS or n < from_n:
                heard = (
                    "receipt_delivered",
                    4,
                    at_us + 400_000,
                    "submitted",
                    "delivered",
                    "north",
                )
                found.append(Fact(about, *heard))
    return sorted(found, key=lambda fact: fact.at_us)


async def test_strangers_learn_which_route_is_in_trouble_and_not_whose_messages(
    api: Installation, operator: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    """An alarm of the model's own about one sender: its name is for operators and the log."""
    now_us = api.platform.clock.now_us()
    model = Learning(api.platform, SECRET, learns=True)
    model._learner.learn(one_sender_falls(now_us - 60_000_000, 700, from_n=600))
    model._learner.look(now_us)
    await model.look()
    (alarm,) = (await operator.get("/api/v1/alarms")).json()["alarms"]
    assert alarm["where"]["sender"] == ONE
    assert ONE in alarm["words"]
    assert ONE in caplog.text
    ports = api.client(None), operations_client(OperationsApp(api.platform, Telemetry()))
    for each, provider in zip(ports, ("provider 1", "provider north"), strict=True):
        async with each as stranger:
            answer = await stranger.get("/readyz")
        [said] = answer.json()["alarms"]
        assert said.startswith(f"some receipts of carrier NL 31611, {provider} fell")
        for private in (ONE, OTHERS, LINK, "31611000000"):
            assert private not in answer.text


def ended(standing: Sequence[Episode]) -> list[Episode]:
    return [msgspec.structs.replace(each, ended_us=each.seen_us) for each in standing]


async def test_an_explanation_names_the_alarms_about_such_messages(
    api: Installation, main: httpx.AsyncClient
) -> None:
    """To customers without whose they are; those of another carrier aren't told at all."""
    [sent] = await send(main)
    await api.move(key_of(api, sent), Move.CLAIMED, Move.TAKEN, Move.RECEIPT_DELIVERED)
    here = "NL alphanumeric", "NL 31612", "north"
    begun = [
        Episode(
            began_us=AT_US,
            raised_us=AT_US,
            seen_us=AT_US,
            trouble=Trouble(
                kind=DOUBTED, cell=cell, began_us=AT_US, words=words, messages_at_risk=7
            ),
        )
        for cell, words in ((here, f"{ONE} is lied to"), (("GB long", "x", "north"), "not it"))
    ]
    await api.in_store(lambda tx: tx.save_alarms(begun))
    path = f"/api/v1/messages/{sent}/explain?format=text"
    text = (await main.get(path)).text
    said = "An alarm stands: receipts of carrier NL 31612, provider 1 are in doubt."
    assert said in text
    assert "GB" not in text
    assert ONE not in text
    account = msgspec.to_builtins(api.platform.catalogue.accounts[MAIN])
    await api.change("account", str(MAIN), account | {"operator": True})
    assert f"An alarm stands: {ONE} is lied to." in (await main.get(path)).text


async def test_strangers_cannot_count_the_customers_in_trouble(
    api: Installation, main: httpx.AsyncClient
) -> None:
    """Two senders on one route are one sentence, and the whole of it another."""
    route = "NL alphanumeric", "kpn", "north"
    for words, kind, *cells in (
        (
            "some receipts of carrier kpn, provider 1 fell",
            FELL,
            (*route, "A"),
            (*route, "B"),
        ),
        ("receipts of carrier kpn, provider 1 fell", FELL, route),
        ("receipts of carrier kpn fell", FELL, route[:2]),
        ("receipts of carrier kpn, provider 1 are in doubt", DOUBTED, route),
    ):
        await api.in_store(lambda tx: tx.save_alarms(ended(tx.standing_alarms())))
        troubles = [
            Trouble(kind=kind, cell=cell, began_us=AT_US, words="secret", messages_at_risk=7)
            for cell in cells
        ]
        begun = [
            Episode(began_us=AT_US, raised_us=AT_US, seen_us=AT_US, trouble=each)
            for each in troubles
        ]
        await api.in_store(lambda tx, begun=begun: tx.save_alarms(begun))  # type: ignore[misc]
        assert (await main.get("/readyz")).json()["alarms"] == [words]


@pytest.mark.parametrize("path", ["/api/v1/alarms", "/api/v1/calibration"])
async def test_only_operators_read_what_concerns_all(
    main: httpx.AsyncClient, path: str
) -> None:
    answer = await main.get(path)
    assert answer.status_code == 403
    assert answer.json()["code"] == "operators_only"


async def test_alarms_are_shown_with_what_is_at_risk(
    api: Installation, operator: httpx.AsyncClient
) -> None:
    assert (await operator.get("/api/v1/alarms")).json()["alarms"] == []
    await raise_alarms(api, 1)
    (shown,) = (await operator.get("/api/v1/alarms")).json()["alarms"]
    assert shown["words"] == "receipts of provider 0 fell"
    assert shown["where"] == {
        "country_and_sender": "NL alphanumeric",
        "carrier": "kpn",
        "provider": "provider 0",
        "sender": None,
        "lane": None,
    }
    assert (shown["expected"], shown["observed"]) == (120.0, 20)
    assert shown["at_risk"] == {"messages": 100, "money": 2.5, "currency": "EUR"}
    assert shown["began_at"] < shown["raised_at"] < shown["seen_at"]
    assert shown["ended_at"] is None
    await end_alarm(api, 0)
    (shown,) = (await operator.get("/api/v1/alarms")).json()["alarms"]
    assert shown["ended_at"] == shown["seen_at"]


async def test_money_of_several_currencies_is_not_added_up(
    api: Installation, operator: httpx.AsyncClient
) -> None:
    await raise_alarms(api, 1)
    account = msgspec.to_builtins(api.platform.catalogue.accounts[MAIN])
    await api.change("account", "9", account | {"account_id": 9, "currency": "USD"})
    (shown,) = (await operator.get("/api/v1/alarms")).json()["alarms"]
    assert shown["at_risk"] == {"messages": 100, "money": None, "currency": None}


async def test_pages_of_alarms(api: Installation, operator: httpx.AsyncClient) -> None:
    """Those that stand first; each once, whatever the size of a page."""
    await raise_alarms(api, 5)
    await end_alarm(api, 4)
    await end_alarm(api, 0)
    for limit in (1, 2, 3, 5):
        seen: list[str] = []
        link: str | None = f"/api/v1/alarms?limit={limit}"
        while link is not None:
            page = (await operator.get(link)).json()
            assert len(page["alarms"]) <= page["limit"] == limit
            seen += [each["where"]["provider"][-1] for each in page["alarms"]]
            link = page["next"]
        assert seen == ["3", "2", "1", "4", "0"]
    for cursor in ("7", "standing-", "ended-x", "begun-1"):
        answer = await operator.get("/api/v1/alarms", params={"cursor": cursor})
        assert answer.status_code == 422, cursor


def checked(*, reporters: int = 1, record: TrackRecord | None = None) -> Calibration:
    groups = (record or TrackRecord()).groups(AT_US)
    return Calibration(reporters=reporters, held_out_share=0.1, waiting=7, groups=groups)


async def test_where_nobody_reports_there_is_no_figure(operator: httpx.AsyncClient) -> None:
    answer = (await operator.get("/api/v1/calibration")).json()
    assert (answer["why"], answer["groups"]) == (NO_FEEDBACK, [])
    assert answer["held_out_share"] == 0.1
    assert any("not a random sample" in each for each in answer["notes"])


async def test_what_is_known_is_shown_with_its_bounds_and_its_errors(
    api: Installation, operator: httpx.AsyncClient
) -> None:
    record = TrackRecord()
    for n in range(40):
        record.handed_off(("north", "NL"), AT_US)
        if n < 30:
            record.received(("north", "NL"), AT_US, positive=n < 28)
    record.came(("north", "NL"), AT_US, [0.9] * len(AGES_S), 1.25)
    api.platform.calibration = lambda: checked(record=record)
    answer = (await operator.get("/api/v1/calibration")).json()
    everything, group = answer["groups"]
    assert (everything["provider"], everything["country"]) == (None, None)
    assert (group["provider"], group["country"], group["why"]) == ("north", "NL", None)
    assert group["rate"] == {
        "handoffs": 40.0,
        "delivered": 0.7,
        "failed": 0.05,
        "unknown": 0.25,
        "low": 0.7,
        "high": 0.95,
        "confirmed": 0.0,
    }
    assert [each["age_s"] for each in group["ages"]] == list(AGES_S)
    score = group["ages"][0]["score"]
    assert (score["messages"], score["said"], score["arrived"]) == (1.0, 0.9, 1.25)
    assert score["ece"] == 0.35
    (row,) = score["reliability"]
    assert (row["low"], row["high"], row["arrived_high"]) == (0.9, 0.95, 1.0)
    assert answer["waiting"] == 7


async def test_why_there_is_no_score(api: Installation, operator: httpx.AsyncClient) -> None:
    record = TrackRecord()
    record.handed_off(("north", "NL"), AT_US)
    for reporters, why in ((0, NO_FEEDBACK), (1, NOT_YET)):
        found = checked(reporters=reporters, record=record)
        api.platform.calibration = lambda found=found: found  # type: ignore[misc]
        assert (await operator.get("/api/v1/calibration")).json()["why"] == why
    record.came(("north", "NL"), AT_US, [None] * len(AGES_S), 1.0)
    api.platform.calibration = lambda: checked(record=record)
    answer = (await operator.get("/api/v1/calibration")).json()
    assert answer["why"] == NO_NUMBERS
    assert answer["groups"][0]["ages"][0]["without_forecast"] == 1.0
