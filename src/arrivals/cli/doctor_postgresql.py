"""What doctor looks at in a PostgreSQL database: whether it keeps what it is told to keep."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from arrivals.cli.diagnosis import BAD, GOOD, LOOK, Answer

if TYPE_CHECKING:
    from arrivals.clock import Clock
    from arrivals.store.postgres_beside import PostgresFacts

VERSION_MIN: Final = 15
# Deadlines are by the processes' clocks, and leases by the database's.
CLOCKS_APART_US: Final = 1_000_000
CLOCKS_APART_MAX_US: Final = 30_000_000
UNSAFE: Final = {
    "fsync": "a power cut destroys the database",
    "full_page_writes": "a power cut tears pages that a checkpoint was writing",
}


def look_at_postgresql(url: str, clock: Clock) -> Iterator[Answer]:
    """Look at one database; a password is never shown."""
    from arrivals.store.api import StoreError
    from arrivals.store.beside import shown
    from arrivals.store.postgres_beside import postgres_facts

    try:
        facts = postgres_facts(url, clock)
    except StoreError as error:
        fix = error.fix or "mend the URL, or start the server"
        yield Answer(what="database", state=BAD, found=f"{shown(url)}: {error}", fix=fix)
        return
    yield Answer(
        what="database", state=GOOD, found=f"{shown(url)}, {facts.octets / 1e6:.1f} MB"
    )
    yield Answer(
        what="PostgreSQL",
        state=GOOD if facts.version >= VERSION_MIN else BAD,
        found=facts.version_text,
        fix=f"Arrivals needs {VERSION_MIN} or newer: upgrade the server",
    )
    yield from _durability(facts)
    yield Answer(
        what="text encoding",
        state=GOOD if facts.encoding == "UTF8" else BAD,
        found=facts.encoding,
        fix="texts need every character: create the database with ENCODING 'UTF8'",
    )
    yield from _schema(facts)
    yield _clocks(facts)


def _durability(facts: PostgresFacts) -> Iterator[Answer]:
    if facts.is_standby:
        fix = "name the primary: a standby takes no writes"
        yield Answer(what="role of the server", state=BAD, found="a standby", fix=fix)
    for name, danger in UNSAFE.items():
        value = facts.settings[name]
        yield Answer(
            what=name,
            state=GOOD if value == "on" else BAD,
            found=value,
            fix=f"turn it on in postgresql.conf: without it {danger}",
        )
    value = facts.settings["synchronous_commit"]
    yield Answer(
        what="synchronous_commit",
        state=LOOK if value == "off" else GOOD,
        found=value,
        fix="Arrivals turns it on for itself; what else writes there may lose its last commits",
    )


def _schema(facts: PostgresFacts) -> Iterator[Answer]:
    if facts.schema_version is None:
        fix = "it is made at the first start, or by: arrivals migrate"
        yield Answer(what="schema", state=LOOK, found="there is none yet", fix=fix)
        return
    waiting = ", ".join(str(each) for each in facts.missing)
    yield Answer(
        what="schema",
        state=BAD if facts.refused else LOOK if facts.missing else GOOD,
        found=facts.refused
        or f"{facts.schema_version}" + (f", missing: {waiting}" if waiting else ""),
        fix="install the newer Arrivals" if facts.refused else "arrivals migrate brings it up",
    )
    yield Answer(
        what="role arrivals_tenant",
        state=GOOD if facts.has_tenant_role else BAD,
        found="there, and ours to take" if facts.has_tenant_role else "missing, or not granted",
        fix="CREATE ROLE arrivals_tenant NOLOGIN; GRANT arrivals_tenant TO the user of the URL",
    )


def _clocks(facts: PostgresFacts) -> Answer:
    apart = abs(facts.ahead_us)
    return Answer(
        what="clocks",
        state=GOOD if apart < CLOCKS_APART_US else BAD if apart > CLOCKS_APART_MAX_US else LOOK,
        found=f"the database's is {facts.ahead_us / 1e6:+.3f} s from this machine's, "
        f"known to {facts.unsure_us / 1e6:.3f} s",
        fix="keep both set: run chronyd or systemd-timesyncd on either",
    )
