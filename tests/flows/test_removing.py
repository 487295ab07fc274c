"""What is removed is gone for decisions and kept for history, and nothing under way is lost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from arrivals.core.catalogue import Account, Flow, Provider
from arrivals.core.errors import Refusal
from arrivals.core.message import State
from arrivals.core.money import Micros
from arrivals.flows.administer import (
    CREATE_ACCOUNT,
    FUND,
    REGISTER_KEY,
    SET_FLOW,
    FlowChange,
    Funding,
    Impossible,
    NewAccount,
)
from arrivals.flows.applying import APPLY_CONFIGURATION, Applied
from arrivals.flows.configuration import Configuration, KeyToRegister
from arrivals.flows.removing import REMOVE, Removal, Removed
from arrivals.http.naming import names_on
from tests.flows.installation import (
    FUNDS,
    Installation,
    account,
    carrier_world,
    installed,
    provider,
    route,
)
from tests.settings_files import a_key

pytestmark = pytest.mark.timeout(60)

NORTH, SOUTH = provider("north", 1), provider("south", 1)


async def remove(here: Installation, kind: str, name: str) -> Removed | Impossible:
    return await here.store.write(REMOVE, Removal(kind=kind, name=name))


async def drain(here: Installation, kind: str, name: str) -> None:
    await here.store.write(SET_FLOW, FlowChange(kind=kind, name=name, flow=Flow.DRAINING))


def refused(found: Removed | Impossible) -> str:
    assert isinstance(found, Impossible), found
    assert found.fix
    return found.problem


async def now(here: Installation) -> None:
    here.platform.swap(await here.in_transaction(lambda tx: tx.catalogue()))


@pytest.mark.each_backend
async def test_nothing_goes_while_messages_depend_on_it(place: str) -> None:
    """Neither provider, route nor account, until the last of its messages has ended."""
    async with installed(place, providers=[NORTH], started=False) as here:
        await here.send("31600000001")
        everything = (("provider", "north"), ("route", "1"), ("account", "1"))
        for kind, name in everything:
            assert "takes new messages" in refused(await remove(here, kind, name))
            await drain(here, kind, name)
        assert "route 1 names provider north" in refused(
            await remove(here, "provider", "north")
        )
        assert "1 messages that haven't ended" in refused(await remove(here, "route", "1"))
        assert "EUR" in refused(await remove(here, "account", "1"))
        catalogue = await here.in_transaction(lambda tx: tx.catalogue())
        assert (len(catalogue.providers), len(catalogue.routes)) == (1, 1)
        assert catalogue.removed == ()


async def test_a_provider_goes_once_its_messages_have_ended(place: str) -> None:
    """Its bind goes with it, what it did stays, and customers don't learn its name by that."""
    async with (
        carrier_world() as world,
        installed(
            place,
            providers=[provider("north", world.port), SOUTH],
            routes=[route(1, ["north"])],
        ) as here,
    ):
        await here.wait_for(await here.send("99900000001"), State.DELIVERED)
        await drain(here, "provider", "north")
        await here.store.write(
            APPLY_CONFIGURATION, Configuration(routes=(route(1, ["south"]),))
        )
        assert isinstance(await remove(here, "provider", "north"), Removed)
        await now(here)
        catalogue = here.platform.catalogue
        assert set(catalogue.providers) == {"south"}
        assert [
            each.provider_id for each in catalogue.removed if isinstance(each, Provider)
        ] == ["north"]
        names = names_on(account(1), catalogue, 1)
        assert names._known("north") == "another provider"
        assert "there is no provider north" in refused(await remove(here, "provider", "north"))


async def test_a_provider_that_another_one_names_stays(place: str) -> None:
    """Receipts of the other login tell its ids."""
    east = replace(SOUTH, provider_id="east", ids_of="north")
    async with installed(
        place, providers=[NORTH, SOUTH, east], routes=[route(1, ["south"])], started=False
    ) as here:
        await drain(here, "provider", "north")
        assert "ids_of" in refused(await remove(here, "provider", "north"))


async def test_a_removed_provider_comes_back_as_what_it_was(place: str) -> None:
    """A file may name it again, and not turn a sandbox into a live one."""
    async with installed(
        place, providers=[NORTH, SOUTH], routes=[route(1, ["south"])], started=False
    ) as here:
        await drain(here, "provider", "north")
        await remove(here, "provider", "north")
        other = replace(NORTH, sandbox=not NORTH.sandbox)
        found = await here.store.write(APPLY_CONFIGURATION, Configuration(providers=(other,)))
        assert "can't change `sandbox`" in str(found)
        back = await here.store.write(APPLY_CONFIGURATION, Configuration(providers=(NORTH,)))
        assert isinstance(back, Applied)
        assert back.created == ("provider north",)
        catalogue = await here.in_transaction(lambda tx: tx.catalogue())
        assert catalogue.providers["north"].flow is Flow.ACTIVE
        assert catalogue.removed == ()


async def test_a_default_route_stays(place: str) -> None:
    """Whoever names no route would be refused."""
    accounts = [account(1, default_route=1)]
    async with installed(place, providers=[NORTH], accounts=accounts, started=False) as here:
        await drain(here, "route", "1")
        assert "by default" in refused(await remove(here, "route", "1"))
        await here.store.write(APPLY_CONFIGURATION, Configuration(accounts=(account(1),)))
        assert isinstance(await remove(here, "route", "1"), Removed)
        await now(here)
        with pytest.raises(Refusal) as caught:
            await here.send("31600000001")
        assert caught.value.code == "invalid_route"


@pytest.mark.each_backend
async def test_an_account_goes_with_its_keys_and_its_number_is_never_another_s(
    place: str,
) -> None:
    """Once it has no money; its keys are refused, and stay revoked if it comes back."""
    key = KeyToRegister(account_id=1, name="k", key=a_key("test"))
    async with installed(place, providers=[NORTH], started=False) as here:
        await here.store.write(REGISTER_KEY, key)
        await now(here)
        assert here.platform.authenticate(key.key)[0].account_id == 1
        await drain(here, "account", "1")
        assert "EUR" in refused(await remove(here, "account", "1"))
        back = Funding(account_id=1, amount=Micros(-FUNDS), reason="end", reference="E-1")
        await here.store.write(FUND, back)
        gone = await remove(here, "account", "1")
        assert isinstance(gone, Removed)
        assert len(gone.keys) == 1
        await now(here)
        with pytest.raises(Refusal):
            here.platform.authenticate(key.key)
        opened = await here.store.write(
            CREATE_ACCOUNT, NewAccount(name="New", username="new", currency="EUR")
        )
        assert isinstance(opened, Account)
        assert opened.account_id == 2
        await here.store.write(APPLY_CONFIGURATION, Configuration(accounts=(account(1),)))
        await now(here)
        with pytest.raises(Refusal):
            here.platform.authenticate(key.key)
