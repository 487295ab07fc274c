"""An installation as `arrivals dev` lays it out, on a real store, for tests."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import msgspec

from arrivals.clock import SystemChance, SystemClock
from arrivals.core.catalogue import Account, ApiKey, Catalogue, Provider, Route
from arrivals.core.fairness import FairRanks
from arrivals.core.ids import hash_api_key, make_api_key
from arrivals.core.ledger import funding
from arrivals.core.message import Move, Reach, advance
from arrivals.core.money import Micros, parse_amount
from arrivals.flows.plan import Defaults
from arrivals.flows.platform import Platform
from arrivals.flows.settle import Settlement
from arrivals.http.app import application
from arrivals.http.exchange import ASGIApp
from arrivals.store.activity import ActivityLog
from arrivals.store.api import Step, Store, Transaction
from arrivals.store.backend import activity_log
from arrivals.store.rows import Event
from tests.backends import Backend, backend_at

SECRET = b"a secret of thirty-two octets ok"
PEPPER = b"a pepper of thirty-two octets ok"
MAIN, EMPTY, PUBLIC, OTHER, TINY = 1, 2, 3, 4, 5

RATES = [
    ("1", "United States", "0.02"),
    ("31", "Netherlands", "0.087"),
    ("34", "Spain", "0.05"),
    ("44", "United Kingdom", "0.04"),
    ("999", "Carrier world (sandbox)", "0.01"),
]
FUNDS = {MAIN: "200", PUBLIC: "50", OTHER: "50", TINY: "0.6"}
ROUTE_NAMES = {5: "Casino", 7: "iGaming", 8: "OTP Platform"}


class MovableClock(SystemClock):
    """The machine's clock, which a test can put forward."""

    ahead_us = 0

    def now_us(self) -> int:
        return super().now_us() + self.ahead_us


@dataclass
class Installation:
    """A platform, its API and a client for each of its keys."""

    place: str
    backend: Backend
    store: Store
    platform: Platform
    activity: ActivityLog
    clock: MovableClock
    app: ASGIApp
    keys: dict[str, str] = field(default_factory=dict)

    def client(self, name: str | None = "main", **headers: str) -> httpx.AsyncClient:
        """Return a client that sends the key of this name, or none at all."""
        if name is not None:
            headers["X-API-KEY"] = self.keys.get(name, name)
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
        return httpx.AsyncClient(
            transport=transport, base_url="http://arrivals", headers=headers
        )

    async def in_store(self, work: Callable[[Transaction], Any]) -> Any:
        """Run some work in a transaction."""

        def run(tx: Transaction, items: Sequence[None]) -> list[Any]:
            return [work(tx) for _ in items]

        return await self.store.write(Step("test", 99, run), None)

    async def change(self, kind: str, document_id: str, body: object) -> None:
        """Write a document of the catalogue and decide by it from now on."""

        def put(tx: Transaction) -> None:
            tx.put(kind, document_id, msgspec.json.encode(body).decode())

        await self.in_store(put)
        await self.reload()

    async def reload(self) -> None:
        """Take over the catalogue as it stands."""
        catalogue: Catalogue = await self.in_store(lambda tx: tx.catalogue())
        self.platform.swap(catalogue)

    async def move(self, key: int, *moves: Move, reason: str | None = None) -> None:
        """Move a message along the table, as the flows would, and tell those who wait."""

        def run(tx: Transaction) -> None:
            for move in moves:
                before = tx.load([key])[key]
                changes: dict[str, Any] = {"rank": None, "reason": reason}
                body: dict[str, Any] = {}
                if move is Move.CLAIMED:
                    changes |= {"attempts": before.attempts + 1, "wake_at_us": None}
                elif move is Move.TAKEN:
                    changes |= {"reach": Reach.HANDED_OFF}
                    changes |= {"wake_at_us": before.outcome_deadline_us}
                    body = {"ids": ["7f3a"]}
                else:
                    changes |= {"wake_at_us": None}
                after = advance(before, move, tx.now_us, **changes)
                after = Settlement(tx).of(before, after)
                event = Event(
                    key, after.seq, after.changed_at_us, move, before.state, after.state,
                    "provider:north", body,
                )  # fmt: skip
                tx.save([after], [event])

        await self.in_store(run)
        self.platform.changes.publish([key])

    async def sql(self, text: str, *values: Any) -> list[Any]:
        """Ask the database itself."""
        return await self.store.read(lambda reader: self.backend.execute(reader, text, values))


def documents() -> list[tuple[str, str, object]]:
    """Return what the catalogue holds besides keys and prices."""
    found: list[tuple[str, str, object]] = [
        ("provider", name, Provider(provider_id=name, sandbox=True))
        for name in ("north", "south")
    ]
    for number in range(1, 9):
        restricted = number in ROUTE_NAMES
        route = Route(
            route_id=number,
            name=ROUTE_NAMES.get(number, f"Route {number}"),
            display_name=ROUTE_NAMES.get(number, f"Route {number}"),
            category="otp" if number == 8 else "bulk",
            access="restricted" if restricted else "public",
            sender_policy="registered" if number == 8 else "any",
            currency="EUR",
            providers=("north", "south"),
        )
        found.append(("route", str(number), route))
    everywhere = frozenset(ROUTE_NAMES)
    for account_id, name in {
        MAIN: "main", EMPTY: "empty", PUBLIC: "public", OTHER: "other", TINY: "tiny"
    }.items():  # fmt: skip
        account = Account(
            account_id=account_id,
            name=name,
            username=name,
            currency="EUR",
            routes=everywhere if account_id in {MAIN, EMPTY, OTHER} else frozenset(),
            senders=frozenset({"ARRIVALS"}),
        )
        found.append(("account", str(account_id), account))
    return found


def _fill(tx: Transaction) -> dict[str, str]:
    for kind, document_id, body in documents():
        tx.put(kind, document_id, msgspec.json.encode(body).decode())
    keys: dict[str, str] = {}
    owners = {
        "main": MAIN, "empty": EMPTY, "public": PUBLIC, "other": OTHER, "tiny": TINY,
        "revoked": MAIN, "live": MAIN,
    }  # fmt: skip
    for number, (name, account_id) in enumerate(owners.items()):
        env = "live" if name == "live" else "test"
        suffix = f"key00{number}"
        keys[name] = make_api_key(
            "live" if name == "live" else "test", "aa", suffix, bytes([number]) * 32
        )
        key = ApiKey(
            key_id=f"aa{suffix}",
            account_id=account_id,
            environment=env,
            digest=hash_api_key(PEPPER, keys[name]),
            active=name != "revoked",
        )
        tx.put("key", key.key_id, msgspec.json.encode(key).decode())
    for route_id in range(1, 9):
        rates = [(prefix, country, parse_amount(price)) for prefix, country, price in RATES]
        tx.add_price_list(route_id, "EUR", rates)
    for account_id in (MAIN, EMPTY, PUBLIC, OTHER, TINY):
        tx.open_balance(account_id, "EUR", 0)
        amount = parse_amount(FUNDS.get(account_id, "0"))
        if amount:
            tx.post(funding(account_id, Micros(amount), "EUR", "a test", "first"))
    return keys


@contextlib.asynccontextmanager
async def installed(place: str | Path) -> AsyncIterator[Installation]:
    """Set an installation up in a folder or a database, and take it down."""
    clock, chance = MovableClock(), SystemChance()
    backend = backend_at(place)
    activity = activity_log(place)
    async with backend.open_at(str(place), clock) as store:
        await activity.open()
        try:
            keys = await store.write(Step("fill", 0, lambda tx, _: [_fill(tx)]), None)
            catalogue = await store.write(Step("read", 0, lambda tx, _: [tx.catalogue()]), None)
            platform = Platform(
                store=store,
                clock=clock,
                chance=chance,
                catalogue=catalogue,
                secret=SECRET,
                pepper=PEPPER,
                defaults=Defaults(),
                ranks=FairRanks(),
            )
            app = application(platform, activity, SECRET)
            yield Installation(str(place), backend, store, platform, activity, clock, app, keys)
        finally:
            await activity.close()
