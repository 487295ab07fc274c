"""Open an installation's database for a command, beside a live server or without one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import typer

from arrivals.cli.connection import DEFAULT_DATA
from arrivals.cli.output import ExitCode, Stop

if TYPE_CHECKING:
    from arrivals.config import Settings
    from arrivals.core.catalogue import Catalogue
    from arrivals.flows.administer import Impossible
    from arrivals.store.api import Step
    from arrivals.store.rows import Balance

Item = TypeVar("Item")
Done = TypeVar("Done")

DATA_VARIABLE: Final = "ARRIVALS_DATA"

Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help=f"The data folder. [else ${DATA_VARIABLE}, {DEFAULT_DATA}]",
    ),
]
Config = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="The settings file that names the folder."),
]


def data_folder(data: Path | None, config: Path | None) -> Path:
    """Return the folder that --data, --config or the environment names; raises Stop."""
    if data is not None:
        return data
    if config is not None:
        return settings_of(config).data
    return Path(os.environ.get(DATA_VARIABLE) or DEFAULT_DATA)


def settings_of(config: Path) -> Settings:
    """Return a settings file's contents, or stop with everything that is wrong with it."""
    from arrivals.config import InvalidConfig, read_settings

    try:
        return read_settings(config)
    except InvalidConfig as error:
        raise stop_of_config(error) from None


def stop_of_config(error: Exception) -> Stop:
    """Return the stop that tells every problem of a settings file."""
    from arrivals.config import InvalidConfig

    if not isinstance(error, InvalidConfig):
        raise TypeError(error)
    problems = [
        {"key": each.key, "problem": each.problem, "fix": each.fix} for each in error.problems
    ]
    return Stop(
        f"{error.path} can't be used; nothing was changed\n"
        + "\n".join(f"  {error.path}: {each}" for each in error.problems),
        code=ExitCode.USAGE,
        body={"error": "config_invalid", "file": str(error.path), "problems": problems},
    )


class Installation:
    """A data folder's database, open for one command."""

    def __init__(self, place: str | Path) -> None:
        """Name the folder, which must hold a database already, or a database's URL."""
        self.place = place

    def do(self, step: Step[Item, Done | Impossible], item: Item) -> Done:
        """Carry out one step in a transaction of its own; raises Stop."""
        import asyncio

        from arrivals.flows.administer import Impossible

        done = asyncio.run(self._do(step, item))
        if isinstance(done, Impossible):
            raise Stop(done.problem, done.fix)
        return done

    def catalogue(self) -> Catalogue:
        """Return accounts, keys, providers, routes and prices as they stand."""
        from arrivals.flows.administer import READ_CATALOGUE

        return self.do(READ_CATALOGUE, None)

    def balances(self, account_ids: tuple[int, ...]) -> dict[int, Balance]:
        """Return the balances of accounts."""
        from arrivals.flows.administer import READ_BALANCES

        return self.do(READ_BALANCES, account_ids)

    async def _do(self, step: Step[Item, Done], item: Item) -> Done:
        from arrivals.clock import SystemChance, SystemClock
        from arrivals.flows.administer import ENSURE_INSTALLATION
        from arrivals.store.api import StoreError
        from arrivals.store.backend import holds_database, open_store

        if not holds_database(self.place):
            raise Stop(
                f"{self.place} holds no Arrivals database",
                "start `arrivals dev` or `arrivals serve` once, or name the folder with --data",
            )
        store = open_store(self.place, SystemClock(), exclusive=False)
        try:
            await store.open()
            await store.write(ENSURE_INSTALLATION, SystemChance().entropy)
            return await store.write(step, item)
        except StoreError as error:
            raise Stop(str(error), "see: arrivals doctor") from None
        finally:
            await store.close()
