"""What PostgreSQL, its library and the network say when they refuse, in words and with a fix.

A refused login has no code, only a sentence, so the table is of sentences. Nothing of a URL is
repeated: where it can't be read, any part of it may be one of the password.
"""

from __future__ import annotations

import re
from typing import Final

import psycopg

from arrivals.store.api import StoreError, StoreFull, StoreUnavailable

URL_FIX: Final = (
    "write postgresql://USER@HOST:PORT/NAME and put the password into PGPASSWORD; in a URL its "
    "signs are written as %25 for %, %40 for @, %2F for /, %3A for :, %3F for ? and %23 for #"
)
_AWAY: Final = "the database can't be reached"
_LOGIN: Final = "the database refuses the login"
_TLS: Final = "the connection to the database can't be encrypted"

# What is said, found in this order; what it means; what to do.
_SAID: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), words, fix)
    for pattern, words, fix in (
        (r"password authentication failed", f"{_LOGIN}: wrong password, or no such user",
         "mend the user and the password in the URL, or PGPASSWORD"),
        (r"no password supplied", f"{_LOGIN}: it wants a password, and none is given",
         "put it into PGPASSWORD or a file that PGPASSFILE names, or into the URL"),
        (r'database "[^"]*" does not exist', "there is no such database",
         "mend the name in the URL, or: createdb --encoding=UTF8 --template=template0 NAME"),
        (r'role "[^"]*" does not exist', f"{_LOGIN}: there is no such user",
         "mend the user in the URL, or: createuser NAME"),
        (r"not permitted to log in", f"{_LOGIN}: this role may not log in",
         "let a superuser run: ALTER ROLE NAME LOGIN"),
        (r"permission denied for database", f"{_LOGIN}: this user may not use that database",
         "let its owner run: GRANT CONNECT ON DATABASE NAME TO USER"),
        (r"pg_hba\.conf", f"{_LOGIN}: nobody may come in as this user from this address",
         ("add a line to the server's pg_hba.conf and reload it; if it asks for encryption, "
          "add ?sslmode=require to the URL")),
        (r"authentication failed|certificate authentication", _LOGIN,
         "mend the user and the password, or the server's pg_hba.conf"),
        (r"too many (clients|connections)|remaining connection slots|connection limit",
         "the database has no connection left",
         ("end what isn't needed, or raise max_connections or the role's limit: a process of "
         "Arrivals takes about eight")),
        (r"starting up", f"{_AWAY}: it is just starting", "wait, and try again"),
        (r"shutting down|administrator command|recovery mode|not yet accepting",
         f"{_AWAY}: it is just stopping or recovering", "wait, and try again"),
        (r"session is read-only|read-only transaction|standby|not accepting connections",
         ("the database takes no writes: it is a read-only standby, or "
         "default_transaction_read_only is on"),
         ("name the primary, or both hosts: postgresql://USER@HOST1,HOST2/NAME; or let its "
          "owner run: ALTER DATABASE NAME RESET default_transaction_read_only")),
        (r"does not support SSL", f"{_TLS}: the server speaks no TLS, and the URL asks for it",
         "turn ssl on in the server's postgresql.conf, or mend sslmode in the URL"),
        (r"certificate|root\.crt", f"{_TLS}: the server's certificate isn't trusted",
         "name who signed it with sslrootcert=FILE in the URL, and the host that it names"),
        (r"\bSSL\b|\bTLS\b", f"{_TLS}: TLS was refused",
         "mend sslmode, sslcert, sslkey and sslrootcert in the URL"),
        (r"translate host name|name or service|name resolution|resolve host|getaddrinfo",
         f"{_AWAY}: its host's name leads nowhere", "mend the host in the URL, or the DNS"),
        (r"refused|no such file or directory", f"{_AWAY}: nothing listens there",
         "start the server, or mend host and port in the URL"),
        (r"time(d )?out|no route|unreachable", f"{_AWAY}: it doesn't answer",
         "mend host and port in the URL, or let this address through"),
        (r"closed the connection|unsupported frontend protocol|expected authentication",
         f"{_AWAY}: what answers there isn't PostgreSQL, or ended the connection",
         "mend host and port in the URL; else the server's log says why"),
        (r"invalid|missing|unexpected|illegal|must be", "the database's URL can't be read",
         URL_FIX),
    )
)  # fmt: skip

_URL_SAID: Final = {
    "query parameter": ": it has an option that PostgreSQL doesn't know",
    "percent-encoded": ": a % in it isn't followed by two digits of an escape",
    "port": ": its port is no number, or a sign of the password wasn't escaped",
}

# Once it is connected, there are codes.
_BY_STATE: Final = {
    "53100": (StoreFull, "no room on the database's disk", "make room on that disk"),
    "53300": (StoreUnavailable, "the database has no connection left",
              "end what isn't needed, or raise max_connections or the role's limit"),
    "25006": (StoreUnavailable, "the database takes no writes: {said}",
              "name the primary, not a standby"),
    "25P03": (StoreUnavailable, "the database takes no writes: {said}", ""),
    "3D000": (StoreUnavailable, "there is no such database",
              "mend the name in the URL, or: createdb --encoding=UTF8 NAME"),
    "3F000": (StoreUnavailable, "no schema of the search_path is there: {said}",
              ("let its owner create it, or mend search_path in the URL, the role or the "
              "database")),
    "42501": (StoreError, "the database's user may not do that: {said}",
              "let the database belong to that user, or grant it what is missing"),
    "55P03": (StoreUnavailable, "somebody else holds what this needs: {said}",
              "see who stands in the way: pg_locks and pg_stat_activity tell"),
    "57014": (StoreUnavailable, "the database gave a statement up: {said}",
              "look for what is in its way, or raise statement_timeout"),
}  # fmt: skip


class NotConnected(psycopg.OperationalError):
    """No session came about; says why in our words, and repeats nothing of the URL."""

    def __init__(self, error: psycopg.Error) -> None:
        words, fix = _refusal(str(error), is_of_url=isinstance(error, psycopg.ProgrammingError))
        super().__init__(words)
        self.found = StoreUnavailable(words, fix)


def _refusal(said: str, *, is_of_url: bool) -> tuple[str, str]:
    if is_of_url:
        why = next((words for sign, words in _URL_SAID.items() if sign in said), "")
        return f"the database's URL can't be read{why}", URL_FIX
    # Several hosts, or addresses of one: the last is as good as any, but a server that spoke
    # says more than one that didn't.
    lines = said.strip().splitlines()
    spoke = [line for line in lines if "FATAL:" in line]
    for line in [*reversed(spoke), *reversed(lines)]:
        for pattern, words, fix in _SAID:
            if pattern.search(line.rpartition("failed: ")[2]):
                return words, fix
    theirs = spoke[-1].partition("FATAL:")[2].strip() if spoke else ""
    if theirs:  # in the server's own language
        return f"{_AWAY}: it says: {theirs}", "the server's log says more"
    return _AWAY, "start the server, or mend the URL; see also: arrivals doctor"


def by_state(error: psycopg.Error) -> StoreError | None:
    """Return what a code of PostgreSQL's means, where that is more than a sentence."""
    found = _BY_STATE.get(error.sqlstate or "")
    if found is None:
        return None
    kind, words, fix = found
    return kind(words.format(said=error.diag.message_primary), fix)


def without_password(url: str) -> str:
    """Return a database's URL as it may be shown: whose, where and which, and nothing else.

    All between the user and the last @ may be of the password, whatever signs it holds.
    """
    scheme, _, rest = url.partition("://")
    user, at, place = rest.rpartition("@")
    place, _, query = place.partition("?")
    user = re.split(r"[:/?#@]", user, maxsplit=1)[0]
    shown = [each for each in query.split("&") if each.partition("=")[0] in _SHOWN_OPTIONS]
    return f"{scheme}://{user}{at}{place}{'?' if shown else ''}{'&'.join(shown)}"


_SHOWN_OPTIONS: Final = frozenset(
    {"host", "hostaddr", "port", "dbname", "user", "sslmode", "target_session_attrs"}
)
