"""How fast the world is on `wire`: one process, one client process, submits with receipts.

Run `python -m tests.world.wire_rate [messages]`; it prints one line.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import resource
import sys
import time
from multiprocessing.synchronize import Event
from typing import Any

import uvloop

from arrivals.smpp import constants as c
from arrivals.smpp.pdu import Pdu
from arrivals.smpp.session import Answered, RequestReceived
from arrivals.world.scenario import load_scenario
from arrivals.world.smsc import CarrierWorld
from tests.world.esme import Esme, now_us

WINDOW = 500


def serve(told: Any, leave: Event) -> None:
    async def run() -> None:
        async with CarrierWorld(load_scenario("wire"), seed=1, now_us=now_us) as world:
            told.send(world.port)
            await asyncio.get_running_loop().run_in_executor(None, leave.wait)
            usage = resource.getrusage(resource.RUSAGE_SELF)
            told.send(
                (dict(world.truth.counters), usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
            )

    uvloop.run(run())


class Flood(Esme):
    """Keep the window full until so many are answered and reported."""

    messages = 0
    begun = answered = reported = 0

    def take(self, event: object) -> None:
        if type(event) is Answered:
            self.answered += 1
        elif type(event) is RequestReceived:
            self.reported += 1
            self.session.send_response(event.pdu)
        else:
            super().take(event)

    def flush(self) -> None:
        if self.messages:
            self.fill()
        super().flush()

    def fill(self) -> None:
        now = self.loop.time()
        for number in range(
            self.begun, min(self.messages, self.begun + self.session.window_free)
        ):
            fields: dict[str, int | bytes] = {
                "source_addr": b"Arrivals",
                "destination_addr": b"4477%08d" % number,
                "registered_delivery": 1,
                "short_message": b"Your code is %06d, good for ten minutes"
                % (number % 1000000),
            }
            self.session.send_request(Pdu(c.SUBMIT_SM, fields=fields), now)
            self.begun = number + 1


async def flood(port: int, messages: int) -> tuple[float, float]:
    esme = await Flood.connect(port, window=WINDOW)
    assert isinstance(esme, Flood)
    began, worked = time.perf_counter(), time.process_time()
    esme.messages = messages
    esme.flush()
    while esme.reported < messages or esme.answered < messages:
        await esme.until(
            lambda: (esme.reported >= messages and esme.answered >= messages) or esme.closed
        )
    took = time.perf_counter() - began
    esme.close()
    return took, time.process_time() - worked


def main() -> None:
    messages = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    leave = spawn.Event()
    process = spawn.Process(target=serve, args=(there, leave))
    process.start()
    took, client_s = uvloop.run(flood(here.recv(), messages))
    leave.set()
    counters, cpu, rss = here.recv()
    process.join()
    assert counters["receipts_acknowledged"] == counters["handoffs"] == messages
    sys.stdout.write(
        f"{messages / took:,.0f} submits/s with receipts; world {cpu / messages * 1e6:.0f} µs "
        f"and client {client_s / messages * 1e6:.0f} µs of CPU each; world {rss // 1024} MB\n"
    )


if __name__ == "__main__":
    main()
