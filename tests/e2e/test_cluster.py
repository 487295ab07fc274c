"""Several processes on one PostgreSQL: kills, zombies, binds that move, revoked keys."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.cluster import Cluster, Member
from tests.e2e.cluster_run import ClusterRun
from tests.postgres.fixtures import need_programs
from tests.postgres.server import PostgresServer, execute, short_folder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

LATE = """
name = "late"
about = "Answers after two seconds, receipts at once, everything delivered."

[expect.default]
tolerance = 0.0
[expect.default.truth]
reached = 1.0
[expect.default.reported]
delivered = 1.0

[providers.default]
window = 200
answer = { median_s = 2.0 }

[[carriers]]
name = "meridian"
"""


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    need_programs()
    with short_folder() as place, PostgresServer(place / "server") as running:
        yield running


async def test_nothing_is_lost_when_processes_are_killed_and_the_database_restarts(
    server: PostgresServer, tmp_path: Path
):
    """Invariants 1 to 3, 6, 15, 17, 20, 23 to 25 and 32."""
    run = ClusterRun(tmp_path, server, messages=1_500, restarts=1, every_s=3.0, seed=7)
    verdict = await run.run()
    assert verdict.good, "\n".join(verdict.lines())
    assert run.restarted == 1
    assert verdict.kills


class Failover(ClusterRun):
    """A run in which the primary dies and its standby takes over."""

    standby: PostgresServer

    async def wreak(self) -> None:
        await self.until_acknowledged(self.verdict.messages // 2)
        await asyncio.to_thread(self.server.kill)
        await asyncio.to_thread(self.standby.promote)
        self.restarted += 1


async def test_a_synchronous_standby_is_promoted_and_has_all_that_was_acknowledged(
    tmp_path: Path,
):
    """Invariants 1 to 3, 6, 15, 17 and 20, past the loss of a whole machine."""
    need_programs()
    with short_folder() as place, PostgresServer(place / "primary") as primary:
        database = primary.create_database("arrivals")
        with PostgresServer.standby_from(primary, place / "standby", "second") as standby:
            hosts = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
            run = Failover(
                tmp_path,
                primary,
                messages=1_000,
                restarts=0,
                every_s=1.0,
                seed=1,
                database=f"postgresql://postgres@{hosts}/{database.rpartition('/')[2]}"
                "?target_session_attrs=read-write",
            )
            run.standby = standby
            verdict = await run.run()
            assert verdict.good, "\n".join(verdict.lines())
            assert run.restarted == 1


@asynccontextmanager
async def _running(cluster: Cluster) -> AsyncIterator[httpx.AsyncClient]:
    try:
        await cluster.start()
        async with httpx.AsyncClient(timeout=10) as client:
            yield client
    finally:
        await cluster.stop()


async def _send(cluster: Cluster, client: httpx.AsyncClient, *numbers: str) -> None:
    body = {
        "route_id": 1,
        "caller_id": "ARRIVALS",
        "numbers": list(numbers),
        "message": "Your code is 4839",
    }
    response = await client.post(
        f"{cluster.doors[0].url}/api/v1/send_sms",
        json=body,
        headers={"X-API-KEY": cluster.keys[0]},
    )
    assert response.status_code == 200, response.text


async def _until(what: Callable[[], Any], timeout_s: float) -> Any:
    """Poll until something is true; return it."""
    async with asyncio.timeout(timeout_s):
        while not (found := what()):  # noqa: ASYNC110 - what is polled is another process
            await asyncio.sleep(0.05)
        return found


def _owner(cluster: Cluster) -> Member | None:
    """Return the worker that holds the first provider's lease, once its bind is up."""
    rows = execute(
        cluster.database,
        "SELECT owner FROM binds WHERE provider_id = 'north1' AND up"
        " AND leased_until > clock_timestamp()",
    )
    return next(
        (each for each in cluster.workers if rows and f":{each.process.pid}:" in rows[0][0]),
        None,
    )


async def test_a_bind_moves_within_fifteen_seconds_of_its_owners_death(
    server: PostgresServer, tmp_path: Path
):
    """Invariant 23: another worker takes the lease, with a larger epoch, and sends."""
    cluster = Cluster(
        tmp_path,
        server.create_database("arrivals"),
        apis=1,
        workers=2,
        providers=1,
        scenario="wire",
    )
    async with _running(cluster) as client:
        owner = await _until(lambda: _owner(cluster), 20)
        owner.process.kill()
        killed = time.monotonic()
        await owner.process.wait()
        await _send(cluster, client, "31612345678")
        await _until(lambda: _states(cluster) == {"delivered": 1}, 25)
        took = time.monotonic() - killed
        assert took <= 15.0, f"the bind moved after {took:.1f} s"
        assert execute(cluster.database, "SELECT max(epoch) FROM binds") == [(2,)]


async def test_a_clean_stop_gives_the_bind_to_the_next_at_once(
    server: PostgresServer, tmp_path: Path
):
    cluster = Cluster(
        tmp_path, server.create_database("arrivals"), apis=1, workers=2, providers=1
    )
    async with _running(cluster):
        owner = await _until(lambda: _owner(cluster), 20)
        assert await owner.process.stop() == 0
        await _until(lambda: _owner(cluster) not in {None, owner}, 5)


def _states(cluster: Cluster) -> dict[str, int]:
    return dict(
        execute(cluster.database, "SELECT state, count(*) FROM messages GROUP BY state")
    )


async def test_a_zombies_late_answer_keeps_its_id_and_it_sends_nothing_more(
    server: PostgresServer, tmp_path: Path
):
    """Invariants 23 to 26: stopped past its lease, then gone on as if nothing had been."""
    cluster = Cluster(
        tmp_path,
        server.create_database("arrivals"),
        apis=1,
        workers=2,
        providers=1,
        speed=1.0,
        valid_for=120,
        response_timeout=60.0,
        scenario=_late_answers(tmp_path),
    )
    async with _running(cluster) as client:
        zombie = await _until(lambda: _owner(cluster), 20)
        await _send(cluster, client, *(f"316000000{n:02d}" for n in range(20)))
        # What it has claimed and not yet sent would never leave, and nobody would answer it.
        await _until(lambda: cluster.truth.read_text().count('"handoff"') == 20, 10)
        assert _states(cluster) == {"sending": 20}
        os.kill(zombie.process.pid, signal.SIGSTOP)
        try:
            other = await _until(lambda: _other_owner(cluster, zombie), 25)
            assert other is not zombie
            # The new owner can't know what the old one handed off. It may hear of some by their
            # receipts: the carrier tells them over any bind that takes them.
            doubts = "SELECT count(*) FROM events WHERE kind = 'lease_lost'"
            await _until(lambda: execute(cluster.database, doubts) == [(20,)], 5)
            await _send(cluster, client, "31600000099")
        finally:
            os.kill(zombie.process.pid, signal.SIGCONT)
        # Its late answers are facts: each names its message, whoever owns the bind by now, and
        # whether a receipt came before it.
        late = """SELECT count(*), count(DISTINCT e.message_id) FROM events AS e
            JOIN messages AS m ON m.id = e.message_id
            WHERE m.epoch = 1 AND e.kind = 'taken' AND e.from_state <> 'sending'"""
        await _until(lambda: execute(cluster.database, late) == [(20, 20)], 20)
        await _until(lambda: _states(cluster) == {"delivered": 21}, 30)
        assert execute(cluster.database, "SELECT max(attempts) FROM messages") == [(1,)]
        epochs = "SELECT DISTINCT epoch FROM messages ORDER BY epoch"
        assert execute(cluster.database, epochs) == [(1,), (2,)]
        assert execute(cluster.database, late) == [(20, 20)]
        ids = "SELECT count(*), count(DISTINCT message_id) FROM handoffs"
        assert execute(cluster.database, ids) == [(21, 21)]


def _other_owner(cluster: Cluster, zombie: Member) -> Member | None:
    owner = _owner(cluster)
    return owner if owner is not zombie else None


def _late_answers(folder: Path) -> str:
    """Write a scenario whose carrier answers after two seconds; return its path."""
    path = folder / "late.toml"
    path.write_text(LATE)
    return str(path)


async def test_a_revoked_key_is_refused_by_every_process_within_five_seconds(
    server: PostgresServer, tmp_path: Path
):
    """And so is any other change of the catalogue known."""
    cluster = Cluster(
        tmp_path, server.create_database("arrivals"), apis=2, workers=1, providers=1
    )
    async with _running(cluster) as client:

        async def accepted(member: Member) -> bool:
            response = await client.get(
                f"{member.url}/api/v1/balance", headers={"X-API-KEY": cluster.keys[0]}
            )
            return response.status_code == 200

        assert all([await accepted(each) for each in cluster.apis])
        [(key_id,)] = execute(cluster.database, "SELECT id FROM catalogue WHERE kind = 'key'")
        revoking = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "arrivals", "keys", "revoke", key_id),
            *("--data", cluster.database, "--json"),
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await revoking.communicate()
        assert revoking.returncode == 0, said
        revoked = time.monotonic()
        while any([await accepted(each) for each in cluster.apis]):
            assert time.monotonic() - revoked <= 5.0
            await asyncio.sleep(0.1)
