"""Hand messages to one provider over its binds, and say of each what became of it.

What a provider answers decides what goes out next: the window and the pace bound it, a part
that is put off is tried again by itself, and a bind that loses what it is handed gets little.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from arrivals.clock import Chance, Clock
from arrivals.core.blame import Blame, Verdict
from arrivals.core.breaker import State
from arrivals.core.catalogue import Provider
from arrivals.core.pacing import Pacer, within
from arrivals.core.reason_codes import UNWRITABLE
from arrivals.core.reasons import RefusalKind, reason_for_status
from arrivals.providers.api import (
    Answer,
    NotSent,
    Refused,
    Result,
    Sink,
    Submission,
)
from arrivals.providers.binds import Bind
from arrivals.providers.flight import NOT_BOUND, Flight
from arrivals.providers.held import HeldParts
from arrivals.providers.link import Link
from arrivals.providers.submissions import submit_sm
from arrivals.smpp import constants as c
from arrivals.smpp.pdu import Pdu, UnencodablePdu

BROKEN: Final = "it answers nothing of what it is handed: one message at a time tries it"
STOPPING: Final = "the platform is stopping"
TOO_MANY: Final = "too many messages wait for a part"
LEASE_OVER: Final = "the bind's lease has run out"
ASIDE: Final = "what it has in common with others is throttled: it makes room for the rest"
# While what is throttled has something in common, others are looked for behind it.
SCOUTS_MAX: Final = 3  # out at once; what they meet tells whose fault it is
LOOK_US: Final = 50_000  # between looks
LOOK_MAX: Final = 10  # messages a look
ASIDE_MAX: Final = 1_000  # put aside since anything was taken; then we look more rarely
LOOK_RARELY_US: Final = 1_000_000
WANTED_US: Final = 5_000_000  # a rest so long, and nothing is held back; looks come each second
_US: Final = 1_000_000


class HandOff:
    """Everything of one provider that is on its way out, and nobody's sockets."""

    def __init__(
        self,
        provider: Provider,
        senders: Sequence[Bind],
        window: int,
        clock: Clock,
        chance: Chance,
        on_broken: Callable[[Bind], None],
        on_mended: Callable[[], None],
    ) -> None:
        """Begin with nothing; the last two hear of breakers that open and close."""
        self.submitted = 0
        self.throttles = {"message": 0, "bind": 0}  # throttled answers, by whom they concern
        self.room = asyncio.Event()  # set whenever there may be room
        self.sink: Sink | None = None
        self.stopping = False
        self.pacer = (
            Pacer(*within(provider.throughput)) if provider.throughput else Pacer(None, window)
        )
        self._provider = provider
        self._senders = senders
        self._clock = clock
        self._chance = chance
        self._on_broken, self._on_mended = on_broken, on_mended
        self._blame = Blame()
        self._aside = 0  # put aside, since the last time that something was taken
        self._look_us = 0  # when others may be looked for next
        self._scouts: set[Flight] = set()
        self._held = HeldParts(clock, self._go_on, self._hold, self._give_up, self.tell)
        self._answers: list[Answer] = []
        self._wake: asyncio.TimerHandle | None = None
        self._wake_us = 0
        self._wanted_us = -WANTED_US  # when the pace kept something here, last
        self._wanted_since_us = 0  # and since when, without a rest

    # --- how much may go -------------------------------------------------------------

    def capacity(self, now_us: int) -> int:
        """Return how many messages may be handed over now: window, breaker and pace."""
        if self.stopping:
            return 0
        room = sum(bind.room(now_us) for bind in self._senders)
        if not room:
            return 0
        allowed = self.pacer.available(now_us)
        if not allowed and self._is_looking(now_us) and now_us >= self._look_us:
            # Those that aren't sent out are put aside, whatever the pace allows.
            allowed = LOOK_MAX if self.pacer.scouts(now_us) else 0
        return min(room, allowed)

    def _is_looking(self, now_us: int) -> bool:
        """Tell whether it is held for some who have much in common: others may be fine."""
        return (
            now_us < self.pacer.held_until_us
            and self._blame.accuses_traits
            and len(self._scouts) < SCOUTS_MAX
        )

    async def ready(self) -> None:
        """Wait until `capacity` is above zero."""
        while not self.capacity(now_us := self._now_us()):
            self.room.clear()
            self._wake_when_there_is_room(now_us)
            await self.room.wait()

    @property
    def held_for_s(self) -> float:
        """For how long throttling has held back what could have gone out; 0.0: it doesn't."""
        since_us, now_us = self.pacer.slowed_since_us, self._now_us()
        if since_us is None or now_us - self._wanted_us > WANTED_US:
            return 0.0
        if all(bind.live is None for bind in self._senders):
            return 0.0
        return (now_us - max(since_us, self._wanted_since_us)) / _US

    def _note_wanted(self, now_us: int) -> None:
        """Note that the pace kept something here."""
        if now_us - self._wanted_us > WANTED_US:
            self._wanted_since_us = now_us
        self._wanted_us = now_us

    def _wake_when_there_is_room(self, now_us: int) -> None:
        """Come back when pace or breakers allow more than they did at `now_us`.

        It must be the very moment at which there was too little: by a later one there may be
        enough, and then nothing would wake us.
        """
        moments = [self.pacer.next_at(now_us)]
        if moments[0] is not None:
            self._note_wanted(now_us)
        scout_us = self.pacer.scout_at(now_us)
        if self._is_looking(now_us):
            scout_us = max(scout_us, self._look_us)
        if scout_us > now_us:
            moments.append(scout_us)
        moments += [bind.breaker.next_at(now_us) for bind in self._senders]
        next_us = min((each for each in moments if each is not None), default=None)
        if next_us is None or (self._wake is not None and self._wake_us <= next_us):
            return
        if self._wake is not None:
            self._wake.cancel()
        delay_s = max(0.001, (next_us - now_us) / _US)
        self._wake_us = next_us
        self._wake = asyncio.get_running_loop().call_later(delay_s, self._woken)

    def _woken(self) -> None:
        self._wake = None
        self._pump_all()
        self.tell()
        self.room.set()

    # --- out -------------------------------------------------------------------------

    def submit(self, batch: Sequence[Submission]) -> None:
        """Send what was claimed; every one will be answered to the sink."""
        now_us, wall_us = self._now_us(), self._clock.now_us()
        is_looking = self._is_looking(now_us)
        if is_looking:
            pause_us = LOOK_US if self._aside < ASIDE_MAX else LOOK_RARELY_US
            self._look_us = now_us + pause_us
        for submission in batch:
            try:
                pdus = submit_sm(submission, wall_us, self._provider.dialect)
            except (UnencodablePdu, ValueError):
                malformed = Refused(0, "message_malformed", retryable=False, elsewhere=False)
                self._answer(submission, malformed)
                continue
            bind = self._bind_for_one(now_us)
            if bind is None:
                self._answer(submission, NotSent(BROKEN))
                continue
            # All its parts go over one bind, in order (invariant 29).
            flight = Flight(submission, len(pdus), self._provider.error_namespace)
            if is_looking and self._blame.is_accused(flight.traits):
                self._aside += 1
                self._answer(submission, NotSent(ASIDE))
                continue
            bind.begin()
            parts = [(flight, part, pdu) for part, pdu in enumerate(pdus, 1)]
            if is_looking and len(self._scouts) < SCOUTS_MAX:
                self._scouts.add(flight)
                bind.pending.extendleft(reversed(parts))
            else:
                bind.pending.extend(parts)
        self._pump_all()
        self.tell()

    def _bind_for_one(self, now_us: int) -> Bind | None:
        """Return the bind with most room that no breaker keeps; None if breakers keep all."""
        only = self._senders[0]
        if len(self._senders) == 1 and only.breaker.state is State.CLOSED:
            return only  # as it is nearly always
        widest: Bind | None = None
        for bind in self._senders:
            allowed = bind.breaker.room(bind.out, now_us)
            if allowed != 0 and (widest is None or bind.free > widest.free):
                widest = bind
        return widest

    def _pump_all(self) -> None:
        for bind in self._senders:
            if bind.pending:
                self.pump(bind)

    def pump(self, bind: Bind) -> None:
        """Send a bind's pending parts while the window and the pace allow it."""
        link = bind.live
        if link is None:
            self.drop(bind, "not bound")
            return
        if self.sink is not None and not self.sink.may_send():
            self.drop(bind, LEASE_OVER)
            return
        now, now_us = self._clock.monotonic(), self._now_us()
        while bind.pending:
            flight, part, pdu = bind.pending[0]
            if not flight.stopped:
                if not link.session.window_free or not self._may_go(flight, now_us):
                    self._wake_when_there_is_room(now_us)
                    break
                self._send(link, flight, part, pdu, now)
            else:
                # A part was refused: the rest of its message stays here.
                flight.stays(part)
            bind.pending.popleft()
            if not flight.open:
                self._conclude(bind, flight)
        link.flush()

    def _may_go(self, flight: Flight, now_us: int) -> bool:
        if flight in self._scouts and now_us < self.pacer.held_until_us:
            return self.pacer.scout(now_us)
        return self.pacer.take(1, now_us) > 0

    def _send(self, link: Link, flight: Flight, part: int, pdu: Pdu, now: float) -> None:
        try:
            link.session.send_request(pdu, now, (flight, part))
        except UnencodablePdu:
            self.pacer.give_back(1, self._now_us())
            flight.left()
            flight.refused(part, UNWRITABLE)
            return
        flight.left()
        self.submitted += 1

    def drop(self, bind: Bind, cause: str) -> None:
        """Give back what never reached the socket."""
        while bind.pending:
            flight, part, _ = bind.pending.popleft()
            flight.stays(part)
            self._conclude(bind, flight, cause)

    # --- what comes back -------------------------------------------------------------

    def answered(
        self, bind: Bind, link: Link, token: object, pdu: Pdu, waited_s: float
    ) -> bool:
        """Take the answer to a part; return whether it was taken."""
        flight, part = _of(token)
        status = pdu.command_status
        taken = _took(pdu)
        if taken:
            flight.taken(part, _message_id(pdu), waited_s)
            self._taken(flight)
        else:
            self._refused(flight, part, _status(pdu))
        if status != NOT_BOUND:
            link.served = True
        self._conclude(bind, flight)
        return taken

    def _taken(self, flight: Flight) -> None:
        if not flight.is_taken:
            return  # that one part is taken tells nothing of the others
        self._aside = 0
        verdict = self._blame.taken(flight.submission.msisdn, flight.traits)
        if verdict is Verdict.ABSOLVED:
            self.pacer.absolve()

    def _refused(self, flight: Flight, part: int, status: int) -> None:
        flight.refused(part, status)
        meaning = reason_for_status(status, self._provider.error_namespace)
        if meaning.kind is not RefusalKind.THROTTLED:
            return
        now_us = self._now_us()
        held = now_us < self.pacer.held_until_us
        number = flight.submission.msisdn
        verdict = self._blame.throttled(number, now_us, held=held, traits=flight.traits)
        flight.whole_bind = verdict is Verdict.BIND
        self.throttles["bind" if flight.whole_bind else "message"] += 1
        if verdict is Verdict.BIND:
            self.pacer.throttled(now_us, in_doubt=self._blame.accuses_traits)
        elif verdict is Verdict.ABSOLVED:
            self.pacer.absolve()

    def some_taken(self) -> None:
        """Note that parts were taken, once for all that one reading brought."""
        self.pacer.succeeded(self._now_us())

    def silent(self, bind: Bind, token: object) -> None:
        """Note that a part's answer is waited for no longer."""
        flight, _ = _of(token)
        flight.silent()
        self._conclude(bind, flight)

    def late(self, bind: Bind, link: Link, token: object, pdu: Pdu) -> None:
        """Take an answer to what was told as unanswered."""
        flight, part = _of(token)
        ended = flight.ended
        link.served = True
        result = flight.late(part, _message_id(pdu) if _took(pdu) else None, _status(pdu))
        if ended and result is not None:
            self._answer(flight.submission, result, late=True)
        elif ended and not flight.ended:
            self._put_off(bind, flight)
        if ended and not flight.silences and bind.breaker.regained():
            self._on_mended()

    def _conclude(self, bind: Bind, flight: Flight, cause: str = "it was not sent") -> None:
        """Answer for a submission once nothing more of it is under way."""
        result = flight.end(cause)
        if result is None and not flight.can_go_on:
            return
        bind.out -= 1
        self._scouts.discard(flight)
        self._weigh(bind, flight)
        if result is None:
            self._put_off(bind, flight)
        else:
            self._answer(flight.submission, result)

    def _weigh(self, bind: Bind, flight: Flight) -> None:
        """Tell the breaker what became of a hand-off, for now."""
        if flight.is_taken or not (flight.is_lost or flight.came_back):
            if bind.breaker.answered():
                self._on_mended()
        elif flight.is_lost:
            self._lost(bind)
        else:
            bind.breaker.unsent()

    def _lost(self, bind: Bind) -> None:
        """Count a hand-off that came to nothing."""
        if self.stopping or not bind.breaker.lost(self._now_us(), self._chance.uniform()):
            return
        self.drop(bind, BROKEN)
        self._on_broken(bind)

    # --- parts that are put off ------------------------------------------------------

    def _put_off(self, bind: Bind, flight: Flight) -> None:
        """Try what is missing of a message again later, by itself, if there is a later."""
        if self.stopping:
            self._answer(flight.submission, flight.abandon(STOPPING))
        elif self.sink is not None and not self.sink.may_send():
            self._answer(flight.submission, flight.abandon(LEASE_OVER))
        else:
            due_us = flight.put_off(self._clock.now_us(), self._chance.uniform())
            if due_us is None:
                self._give_up(flight)
            elif not self._held.add(bind, flight, due_us):
                result = flight.give_up() if flight.refusals else flight.abandon(TOO_MANY)
                self._answer(flight.submission, result)

    def _hold(self, flight: Flight, until_us: int, due_us: int) -> None:
        self._answer(flight.submission, flight.held(until_us, due_us))

    def _give_up(self, flight: Flight) -> None:
        self._answer(flight.submission, flight.give_up())

    def _go_on(self, bind: Bind, flight: Flight) -> bool:
        """Send what is missing of a message, over the bind it began on where that is there."""
        now_us = self._now_us()
        if bind.live is None:
            bind = max(self._senders, key=lambda each: each.free)
        if not bind.room(now_us) or not self.pacer.available(now_us):
            return False
        pdus = submit_sm(flight.submission, self._clock.now_us(), self._provider.dialect)
        bind.begin()
        # Before whatever waits: others of its parts may be where it belongs already.
        for part in reversed(flight.resume()):
            bind.pending.appendleft((flight, part, pdus[part - 1]))
        self.pump(bind)
        return True

    # --- the sink --------------------------------------------------------------------

    def stop(self) -> None:
        """Begin nothing more, and answer for what was not begun.

        The rest of a message that left in part may still go, for as long as `is_under_way`.
        """
        self.stopping = True
        for bind in self._senders:
            begun = [each for each in bind.pending if each[0].sent]
            bind.pending = deque(each for each in bind.pending if not each[0].sent)
            self.drop(bind, STOPPING)
            bind.pending.extend(begun)
        for flight in self._held.stop():
            self._answer(flight.submission, flight.abandon(STOPPING))
        self.tell()

    @property
    def is_under_way(self) -> bool:
        """Whether parts wait to go out, or for their answer."""
        return any(
            bind.pending or (bind.live and bind.live.session.outstanding)
            for bind in self._senders
        )

    def close(self) -> None:
        """Send nothing at all any more, and come back for nothing."""
        for bind in self._senders:
            self.drop(bind, STOPPING)
        self.tell()
        if self._wake is not None:
            self._wake.cancel()

    def _answer(self, submission: Submission, result: Result, *, late: bool = False) -> None:
        self._answers.append(
            Answer(
                provider_id=self._provider.provider_id,
                key=submission.key,
                attempt=submission.attempt,
                epoch=submission.epoch,
                result=result,
                late=late,
            )
        )

    def tell(self) -> None:
        """Hand on what was answered."""
        if self._answers and self.sink is not None:
            answers, self._answers = self._answers, []
            self.sink.answered(answers)

    def _now_us(self) -> int:
        return int(self._clock.monotonic() * _US)


def is_broken(senders: Sequence[Bind]) -> bool:
    """Tell whether hand-offs got lost in a row on all of these binds, and none is answered."""
    return all(bind.breaker.state in {State.OPEN, State.PROBING} for bind in senders)


def _of(token: object) -> tuple[Flight, int]:
    if not isinstance(token, tuple):
        raise TypeError("a submit_sm carries its flight and its part")
    return token


def _took(pdu: Pdu) -> bool:
    # A yes without an id can't be matched by id, but it is a yes.
    return pdu.command_status == c.ESME_ROK and pdu.command_id == c.SUBMIT_SM_RESP


def _status(pdu: Pdu) -> int:
    """Return the status of a no; one that says no and gives no status is an error of theirs."""
    return pdu.command_status or c.ESME_RSYSERR


def _message_id(pdu: Pdu) -> str:
    return pdu.octets("message_id").decode("latin-1")
