"""When keys were used: written at once the first time, then once a minute at most."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from arrivals.flows import uses
from arrivals.flows.uses import USED_EVERY_US, Uses, last_uses
from arrivals.store.api import StoreError
from tests.flows.installation import Installation, installed, provider


class Counting:
    """A store that counts what is written to it, and fails as often as it is told to."""

    def __init__(self, here: Installation, failures: int = 0) -> None:
        self.written: list[dict[str, int]] = []
        self._here = here
        self._failures = failures

    async def write(self, step: Any, item: Any) -> Any:
        if self._failures:
            self._failures -= 1
            raise StoreError("not now")
        self.written.append(dict(item))
        return await self._here.store.write(step, item)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uses, "GATHERED_S", 0.01)


@pytest.fixture
async def here(place: str) -> AsyncIterator[Installation]:
    async with installed(place, providers=[provider("north", 1)], started=False) as found:
        yield found


@contextlib.asynccontextmanager
async def running(of: Uses, store: Any) -> AsyncIterator[None]:
    task = asyncio.create_task(of.run(store))
    yield
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def known(here: Installation, keys: Sequence[str], wanted: dict[str, int]) -> None:
    async with asyncio.timeout(5):
        while await here.in_transaction(lambda tx: last_uses(tx, keys)) != wanted:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.mark.each_backend
async def test_a_thousand_uses_in_a_minute_are_one_write(here: Installation) -> None:
    noted, store = Uses(), Counting(here)
    async with running(noted, store):
        for n in range(1_000):
            noted.note("aa000001", 1_000 + n)
        noted.note("aa000002", 2_000)
        await known(
            here, ["aa000001", "aa000002", "aa000003"], {"aa000001": 1_000, "aa000002": 2_000}
        )
        assert store.written == [{"aa000001": 1_000, "aa000002": 2_000}]
        noted.note("aa000001", 1_000 + USED_EVERY_US)
        await known(here, ["aa000001"], {"aa000001": 1_000 + USED_EVERY_US})
    assert len(store.written) == 2


async def test_what_could_not_be_written_is_tried_again(
    here: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uses, "USED_EVERY_US", 20_000)
    noted, store = Uses(), Counting(here, failures=2)
    async with running(noted, store):
        noted.note("aa000001", 7_000_000)
        await known(here, ["aa000001"], {"aa000001": 7_000_000})


async def test_a_request_notes_its_key(here: Installation) -> None:
    """The platform does so where it lets a key in, and nowhere else."""
    noted: list[str] = []

    class Noting(Uses):
        def note(self, key_id: str, now_us: int) -> None:
            noted.append(key_id)

    here.platform.uses = Noting()
    with pytest.raises(Exception, match="Invalid or inactive API Key"):
        here.platform.authenticate("arr_test_nonsense")
    assert noted == []
