"""Two processes that speak SMPP and do nothing else: submit_sm one way, its answer the other.

Plain bytes: every PDU is counted by its length alone, and each submit is answered with a
message id of ten octets. `python -m tests.bench.smpp_pair` is the answering end, and prints its
port.
"""

from __future__ import annotations

import asyncio
import itertools
import struct
import sys
import time

import uvloop

from arrivals.smpp.constants import SUBMIT_SM, SUBMIT_SM_RESP
from arrivals.smpp.pdu import Pdu, encode

WINDOW = 500  # as in the other parts
HEADER = struct.Struct(">IIII")


class Carrier(asyncio.Protocol):
    """Answers every submit."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._received = b""

    def data_received(self, data: bytes) -> None:
        answers = []
        received, at = self._received + data, 0
        while len(received) - at >= HEADER.size:
            length, _, _, number = HEADER.unpack_from(received, at)
            if len(received) - at < length:
                break
            name = b"%010d\0" % number
            answers.append(HEADER.pack(HEADER.size + len(name), SUBMIT_SM_RESP, 0, number))
            answers.append(name)
            at += length
        self._received = received[at:]
        self._transport.write(b"".join(answers))  # type: ignore[attr-defined]


class Sender(asyncio.Protocol):
    """Keeps a window full until so many submits are answered."""

    def __init__(self, messages: int) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._numbers = iter(range(1, messages + 1))
        self._left = messages
        self._received = b""
        whole = encode(Pdu(SUBMIT_SM, 0, 1, FIELDS))
        self._length, self._body = len(whole), whole[HEADER.size :]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._submit(WINDOW)

    def data_received(self, data: bytes) -> None:
        received, at, answered = self._received + data, 0, 0
        while len(received) - at >= HEADER.size:
            length = HEADER.unpack_from(received, at)[0]
            if len(received) - at < length:
                break
            at += length
            answered += 1
        self._received = received[at:]
        self._left -= answered
        if not self._left:
            self.done.set_result(None)
        self._submit(answered)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("the carrier hung up"))

    def _submit(self, count: int) -> None:
        head, body, length = HEADER.pack, self._body, self._length
        submits = [
            head(length, SUBMIT_SM, 0, number) + body
            for number in itertools.islice(self._numbers, count)
        ]
        if submits:
            self._transport.write(b"".join(submits))  # type: ignore[attr-defined]


FIELDS: dict[str, int | bytes] = {
    "source_addr": b"ARRIVALS",
    "destination_addr": b"31600000000",
    "registered_delivery": 1,
    "short_message": b"Your code is 4839",
}


async def submits_per_s(messages: int) -> float:
    """Start the other end, and return how many submits a second it answers."""
    carrier = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.smpp_pair", stdout=asyncio.subprocess.PIPE
    )
    try:
        if carrier.stdout is None:
            raise AssertionError("its output isn't piped")
        port = int(await carrier.stdout.readline())
        loop = asyncio.get_running_loop()
        began = time.perf_counter()
        transport, sender = await loop.create_connection(
            lambda: Sender(messages), "127.0.0.1", port
        )
        await sender.done
        took = time.perf_counter() - began
        transport.close()
        return messages / took
    finally:
        carrier.terminate()
        await carrier.wait()


async def main() -> None:
    """Answer until killed."""
    server = await asyncio.get_running_loop().create_server(Carrier, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
