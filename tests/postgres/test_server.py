"""The servers under the other tests: what they keep, and that they leave nothing behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.postgres import programs
from tests.postgres.fixtures import URL_VARIABLE, need_programs, running_server
from tests.postgres.programs import PACKAGE_FOLDERS, VERSION_VARIABLE, NotInstalled
from tests.postgres.server import SETTINGS, PostgresServer, execute, short_folder

# Starts a server, says where it is, and waits to be killed.
ORPHAN_MAKER = """
import sys, time
from pathlib import Path
from tests.postgres.server import PostgresServer
with PostgresServer(Path(sys.argv[1])) as server:
    print(server.url(), flush=True)
    time.sleep(60)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a place for the folders of servers."""
    need_programs()
    with short_folder() as path:
        yield path


def processes(url: str) -> set[int]:
    """Return the processes that a server knows of, except the one that answers."""
    rows = execute(url, "select pid from pg_stat_activity where pid <> pg_backend_pid()")
    return {pid for (pid,) in rows}


def alive(pids: set[int]) -> set[int]:
    """Return those of some processes that have memory: the ended are listed until reaped."""
    return {
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if process.pid in pids and process.info["cmdline"]
    }


def fill(url: str) -> None:
    """Commit a row."""
    execute(url, "create table kept (id int)", "insert into kept values (42)")


def filled(url: str) -> bool:
    """Tell whether that row is there."""
    return execute(url, "select id from kept") == [(42,)]


# --- Fixtures -------------------------------------------------------------------------


@pytest.mark.parametrize("attempt", [1, 2])
def test_each_test_has_an_empty_database(postgres_url: str, attempt: int) -> None:
    """A table of one test isn't there for the next, though both create it."""
    fill(postgres_url)
    assert filled(postgres_url)


def test_a_database_is_on_the_server_of_the_session(
    postgres_server: str, postgres_url: str
) -> None:
    """The two differ by the name of the database, and by nothing else."""
    one, other = conninfo_to_dict(postgres_server), conninfo_to_dict(postgres_url)
    assert one.pop("dbname") != other.pop("dbname")
    assert one == other


def test_a_named_server_is_used_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a URL in the environment no server is started."""
    monkeypatch.setenv(URL_VARIABLE, "postgresql://elsewhere/postgres")
    with running_server() as url:
        assert url == "postgresql://elsewhere/postgres"


def test_missing_programs_skip_here_and_fail_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is stopped by a platform without the package, but CI doesn't pass without it."""
    monkeypatch.setattr(programs, "installed", dict)
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv(VERSION_VARIABLE, raising=False)
    with pytest.raises(pytest.skip.Exception):
        need_programs()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception):
        need_programs()


def test_the_version_is_the_one_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment chooses; without it the newest that Arrivals is meant for."""
    monkeypatch.delenv(VERSION_VARIABLE, raising=False)
    there = {version: Path(str(version)) for version in (15, 16, 18, 19)}
    monkeypatch.setattr(programs, "installed", lambda: there)
    assert programs.choose() == 18
    monkeypatch.setenv(VERSION_VARIABLE, "15")
    assert programs.choose() == 15
    assert programs.choose(16) == 16
    with pytest.raises(NotInstalled, match="17"):
        programs.choose(17)


# --- Servers --------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("version", PACKAGE_FOLDERS)
def test_both_versions_start(folder: Path, version: int) -> None:
    """The package brings two versions; each is what it says, and promises what we rest on."""
    need_programs(version)
    with PostgresServer(folder / "it", version=version, work_mem="5MB") as it:
        for url in (it.url(), it.socket_url(), it.create_database("other")):
            (number,) = execute(url, "show server_version_num")[0]
            assert int(number) // 10000 == version
        for name, value in (*SETTINGS.items(), ("work_mem", "5MB")):
            assert execute(it.url(), f"show {name}") == [(value,)]
        assert execute(it.url(), "show server_encoding") == [("UTF8",)]


@pytest.mark.slow
def test_committed_rows_survive_every_end(folder: Path) -> None:
    """After a stop, a crash and a kill it is back on the same URL with what was committed."""
    with PostgresServer(folder / "it") as it:
        url = it.url()
        fill(url)
        for end in (it.stop, lambda: it.stop("immediate"), it.kill):
            before = processes(url) | {it.pid}
            with psycopg.connect(url) as connection:
                connection.execute("insert into kept values (43)")  # and never committed
                end()
                with pytest.raises(psycopg.OperationalError):
                    connection.execute("select 1")
            assert alive(before) == set()
            with pytest.raises(psycopg.OperationalError):
                execute(url, "select 1")
            it.start()
            assert filled(url)


@pytest.mark.slow
def test_a_kill_spares_nobody(folder: Path) -> None:
    """A process that never looks up from its work ends with the others."""
    with PostgresServer(folder / "it") as it, closing(psycopg.connect(it.url())) as busy:
        busy.pgconn.send_query(b"do $$ begin loop end loop; end $$")
        while (busy.info.backend_pid, "active") not in execute(
            it.url(), "select pid, state from pg_stat_activity"
        ):
            pass
        it.kill()
        assert alive({busy.info.backend_pid}) == set()


@pytest.mark.slow
def test_a_synchronous_standby_takes_over(folder: Path) -> None:
    """What the primary committed is on the standby when the primary is killed."""
    with (
        PostgresServer(folder / "primary") as primary,
        PostgresServer.standby_from(primary, folder / "standby", "second") as standby,
    ):
        fill(primary.url())
        primary.kill()
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            execute(standby.url(), "insert into kept values (43)")
        standby.promote()
        assert filled(standby.url())
        execute(standby.url(), "insert into kept values (43)")


@pytest.mark.slow
def test_commits_wait_for_a_synchronous_standby(folder: Path) -> None:
    """Without its standby the primary commits nothing, from the first commit on."""
    with PostgresServer(folder / "primary") as primary:
        fill(primary.url())
        with PostgresServer.standby_from(primary, folder / "standby", "second"):
            pass
        with closing(psycopg.connect(primary.url())) as writing:
            writing.pgconn.send_query(b"insert into kept values (43)")
            state = (
                "select state, wait_event from pg_stat_activity "
                f"where pid = {writing.info.backend_pid}"
            )
            while (seen := execute(primary.url(), state)) != [("active", "SyncRep")]:
                assert seen, "it ended"


@pytest.mark.slow
def test_nothing_runs_after_the_context(folder: Path) -> None:
    """Neither the server, nor its processes, nor the watcher go on."""
    with PostgresServer(folder / "it") as it:
        pids = processes(it.url()) | {it.pid, it._watcher.pid}
        assert len(alive(pids)) > 4
    assert alive(pids) == set()


@pytest.mark.slow
def test_a_failed_start_says_why_and_leaves_nothing(folder: Path) -> None:
    """A setting that PostgreSQL refuses is named in the error."""
    it = PostgresServer(folder / "it", shared_buffers="much")
    with pytest.raises(RuntimeError, match="shared_buffers"):
        it.start()
    assert it._process is None


@pytest.mark.slow
def test_the_server_ends_with_the_tests(folder: Path) -> None:
    """If the process that started it is killed, the server stops."""
    command = [sys.executable, "-c", ORPHAN_MAKER, str(folder / "it")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as maker:
        assert maker.stdout
        url = maker.stdout.readline().strip()
        first = int((folder / "it/data/postmaster.pid").read_text().split()[0])
        pids = processes(url) | {first}
        with psycopg.connect(url) as connection:
            maker.kill()
            with pytest.raises(psycopg.OperationalError):
                connection.execute("select pg_sleep(30)")
        while alive(pids):
            pass


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root's servers run as somebody else")
def test_programs_out_of_reach_are_copied(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Below a folder that only root may enter, the server runs from a copy."""
    version = programs.choose()
    hidden = folder / "hidden"
    shutil.copytree(programs.installed()[version].parent, hidden, symlinks=True)
    hidden.chmod(0o700)
    monkeypatch.setattr(programs, "installed", lambda: {version: hidden / "bin"})
    with PostgresServer(folder / "it", version=version) as it:
        assert execute(it.url(), "select 1") == [(1,)]
