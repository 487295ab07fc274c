"""A whole installation in one loop: real store, real sockets, the carrier world upstream."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from arrivals.clock import Clock, SystemChance, SystemClock
from arrivals.core.catalogue import Account, Catalogue, Provider, Route
from arrivals.core.ids import message_key
from arrivals.core.message import State, is_terminal
from arrivals.core.money import Micros
from arrivals.core.pricing import PriceRow
from arrivals.flows.accept import Accepted, Request
from arrivals.flows.administer import ENSURE_INSTALLATION
from arrivals.flows.applying import APPLY_CONFIGURATION
from arrivals.flows.configuration import Configuration
from arrivals.flows.fleet import Fleet
from arrivals.flows.lease import TAKE, BindOwner
from arrivals.flows.opening import open_platform
from arrivals.flows.plan import Defaults, Recipient, SendRequest
from arrivals.flows.platform import Platform
from arrivals.flows.sweep import Sweeper
from arrivals.providers.smpp import SmppConnection
from arrivals.store.api import Step, Store, Transaction
from arrivals.store.verifying import run_checks
from arrivals.world.scenario import load_scenario
from arrivals.world.smsc import CarrierWorld
from tests.backends import Backend, backend_at

FUNDS = Micros(100_000_000_000)


def provider(name: str, port: int, **changes: Any) -> Provider:
    return Provider(
        **{
            "provider_id": name,
            "sandbox": True,
            "window": 50,
            "expired_is_final": True,
            "error_namespace": "carrier_world",
            "settings": {
                "host": "127.0.0.1",
                "port": port,
                "system_id": name,
                "password": "world",
                "response_timeout_s": 1.0,
            },
            **changes,
        }
    )


def route(route_id: int, providers: Sequence[str], **changes: Any) -> Route:
    return Route(
        **{
            "route_id": route_id,
            "name": f"Route {route_id}",
            "display_name": f"Route {route_id}",
            "category": "alert",
            "access": "public",
            "sender_policy": "any",
            "currency": "EUR",
            "providers": tuple(providers),
            **changes,
        }
    )


def account(account_id: int, **changes: Any) -> Account:
    return Account(
        **{
            "account_id": account_id,
            "name": f"account {account_id}",
            "username": f"user{account_id}",
            "currency": "EUR",
            **changes,
        }
    )


PRICES = (
    PriceRow(country="Netherlands", prefix="31", price=Micros(50_000)),
    PriceRow(country="United States", prefix="1", price=Micros(50_000)),
    PriceRow(country="Philippines", prefix="63", price=Micros(50_000)),
    PriceRow(country="Mexico", prefix="52", price=Micros(50_000)),
    PriceRow(country="Argentina", prefix="54", price=Micros(50_000)),
    PriceRow(country="Carrier world", prefix="999", price=Micros(10_000)),
)

# What must hold at any moment, asked in words that every database knows: balances are the sums
# of their postings, what is held is what open messages cost, and a message is its newest event.
UNSOUND = (
    """SELECT 'balance', b.account_id, sum(b.available), sum(b.held) FROM balances AS b
    GROUP BY b.account_id
    HAVING sum(b.available) <> coalesce((
        SELECT sum(CASE WHEN p.credit = 'funds:' || p.account_id THEN p.amount
                        WHEN p.debit = 'funds:' || p.account_id THEN -p.amount ELSE 0 END)
        FROM postings AS p WHERE p.account_id = b.account_id), 0)
      OR sum(b.held) <> coalesce((
        SELECT sum(m.price) FROM messages AS m
        WHERE m.account_id = b.account_id AND m.resolution IS NULL), 0)""",
    """SELECT 'order', o.id FROM orders AS o
    WHERE (o.count, o.cost) <> (SELECT count(*), coalesce(sum(m.price), 0) FROM messages AS m
                                WHERE m.id >= o.id << 17 AND m.id < (o.id + 1) << 17)""",
    """SELECT 'message', m.id, m.state FROM messages AS m
    WHERE m.seq <> (SELECT count(*) FROM events AS e WHERE e.message_id = m.id)
       OR m.state <> (SELECT e.to_state FROM events AS e
                      WHERE e.message_id = m.id ORDER BY e.seq DESC LIMIT 1)""",
)


def said(platform: Platform) -> tuple[str, ...]:
    """Return the alarms that stand, in words."""
    return tuple(sorted(each.trouble.words for each in platform.alarms))


async def own_bind(store: Store, provider_id: str) -> int:
    """Make the test the owner of a provider's bind; return its epoch."""
    epoch = await store.write(TAKE, BindOwner(provider_id, "test"))
    assert epoch is not None
    return epoch


def connect(provider: Provider) -> SmppConnection:
    return SmppConnection(provider, "world", SystemClock(), SystemChance())


class Installation:
    """One process of Arrivals without its doors."""

    def __init__(self, place: str, backend: Backend, store: Store, platform: Platform) -> None:
        self.place = place
        self.backend = backend
        self.store = store
        self.platform = platform
        self.fleet = Fleet(platform, connect, "test")
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self.fleet.run()),
            asyncio.create_task(Sweeper(self.platform).run()),
        ]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def send(
        self, *numbers: str, text: str = "Your code is 4839", **options: Any
    ) -> Accepted:
        request = SendRequest(
            **{
                "account_id": 1,
                "key_id": "aa000001",
                "environment": "test",
                "request_id": "request-1",
                "route_id": 1,
                "sender": "ARRIVALS",
                "recipients": [Recipient(number) for number in numbers],
                "text": text,
                **options,
            }
        )
        result = await self.platform.accept(Request(plan=self.platform.plan(request)))
        if not isinstance(result, Accepted):
            raise result if isinstance(result, Exception) else AssertionError(result)
        return result

    async def state(self, key: int) -> State:
        rows = await self.rows("SELECT state FROM messages WHERE id = ?", key)
        return State(rows[0][0])

    async def wait_for(self, accepted: Accepted, *states: State, timeout_s: float = 20) -> None:
        """Wait until every message of an order is in one of these states (or has ended)."""
        for n in range(len(accepted.messages)):
            key = message_key(accepted.order.order_id, n)
            async with asyncio.timeout(timeout_s):
                while True:
                    changed = self.platform.changes.on_message(key)
                    state = await self.state(key)
                    if state in states or (not states and is_terminal(state)):
                        break
                    await changed.wait()

    async def rows(self, sql: str, *values: Any) -> list[Any]:
        """Run a query of a test's own."""
        return await self.store.read(lambda reader: self.backend.execute(reader, sql, values))

    async def damage(self, sql: str, *values: Any) -> None:
        """Change a row past every verb and trigger, as a mistake or a bad disk would."""
        await self.in_transaction(lambda tx: self.backend.damage(tx, sql, values))

    async def unsound(self) -> list[Any]:
        """Return what breaks an invariant, from all the checks there are for this backend."""
        found = [row for text in UNSOUND for row in await self.rows(text)]
        if self.backend.has_checks:
            checks = run_checks(Path(self.place), self.platform.clock)
            found += [each for each in checks if each.count]
        return found

    async def kinds(self, key: int) -> list[str]:
        found = await self.rows(
            "SELECT kind FROM events WHERE message_id = ? ORDER BY seq", key
        )
        return [kind for (kind,) in found]

    async def in_transaction(self, work: Any) -> Any:
        """Run a function in a transaction of its own."""

        def run(tx: Transaction, items: Sequence[Any]) -> list[Any]:
            return [work(tx) for _ in items]

        return await self.store.write(Step("test", 1, run), None)

    async def balance(self, account_id: int = 1) -> tuple[int, int]:
        found = await self.in_transaction(lambda tx: tx.balance(account_id))
        return found.available, found.held


@contextlib.asynccontextmanager
async def installed(
    place: str | Path,
    *,
    providers: Sequence[Provider],
    routes: Sequence[Route] = (),
    accounts: Sequence[Account] = (),
    defaults: Defaults | None = None,
    started: bool = True,
    clock: Clock | None = None,
    funds: Micros = FUNDS,
) -> AsyncIterator[Installation]:
    """Open an installation in a folder or a database, and close it again."""
    clock = clock or SystemClock()
    backend = backend_at(place)
    async with backend.open_at(str(place), clock) as store:
        await store.write(ENSURE_INSTALLATION, SystemChance().entropy)
        all_routes = tuple(routes) or (route(1, [each.provider_id for each in providers]),)
        all_accounts = tuple(accounts) or (account(1),)
        await store.write(
            APPLY_CONFIGURATION,
            Configuration(
                providers=tuple(providers),
                routes=all_routes,
                prices={each.route_id: PRICES for each in all_routes},
                accounts=all_accounts,
                opening_funds={each.account_id: funds for each in all_accounts},
            ),
        )
        platform, _ = await open_platform(store, clock, SystemChance(), defaults or Defaults())
        here = Installation(str(place), backend, store, platform)
        if started:
            here.start()
        try:
            yield here
        finally:
            await here.stop()


@contextlib.asynccontextmanager
async def carrier_world(
    scenario: str = "clear-day", *, seed: int = 1, speed: float = 100.0, port: int = 0
) -> AsyncIterator[CarrierWorld]:
    """Run a carrier world on a free port."""
    world = CarrierWorld(
        load_scenario(scenario), seed, speed, port=port, now_us=SystemClock().now_us
    )
    await world.start()
    try:
        yield world
    finally:
        await world.stop()


def catalogue_of(installation: Installation) -> Catalogue:
    return installation.platform.catalogue
