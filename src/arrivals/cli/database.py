"""Open an installation's database for a command, beside a live server or without one."""

from __future__ import annotations

import os
import re
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

# "host=… password=…", or a URL that lost a sign.
_LIKE_A_DATABASE: Final = re.compile(r"password\s*=|^postgres\w*:", re.IGNORECASE)
_NO_DATABASE: Final = (
    "this isn't a database of Arrivals; write postgresql://USER@HOST:PORT/NAME, or a folder"
)
DATA_VARIABLE: Final = "ARRIVALS_DATA"

Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="PLACE",
        help=f"A data folder or a postgresql:// URL. [else ${DATA_VARIABLE}, {DEFAULT_DATA}]",
    ),
]
Config = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="The settings file that names it."),
]


def place_of(data: str | None, config: Path | None) -> str | Path:
    """Return the folder or URL that --data, --config or the environment names; raises Stop."""
    if data is not None:
        return as_place(data)
    if config is not None:
        return settings_of(config).place
    return as_place(os.environ.get(DATA_VARIABLE) or str(DEFAULT_DATA))


def as_place(text: str) -> str | Path:
    """Return what a person wrote as a database's URL, or as a folder."""
    scheme, mark, _ = text.partition("://")
    if mark and scheme in {"postgresql", "postgres"}:
        return text
    # What looks like a database's address isn't repeated: it may hold a password.
    if mark:
        raise typer.BadParameter(_NO_DATABASE)
    return as_folder(text)


def as_folder(text: str | Path) -> Path:
    """Return what a person wrote as a folder, unless it looks like a database's address."""
    if _LIKE_A_DATABASE.search(str(text)):
        raise typer.BadParameter(_NO_DATABASE)
    return Path(text)


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
    """The database of a data folder or of a URL, open for one command."""

    def __init__(self, place: str | Path) -> None:
        """Name the folder, or the database's URL; it must hold an installation already."""
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

    def last_uses(self, key_ids: tuple[str, ...]) -> dict[str, int]:
        """Return when keys were used last, of those that ever were."""
        from arrivals.flows.administer import READ_LAST_USES

        return self.do(READ_LAST_USES, key_ids)

    def leases(self) -> dict[str, bool]:
        """Return whose binds are held by a process that serves now; raises Stop."""
        import asyncio

        from arrivals.flows.lease import LEASED_ELSEWHERE

        return asyncio.run(self._do(LEASED_ELSEWHERE, ""))

    def learnt(self) -> str | None:
        """Return what the model of outcomes learnt, as it was kept last; raises Stop."""
        import asyncio

        from arrivals.flows.learning import KEPT

        return asyncio.run(self._do(KEPT, None))

    async def _do(self, step: Step[Item, Done], item: Item) -> Done:
        from arrivals.clock import SystemChance, SystemClock
        from arrivals.flows.administer import ENSURE_INSTALLATION
        from arrivals.store.api import StoreError
        from arrivals.store.backend import open_store
        from arrivals.store.beside import must_hold_database

        try:
            must_hold_database(self.place)
        except StoreError as error:
            raise Stop(
                str(error),
                error.fix
                or "start `arrivals dev` or `arrivals serve` once, or name another with --data",
            ) from None
        store = open_store(self.place, SystemClock(), exclusive=False)
        try:
            await store.open()
            await store.write(ENSURE_INSTALLATION, SystemChance().entropy)
            return await store.write(step, item)
        except StoreError as error:
            raise Stop(str(error), error.fix or "see: arrivals doctor") from None
        finally:
            await store.close()
