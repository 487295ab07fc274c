"""The catalogue: documents, versions and price lists, read whole."""

from __future__ import annotations

import msgspec
import pytest

from arrivals.core.catalogue import Account, ApiKey, Flow, Provider, Route
from arrivals.core.money import AMOUNT_MAX, Micros
from arrivals.store.api import RuleBroken, Transaction
from tests.store.ground import Ground

ACCOUNT = Account(
    account_id=1, name="Ünï “x”\n", username="007", currency="EUR", credit_limit=Micros(5),
    refund_on=frozenset({"failed"}), routes=frozenset({2}), senders=frozenset({"1e5"}),
)  # fmt: skip
KEY = ApiKey(key_id="aa000001", account_id=1, environment="test", digest=b"\x00\xff" * 16)
PROVIDER = Provider(
    provider_id="north", sandbox=True, throughput=2.5, cost=Micros(3),
    settings={"host": "::1", "port": 2775, "password": '"\\'}, flow=Flow.PAUSED,
)  # fmt: skip
ROUTE = Route(
    route_id=7, name="7", display_name="Seven", category="otp", access="public",
    sender_policy="any", currency="EUR", providers=("north", "south"), valid_for_s=60,
)  # fmt: skip


def _put(tx: Transaction, kind: str, name: object, document: object) -> None:
    tx.put(kind, str(name), msgspec.json.encode(document).decode())


def _put_all(tx: Transaction) -> None:
    _put(tx, "account", 1, ACCOUNT)
    _put(tx, "key", KEY.key_id, KEY)
    _put(tx, "provider", "north", PROVIDER)
    _put(tx, "route", 7, ROUTE)


async def test_an_empty_catalogue(ground: Ground):
    found = await ground.run(lambda tx: tx.catalogue())
    assert (found.version, found.accounts, found.prices) == (0, {}, {})


async def test_documents_come_back_as_they_were(ground: Ground):
    await ground.run(_put_all)
    found = await ground.run(lambda tx: tx.catalogue())
    assert found.accounts == {1: ACCOUNT}
    assert found.keys == {"aa000001": KEY}
    assert found.providers == {"north": PROVIDER}
    assert found.routes == {7: ROUTE}


async def test_the_version_goes_up_once_a_transaction_and_at_once(ground: Ground):
    """A snapshot is labelled with the version it has, within the transaction too."""

    def work(tx: Transaction) -> int:
        _put_all(tx)
        tx.add_price_list(7, "EUR", [("31", "NL", 5)])
        return tx.catalogue().version

    assert await ground.run(work) == 1
    assert (await ground.run(lambda tx: tx.catalogue())).version == 1
    await ground.run(_put_all)
    assert (await ground.run(lambda tx: tx.catalogue())).version == 2
    assert await ground.run(lambda tx: tx.add_price_list(7, "EUR", [])) == 2
    assert (await ground.run(lambda tx: tx.catalogue())).version == 3


async def test_a_document_is_replaced_whole(ground: Ground):
    await ground.run(_put_all)
    other = Account(account_id=1, name="x", username="y", currency="USD")
    await ground.run(lambda tx: _put(tx, "account", 1, other))
    assert (await ground.run(lambda tx: tx.catalogue())).accounts == {1: other}


async def test_a_kind_that_isnt_one_is_refused(ground: Ground):
    with pytest.raises(RuleBroken):
        await ground.run(lambda tx: tx.put("carrier", "x", "{}"))
    assert (await ground.run(lambda tx: tx.catalogue())).version == 0


async def test_the_newest_price_list_holds_and_the_old_ones_stay(ground: Ground):
    """Invariant 10: a rate that a message met is there for ever."""
    first = [("31", "NL", 5), ("3161", "NL mobile", AMOUNT_MAX), ("1", "US", 0)]
    assert await ground.run(lambda tx: tx.add_price_list(7, "EUR", first)) == 1
    assert await ground.run(lambda tx: tx.add_price_list(8, "USD", [("44", "UK", 9)])) == 1
    assert await ground.run(lambda tx: tx.add_price_list(7, "USD", [("31", "NL", 6)])) == 2
    prices = (await ground.run(lambda tx: tx.catalogue())).prices
    assert (prices[7].version, prices[7].currency) == (2, "USD")
    assert [(each.prefix, each.country, each.price) for each in prices[7].rates] == [
        ("31", "NL", 6)
    ]
    assert prices[8].find("447700900123") == prices[8].rates[0]
    assert await ground.value("SELECT count(*) FROM rates WHERE route_id = 7") == 4
    assert len({each for (each,) in await ground.sql("SELECT id FROM rates")}) == 5


@pytest.mark.parametrize(
    "rates", [[("31", "NL", 5), ("31", "NL", 6)], [("31", "NL", -1)], [("31", None, 1)]]
)
async def test_no_such_price_list(ground: Ground, rates: list[tuple[str, str, int]]):
    with pytest.raises(RuleBroken):
        await ground.run(lambda tx: tx.add_price_list(7, "EUR", rates))
    assert await ground.value("SELECT count(*) FROM price_lists") == 0


async def test_a_rate_is_never_edited(ground: Ground):
    """Invariant 10."""
    await ground.run(lambda tx: tx.add_price_list(7, "EUR", [("31", "NL", 5)]))
    with pytest.raises(RuleBroken, match="never updated"):
        await ground.sql("UPDATE rates SET price = 4")


@pytest.mark.parametrize("value", ["", "007", "1e400", "ünï\n"])
async def test_settings_are_texts(ground: Ground, value: str):
    assert await ground.run(lambda tx: tx.setting("x")) is None
    await ground.run(lambda tx: tx.set_setting("x", "before"))
    await ground.run(lambda tx: tx.set_setting("x", value))
    assert await ground.run(lambda tx: tx.setting("x")) == value


@pytest.mark.parametrize("statement", ["UPDATE rates SET price = 0", "DELETE FROM rates"])
async def test_a_rate_stays_as_messages_met_it(ground: Ground, statement: str):
    """Invariant 10: a message's price can always be explained."""
    await ground.run(lambda tx: tx.add_price_list(7, "EUR", [("31", "NL", 5)]))
    with pytest.raises(RuleBroken, match="a rate is never"):
        await ground.sql(statement)
