"""The only lease there is: who owns a provider's bind.

One owner at a time, each with a larger epoch than the one before. The lease runs by the
database's clock; its owner renews it well before it ends, and stops sending by its own
monotonic clock well before another may begin. So a process that was paused, or cut off from the
database, has stopped sending by the time somebody else starts.

    renewed ──── 4 s: renew ──── 8 s: nothing leaves ──── 12 s: others may begin; unbound
                    └─ and again every half second ──────────┘

That nothing leaves is no reason to unbind. A commit that takes five seconds, or a machine that
stands still for ten, costs no bind: whoever comes back asks first, and the epoch tells whether
somebody else has begun. Only then, or when nobody could be asked for the whole of the lease, is
the bind left to others.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from arrivals.flows.platform import Platform
from arrivals.store.api import Step, StoreError, Transaction

_log = logging.getLogger("arrivals.lease")

LEASE_S: Final = 12.0
RENEW_EVERY_S: Final = 4.0
GIVE_UP_AFTER_S: Final = 8.0  # since the last renewal was begun: from then on nothing leaves
ASK_S: Final = 2.0  # how long a process that stood still past its lease asks before it unbinds
LOOK_EVERY_S: Final = 0.5

_LEASE_US: Final = int(LEASE_S * 1_000_000)


class LeaseLost(Exception):
    """Another process owns the bind, or may own it soon."""


class BindOwner(msgspec.Struct, frozen=True):
    """Who owns a bind, or wants to; epoch 0: nobody yet."""

    provider_id: str
    owner: str
    epoch: int = 0
    up: bool = False


def _take(tx: Transaction, wanted: Sequence[BindOwner]) -> list[int | None]:
    return [tx.take_bind(each.provider_id, each.owner, _LEASE_US) for each in wanted]


def _renew(tx: Transaction, owners: Sequence[BindOwner]) -> list[bool]:
    return [
        tx.renew_bind(each.provider_id, each.epoch, _LEASE_US, up=each.up) for each in owners
    ]


def _release(tx: Transaction, owners: Sequence[BindOwner]) -> list[None]:
    for each in owners:
        tx.release_bind(each.provider_id, each.epoch)
    return [None for _ in owners]


def _elsewhere(tx: Transaction, owners: Sequence[str]) -> list[dict[str, bool]]:
    return [tx.leased_elsewhere(each) for each in owners]


TAKE: Final = Step("take bind", 0, _take)
RENEW: Final = Step("renew bind", 0, _renew)
RELEASE: Final = Step("release bind", 95, _release)
LEASED_ELSEWHERE: Final = Step("leased elsewhere", 95, _elsewhere)


class Lease:
    """One process's ownership of one bind."""

    def __init__(self, platform: Platform, provider_id: str, owner: str) -> None:
        self.epoch = 0
        self._platform = platform
        self._wish = BindOwner(provider_id, owner)
        self._renewed_at = 0.0  # monotonic: when the last renewal that succeeded was begun
        self._trouble = ""  # why nothing leaves, if nothing does

    @property
    def is_held(self) -> bool:
        """Whether bytes may still leave under this lease."""
        if not self._platform.store.is_shared:
            return True
        return self._platform.clock.monotonic() - self._renewed_at < GIVE_UP_AFTER_S

    async def take(self) -> bool:
        """Become the owner with a new epoch; False while another's lease runs."""
        began = self._platform.clock.monotonic()
        epoch = await self._platform.store.write(TAKE, self._wish)
        if epoch is None:
            return False
        self.epoch, self._renewed_at = epoch, began
        return True

    async def keep(self, is_up: Callable[[], bool]) -> None:
        """Renew until cancelled; raises LeaseLost once another may own the bind.

        Before that, nothing leaves as long as the lease isn't held. `is_up` tells whether the
        provider can be reached, for the other processes to know.
        """
        clock = self._platform.clock
        mine = msgspec.structs.replace(self._wish, epoch=self.epoch)
        looked_at = clock.monotonic()
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            now = clock.monotonic()
            if not self.is_held and now - looked_at >= RENEW_EVERY_S:
                self._nothing_leaves(f"this process stood still for {now - looked_at:.1f} s")
            if now - self._renewed_at >= RENEW_EVERY_S or is_up() is not mine.up:
                mine = msgspec.structs.replace(mine, up=is_up())
                await self._renew(mine, now)
            looked_at = clock.monotonic()

    async def release(self) -> None:
        """Let the next owner begin at once."""
        if self.epoch and self._platform.store.is_shared:
            mine = msgspec.structs.replace(self._wish, epoch=self.epoch)
            await self._platform.store.write(RELEASE, mine)

    async def _renew(self, mine: BindOwner, began: float) -> None:
        writing = asyncio.ensure_future(self._platform.store.write(RENEW, mine))
        try:
            renewed = await self._said(writing, began)
        finally:
            writing.cancel()
        since = self._platform.clock.monotonic() - self._renewed_at
        if renewed:
            if self._trouble:
                text = "provider %s: its lease is renewed after %.1f s, nobody had taken it"
                _log.warning(text, self._wish.provider_id, since)
            self._renewed_at, self._trouble = began, ""
        elif renewed is not None:
            raise LeaseLost("another process owns the bind")
        elif since >= LEASE_S:
            raise LeaseLost(f"its lease wasn't renewed in {since:.1f} s, so another may own it")

    async def _said(self, writing: asyncio.Future[bool], began: float) -> bool | None:
        """Return whether the bind is still ours; None if the store doesn't say so in time."""
        await self._wait(writing, self._renewed_at + GIVE_UP_AFTER_S)
        if not writing.done():
            waited_s = self._platform.clock.monotonic() - began
            if waited_s >= LOOK_EVERY_S:
                self._nothing_leaves(f"the store hasn't committed for {waited_s:.1f} s")
            await self._wait(writing, max(self._renewed_at + LEASE_S, began + ASK_S))
        if not writing.done():
            return None
        try:
            return writing.result()
        except StoreError as error:
            if not self.is_held:
                self._nothing_leaves(str(error))
            return None

    async def _wait(self, writing: asyncio.Future[bool], until: float) -> None:
        left = until - self._platform.clock.monotonic()
        await asyncio.wait({writing}, timeout=max(0.0, left))

    def _nothing_leaves(self, why: str) -> None:
        """Say once that sending waits, and why."""
        if not self._trouble:
            text = "provider %s: nothing is sent until its lease is renewed: %s"
            _log.warning(text, self._wish.provider_id, why)
        self._trouble = why
