"""Kill the processes of a cluster and restart its PostgreSQL while it sends; then judge.

    python -m tests.e2e.cluster_run --messages 50000 --restarts 5

Two API processes and three workers share one PostgreSQL. Every few seconds a random one is
killed (kill -9) and another started in its place; now and then the database is stopped
`immediate`, as in a crash, and started again. Senders repeat what wasn't answered, at
whichever API process, with the same idempotency key. The verdict is that of kill_run.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg

from tests.e2e.cluster import Cluster
from tests.e2e.kill_run import OPEN, Verdict, judge
from tests.postgres.server import PostgresServer, execute, short_folder

SENDERS = 64
OUTCOME_TIMEOUT_S = 300.0
ANSWER_TIMEOUT_S = 10.0
DOWN_S = 1.0  # how long the database is away
SETTINGS = {"shared_buffers": "128MB", "max_wal_size": "1GB"}


class Line:
    """A connection to one API process, opened anew whenever it breaks."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writer: asyncio.StreamWriter | None = None

    async def post(self, path: str, headers: dict[str, str], body: str) -> tuple[int, str]:
        """Send one request; return its status and body, or 0 if nobody knows how it went."""
        lines = [f"{name}: {value}" for name, value in headers.items()]
        head = "\r\n".join(
            [f"POST {path} HTTP/1.1", "Host: here", *lines, f"Content-Length: {len(body)}"]
        )
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                if self._writer is None:
                    self._reader, self._writer = await asyncio.open_connection(
                        "127.0.0.1", self._port
                    )
                self._writer.write(f"{head}\r\n\r\n{body}".encode())
                answer = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
                length = int(answer.partition("content-length:")[2].split("\r\n")[0])
                text = (await self._reader.readexactly(length)).decode()
                return int(answer.split()[1]), text
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            self.close()
            return 0, ""

    def close(self) -> None:
        """Hang up."""
        if self._writer is not None:
            self._writer.close()
        self._writer = None


class ClusterRun:
    """One run, in one folder, on one server."""

    def __init__(
        self,
        folder: Path,
        server: PostgresServer,
        *,
        messages: int,
        restarts: int,
        every_s: float,
        seed: int,
        database: str | None = None,
    ) -> None:
        self.server = server
        self.cluster = Cluster(folder, database or server.create_database("arrivals"))
        self.verdict = Verdict(messages, 0)
        self.restarted = 0

        self._restarts = restarts
        self._every_s = every_s
        self._chance = random.Random(seed)
        self._numbers = itertools.count()
        self._said = 0.0
        self._sent = asyncio.Event()

    async def run(self) -> Verdict:
        began = time.monotonic()
        try:
            await self.cluster.start()
            chaos = asyncio.create_task(self.wreak())
            await asyncio.gather(*(self._send() for _ in range(SENDERS)))
            self.verdict.sent_seconds = time.monotonic() - began
            self._sent.set()
            await chaos
            await self._wait_for_outcomes()
            self._judge()
        finally:
            await self.cluster.stop()
        self.verdict.seconds = time.monotonic() - began
        return self.verdict

    async def _send(self) -> None:
        lines = {each.port: Line(each.port) for each in self.cluster.doors}
        while (number := next(self._numbers)) < self.verdict.messages:
            msisdn = f"3161{number:07d}"
            answer = await self._insist(lines, msisdn, number)
            for each in answer["messages"]:
                self.verdict.acknowledged[each["bx_message_id"]] = msisdn
            self._progress(
                f"acknowledged {len(self.verdict.acknowledged):,}, "
                f"killed {self.verdict.kills}, database restarted {self.restarted}"
            )
        for line in lines.values():
            line.close()

    async def _insist(self, lines: dict[int, Line], msisdn: str, number: int) -> dict[str, Any]:
        """Send until it is answered, to any API process, with the same idempotency key."""
        body = {
            "route_id": number % self.cluster.providers + 1,
            "caller_id": "ARRIVALS",
            "numbers": [msisdn],
            "message": "Your code is 4839",
        }
        headers = {"X-API-KEY": self.cluster.keys[0], "Idempotency-Key": f"kill-{msisdn}"}
        while True:
            line = lines[self._chance.choice(list(lines))]
            status, text = await line.post("/api/v1/send_sms", headers, json.dumps(body))
            if status == 200:
                answer: dict[str, Any] = json.loads(text)
                return answer
            if status < 500 and status not in {0, 429}:
                raise AssertionError(f"{status}: {text}")
            await asyncio.sleep(0.1)

    async def wreak(self) -> None:
        """Kill a random process every few seconds; restart the database at set shares."""
        marks = [
            self.verdict.messages * (n + 1) // (self._restarts + 1)
            for n in range(self._restarts)
        ]
        while not self._sent.is_set() or marks:
            if marks and len(self.verdict.acknowledged) >= marks[0]:
                marks.pop(0)
                await self._restart_database()
            else:
                await self._chance.choice(self.cluster.members).kill_and_restart()
                self.verdict.kills += 1
            wait = self._chance.uniform(0.5, 1.5) * self._every_s
            try:
                async with asyncio.timeout(wait):
                    await self.until_acknowledged(marks[0] if marks else None)
            except TimeoutError:
                continue

    async def until_acknowledged(self, mark: int | None) -> None:
        """Return when so many are acknowledged, or all."""
        while not self._sent.is_set():
            if mark is not None and len(self.verdict.acknowledged) >= mark:
                return
            await asyncio.sleep(0.05)

    async def _restart_database(self) -> None:
        await asyncio.to_thread(self.server.stop, "immediate")
        await asyncio.sleep(DOWN_S)
        await asyncio.to_thread(self.server.start)
        self.restarted += 1

    async def _wait_for_outcomes(self) -> None:
        until = time.monotonic() + OUTCOME_TIMEOUT_S
        while time.monotonic() < until:
            try:
                states = dict(self._rows("SELECT state, count(*) FROM messages GROUP BY state"))
            except psycopg.OperationalError:
                states = {}
            self.verdict.open = sum(count for state, count in states.items() if state in OPEN)
            self._progress(f"waiting for outcomes: {self.verdict.open:,} still open")
            if states and not self.verdict.open:
                return
            await asyncio.sleep(0.5)

    def _rows(self, sql: str) -> list[Any]:
        return execute(self.cluster.database, sql)

    def _judge(self) -> None:
        self.verdict.window = self.cluster.window * self.cluster.providers
        judge(self.verdict, self._rows, self.cluster.truth, self.cluster.database)

    def _progress(self, text: str) -> None:
        now = time.monotonic()
        if now - self._said >= 1.0:
            self._said = now
            print(f"  {text}", file=sys.stderr, flush=True)


def main() -> int:
    """Run it as a command; the exit code is 0 if nothing was lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=50_000)
    parser.add_argument("--restarts", type=int, default=5, help="of the database")
    parser.add_argument("--every", type=float, default=2.0, help="seconds between kills")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="arrivals-cluster-") as folder,
        short_folder() as place,
        PostgresServer(place / "server", **SETTINGS) as server,  # type: ignore[arg-type]
    ):
        run = ClusterRun(
            Path(folder),
            server,
            messages=chosen.messages,
            restarts=chosen.restarts,
            every_s=chosen.every,
            seed=chosen.seed,
        )
        verdict = asyncio.run(run.run())
    if chosen.json:
        print(json.dumps(verdict.facts() | {"restarts": run.restarted}))
    else:
        print(f"database restarts      {run.restarted:>7,}")
        print("\n".join(verdict.lines()))
        print("Nothing was lost." if verdict.good else "SOMETHING IS WRONG.")
    return 0 if verdict.good else 1


if __name__ == "__main__":
    sys.exit(main())
