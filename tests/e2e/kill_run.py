"""Kill the platform again and again while it sends; then ask what became of every message.

    python -m tests.e2e.kill_run --kills 20 --messages 10000

The carrier world runs in its own process and writes down what it really received. The
sender repeats what wasn't answered, with the same idempotency key. At the end every
acknowledged message must have an outcome, none may have been handed off twice, what is
delivered must have reached the world, those that ended UNKNOWN must have been ambiguous,
and the ledger must add up (invariants 1 to 3, 6, 15, 17, 20, 24, 25, 32).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.servers import Site

SENDERS = 16
OUTCOME_TIMEOUT_S = 180.0
WINDOW = 50


@dataclass
class Verdict:
    """What a kill run found."""

    messages: int
    kills: int
    acknowledged: dict[str, str] = field(default_factory=dict)  # id → msisdn
    outcomes: Counter[str] = field(default_factory=Counter)
    open: int = 0
    handed_off_twice: list[str] = field(default_factory=list)
    never_taken: list[str] = field(default_factory=list)  # delivered, and the world had none
    unknown_not_ambiguous: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    verify_exit: int = -1
    verify_said: str = ""
    seconds: float = 0.0
    sent_seconds: float = 0.0
    window: int = WINDOW  # messages that one kill may leave in doubt

    @property
    def good(self) -> bool:
        return (
            len(self.acknowledged) == self.messages
            and not (self.open or self.handed_off_twice or self.lost)
            and not (self.unknown_not_ambiguous or self.never_taken)
            and self.outcomes["delivered"] > 0
            and self.outcomes["unknown"] <= self.kills * self.window
            and self.verify_exit == 0
        )

    def lines(self) -> list[str]:
        return [
            f"acknowledged           {len(self.acknowledged):>7,} of {self.messages:,}",
            f"kills                  {self.kills:>7,}",
            *(f"  {word:<20} {count:>7,}" for word, count in sorted(self.outcomes.items())),
            f"still open             {self.open:>7,}",
            f"lost                   {len(self.lost):>7,}",
            f"handed off twice       {len(self.handed_off_twice):>7,}",
            f"delivered, not taken   {len(self.never_taken):>7,}",
            f"unknown, not ambiguous {len(self.unknown_not_ambiguous):>7,}",
            f"arrivals verify        {'clean' if self.verify_exit == 0 else self.verify_said}",
            f"seconds                {self.seconds:>7.0f}",
        ]

    def facts(self) -> dict[str, Any]:
        return {
            "good": self.good,
            "outcomes": self.outcomes,
            "acknowledged": len(self.acknowledged),
            "kills": self.kills,
            "handed_off_twice": self.handed_off_twice,
            "lost": self.lost,
            "open": self.open,
            "seconds": round(self.seconds),
        }


class KillRun:
    """One run, in one folder."""

    def __init__(self, folder: Path, *, kills: int, messages: int, seed: int) -> None:
        self.site = Site(folder, window=WINDOW)
        self.verdict = Verdict(messages, kills)
        self._chance = random.Random(seed)
        self._next = 0
        self._killed = 0
        self._said = 0.0
        self._answered = asyncio.Event()

    async def run(self) -> Verdict:
        began = time.monotonic()
        await self.site.start()
        try:
            killer = asyncio.create_task(self._kill())
            async with httpx.AsyncClient(timeout=10) as client:
                await asyncio.gather(*(self._send(client) for _ in range(SENDERS)), killer)
                await self._wait_for_outcomes()
            self._judge()
        finally:
            await self.site.stop()
        self.verdict.seconds = time.monotonic() - began
        return self.verdict

    async def _send(self, client: httpx.AsyncClient) -> None:
        while self._next < self.verdict.messages:
            number, self._next = self._next, self._next + 1
            msisdn = f"3161{number:07d}"
            while True:
                answer = await self._try(client, msisdn)
                if answer is not None:
                    for each in answer["messages"]:
                        self.verdict.acknowledged[each["bx_message_id"]] = msisdn
                    self._answered.set()
                    break
                await asyncio.sleep(0.05)
            self._progress(f"sent {len(self.verdict.acknowledged):,}, killed {self._killed}")

    async def _try(self, client: httpx.AsyncClient, msisdn: str) -> dict[str, Any] | None:
        """Send once; None asks for the same again, since nobody knows what became of it."""
        body = {
            "route_id": 1,
            "caller_id": "ARRIVALS",
            "numbers": [msisdn],
            "message": "Your code is 4839",
        }
        headers = {"X-API-KEY": self.site.key, "Idempotency-Key": f"kill-{msisdn}"}
        try:
            response = await client.post(
                f"{self.site.url}/api/v1/send_sms", json=body, headers=headers
            )
        except httpx.HTTPError:
            return None
        if response.status_code >= 500 or response.status_code == 429:
            return None
        if response.status_code != 200:
            raise AssertionError(f"{response.status_code}: {response.text}")
        answer: dict[str, Any] = response.json()
        return answer

    async def _kill(self) -> None:
        """Kill at instants drawn over the whole run, each at least a little apart."""
        marks = sorted(
            self._chance.randrange(self.verdict.messages) for _ in range(self.verdict.kills)
        )
        for mark in marks:
            await self._until_acknowledged(min(mark, self.verdict.messages - SENDERS))
            await asyncio.sleep(self._chance.uniform(0, 0.15))
            await self.site.kill_and_restart()
            self._killed += 1

    async def _until_acknowledged(self, count: int) -> None:
        while len(self.verdict.acknowledged) < count:
            self._answered.clear()
            await self._answered.wait()

    async def _wait_for_outcomes(self) -> None:
        until = time.monotonic() + OUTCOME_TIMEOUT_S
        while time.monotonic() < until:
            states = self._states()
            self.verdict.open = sum(count for state, count in states.items() if state in OPEN)
            self._progress(f"waiting for outcomes: {self.verdict.open:,} still open")
            if not self.verdict.open:
                return
            await asyncio.sleep(0.5)

    def _states(self) -> Counter[str]:
        return Counter(dict(self._rows("SELECT state, count(*) FROM messages GROUP BY state")))

    def _rows(self, sql: str) -> list[Any]:
        path = self.site.data / "arrivals.db"
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            return connection.execute(sql).fetchall()

    def _judge(self) -> None:
        judge(self.verdict, self._rows, self.site.truth, str(self.site.data))

    def _progress(self, text: str) -> None:
        now = time.monotonic()
        if now - self._said >= 1.0:
            self._said = now
            print(f"  {text}", file=sys.stderr, flush=True)


def judge(verdict: Verdict, rows: Callable[[str], list[Any]], truth: Path, place: str) -> None:
    """Compare what the database at a place says, what the world received, and what was said.

    `rows` runs a query there.
    """
    stored = dict(rows("SELECT msisdn, state FROM messages"))
    verdict.outcomes = Counter(stored.values())
    verdict.lost = sorted(set(verdict.acknowledged.values()) - set(stored))
    twice = rows("SELECT msisdn FROM messages GROUP BY msisdn HAVING count(*) > 1")
    taken = taken_by_destination(truth)
    more = {msisdn for msisdn, count in taken.items() if count > 1}
    verdict.handed_off_twice = sorted(more | {row[0] for row in twice})
    verdict.never_taken = [
        msisdn for msisdn, state in stored.items() if state == "delivered" and not taken[msisdn]
    ]
    verdict.unknown_not_ambiguous = [
        msisdn
        for (msisdn,) in rows(
            "SELECT msisdn FROM messages WHERE state = 'unknown' AND NOT EXISTS"
            " (SELECT 1 FROM events WHERE message_id = messages.id"
            " AND to_state = 'ambiguous')"
        )
    ]
    done = subprocess.run(
        [sys.executable, "-m", "arrivals", "verify", "--full", "--data", place, "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    verdict.verify_exit, verdict.verify_said = done.returncode, done.stdout + done.stderr


def taken_by_destination(truth: Path) -> Counter[str]:
    """Return how often the world took a message to each destination."""
    taken: Counter[str] = Counter()
    for line in truth.read_text().splitlines():
        record = json.loads(line)
        if record["event"] == "handoff" and record["status"] == 0:
            taken[record["destination"]] += 1
    return taken


OPEN = {"accepted", "scheduled", "waiting", "sending", "ambiguous", "submitted"}


def main() -> int:
    """Run it as a command; the exit code is 0 if nothing was lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="arrivals-kills-") as folder:
        run = KillRun(
            Path(folder), kills=chosen.kills, messages=chosen.messages, seed=chosen.seed
        )
        verdict = asyncio.run(run.run())
    if chosen.json:
        print(json.dumps(verdict.facts()))
    else:
        print("\n".join(verdict.lines()))
        print("Nothing was lost." if verdict.good else "SOMETHING IS WRONG.")
    return 0 if verdict.good else 1


if __name__ == "__main__":
    sys.exit(main())
