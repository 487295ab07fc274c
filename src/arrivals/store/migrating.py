"""Tell which migrations a database still needs and what each leaves compatible; run them."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Final

import msgspec

from arrivals.clock import Clock
from arrivals.store.api import StoreUnavailable
from arrivals.store.backend import holds_database, is_postgresql, open_store
from arrivals.store.beside import reading
from arrivals.store.statements import POSTGRESQL, SQLITE, migrations

_FIRST_WORDS: Final = re.compile(r"^-- (?!works with:)(.+?)(?:[.:](?:\s|$)|$)", re.MULTILINE)


class Migration(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a database's schema."""

    version: int
    works_with: int  # the oldest schema whose program runs on what this leaves
    about: str


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a database's schema is, and what is missing from this program's."""

    schema: int | None  # None: there is none yet
    waiting: tuple[Migration, ...]

    @property
    def works_with(self) -> int:
        """The oldest schema whose program may run once all of this has."""
        return max((each.works_with for each in self.waiting), default=self.schema or 0)


def plan_of(place: str | Path) -> Plan:
    """Return what migrating a folder or the database of a URL would do; changes nothing.

    Raises StoreUnavailable if a newer Arrivals has been here that this one can't run beside,
    or another StoreError.
    """
    return _plan_postgresql(str(place)) if is_postgresql(place) else _plan_folder(Path(place))


def migrate_place(place: str | Path, clock: Clock) -> Plan:
    """Run what is missing, all or nothing, and return what that was; raises a StoreError.

    A folder must not be served meanwhile; a database may be.
    """
    plan = plan_of(place)
    if is_postgresql(place):
        from arrivals.store.postgres_beside import changing_database
        from arrivals.store.postgres_schema import migrate

        with changing_database(str(place), "arrivals migrate") as session:
            ran = migrate(session)
        return msgspec.structs.replace(
            plan, waiting=tuple(each for each in plan.waiting if each.version in ran)
        )
    asyncio.run(_open_once(Path(place), clock))
    return plan


def _plan_postgresql(url: str) -> Plan:
    from arrivals.store.postgres_beside import has_schema, session_beside
    from arrivals.store.postgres_schema import missing_migrations, works_with

    with session_beside(url) as session:
        present = None
        if has_schema(session):
            present = session.execute("SELECT max(version) FROM schema_versions").get
        missing = missing_migrations(session)
    known = dict(migrations(POSTGRESQL))
    waiting = [
        Migration(
            version=each, works_with=works_with(known[each]), about=first_words(known[each])
        )
        for each in missing
    ]
    return Plan(schema=present, waiting=tuple(waiting))


def _plan_folder(folder: Path) -> Plan:
    known = dict(migrations(SQLITE))
    done: set[int] = set()
    if holds_database(folder):
        with reading(folder) as connection:
            found = connection.execute("SELECT version FROM schema_versions").fetchall()
        done = {int(str(version)) for (version,) in found}
    if unknown := done - known.keys():
        raise StoreUnavailable(f"a newer Arrivals made this database (schema {max(unknown)})")
    # A folder is served by one process, so nothing older runs beside it.
    waiting = [
        Migration(version=each, works_with=each, about=first_words(known[each]))
        for each in sorted(known.keys() - done)
    ]
    return Plan(schema=max(done, default=None), waiting=tuple(waiting))


async def _open_once(folder: Path, clock: Clock) -> None:
    store = open_store(folder, clock)
    await store.open()
    await store.close()


def first_words(text: str) -> str:
    """Return what a migration says of itself, up to the end of its first sentence."""
    found = _FIRST_WORDS.search(text)
    return found[1].strip() if found else ""
