"""From a submit_sm to everything that follows: its answer, its ending and its receipts.

What has no delay happens in the same turn, so that a fast world costs no timers; the rest
is entered in the agenda.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

import msgspec

from arrivals.smpp import constants as c
from arrivals.world.acts import Act, acts_of
from arrivals.world.agenda import Agenda
from arrivals.world.bends import AS_SPECIFIED, STRAIGHT
from arrivals.world.breaks import NOBODY, SOUND, Held
from arrivals.world.dialect import ANY, judge_bind, judge_submit
from arrivals.world.fate import Answer, Ending, PlannedReceipt
from arrivals.world.fixed_fates import SCRIPTS, fate_of
from arrivals.world.history import NOTHING_SEEN, History
from arrivals.world.inbox import Inbox
from arrivals.world.limits import Limits
from arrivals.world.mailbox import REPLIES, Mailbox, Parcel
from arrivals.world.submission import Occurrences, destination_of, kind_of, read_submission

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from arrivals.smpp.pdu import Pdu
    from arrivals.world.breaks import Breaks
    from arrivals.world.connection import Connection
    from arrivals.world.fate import Fate
    from arrivals.world.provider import IdForm, Provider
    from arrivals.world.scenario import Scenario
    from arrivals.world.submission import Submission
    from arrivals.world.truth import Acted, TruthLedger

CONNECTIONS_MAX: Final = 1_000
SYSTEM_IDS_MAX: Final = 10_000  # mailboxes outlive their binds; more names are refused

# How a message id's number is written in answers and in receipts.
ID_FORMS: Final[dict[IdForm, tuple[str, str]]] = {
    "decimal": ("d", "d"),
    "hex": ("x", "x"),
    "capital_hex_then_hex": ("X", "x"),
    "hex_then_decimal": ("x", "d"),
    "decimal_then_hex": ("d", "x"),
    "padded_decimal": ("d", "020d"),
}
# An odd factor permutes the numbers below 2**63: ids look random and never repeat. This
# one is 2**64 over the golden ratio, which spreads neighbours farthest.
_SCATTER: Final = 0x9E3779B97F4A7C15
_ID_MASK: Final = (1 << 63) - 1


class Exchange:
    """The inside of a carrier world."""

    NAME: ClassVar[bytes] = b"carrier-world"  # our system_id, at most 15 octets

    def __init__(
        self,
        scenario: Scenario,
        seed: int,
        truth: TruthLedger,
        *,
        loop: asyncio.AbstractEventLoop,
        speed: float,
        now_us: Callable[[], int],
        password: str | None,
        on_act: Callable[[Acted], None] | None = None,
    ) -> None:
        """Begin empty; a `password` stands in for those of the scenario."""
        self.scenario = scenario
        self.truth = truth
        self.inbox = Inbox()
        self.agenda = Agenda(loop, speed, self.settle)
        # In the order they came or were touched, so that one seed is one history.
        self.connections: dict[Connection, None] = {}
        self.refusing_binds = False
        self.garbage = False
        self.breaks: Breaks | None = None  # in place of the scenario's
        self._seed = seed
        self._now_us = now_us
        self._password = password
        self._occurrences = Occurrences()
        self._mailboxes: dict[str, Mailbox] = {}
        self._limits = Limits()
        self._held = Held(seed)
        self._history = History()
        self._speed = speed
        self._on_act = on_act
        self._next_id = now_us()  # so that a world begun later repeats no id
        self._touched: dict[Connection, None] = {}  # connections with something to write
        self._expected: dict[Mailbox, None] = {}  # mailboxes that may have something to give
        for era in scenario.eras:
            self.agenda.enter(era.from_s, self._begin_era)
        if not scenario.eras:
            self._flap_all()

    # Connections

    def admit(self, connection: Connection) -> bool:
        """Take in a connection, unless there are too many."""
        if len(self.connections) >= CONNECTIONS_MAX:
            return False
        self.connections[connection] = None
        return True

    def dismiss(self, connection: Connection) -> None:
        """Forget a connection that is gone."""
        self.connections.pop(connection, None)
        self._touched.pop(connection, None)
        self.truth.count("connections_lost")
        self.settle()

    def provider(self, system_id: str) -> Provider:
        """Return how a provider behaves now."""
        return self.scenario.at(self.agenda.now_s).provider(system_id)

    def judge_bind(self, system_id: str, pdu: Pdu) -> int:
        """Return the status that a bind is answered with."""
        provider = self.provider(system_id)
        wanted = self._password or provider.password
        if self.refusing_binds or not provider.up:
            status = c.ESME_RBINDFAIL
        elif not system_id:
            status = c.ESME_RINVSYSID
        elif wanted is not None and pdu.octets("password") != wanted.encode():
            status = c.ESME_RINVPASWD
        elif (misspoken := judge_bind(provider.dialect, pdu)) != c.ESME_ROK:
            status = misspoken
        elif system_id not in self._mailboxes and len(self._mailboxes) >= SYSTEM_IDS_MAX:
            status = c.ESME_RBINDFAIL
        else:
            status = c.ESME_ROK
        self.truth.count("binds" if status == c.ESME_ROK else "binds_refused")
        return status

    def mailbox(self, system_id: str) -> Mailbox:
        """Return a system_id's mailbox."""
        found = self._mailboxes.get(system_id)
        if found is None:
            habits = self.provider(system_id).receipts
            found = self._mailboxes[system_id] = Mailbox(habits, self.agenda, self.truth)
        return found

    def touch(self, connection: Connection) -> None:
        """Write what a connection has queued at the end of this turn."""
        self._touched[connection] = None

    def expect(self, mailbox: Mailbox) -> None:
        """See at the end of this turn whether a mailbox can give something."""
        self._expected[mailbox] = None

    def send_garbage(self, send: bool) -> None:  # noqa: FBT001 - a switch
        """Write junk for every answer from now on; or sense, and whatever waited for that."""
        self.garbage = send
        self._expected.update(dict.fromkeys(self._mailboxes.values()))
        self.settle()

    def settle(self, mailbox: Mailbox | None = None) -> None:
        """End a turn: hand out receipts, then write once to each connection."""
        if mailbox is not None:
            self._expected[mailbox] = None
        while self._expected:
            self._expected.popitem()[0].pump()
        while self._touched:
            self._touched.popitem()[0].flush()

    # What the timeline changes

    def _begin_era(self) -> None:
        """Let what has changed be felt by whoever is connected, or has something waiting."""
        for system_id, mailbox in self._mailboxes.items():
            mailbox.habits = self.provider(system_id).receipts
            self._expected[mailbox] = None
        for connection in tuple(self.connections):
            if connection.bound and not self.provider(connection.system_id).up:
                connection.abort()
        self._flap_all()

    def _flap_all(self) -> None:
        now_s = self.agenda.now_s
        era = self.scenario.at(now_s)
        for every_s in sorted({each.flaps_s for each in era.providers.values()} - {0.0}):
            self.agenda.enter(now_s + every_s, self._flap, every_s, era)

    def _flap(self, every_s: float, era: Scenario) -> None:
        """Cut the binds that are cut this often, and again, until it's another era."""
        now_s = self.agenda.now_s
        if self.scenario.at(now_s) is not era:
            return
        for connection in tuple(self.connections):
            if connection.bound and era.provider(connection.system_id).flaps_s == every_s:
                connection.abort()
        self.truth.count("flaps")
        self.agenda.enter(now_s + every_s, self._flap, every_s, era)

    # Submissions

    def submit(self, connection: Connection, pdu: Pdu) -> None:
        """Take a submit_sm from a bound connection."""
        if not connection.system_id:
            return
        at_s = self.agenda.now_s
        now = self.scenario.at(at_s)
        provider = now.provider(connection.system_id)
        breaks = self.breaks or provider.breaks
        connection.submits += 1
        status, backlog_s = self._admission(connection, provider, breaks, pdu, at_s)
        taken = status == c.ESME_ROK
        now_us = self._now_us()
        submission = read_submission(
            pdu,
            connection.system_id,
            self._occurrences if taken else None,
            at_s=at_s,
            now_us=now_us,
            backlog_s=backlog_s,
            alphabet=provider.dialect.alphabet,
        )
        if not taken:
            self._answer(connection, pdu, submission, Answer(status=status), None, now_us)
            return
        scripted = submission.destination in SCRIPTS
        if not scripted:
            seen = self._history.see(submission, now, self._seed)
            if seen is not NOTHING_SEEN:
                submission = msgspec.structs.replace(submission, seen=seen)
        fate = fate_of(submission, self.scenario, self._seed, breaks)
        if breaks.drops_after:
            self._drop(connection, breaks)
        if fate.ending is Ending.REFUSED:
            self._answer(connection, pdu, submission, fate.answer, None, now_us)
            return
        number = self._take_id()
        in_answer, in_receipts = ID_FORMS[fate.id_form]
        message_id = format(number, in_answer)
        self._answer(connection, pdu, submission, fate.answer, message_id, now_us)
        self._plan(
            connection, submission, fate, message_id, format(number, in_receipts), now_us
        )
        if not scripted:
            for act in acts_of(submission, fate, now, self._seed):
                self.agenda.enter(
                    at_s + act.delay_s, self._act, submission, act, message_id, connection
                )

    def _admission(
        self, connection: Connection, provider: Provider, breaks: Breaks, pdu: Pdu, at_s: float
    ) -> tuple[int, float]:
        """Return the status for a submit_sm before it's looked at, and how long it queues."""
        if connection.unanswered >= provider.window or self.agenda.full:
            return c.ESME_RMSGQFUL, 0.0
        if breaks is not SOUND and (status := self._broken(connection, breaks)):
            return status, 0.0
        if provider.dialect is not ANY and (status := judge_submit(provider.dialect, pdu)):
            self.truth.count("misspoken")
            return status, 0.0
        destination = destination_of(pdu)
        if destination in SCRIPTS:
            return c.ESME_ROK, 0.0
        if provider.holds is not NOBODY and (
            status := self._held.judge(provider.holds, kind_of(pdu))
        ):
            return status, 0.0
        source = pdu.octets("source_addr").decode("latin-1")
        return self._limits.judge(provider, connection.system_id, source, at_s)

    def _broken(self, connection: Connection, breaks: Breaks) -> int:
        """Return what a provider answers that forgot its bind, or blames what it's sent."""
        if breaks.forgets_after and connection.submits > breaks.forgets_after:
            connection.forget(breaks.forgets_link)
            self.truth.count("forgotten")
            return c.ESME_RINVBNDSTS
        return breaks.blames

    def _drop(self, connection: Connection, breaks: Breaks) -> None:
        """Let a connection go with all that came on it, now or in a moment."""
        if connection.submits >= breaks.drops_after:
            self._abort(connection)
        elif connection.submits == 1:
            due_s = self.agenda.now_s + breaks.drops_within_s
            self.agenda.enter(due_s, self._abort, connection)

    def _abort(self, connection: Connection) -> None:
        if not connection.dropped:
            self.truth.count("drops")
            connection.abort()

    def _answer(
        self,
        connection: Connection,
        pdu: Pdu,
        submission: Submission,
        answer: Answer,
        message_id: str | None,
        now_us: int,
    ) -> None:
        """Record a hand-off, and answer it now, later or never; junk is no answer."""
        readable = not (answer.lost or self.garbage)
        self.truth.handed_off(submission, answer, message_id, now_us, answered=readable)
        if answer.lost:
            return
        number = pdu.sequence_number
        if answer.delay_s <= 0:
            connection.answer(number, answer.status, message_id)
        else:
            connection.unanswered += 1
            due_s = submission.at_s + answer.delay_s
            self.agenda.enter(due_s, connection.answer_late, number, answer.status, message_id)

    def _plan(
        self,
        connection: Connection,
        submission: Submission,
        fate: Fate,
        message_id: str,
        receipt_id: str,
        now_us: int,
    ) -> None:
        """See to an accepted submission's ending and receipts, now or later."""
        at_s = submission.at_s
        if fate.ended_s <= 0:
            self._end(submission, fate, message_id)
        else:
            self.agenda.enter(at_s + fate.ended_s, self._end, submission, fate, message_id)
        origin = None if fate.any_bind else connection
        for planned in fate.receipts:
            if planned.delay_s <= 0:
                self._report(submission, planned, receipt_id, now_us, origin)
            else:
                self.agenda.enter(
                    at_s + planned.delay_s,
                    self._report,
                    submission,
                    planned,
                    receipt_id,
                    now_us,
                    origin,
                )

    def _end(self, submission: Submission, fate: Fate, message_id: str) -> None:
        now_us = self._now_us()
        self.truth.ended(submission, fate.ending, message_id, now_us, cause=fate.cause)
        if fate.ending is Ending.REACHED:
            self.inbox.arrived(submission, now_us, fate.shown_sender)

    def _act(
        self, submission: Submission, act: Act, message_id: str, origin: Connection
    ) -> None:
        """Let somebody do something; a reply comes as a deliver_sm of its own."""
        now_us = self._now_us()
        acted = self.truth.acted(submission, act.kind, message_id, now_us)
        if self._on_act is not None:
            self._on_act(acted)
        reply = REPLIES.get(act.kind)
        if reply is not None:
            mailbox = self.mailbox(submission.system_id)
            mailbox.put(Parcel(submission=submission, origin=origin, reply=reply))
            self._expected[mailbox] = None

    def _report(
        self,
        submission: Submission,
        planned: PlannedReceipt,
        receipt_id: str,
        submitted_us: int,
        origin: Connection | None,
    ) -> None:
        mailbox = self.mailbox(submission.system_id)
        habits = mailbox.habits
        if habits.told_to:
            mailbox = self.mailbox(habits.told_to)
        bends, identity = habits.bends, submission.identity
        mailbox.put(
            Parcel(
                submission=submission,
                message_id=receipt_id,
                state=planned.state,
                word=planned.word,
                shape=AS_SPECIFIED if bends is STRAIGHT else bends.draw(self._seed, identity),
                habits=habits if habits.told_to else None,
                error=planned.error,
                submitted_us=submitted_us,
                done_us=self._now_us() - int(planned.held_s / self._speed * 1e6),
                origin=origin,
            )
        )
        mailbox.pump()  # now, so that what is due in one turn keeps its order

    def _take_id(self) -> int:
        self._next_id += 1
        return self._next_id * _SCATTER & _ID_MASK
