"""Keep one provider's binds bound: dial, bind, wait, and dial the next host when one fails.

A provider may be reached by several binds over several hosts. Each bind looks after itself:
a dead host holds up nobody else, and what one bind loses opens its own breaker only.

A bind that lived for a while, or on which a hand-off was answered, is dialled again soon and
where it was. One that was never of use is dialled at the next host, after pauses that grow,
and that are longer from the start where the login was refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import msgspec

from arrivals.clock import Chance, Clock
from arrivals.core.breaker import Breaker, State
from arrivals.providers.dialling import BINDS, Address
from arrivals.providers.flight import Flight
from arrivals.providers.link import Link, LinkSettings
from arrivals.smpp import constants as c
from arrivals.smpp.pdu import Pdu
from arrivals.smpp.session import Event

UNREACHED: Final = "can't connect"
RECONNECT_FIRST_S: Final = 0.5
RECONNECT_MAX_S: Final = 30.0
# Who refuses our login doesn't take it a second later, and may lock out who goes on asking.
REFUSED_FIRST_S: Final = {
    c.ESME_RINVPASWD: 5.0,
    c.ESME_RINVSYSID: 5.0,
    c.ESME_RINVSYSTYP: 5.0,
    c.ESME_RBINDFAIL: 2.0,
}
REFUSED_MAX_S: Final = 60.0
STEADY_S: Final = (
    5.0  # a bind that lasts so long is no crash loop, even if nothing went over it
)
RECEIVER_FIRST_S: Final = 5.0  # what a transmitter waits for its receiver, and no longer
CLOSE_WAIT_S: Final = 0.5  # for the provider to see us off
LEAVE_WAIT_S: Final = 1.0  # for what is under way when the provider has ended the bind

Part = tuple[Flight, int, Pdu]


class Bind:
    """One bind of a provider, over all the links of its life."""

    def __init__(self, command_id: int, window: int, at: int) -> None:
        """Begin unbound; `at` is which of the hosts it dials first."""
        self.command_id = command_id
        self.at = at
        self.breaker = Breaker(window)
        self.pending: deque[Part] = deque()  # parts that wait to go out over it
        self.out = 0  # messages of which something waits to go out, or for its answer
        self.link: Link | None = None

    @property
    def live(self) -> Link | None:
        """The link that messages may go out on now."""
        link = self.link
        return link if link is not None and link.is_bound and not link.leaving else None

    @property
    def free(self) -> int:
        """How many more parts its window takes."""
        link = self.live
        return link.session.window_free - len(self.pending) if link is not None else 0

    def begin(self) -> None:
        """Note that a message goes out over it, or goes on."""
        self.out += 1
        if self.breaker.state is not State.CLOSED:
            self.breaker.sent()

    def room(self, now_us: int) -> int:
        """Return how many more messages it takes: window and breaker."""
        free = self.free
        if free <= 0:
            return 0
        allowed = self.breaker.room(self.out, now_us)
        return free if allowed is None else min(free, allowed)


class Binds:
    """All binds of one provider."""

    def __init__(
        self,
        settings: LinkSettings,
        where: Sequence[Address],
        clock: Clock,
        chance: Chance,
        *,
        kind: str = "transceiver",
        count: int = 1,
        patience: float = 1.0,
    ) -> None:
        """Prepare to dial; `patience` is how much rarer timers are looked at."""
        self.all = [
            Bind(command_id, settings.window, number % len(where))
            for command_id in BINDS[kind]
            for number in range(count)
        ]
        self.senders = [each for each in self.all if each.command_id != c.BIND_RECEIVER]
        self._settings = settings
        self._where = where
        self._clock = clock
        self._chance = chance
        self._patience = patience
        self._stopping = False
        self._receiving = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def links(self) -> list[Link]:
        """The links there are, bound or not."""
        return [each.link for each in self.all if each.link is not None]

    @property
    def missing(self) -> str:
        """Say which binds aren't there; "" if all are."""
        if not any(each.live for each in self.all if each.command_id != c.BIND_TRANSMITTER):
            return "a bind for receipts"
        return "" if all(each.live for each in self.all) else "some of its binds"

    def start(
        self,
        on_events: Callable[[Bind, Link, Sequence[Event]], None],
        on_lost: Callable[[Bind, str], None],
    ) -> None:
        """Begin to connect; tell each link's events, and its end with the reason."""
        loop = asyncio.get_running_loop()
        for bind in self.all:
            self._tasks.append(loop.create_task(self._stay_bound(bind, on_events, on_lost)))

    def fail(self) -> None:
        """Raise what an error of our own ended a bind with, if one did."""
        for task in self._tasks:
            if task.done() and not task.cancelled():
                task.result()

    def is_receiving(self) -> None:
        """Note that receipts find us: the transmitters may begin."""
        self._receiving.set()

    def leave(self, link: Link, reason: str, wait_s: float, *, late: bool = False) -> None:
        """Send nothing more over a link; end it once its answers are there, or time is up.

        `late`: even those that were given up, for they tell what became of the messages.
        """
        if link.leaving:
            return
        link.leaving, link.reason, link.awaits_late = True, reason, late
        if not link.is_settled:
            asyncio.get_running_loop().call_later(wait_s, link.close)
        else:
            link.close()

    async def stop(self) -> None:
        """Unbind, close, and see every link to its end: then all it owed is told."""
        self._stopping = True
        links = [link for link in self.links if link.is_connected]
        for link in links:
            link.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_WAIT_S):
                for link in links:
                    await link.closed.wait()
        for link in links:
            await link.abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _stay_bound(
        self,
        bind: Bind,
        on_events: Callable[[Bind, Link, Sequence[Event]], None],
        on_lost: Callable[[Bind, str], None],
    ) -> None:
        if bind.command_id == c.BIND_TRANSMITTER:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RECEIVER_FIRST_S):
                    await self._receiving.wait()
        wait_s = RECONNECT_FIRST_S
        while not self._stopping:
            host, port = self._where[bind.at]
            settings = msgspec.structs.replace(self._settings, host=host, port=port)
            link = Link(
                settings, bind.command_id, self._clock, partial(on_events, bind), self._patience
            )
            bind.link, began = link, self._clock.monotonic()
            try:
                await link.open()
                await link.closed.wait()
                reason = link.reason
            except (OSError, UnicodeError) as error:  # no such name, no answer, no trust
                reason = f"{UNREACHED}: {_why(error)}"
            finally:
                bind.link = None
                link.close()
            lasted = link.was_bound and self._clock.monotonic() - began >= STEADY_S
            if link.served or lasted:
                wait_s = RECONNECT_FIRST_S
            else:
                bind.at = (bind.at + 1) % len(self._where)
            wait_s = max(wait_s, REFUSED_FIRST_S.get(link.refused or 0, 0.0))
            on_lost(bind, reason if len(self._where) == 1 else f"{host}: {reason}")
            if not (link.leaving and link.served):
                await asyncio.sleep(wait_s * (0.5 + self._chance.uniform() / 2))
            refused = link.refused in REFUSED_FIRST_S
            wait_s = min(wait_s * 2, REFUSED_MAX_S if refused else RECONNECT_MAX_S)


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate isn't trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"it doesn't speak TLS on this port, or not ours: {error.reason or error}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return getattr(error, "strerror", None) or type(error).__name__
