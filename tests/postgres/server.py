"""Start, kill, restart and promote real PostgreSQL servers, as children of the tests.

Their processes end with the tests:

- `stop` and `kill` return when the last process has ended. All of them inherit the write end
  of a pipe that nobody writes to, so the end of that pipe is the end of the server.
- If the tests die, a shell that waits for the end of its input stops the server. (The signal
  that Linux can send at a parent's death already comes when the parent's *thread* ends.)
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait as wait_for_pipes
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

import psutil
import psycopg

from tests.e2e.servers import free_port
from tests.postgres.programs import choose, installed, reachable, unprivileged

READY_TIMEOUT_S = 30.0  # after a kill it first replays what it had logged
END_TIMEOUT_S = 30.0  # its own patience with its processes is 5 s
POLL_S = 0.01

SETTINGS = {
    "fsync": "on",  # the default, as the next one: what we prove rests on them
    "synchronous_commit": "on",
    "shared_buffers": "16MB",
    "max_connections": "200",
    "log_min_duration_statement": "-1",
}


def execute(url: str, *statements: str) -> list[tuple[Any, ...]]:
    """Run statements on a connection of their own; return the rows of the last."""
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def create_database(server_url: str, name: str) -> str:
    """Create an empty database on a server, given as any URL of it; return its URL.

    The default strategy, `wal_log`, took 0.6 to 0.9 of the time of `file_copy`, and its drop
    a third: it needs no checkpoint.
    """
    execute(server_url, f'create database "{name}" template template0')
    return urlsplit(server_url)._replace(path=f"/{name}").geturl()


def drop_database(server_url: str, name: str) -> None:
    """Drop a database, whoever is still connected to it."""
    execute(server_url, f'drop database "{name}" with (force)')


@contextmanager
def short_folder() -> Iterator[Path]:
    """Make a folder in which servers can live, and remove it.

    Pytest's own are too deep for a socket's path, and closed to root's servers (`nobody`).
    """
    with tempfile.TemporaryDirectory(prefix="arrivals-pg-") as name:
        Path(name).chmod(0o701)
        yield Path(name)


class PostgresServer:
    """A server with one folder and one port, which outlast its processes.

    Its superuser is `postgres`, without a password; its socket and its `log` are in the folder.
    """

    def __init__(self, folder: Path, *, version: int | None = None, **settings: str) -> None:
        self.folder = folder
        self.version = choose(version)
        self.port = free_port()
        self._settings = SETTINGS | settings
        self._user = unprivileged()
        self._data = folder / "data"
        folder.mkdir(exist_ok=True)
        if self._user:
            os.chown(folder, self._user["user"], self._user["group"])
        self._programs = reachable(installed()[self.version], folder)
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    @contextmanager
    def standby_from(cls, primary: PostgresServer, folder: Path, name: str) -> Iterator[Self]:
        """Run a copy that follows a server, whose commits wait for it from then on."""
        standby = cls(folder, version=primary.version)
        standby._run(
            *("pg_basebackup", "--write-recovery-conf", "--checkpoint=fast", "--no-sync"),
            *("--pgdata", str(standby._data)),
            *("--dbname", f"{primary.url()}?application_name={name}"),
        )
        with standby:
            primary._let_commits_wait_for(name)
            yield standby

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop("immediate")

    @property
    def pid(self) -> int:
        if self._process is None:
            raise AssertionError("not started")
        return self._process.pid

    def url(self, database: str = "postgres") -> str:
        """Return the URL of a database by TCP."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def socket_url(self, database: str = "postgres") -> str:
        """Return the URL of a database by the socket, where no other server can answer."""
        return f"postgresql://postgres@/{database}?host={self.folder}&port={self.port}"

    def create_database(self, name: str) -> str:
        """Create an empty database; return its URL."""
        return create_database(self.url(), name)

    def start(self) -> None:
        """Start it, the first time on a new folder; return when it takes connections."""
        if not self._data.exists():
            self._initialise()
        self._alive, inherited = os.pipe()
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(self._programs / "postgres", "-D", self._data),
                    *("-p", str(self.port), "-k", self.folder),
                    *("-c", "listen_addresses=127.0.0.1"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                pass_fds=[inherited],
                process_group=0,  # Ctrl-C is for the tests, which then stop it
                **self._user,
            )
        os.close(inherited)
        self._watcher = subprocess.Popen(
            ["sh", "-c", "read _; kill -QUIT $0", str(self._process.pid)],
            stdin=subprocess.PIPE,
            process_group=0,
            **self._user,
        )
        try:
            self._until(self._takes_connections)
        except BaseException:
            self.stop("immediate")
            raise

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Stop it if it runs: `fast` with a checkpoint, `immediate` as in a crash."""
        self._end(signal.SIGINT if mode == "fast" else signal.SIGQUIT)

    def kill(self) -> None:
        """Kill its first process, and the others, who may be too busy to notice."""
        others = psutil.Process(self.pid).children()
        self._end(signal.SIGKILL, others)

    def promote(self) -> None:
        """Make a standby a server that takes writes."""
        if execute(self.url(), "select pg_promote()") != [(True,)]:
            raise RuntimeError(f"it wasn't promoted: {self._last_words()}")

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self._programs / program, *arguments],
            **self._user,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr}")

    def _initialise(self) -> None:
        self._run(
            *("initdb", "--pgdata", str(self._data), "--username=postgres", "--auth=trust"),
            *("--encoding=UTF8", "--locale=C", "--no-sync"),
        )
        with (self._data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in self._settings.items())

    def _let_commits_wait_for(self, standby: str) -> None:
        """Return when no commit can pass without the standby.

        A new connection that sees the setting proves that the server has told its processes
        of it; a checkpoint after that, that the one which makes commits wait has heard.
        """
        execute(
            self.url(),
            f"alter system set synchronous_standby_names = '{standby}'",
            "select pg_reload_conf()",
        )
        follows = "select 1 from pg_stat_replication where sync_state = 'sync'"
        self._until(lambda: bool(execute(self.url(), follows)))
        execute(self.url(), "checkpoint")

    def _takes_connections(self) -> bool:
        with suppress(psycopg.OperationalError):
            execute(self.socket_url(), "select 1")
            return True
        return False

    def _until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not condition():
            if self._process is None or self._process.poll() is not None:
                raise RuntimeError(f"PostgreSQL ended: {self._last_words()}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"PostgreSQL isn't ready: {self._last_words()}")
            time.sleep(POLL_S)

    def _end(self, signal_number: int, others: Iterable[psutil.Process] = ()) -> None:
        if self._process is None:
            return
        self._process.send_signal(signal_number)
        for other in others:
            with suppress(psutil.NoSuchProcess):
                other.kill()
        self._process.wait(END_TIMEOUT_S)
        if not wait_for_pipes([self._alive], END_TIMEOUT_S):
            raise TimeoutError(f"a process of it goes on: {self._last_words()}")
        os.close(self._alive)
        with self._watcher:
            self._watcher.kill()
        self._process = None

    def _last_words(self) -> str:
        return (self.folder / "log").read_text("utf-8", "replace")[-1000:]
