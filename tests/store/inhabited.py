"""A database in which something of every kind has happened, made by the flows themselves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from arrivals.clock import SystemChance, SystemClock
from arrivals.core.catalogue import Account, ApiKey
from arrivals.core.ids import make_api_key, message_key
from arrivals.core.money import Micros
from arrivals.flows.administer import ENSURE_INSTALLATION, register_key
from arrivals.flows.amend import Amendment, amend_step
from arrivals.flows.answer import answer_step
from arrivals.flows.applying import APPLY_CONFIGURATION
from arrivals.flows.batches import BatchStream, Opening, StreamLine, open_stream
from arrivals.flows.claim import ClaimRequest, claim_step
from arrivals.flows.configuration import Configuration, KeyToRegister
from arrivals.flows.learning import FOLLOW, Look
from arrivals.flows.opening import open_platform
from arrivals.flows.plan import Defaults, Recipient, SendRequest
from arrivals.flows.receive import receive_step
from arrivals.outcome.episodes import Trouble, TroubleKind
from arrivals.providers.api import (
    Answer,
    NotSent,
    Receipt,
    Refused,
    Result,
    Submission,
    Taken,
    Throttled,
    Unanswered,
)
from arrivals.store.api import Store, Transaction
from arrivals.store.backend import open_store
from arrivals.store.rows import Heard
from tests.backends import backend_at
from tests.flows.installation import (
    FUNDS,
    PRICES,
    Installation,
    account,
    own_bind,
    provider,
    route,
)

NORTH = "north"
TEST_KEY = make_api_key("test", "aa", "inhabi", bytes(32))
TEST_KEY_ID = "aainhabi"
COST = Micros(4_000)


def generous() -> Account:
    """An account whose money goes back and comes again as outcomes are revised."""
    return account(2, refund_on=frozenset({"failed"}), recharge=True)


@asynccontextmanager
async def home(place: str | Path, store: Store | None = None) -> AsyncIterator[Installation]:
    """Open an installation in a data folder or a database, with nobody at work in it.

    A `store` that is named is open already, and stays open.
    """
    is_ours = store is None
    if store is None:
        store = open_store(place, SystemClock())
        await store.open()
    try:
        await store.write(ENSURE_INSTALLATION, SystemChance().entropy)
        wanted = Configuration(
            providers=(provider(NORTH, 1, cost=COST), provider("south", 1, cost=COST)),
            routes=(route(1, [NORTH, "south"]),),
            prices={1: PRICES},
            accounts=(account(1), generous()),
            opening_funds={1: FUNDS, 2: FUNDS},
        )
        await store.write(APPLY_CONFIGURATION, wanted)
        platform, _ = await open_platform(store, SystemClock(), SystemChance(), Defaults())
        yield Installation(str(place), backend_at(place), store, platform)
    finally:
        if is_ours:
            await store.close()


async def settle_all(here: Installation) -> None:
    """Hand off what waits, and let some of it be delivered, some fail and some be revised."""
    epoch = await own_bind(here.store, NORTH)
    claimed = await _claim(here, epoch, 100)
    await _answer(here, claimed, [_taken(each) for each in claimed])
    await _receive(here, [_receipt(each, "UNDELIV") for each in claimed[::2]])
    await _receive(here, [_receipt(each, "DELIVRD") for each in claimed])


async def inhabit(place: str | Path) -> None:
    """Make the database of a data folder or of a URL, which has none yet."""
    async with home(place) as here:
        await here.in_transaction(_register_key)
        here.platform.swap(await here.in_transaction(lambda tx: tx.catalogue()))
        await _live(here)


def _register_key(tx: Transaction) -> ApiKey:
    return register_key(tx, KeyToRegister(account_id=1, name="test", key=TEST_KEY))


async def _live(here: Installation) -> None:
    epoch = await own_bind(here.store, NORTH)
    send = {"key_id": TEST_KEY_ID, "on_ambiguous": "resend"}
    for _ in range(8):
        await here.send("31600000001", "31600000002", **send)
    await here.send("31600000003", account_id=2, key_id=TEST_KEY_ID, sender="31201234567")
    claimed = await _claim(here, epoch, 14)
    answers: list[Result] = [
        _taken(claimed[0]),
        _taken(claimed[1]),
        _taken(claimed[2]),
        _taken(claimed[3]),
        Throttled(0x58),
        Refused(0x0B, "invalid_destination", retryable=False, elsewhere=False),
        Refused(0x0B, "invalid_destination", retryable=False, elsewhere=True),
        Unanswered("time"),
        Unanswered("time"),
        NotSent("no connection"),
    ]
    await _answer(here, claimed[:10], answers)  # the rest stays SENDING
    await _receive(here, [_receipt(claimed[0], "DELIVRD"), _receipt(claimed[1], "UNDELIV")])
    await _receive(here, [_receipt(claimed[1], "DELIVRD"), _stray()])
    await here.in_transaction(lambda tx: tx.hear_later([Heard(NORTH, "to:31600000099")]))
    await _revised(here, epoch)
    waiting = await here.send("31600000004", key_id=TEST_KEY_ID)
    key = message_key(waiting.order.order_id, 0)
    step = amend_step(lambda: here.platform.catalogue)
    await here.store.write(step, Amendment(account_id=1, key=key))
    await _stream(here)
    await here.store.write(FOLLOW, Look([_TROUBLE], []))


_TROUBLE = Trouble(
    kind=TroubleKind.RECEIPTS_FELL,
    cell=("NL alphanumeric", "kpn", NORTH),
    began_us=0,
    words="receipts fell",
    messages_at_risk=1,
)


async def _revised(here: Installation, epoch: int) -> None:
    """Let a message fail, be refunded, and turn out delivered after all."""
    order = await here.send("31600000005", account_id=2, key_id=TEST_KEY_ID)
    wanted = message_key(order.order.order_id, 0)
    claimed = await _claim(here, epoch, 50)
    found = next(each for each in claimed if each.key == wanted)
    await _answer(here, [found], [_taken(found)])
    await _receive(here, [_receipt(found, "UNDELIV")])
    await _receive(here, [_receipt(found, "DELIVRD")])


async def _stream(here: Installation) -> None:
    opening = Opening(account_id=1, key="stream", options='{"caller_id":"ARRIVALS"}')
    template = SendRequest(
        account_id=1,
        key_id=TEST_KEY_ID,
        environment="test",
        request_id="stream",
        route_id=1,
        sender="ARRIVALS",
        recipients=(),
        text="to many",
        partial=True,
    )
    stream = BatchStream(here.platform, template, await open_stream(here.platform, opening))
    numbers = ("31600000011", "31600000012", "1")
    await stream.add(
        [StreamLine(each.encode(), Recipient(each), None, each) for each in numbers]
    )
    await stream.finish()


async def _claim(here: Installation, epoch: int, limit: int) -> list[Submission]:
    step = claim_step(lambda: here.platform.catalogue, here.platform.ranks)
    return await here.store.write(
        step, ClaimRequest(provider_id=NORTH, epoch=epoch, limit=limit)
    )


async def _answer(
    here: Installation, submissions: Sequence[Submission], results: Sequence[Result]
) -> None:
    platform = here.platform
    step = answer_step(lambda: platform.catalogue, platform.ranks, platform.defaults)
    answers = [
        Answer(
            provider_id=NORTH,
            key=submission.key,
            attempt=submission.attempt,
            epoch=submission.epoch,
            result=result,
        )
        for submission, result in zip(submissions, results, strict=True)
    ]
    await here.store.write(step, answers)


async def _receive(here: Installation, receipts: Sequence[Receipt]) -> None:
    await here.store.write(receive_step(lambda: here.platform.catalogue), receipts)


def _taken(submission: Submission) -> Taken:
    return Taken(((1, _id_of(submission), _id_of(submission)),))


def _id_of(submission: Submission) -> str:
    return f"id{submission.key}"


def _receipt(submission: Submission, word: str) -> Receipt:
    external = _id_of(submission)
    return Receipt(
        provider_id=NORTH,
        external_id=external,
        names=(external,),
        word=word,
        error="000" if word == "DELIVRD" else "002",
        msisdn=submission.msisdn,
        fingerprint=f"{external}:{word}",
        raw="00",
    )


def _stray() -> Receipt:
    return Receipt(
        provider_id=NORTH,
        external_id="unheard-of",
        names=("unheard-of",),
        word="DELIVRD",
        error="000",
        msisdn="31600000099",
        fingerprint="unheard-of:DELIVRD",
        raw="00",
    )
