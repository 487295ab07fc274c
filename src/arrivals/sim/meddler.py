"""The man in the middle of one SMPP connection: he meddles, and tells the auditor what he saw.

Seen are a provider's bytes before anything is done to them, and the platform's as they arrive.
So the auditor knows what providers really received and really said, and what the platform can
have heard of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from arrivals.sim.dice import Dice
from arrivals.sim.frames import (
    BIND_RECEIVER,
    BIND_TRANSCEIVER,
    BIND_TRANSMITTER,
    DELIVER_SM,
    DELIVER_SM_RESP,
    GENERIC_NACK,
    RESPONSE,
    RTHROTTLED,
    SUBMIT_SM,
    SUBMIT_SM_RESP,
    Frame,
    Frames,
)
from arrivals.sim.plan import Habits

if TYPE_CHECKING:
    from arrivals.sim.auditor import Auditor
    from arrivals.sim.network import Chunks, Wire

BINDS: Final = {each | RESPONSE for each in (BIND_RECEIVER, BIND_TRANSMITTER, BIND_TRANSCEIVER)}
RECEIVING: Final = {BIND_RECEIVER | RESPONSE, BIND_TRANSCEIVER | RESPONSE}
OURS: Final = 0x5000_0000  # sequence numbers of what nobody sent
LATE_S: Final = 15.0
SHUFFLE_S: Final = 3.0


class Mischief:
    """What may be done to one provider's traffic at this moment."""

    def __init__(self, provider: str, habits: Habits, dice: Dice) -> None:
        """Begin with these habits."""
        self.provider = provider
        self.habits = habits
        self.dice = dice
        self.throttled_until = 0.0
        self.wires: dict[Wire, None] = {}
        self.receiving: dict[Wire, None] = {}  # those that receipts may come on
        self.elsewhere = False  # whether receipts come on the other's binds
        self.moved: set[int] = set()  # the numbers of receipts that came from there
        self.other: Mischief | None = None
        self._sequence = OURS

    def number(self) -> int:
        """Return a sequence number that nobody uses."""
        self._sequence += 1
        return self._sequence


class WireMeddler:
    """One connection's."""

    def __init__(self, wire: Wire, mischief: Mischief, auditor: Auditor) -> None:
        """Sit in the middle of a wire."""
        self._wire = wire
        self._mischief = mischief
        self._auditor = auditor
        self._out, self._in = Frames(), Frames()
        self._arrived, self._heard = Frames(), Frames()
        mischief.wires[wire] = None

    # --- from the platform to the provider -----------------------------------------------

    def outward(self, data: bytes) -> Chunks:
        """Pass the platform's PDUs on, but for the answers to what nobody sent."""
        return [(0.0, frame.octets()) for frame in self._out.add(data) if self._passes(frame)]

    def _passes(self, frame: Frame) -> bool:
        if frame.command == DELIVER_SM_RESP:
            if not frame.status:
                self._auditor.receipt_acknowledged(self._wire, frame.sequence)
            else:
                self._refused(frame)
            return frame.sequence < OURS
        if frame.command == GENERIC_NACK:
            self._refused(frame)
            return frame.sequence < OURS
        if frame.command == SUBMIT_SM:
            self._auditor.leaves(self._wire, self._mischief.provider, frame)
        return True

    def _refused(self, frame: Frame) -> None:
        """Show the auditor what the platform refuses of what a provider really told it."""
        if frame.sequence < OURS or frame.sequence in self._mischief.moved:
            self._auditor.receipt_refused(self._wire, frame.sequence, frame.status)

    def reached_provider(self, data: bytes) -> bytes:
        """Tell the auditor what a provider received; a storm throttles it at the door."""
        storm = self._mischief.throttled_until > self._wire.network.loop.time()
        through = b""
        for frame in self._arrived.add(data):
            if frame.command == SUBMIT_SM:
                self._auditor.submitted(self._wire, self._mischief.provider, frame)
            if frame.command == SUBMIT_SM and storm:
                self._inject(Frame(SUBMIT_SM_RESP, RTHROTTLED, frame.sequence, b""))
            else:
                through += frame.octets()
        return through

    # --- from the provider to the platform -----------------------------------------------

    def inward(self, data: bytes) -> Chunks:
        """Lose, delay, double and misnumber what a provider says."""
        chunks: list[tuple[float, bytes]] = []
        for frame in self._in.add(data):
            if frame.command == SUBMIT_SM_RESP:
                self._auditor.answered(self._wire, frame)
                chunks += self._answer(frame)
            elif frame.command in BINDS:
                self._auditor.bind_answered(self._mischief.provider, frame)
                chunks.append((0.0, frame.octets()))
            elif frame.command == DELIVER_SM and frame.sequence < OURS:
                chunks += self._receipt(frame)
            else:
                chunks.append((0.0, frame.octets()))
        return chunks or ([(0.0, data)] if data.startswith(b"\xff") else [])

    def _answer(self, frame: Frame) -> Chunks:
        dice, habits = self._mischief.dice, self._mischief.habits
        if dice.happens(habits.lose_answer):
            return []
        if dice.happens(habits.misnumber_answer):
            frame = frame._replace(sequence=frame.sequence + 100_000)
        later_s = dice.between(0, LATE_S) if dice.happens(habits.late_answer) else 0.0
        doubled = dice.happens(habits.double_answer)
        again = [(later_s + dice.between(0, 2), frame.octets())] if doubled else []
        return [(later_s, frame.octets()), *again]

    def _receipt(self, frame: Frame) -> Chunks:
        mischief, dice = self._mischief, self._mischief.dice
        habits = mischief.habits
        if dice.happens(habits.junk_receipt):
            self._inject(self._junk(frame))
        if dice.happens(habits.foreign_receipt):
            self._misdirect(frame)
        if dice.happens(habits.lose_receipt):
            return []
        if mischief.elsewhere and self._is_moved(frame):
            return []
        later_s = dice.between(0, SHUFFLE_S) if dice.happens(habits.delay_receipt) else 0.0
        chunks = [(later_s, frame.octets())]
        if dice.happens(habits.double_receipt):
            copy = frame._replace(sequence=mischief.number())
            chunks.append((later_s + dice.between(0, SHUFFLE_S), copy.octets()))
        return chunks

    def _junk(self, frame: Frame) -> Frame:
        """Return a deliver_sm whose bytes are spoiled here and there."""
        dice = self._mischief.dice
        spoiled = bytearray(frame.body)
        for _ in range(1 + int(dice.between(0, 5))):
            spoiled[int(dice.between(0, len(spoiled)))] = int(dice.between(0, 256))
        junk = Frame(DELIVER_SM, 0, self._mischief.number(), bytes(spoiled))
        self._auditor.spoiled(frame)
        self._auditor.spoiled(junk)  # it may name another number now
        return junk

    def _inject(self, frame: Frame) -> None:
        self._wire.network.loop.call_soon(self._wire.listening.write, frame.octets())

    def _misdirect(self, frame: Frame) -> None:
        """Let the other provider tell this provider's receipt."""
        other = self._mischief.other
        wires = [w for w in (other.wires if other else ()) if w in w.network.wires]
        if other is not None and wires:
            copy = frame._replace(sequence=other.number())
            wires[-1].network.loop.call_soon(wires[-1].listening.write, copy.octets())

    def _is_moved(self, frame: Frame) -> bool:
        """Let a receipt come on a bind of the carrier's other login, if there's one now."""
        other = self._mischief.other
        wires = [w for w in (other.receiving if other else ()) if w in w.network.wires]
        if other is None or not wires:
            return False
        number = other.number()
        other.moved.add(number)
        moved = frame._replace(sequence=number)
        loop = self._wire.network.loop
        loop.call_soon(wires[-1].listening.write, moved.octets())
        had = Frame(DELIVER_SM_RESP, 0, frame.sequence, b"\0")  # by whoever passes it on
        loop.call_soon(self._wire.listening.arrive, had.octets())
        return True

    def reached_platform(self, data: bytes) -> None:
        """Tell the auditor what the platform can know."""
        for frame in self._heard.add(data):
            if frame.command == SUBMIT_SM_RESP:
                self._auditor.heard(self._wire, frame)
            elif frame.command in RECEIVING and not frame.status:
                self._mischief.receiving[self._wire] = None
            elif frame.command == DELIVER_SM:
                self._auditor.receipt_heard(self._wire, self._mischief.provider, frame)
