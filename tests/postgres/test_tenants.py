"""The second wall between tenants: what an account reads is all that is there for it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from arrivals.store.api import StoreError
from arrivals.store.postgres_connection import PostgresConnection
from arrivals.store.postgres_reader import PostgresReader
from arrivals.store.rows import StoredAnswer
from tests.postgres.fixtures import QUICK, need_programs
from tests.postgres.server import (
    PostgresServer,
    create_database,
    drop_database,
    execute,
    short_folder,
)
from tests.postgres.stores import opened
from tests.store.ground import CLAIMED, TAKEN, Ground, delivered

pytestmark = pytest.mark.slow

OWN = (
    "balances",
    "idempotency",
    "orders",
    "messages",
    "adjustments",
    "postings",
    "events",
    "batches",
)
PUBLIC = ("rates",)  # no account's: what was sent was priced by one


@pytest.fixture
async def two(database: str) -> AsyncIterator[Ground]:
    """Two accounts with a row in every table that has accounts' rows."""
    async with opened(database) as (ground,):
        for account_id in (1, 2):
            await ground.fund(account_id)
            [key] = await ground.accept(account_id=account_id)
            await ground.drive(key, CLAIMED, TAKEN, delivered(1))

            def more(tx: Any, account_id: int = account_id, key: int = key) -> None:
                tx.adjust(key, "refund", 1000, 1)
                tx.store_answers([StoredAnswer(account_id, "POST /x", "k", "h", 200, "{}", 1)])

            await ground.run(more)
            execute(
                database,
                "INSERT INTO batches (account_id, key, options, created_at)"
                f" VALUES ({account_id}, 'k', '{{}}', 1)",
            )
        yield ground


@pytest.fixture
def reader(database: str, two: Ground) -> Iterator[PostgresReader]:
    session = PostgresConnection(database, application="test")
    yield PostgresReader(session)
    session.close()


def ask(reader: PostgresReader, statement: str) -> list[tuple[Any, ...]]:
    return reader._session.execute(statement).fetchall()


def accounts_seen(reader: PostgresReader, table: str) -> set[int]:
    """Ask without any word of an account; tell whose rows came."""
    column = {
        "adjustments": "(SELECT account_id FROM messages AS m WHERE m.id = message_id)",
        "events": "(SELECT account_id FROM messages AS m WHERE m.id = message_id)",
    }.get(table, "account_id")
    return {account_id for (account_id,) in ask(reader, f"SELECT {column} FROM {table}")}


def test_a_statement_without_a_word_of_an_account_sees_one(reader: PostgresReader) -> None:
    for table in OWN:
        assert accounts_seen(reader, table) == {1, 2}, table
        for account_id in (1, 2):
            with reader.seen_by(account_id):
                assert accounts_seen(reader, table) == {account_id}, table
        with reader.seen_by(3):
            assert accounts_seen(reader, table) == set(), table


def test_every_table_that_is_granted_is_walled(reader: PostgresReader) -> None:
    granted = ask(
        reader,
        "SELECT DISTINCT table_name FROM information_schema.role_table_grants"
        " WHERE grantee = 'arrivals_tenant'",
    )
    assert {name for (name,) in granted} == {*OWN, *PUBLIC}
    rights = ask(
        reader,
        "SELECT DISTINCT privilege_type FROM information_schema.role_table_grants"
        " WHERE grantee = 'arrivals_tenant'",
    )
    assert rights == [("SELECT",)]
    walled = ask(reader, "SELECT relname FROM pg_class WHERE relrowsecurity")
    assert {name for (name,) in walled} == set(OWN)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM meta",
        "SELECT * FROM catalogue",
        "SELECT * FROM writers",
        "SELECT * FROM handoffs",
        "SELECT * FROM parked_receipts",
        "SELECT * FROM raw_receipts",
        "SELECT * FROM messages_0",
        "SELECT * FROM events_0",
        "UPDATE messages SET lane = 1",
        "DELETE FROM idempotency",
        "INSERT INTO balances (account_id, currency) VALUES (9, 'EUR')",
        "SELECT nextval('order_ids')",
        "SELECT * FROM messages FOR UPDATE",
    ],
)
def test_what_is_no_tenants_is_refused_and_leaves_the_session_clean(
    reader: PostgresReader, statement: str
) -> None:
    with (
        pytest.raises(
            (psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction)
        ),
        reader.seen_by(1),
    ):
        ask(reader, statement)
    assert not reader._session.in_transaction
    assert accounts_seen(reader, "messages") == {1, 2}


def test_a_verb_within_a_verb_keeps_the_sight(reader: PostgresReader) -> None:
    with reader.seen_by(1):
        with reader.seen_by(2):
            assert accounts_seen(reader, "orders") == {1}
        assert reader.balance(2) is None
        assert reader.balance(1) is not None
        assert accounts_seen(reader, "orders") == {1}
    assert accounts_seen(reader, "orders") == {1, 2}
    assert not reader._session.in_transaction


def test_a_verb_within_one_state_of_the_database_is_walled_too(reader: PostgresReader) -> None:
    with reader._session:
        with reader.seen_by(2):
            assert accounts_seen(reader, "orders") == {2}
            with reader._session:
                assert accounts_seen(reader, "orders") == {2}
        assert accounts_seen(reader, "orders") == {1, 2}
        with pytest.raises(ZeroDivisionError), reader.seen_by(1):
            raise ZeroDivisionError
        assert accounts_seen(reader, "orders") == {1, 2}
    assert not reader._session.in_transaction


def test_one_state_within_one_state_ends_with_the_outer_one(reader: PostgresReader) -> None:
    with reader._session:
        with reader._session:
            pass
        assert reader._session.in_transaction
    assert not reader._session.in_transaction


def test_an_exception_leaves_the_session_clean(reader: PostgresReader) -> None:
    with pytest.raises(psycopg.errors.DivisionByZero), reader._session, reader.seen_by(1):
        ask(reader, "SELECT 1 / 0")
    assert not reader._session.in_transaction
    assert accounts_seen(reader, "messages") == {1, 2}
    assert ask(reader, "SELECT current_user::text, present_account()")[0][1] is None


# --- a database whose owner is nobody special ----------------------------------------


@pytest.fixture
def owner(postgres_server: str, request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """Return the URL of an empty database by its owner, a plain role, and the role's name."""
    name = f"owner_{os.urandom(4).hex()}"
    options = getattr(request, "param", "")
    execute(postgres_server, f"CREATE ROLE {name} LOGIN {options}")
    url = create_database(postgres_server, name)
    execute(postgres_server, f"ALTER DATABASE {name} OWNER TO {name}")
    yield (
        urlsplit(url)
        ._replace(netloc=url.split("@")[-1].split("/")[0])
        .geturl()
        .replace("//", f"//{name}@", 1),
        name,
    )
    drop_database(postgres_server, name)
    execute(postgres_server, f"DROP OWNED BY {name}", f"DROP ROLE {name}")


async def walled(url: str) -> None:
    """Open a store and read through the wall."""
    async with opened(url) as (ground,):
        await ground.fund(1)
        await ground.fund(2)
        found = await ground.store.read(lambda reader: reader.balance(1))
        assert found is not None

        def all_that_is_seen(reader: PostgresReader) -> set[int]:
            with reader.seen_by(2):
                return accounts_seen(reader, "balances")

        assert await ground.store.read(all_that_is_seen) == {2}


@pytest.mark.slow
@pytest.mark.parametrize("owner", ["CREATEROLE"], indirect=True)
async def test_an_owner_who_may_create_roles_needs_no_superuser(
    database: str, postgres_server: str, owner: tuple[str, str]
) -> None:
    """The role is there already, of somebody else: it must be granted."""
    url, name = owner
    [(version,)] = execute(postgres_server, "SELECT current_setting('server_version_num')::int")
    if version < 160000:  # whoever may create roles may be any
        await walled(url)
        return
    with pytest.raises(StoreError, match=f"GRANT arrivals_tenant TO {name}"):
        await walled(url)
    execute(postgres_server, f"GRANT arrivals_tenant TO {name}")
    await walled(url)


@pytest.mark.slow
async def test_an_owner_without_rights_hears_what_to_ask_for(
    database: str, postgres_server: str, owner: tuple[str, str]
) -> None:
    url, name = owner
    with pytest.raises(StoreError, match=f"GRANT arrivals_tenant TO {name}"):
        await walled(url)
    execute(postgres_server, f"GRANT arrivals_tenant TO {name}")
    await walled(url)


@pytest.fixture
def server_of_its_own() -> Iterator[PostgresServer]:
    """Return a server on which nobody made the role yet."""
    need_programs()
    with (
        short_folder() as folder,
        PostgresServer(folder / "server", version=None, **QUICK) as server,
    ):
        yield server


@pytest.mark.slow
async def test_who_makes_the_role(server_of_its_own: PostgresServer) -> None:
    """An owner who may create roles makes it, and may become it; one who may not says so."""
    server = server_of_its_own
    for name, options in (("plain", ""), ("maker", "CREATEROLE")):
        execute(
            server.url(),
            f"CREATE ROLE {name} LOGIN {options}",
            f"CREATE DATABASE {name} OWNER {name}",
        )
    plain, maker = (
        server.url(name).replace("postgres@", f"{name}@") for name in ("plain", "maker")
    )
    with pytest.raises(StoreError, match="CREATE ROLE arrivals_tenant NOLOGIN; GRANT"):
        await walled(plain)
    await walled(maker)
    async with opened(maker):  # and again
        pass
