"""The only lease there is: who owns a provider's bind.

One owner at a time, each with a larger epoch than the one before. The lease runs by the
database's clock; its owner renews it well before it ends, and gives up by its own monotonic
clock well before another may begin. So a process that was paused, or cut off from the
database, has stopped sending by the time somebody else starts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from arrivals.flows.platform import Platform
from arrivals.store.api import Step, StoreError, Transaction

LEASE_S: Final = 12.0
RENEW_EVERY_S: Final = 4.0
GIVE_UP_AFTER_S: Final = 8.0  # since the last renewal was begun
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
        """Renew until cancelled; raises LeaseLost as soon as nothing more may be sent.

        `is_up` tells whether the provider can be reached, for the other processes to know.
        """
        clock = self._platform.clock
        mine = msgspec.structs.replace(self._wish, epoch=self.epoch)
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            now = clock.monotonic()
            if now - self._renewed_at >= RENEW_EVERY_S or is_up() is not mine.up:
                mine = msgspec.structs.replace(mine, up=is_up())
                await self._renew(mine, now)

    async def release(self) -> None:
        """Let the next owner begin at once."""
        if self.epoch and self._platform.store.is_shared:
            mine = msgspec.structs.replace(self._wish, epoch=self.epoch)
            await self._platform.store.write(RELEASE, mine)

    async def _renew(self, mine: BindOwner, began: float) -> None:
        left = self._renewed_at + GIVE_UP_AFTER_S - began
        if left <= 0:
            raise LeaseLost("the lease could not be renewed in time")
        try:
            async with asyncio.timeout(left):
                renewed = await self._platform.store.write(RENEW, mine)
        except StoreError:
            return  # the next look tries again
        except TimeoutError:
            raise LeaseLost("the lease could not be renewed in time") from None
        if not renewed:
            raise LeaseLost("another process owns the bind")
        self._renewed_at = began
