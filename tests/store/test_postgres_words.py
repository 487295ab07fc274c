"""What is said when PostgreSQL refuses: every kind has words and a fix, and repeats no URL."""

from __future__ import annotations

import psycopg
import pytest

from arrivals.store.postgres_connection import named
from arrivals.store.postgres_words import NotConnected

AT = 'connection to server at "db.example" (192.0.2.1), port 5432 failed: '
SAID = {
    AT + 'FATAL:  password authentication failed for user "me"': "wrong password",
    AT + "fe_sendauth: no password supplied": "none is given",
    AT + 'FATAL:  database "nope" does not exist': "no such database",
    AT + 'FATAL:  role "ghost" does not exist': "no such user",
    AT + 'FATAL:  role "me" is not permitted to log in': "may not log in",
    AT + 'FATAL:  permission denied for database "a"\nDETAIL:  …': "may not use that database",
    AT + 'FATAL:  no pg_hba.conf entry for host "192.0.2.7", user "me", database "a", no '
    "encryption": "nobody may come in",
    AT + 'FATAL:  Peer authentication failed for user "me"': "refuses the login",
    AT + "FATAL:  sorry, too many clients already": "no connection left",
    AT + "FATAL:  remaining connection slots are reserved for …": "no connection left",
    AT + 'FATAL:  too many connections for role "me"': "no connection left",
    AT + "FATAL:  the database system is starting up": "just starting",
    AT + "FATAL:  the database system is shutting down": "just stopping",
    AT + "FATAL:  the database system is in recovery mode": "recovering",
    AT + "session is read-only": "takes no writes",
    AT + "server is in hot standby mode": "takes no writes",
    AT + "server does not support SSL, but SSL was required": "speaks no TLS",
    AT + "SSL error: certificate verify failed": "isn't trusted",
    AT + 'root certificate file "/a" does not exist': "isn't trusted",
    AT + "SSL error: tlsv1 alert protocol version": "TLS was refused",
    AT + "Connection refused\n\tIs the server running on that host …?": "nothing listens",
    'connection to server on socket "/run/.s.PGSQL.1" failed: No such file or directory\n'
    "\tIs the server running locally …?": "nothing listens",
    'could not translate host name "db" to address: Name or service not known': "leads nowhere",
    "[Errno -2] Name or service not known": "leads nowhere",
    AT + "timeout expired": "doesn't answer",
    "connection timeout expired": "doesn't answer",
    AT + "No route to host": "doesn't answer",
    AT + "server closed the connection unexpectedly\n\tThis probably …": "isn't PostgreSQL",
    AT + "expected authentication request from server, but received H": "isn't PostgreSQL",
    'invalid integer value "5432x" for connection option "port"': "URL can't be read",
    AT + "FATAL:  Passwort-Authentifizierung für Benutzer »me« fehlgeschlagen": "Benutzer »me«",
    AT + "Connection refused\n" + AT + 'FATAL:  role "ghost" does not exist': "no such user",
    "something new": "can't be reached",
}


@pytest.mark.parametrize("said", SAID)
def test_every_refusal_has_words(said: str) -> None:
    """And something to do."""
    error = NotConnected(psycopg.OperationalError(said))
    found = named(error)
    assert SAID[said] in str(found)
    assert getattr(found, "fix", "")
    for part in ("192.0.2", "db.example", "5432"):
        assert part not in str(found)
    assert error.__cause__ is error.__context__ is None


def test_a_url_that_cannot_be_read_is_not_repeated() -> None:
    """Any part of it may be one of the password."""
    for said in (
        'invalid percent-encoded token: "secret%ZZ"',
        'invalid URI query parameter: "secret"',
        'invalid port number: "secret"',
        'missing "=" after "secret" in connection info string',
    ):
        found = named(NotConnected(psycopg.ProgrammingError(said)))
        assert "secret" not in str(found)
        assert "URL can't be read" in str(found)
        assert "%40" in found.fix  # type: ignore[attr-defined]
