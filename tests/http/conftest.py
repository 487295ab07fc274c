"""What the API's tests share: an installation in a folder of its own, and a client of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from tests.http.installation import Installation, installed


@pytest.fixture
async def api(place: str) -> AsyncIterator[Installation]:
    async with installed(place) as installation:
        yield installation


@pytest.fixture
async def main(api: Installation) -> AsyncIterator[httpx.AsyncClient]:
    async with api.client("main") as client:
        yield client
