"""`arrivals migrate`: bring a database's schema up to date, or tell what that would do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from arrivals.cli.connection import AsJson
from arrivals.cli.database import Config, Data, place_of
from arrivals.cli.output import Stop, put_json, put_table, say
from arrivals.cli.usage import flag

if TYPE_CHECKING:
    from arrivals.store.migrating import Plan


def migrate(
    plan: Annotated[
        bool, flag("--plan", help="Tell what would run; nothing is changed.")
    ] = False,
    data: Data = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Bring a database's schema up to date; `serve` does the same at its start.

    A PostgreSQL database may be served meanwhile, by programs of the schema that the plan
    names and newer ones. A data folder may not.
    """
    from arrivals.clock import SystemClock
    from arrivals.store.api import StoreError
    from arrivals.store.beside import shown
    from arrivals.store.migrating import migrate_place, plan_of

    place = place_of(data, config)
    try:
        found = plan_of(place) if plan else migrate_place(place, SystemClock())
    except StoreError as error:
        raise Stop(
            f"{shown(place)} isn't migrated: {error}",
            error.fix
            or "name the right place with --data, stop what serves a folder, or install the "
            "newer Arrivals; see also: arrivals doctor",
        ) from None
    if as_json:
        put_json(
            {
                "data": shown(place),
                "schema": found.schema,
                "migrations": found.waiting,
                "works_with": found.works_with,
                "ran": bool(found.waiting) and not plan,
            }
        )
        return
    _tell(found, shown(place), planned=plan)


def _tell(found: Plan, place: str, *, planned: bool) -> None:
    if not found.waiting:
        say(f"{place} is up to date: schema {found.schema}.")
        return
    say(f"{place}: schema {'none yet' if found.schema is None else found.schema}.")
    put_table(
        ("schema#", "works with#", "what it brings"),
        [(each.version, each.works_with, each.about) for each in found.waiting],
        "",
    )
    if found.schema is not None and found.works_with > found.schema:
        say(f"Stop every process older than schema {found.works_with} first.")
    say("Nothing was changed." if planned else "Done.")
