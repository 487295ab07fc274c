"""The customers of a scenario: they send its traffic on time, and tell what people did.

A customer's system asks again, with the same key, until it is answered; a send that can't be
paid for is given up. What somebody does about a message is told as feedback by the system that
sent it, which knows its own message by what the world knows of it: number, text and reference.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from arrivals.core.ids import handoff_reference
from arrivals.core.text import encode_segments
from arrivals.sim.process import Answer, Process
from arrivals.world.traffic import Send
from arrivals.world.truth import Acted, text_hash

TRIES_MAX: Final = 100
AGAIN_S: Final = 1.0
ATTEMPTS_MAX: Final = 20  # of one message that its reference is looked for among
# How a customer's system names what it saw. Of what isn't here it can tell nothing.
FEEDBACK: Final = {
    "converted": "otp",
    "replied": "reply",
    "stopped": "reply",
    "clicked": "click",
    "probed": "support",
}


class Sent(msgspec.Struct):
    """A send, and the message that came of it."""

    send: Send
    message_id: str = ""  # none: it wasn't accepted
    key: int = 0

    @property
    def text_hashes(self) -> Sequence[str]:
        """The names under which the world may know the text's first part, by alphabet."""
        text = self.send.text
        octets = {encode_segments(text)[0], text.encode("latin-1", "ignore")}
        return [text_hash(each) for each in sorted(octets)]

    def references(self, attempts: int) -> Sequence[int | None]:
        """Return what its hand-offs carry; to some providers nothing."""
        return [None, *(handoff_reference(self.key, n) for n in range(1, attempts + 1))]


class Clientele:
    """Every customer of one play."""

    def __init__(self, keys: dict[str, str], process: Callable[[], Process | None]) -> None:
        """Act with the accounts' keys; `process` is whoever serves now."""
        self.sent: list[Sent] = []
        self._keys, self._process = keys, process
        self._by_text: defaultdict[tuple[str, str], list[Sent]] = defaultdict(list)
        self._doing: set[asyncio.Task[None]] = set()

    def begin(self, send: Send) -> None:
        """Send something, beside whatever else is being done."""
        sent = Sent(send)
        self.sent.append(sent)
        self._spawn(self._send(sent))

    def acted(self, acted: Acted) -> None:
        """Tell the platform what somebody did, if that can be told."""
        kind = FEEDBACK.get(acted.kind)
        for sent in self._by_text.get((acted.destination, acted.text_hash), ()):
            ours = sent.references(ATTEMPTS_MAX)
            if kind is not None and acted.reference is not None and acted.reference in ours:
                self._spawn(self._tell(sent, kind))
                return

    async def finish(self) -> None:
        """Wait until everything is said."""
        while self._doing:
            await asyncio.wait(self._doing)

    def _spawn(self, what: Any) -> None:
        task = asyncio.get_running_loop().create_task(what)
        self._doing.add(task)
        task.add_done_callback(self._doing.discard)

    async def _send(self, sent: Sent) -> None:
        send = sent.send
        stream = send.stream
        body: dict[str, Any] = {
            "route_id": stream.route,
            "caller_id": stream.sender,
            "numbers": [send.number],
            "message": send.text,
            "category": "otp" if "{code}" in stream.text else "alert",
        }
        if stream.valid_for_s is not None:
            body["valid_for"] = stream.valid_for_s
        name = f"{stream.name}-{send.nth}-{send.copy}"
        answer = await self._ask(stream.account, "/api/v1/send_sms", body, name)
        if answer.status < 300:
            process = self._process()
            sent.message_id = answer.body["messages"][0]["bx_message_id"]
            if process is None or process.platform is None:
                raise RuntimeError("who answered is gone within the same turn")
            sent.key = process.platform.ids.decode(sent.message_id) or 0
            for name in sent.text_hashes:
                self._by_text[send.number, name].append(sent)

    async def _tell(self, sent: Sent, kind: str) -> None:
        path = f"/api/v1/messages/{sent.message_id}/feedback"
        body = {"confirmed": True, "kind": kind}
        await self._ask(sent.send.stream.account, path, body, f"{sent.message_id}-{kind}")

    async def _ask(self, account: str, path: str, body: Any, name: str) -> Answer:
        """Ask until somebody answers for good; raises RuntimeError when nobody ever does."""
        headers = {"idempotency-key": name}
        for _ in range(TRIES_MAX):
            process = self._process()
            if process is not None:
                answer = await process.call(
                    "POST", path, self._keys[account], body, headers=headers
                )
                if answer is not None and answer.status < 500:
                    return answer
            await asyncio.sleep(AGAIN_S)
        raise RuntimeError(f"{path} was never answered")
