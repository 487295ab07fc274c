"""A settings file that is applied again leaves alone what operators did since."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from arrivals.core.money import Micros
from arrivals.core.permissions import Scope
from arrivals.core.pricing import PriceRow
from arrivals.flows.administer import IMPORT_PRICES, Impossible, NewPrices
from arrivals.flows.applying import APPLY_CONFIGURATION, Applied, note_start
from arrivals.flows.configuration import Configuration, KeyToRegister
from tests.flows.installation import PRICES, Installation, account, installed, provider, route
from tests.settings_files import WHOLE, a_key, read

DEAR = (PriceRow(country="Netherlands", prefix="31", price=Micros(99_000)),)
CHEAP = (PriceRow(country="Netherlands", prefix="31", price=Micros(1_000)),)
NORTH = provider("north", 1)


async def apply(
    here: Installation, rows: tuple[PriceRow, ...], currency: str = "EUR"
) -> Applied:
    found = await here.store.write(
        APPLY_CONFIGURATION,
        Configuration(
            providers=(NORTH,),
            routes=(replace(route(1, ["north"]), currency=currency),),
            prices={1: rows},
        ),
    )
    assert isinstance(found, Applied)
    return found


async def by_hand(here: Installation, rows: tuple[PriceRow, ...]) -> None:
    await here.store.write(IMPORT_PRICES, NewPrices(route_id=1, rows=rows))


async def price(here: Installation) -> int:
    found = await here.in_transaction(lambda tx: tx.catalogue())
    rate = found.prices[1].find("31612345678")
    assert rate is not None
    return int(rate.price)


@pytest.mark.each_backend
async def test_prices_imported_by_hand_outlast_the_file(place: str) -> None:
    """Only a file that isn't the one applied last changes prices, and what stays is told."""
    async with installed(place, providers=[NORTH], started=False) as here:
        await apply(here, DEAR)
        await by_hand(here, CHEAP)
        for _ in range(2):
            applied = await apply(here, DEAR)
            assert applied.by_hand == ("prices of route 1 (version 3)",)
            assert applied.changed == ()
            assert await price(here) == 1_000
        changed = await apply(here, PRICES)
        assert changed.changed == ("prices of route 1 (version 4)",)
        assert changed.by_hand == ()
        # Back to what it was applied as before: that is another file than the last.
        assert (await apply(here, DEAR)).changed == ("prices of route 1 (version 5)",)
        assert await price(here) == 99_000


async def test_how_a_price_file_is_laid_out_changes_nothing(place: str) -> None:
    """Its lines in another order are the same prices."""
    more = (*DEAR, PriceRow(country="Spain", prefix="34", price=Micros(5_000)))
    async with installed(place, providers=[NORTH], started=False) as here:
        await apply(here, more)
        await by_hand(here, CHEAP)
        assert (await apply(here, more[::-1])).changed == ()
        assert await price(here) == 1_000


async def test_another_currency_has_its_prices_anew(place: str) -> None:
    """What was imported by hand was meant in the old one."""
    async with installed(place, providers=[NORTH], started=False) as here:
        await apply(here, DEAR)
        await by_hand(here, CHEAP)
        applied = await apply(here, DEAR, "USD")
        assert applied.changed == ("route 1", "prices of route 1 (version 4)")
        assert await price(here) == 99_000


async def test_a_file_that_says_what_was_imported_keeps_nothing_back(place: str) -> None:
    """Whoever writes into the file what they imported hears of nothing kept."""
    async with installed(place, providers=[NORTH], started=False) as here:
        await apply(here, DEAR)
        await by_hand(here, CHEAP)
        applied = await apply(here, CHEAP)
        assert (applied.changed, applied.by_hand) == ((), ())
        await by_hand(here, DEAR)
        assert (await apply(here, CHEAP)).by_hand == ("prices of route 1 (version 4)",)


async def test_a_key_that_opens_all_accounts_is_for_an_account_of_the_operators(
    place: str,
) -> None:
    """In the file as by hand; nothing of such a file is applied."""
    key = KeyToRegister(
        account_id=1, name="desk", key=a_key("live"), scopes=frozenset({Scope.SUPPORT})
    )
    async with installed(place, providers=[NORTH], started=False) as here:
        for operator in (False, True):
            found = await here.store.write(
                APPLY_CONFIGURATION,
                Configuration(accounts=(account(1, operator=operator),), keys=(key,)),
            )
            assert isinstance(found, Applied if operator else Impossible)
        if isinstance(found, Applied):
            assert found.changed == ("account 1",)
            assert len(found.created) == 1


async def test_what_only_a_restart_applies_is_named(place: str, tmp_path: Path) -> None:
    """Every changed setting of what is read at a start; no value of any is kept."""
    secret = "postgresql://me:secret-word@db.example/arrivals"
    text = WHOLE.replace("port = 0", f'port = 0\ndatabase = "{secret}"')
    started = read(tmp_path, text)
    more = text.replace("port = 0", "port = 8025\nverify_every = 9")
    changed = read(tmp_path, more + "[defaults]\nvalid_for = 60\n")
    async with installed(place, providers=[NORTH], started=False) as here:
        assert (await _applied(here, changed)).at_restart == ()  # no server ever started
        await here.in_transaction(lambda tx: note_start(tx, started))
        assert (await _applied(here, started)).at_restart == ()
        found = (await _applied(here, changed)).at_restart
        assert found == ("server.port", "server.verify_every", "defaults.valid_for")
        kept = await here.rows("SELECT value FROM meta")
        assert not any("secret-word" in str(value) for (value,) in kept)


async def _applied(here: Installation, wanted: Configuration) -> Applied:
    found = await here.store.write(APPLY_CONFIGURATION, Configuration(at_start=wanted.at_start))
    assert isinstance(found, Applied)
    return found
