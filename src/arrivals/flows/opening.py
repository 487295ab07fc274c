"""Open an installation: its secrets, its catalogue, and the order its queues were left in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from arrivals.clock import Chance, Clock
from arrivals.core.fairness import FairRanks
from arrivals.flows.administer import ENSURE_INSTALLATION, KEY_PEPPER, MESSAGE_ID_SECRET
from arrivals.flows.fleet import CATALOGUE
from arrivals.flows.plan import Defaults
from arrivals.flows.platform import Platform
from arrivals.store.api import Step, Store, Transaction


async def open_platform(
    store: Store,
    clock: Clock,
    chance: Chance,
    defaults: Defaults,
    prepare: Callable[[Transaction], None] | None = None,
) -> tuple[Platform, bytes]:
    """Prepare the installation and read its catalogue; return it with its secret."""
    await store.write(ENSURE_INSTALLATION, chance.entropy)
    if prepare is not None:
        await store.write(_PREPARE, prepare)
    catalogue = await store.write(CATALOGUE, -1)
    begin = await store.write(_BEGIN, None)
    if catalogue is None:
        raise AssertionError("no catalogue has version -1")
    platform = Platform(
        store=store,
        clock=clock,
        chance=chance,
        catalogue=catalogue,
        secret=begin.secret,
        pepper=begin.pepper,
        defaults=defaults,
        ranks=begin.ranks,
    )
    return platform, begin.secret


@dataclass(frozen=True, slots=True)
class _Begin:
    secret: bytes
    pepper: bytes
    ranks: FairRanks


def _begin(tx: Transaction, items: Sequence[None]) -> list[_Begin]:
    secret, pepper = tx.setting(MESSAGE_ID_SECRET), tx.setting(KEY_PEPPER)
    if secret is None or pepper is None:
        raise AssertionError("the installation has no secrets")
    ranks = FairRanks(tx.lane_ranks())
    return [_Begin(bytes.fromhex(secret), bytes.fromhex(pepper), ranks) for _ in items]


def _prepare(tx: Transaction, wanted: Sequence[Callable[[Transaction], None]]) -> list[None]:
    return [each(tx) for each in wanted]


_BEGIN: Final[Step[None, _Begin]] = Step("begin", 90, _begin)
_PREPARE: Final[Step[Callable[[Transaction], None], None]] = Step("prepare", 5, _prepare)
