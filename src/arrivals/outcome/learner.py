"""Learn from what happens to messages, and foresee what will become of one.

What is told is facts in the order of a timeline: a hand-off that a provider took, its first
final word, a deadline that passed, and people's own feedback. Each fact is told once. All that
is kept is sums, so two learners add up to one, and what was learnt is kept as bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from arrivals.core.compare import Covariates, Expected
from arrivals.core.selection import Estimate
from arrivals.outcome.anchors import PROBES, Book, Said, Source
from arrivals.outcome.calibration import HELD_OUT_SHARE, is_held_out
from arrivals.outcome.cells import (
    HORIZON_S,
    Cell,
    Pace,
    UnreadableCell,
)
from arrivals.outcome.change import Chart
from arrivals.outcome.doubts import doubt, timing
from arrivals.outcome.episodes import Trouble
from arrivals.outcome.estimates import Estimates
from arrivals.outcome.fakes import (
    Score,
    converted,
    score,
)
from arrivals.outcome.fusion import P_MAX, P_MIN, chance_of_word
from arrivals.outcome.hierarchy import (
    ANY,
    CELLS_MAX,
    REFRESH_US,
    Key,
    Path,
    Tree,
    kind_of_sender,
    path_of,
)
from arrivals.outcome.holdout import Held, HoldOut
from arrivals.outcome.recent import Recent
from arrivals.outcome.record import Group, GroupRecord, TrackRecord
from arrivals.outcome.trust import Chance, Trust, p_delivered
from arrivals.outcome.watch import Waiting, Watch

FORMAT: Final = 1  # of what is kept; another one is begun anew
REPORTERS_MAX: Final = 10_000  # accounts whose feedback is compared


class Subject(msgspec.Struct, frozen=True, array_like=True):
    """A message as the model knows it."""

    key: int
    account: str  # PROBES, whoever sent it, if it went to a test phone of our own
    country: str
    msisdn: str
    sender: str
    category: str
    sent_us: int | None  # when a provider took it, if one did
    confirmed_seq: int | None  # of the event with which its customer said that it arrived
    price: int = 0
    text: str | None = None
    accepted_us: int = 0

    def path(self, provider: str) -> Path:
        """Return the cells it belongs to, handed off to this provider."""
        return path_of(
            country=self.country,
            sender=self.sender,
            carrier=None,
            msisdn=self.msisdn,
            provider=provider,
            content=self.sender,
        )

    @property
    def source(self) -> Source:
        """Whose messages are alike in how often they are anchored.

        Nobody answers a name, so messages from names aren't compared with those from numbers.
        """
        named = kind_of_sender(self.sender) == "alphanumeric"
        template_class = self.category if named else f"{self.category} from a number"
        return Source(self.account, template_class, self.country)


class Fact(NamedTuple):
    """One event of a message's timeline that there is something to learn from."""

    subject: Subject
    kind: str
    seq: int
    at_us: int
    from_state: str | None
    to_state: str
    provider: str | None
    confirmed: bool = False  # of feedback: that it arrived


class Foreseen(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be expected of a message now."""

    chance: Chance
    trust: Trust
    receipt_to_come: float  # the chance that a final one still comes
    p50_s: float | None  # age by which half of those still to come will have come
    p90_s: float | None
    cell: Key
    alarm: Key | None  # the narrowest cell of its own whose receipts fell
    alike_lack: bool  # what it has in common with others goes with what is missing there
    handoffs: float  # behind the nearest cell, as they count now


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """How good forecasts were, and how much isn't known, of all messages and by group."""

    reporters: int  # accounts that ever said that a message arrived
    held_out_share: float
    waiting: int  # held out, and not yet a day old
    groups: list[GroupRecord]  # all of them first, then the heaviest


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    form: int
    cells: list[tuple[Key, bytes]]
    book: bytes
    reporters: list[str]
    # Earlier programs kept nothing of these, and pass them by.
    record: bytes | None = None
    held: list[tuple[int, Held]] = []
    charts: list[tuple[Key, Chart, Recent]] = []


WATCHED_MIN: Final = 200.0  # hand-offs behind a cell before a fall in it is one
_ROUTE: Final = 3  # the level of a provider on a carrier
OPEN: Final = frozenset(
    {"accepted", "scheduled", "waiting", "sending", "ambiguous", "submitted"}
)
_UNTOLD: Final = OPEN | {"unknown"}  # no word had been heard
_WORDS: Final = {
    "delivered": Said.POSITIVE,
    "failed": Said.NEGATIVE,
    "filtered": Said.NEGATIVE,
    "expired": Said.NEGATIVE,
    "unknown": Said.SILENT,
}


class Learner:
    """What one installation knows about providers, carriers and their receipts."""

    def __init__(self, secret: bytes) -> None:
        """Start with nothing; `secret` chooses which messages are never learnt from."""
        self._secret = secret
        self._tree = Tree()
        self._book = Book()
        self._watch = Watch(secret)
        self._record = TrackRecord()
        self._holdout = HoldOut()
        self._estimates = Estimates(self._tree)
        self._checkpoints: dict[Path, tuple[int, float, float]] = {}
        self._reporters: set[str] = set()

    @property
    def cells(self) -> int:
        """How many cells there are."""
        return len(self._tree)

    # --- what is told ----------------------------------------------------------------

    def learn(self, facts: Iterable[Fact]) -> None:
        """Take in facts, each once."""
        for fact in facts:
            self.look(fact.at_us)
            if fact.provider is None and fact.kind != "feedback":
                continue
            if fact.kind == "taken":
                if fact.from_state in OPEN:
                    self._sent(fact)
            elif fact.kind == "feedback":
                self._feedback(fact)
            elif fact.from_state != fact.to_state:
                self._ended(fact)

    def look(self, now_us: int) -> None:
        """Look at the messages whose time has come, all facts before it being learnt."""
        self._watch.look(now_us)
        self._holdout.look(now_us, self._record, self._forecast, self._book.anchored_share)

    def _sent(self, fact: Fact) -> None:
        """Count a hand-off, and look at it again at its cell's checkpoint."""
        subject, at_us = fact.subject, fact.at_us
        path, group = subject.path(str(fact.provider)), _group(fact)
        self._tree.sent(path, at_us, at_us)
        self._record.handed_off(group, at_us)
        if self._reports(subject.account) and is_held_out(subject.key, self._secret):
            self._holdout.sent(subject.key, Held(path, subject.source, group, at_us))
        due_s, usual = self._checkpoint(path, at_us)
        if usual:
            waiting = Waiting(path, usual, at_us, subject.price, subject.text)
            self._watch.sent(subject.key, at_us + round(due_s * 1e6), waiting)

    def _checkpoint(self, path: Path, now_us: int) -> tuple[float, float]:
        """Return at which age a cell's messages are looked at, and their chance by then.

        The chance is 0 until the cell is known well enough to say what is usual in it.
        """
        known = self._checkpoints.get(path)
        if known is not None and 0 <= now_us - known[0] < REFRESH_US:
            return known[1], known[2]
        curve = self._tree.curve(path, now_us)
        due_s = curve.checkpoint_s()
        usual = curve.positive_by(due_s) if curve.weight >= WATCHED_MIN else 0.0
        if len(self._checkpoints) >= CELLS_MAX:
            self._checkpoints.clear()
        self._checkpoints[path] = now_us, due_s, usual
        return due_s, usual

    def _ended(self, fact: Fact) -> None:
        """Count a message's first final word, or that it had none until its deadline."""
        subject, said = fact.subject, _WORDS.get(fact.to_state)
        if said is None:
            return
        self._note(fact, said)
        if fact.from_state not in _UNTOLD:
            return  # a contradiction, or what we ended ourselves: it says nothing new
        path = subject.path(str(fact.provider))
        if said is Said.POSITIVE:
            self._watch.heard(subject.key)
        sent_us = subject.sent_us
        if said is not Said.SILENT:
            if sent_us is None or sent_us > fact.at_us:  # never answered: it is known only now
                sent_us = fact.at_us
                self._tree.sent(path, sent_us, fact.at_us)
            self._tree.answered(path, sent_us, fact.at_us, positive=said is Said.POSITIVE)
        if sent_us is None or not self._may_compare(subject):
            return
        confirmed = subject.confirmed_seq is not None and subject.confirmed_seq < fact.seq
        if fact.from_state == "unknown":
            self._told(path, subject, Said.SILENT, sent_us, -1, confirmed=confirmed)
        self._told(path, subject, said, sent_us, 1, confirmed=confirmed)

    def _note(self, fact: Fact, said: Said) -> None:
        """Keep the record of what is known; a contradiction's newest word stands."""
        group, sent_us = _group(fact), fact.subject.sent_us
        if sent_us is None or sent_us > fact.at_us:  # never answered: it is known only now
            sent_us = fact.at_us
            if fact.from_state in OPEN:
                self._record.handed_off(group, sent_us)
        before = _WORDS.get(fact.from_state or "", Said.SILENT)
        for word, count in ((before, -1), (said, 1)):
            if word is not Said.SILENT:
                positive = word is Said.POSITIVE
                self._record.received(group, sent_us, count, positive=positive)
        self._holdout.heard(fact.subject.key, said)

    def _told(
        self,
        path: Path,
        subject: Subject,
        said: Said,
        sent_us: int,
        count: int,
        *,
        confirmed: bool,
    ) -> None:
        self._book.told(path, subject.source, said, sent_us, count)
        if confirmed:
            self._book.anchored(path, subject.source, said, sent_us, count)

    def _feedback(self, fact: Fact) -> None:
        subject = fact.subject
        if not fact.confirmed:
            return
        if subject.account != PROBES and len(self._reporters) < REPORTERS_MAX:
            self._reporters.add(subject.account)
        said = _WORDS.get(fact.to_state)
        first = subject.confirmed_seq == fact.seq
        if first and subject.sent_us is not None and fact.provider is not None:
            self._record.confirmed(_group(fact), subject.sent_us)
            self._holdout.confirmed(subject.key)
        if said is None or not first or subject.sent_us is None or fact.provider is None:
            return  # of an open message it is counted when it ends
        if self._may_compare(subject):
            path = subject.path(fact.provider)
            self._book.anchored(path, subject.source, said, subject.sent_us)

    def _may_compare(self, subject: Subject) -> bool:
        return self._reports(subject.account) and not is_held_out(subject.key, self._secret)

    def _reports(self, account: str) -> bool:
        """Tell whether an account says what arrives; a test phone always does."""
        return account == PROBES or account in self._reporters

    # --- what it says ----------------------------------------------------------------

    def foresee(self, subject: Subject, provider: str, age_s: float, now_us: int) -> Foreseen:
        """Say what is to be expected of a message that has heard nothing for so long."""
        path = subject.path(provider)
        curve = self._tree.curve(path, now_us)
        trust = self._book.trust(path, now_us)
        return Foreseen(
            chance=p_delivered(curve, age_s, trust),
            trust=trust,
            receipt_to_come=curve.p_receipt_still_coming(age_s),
            p50_s=curve.eta_s(age_s, 0.5),
            p90_s=curve.eta_s(age_s, 0.9),
            cell=path[: max(self._tree.level(path), 0)],
            alarm=self._watch.alarmed(path),
            alike_lack=age_s >= self._checkpoint(path, now_us)[0]
            and self._watch.alike_lack(path, subject.text, now_us - round(age_s * 1e6)),
            handoffs=curve.weight,
        )

    def expect(self, told: Covariates, now_us: int) -> Expected:
        """Say what is to be expected of such a message at its hand-off, as things are now."""
        path = path_of(
            country=told.country,
            sender=told.sender,
            carrier=told.carrier,
            msisdn="",  # its carrier is told
            provider=told.provider,
            content=told.sender,
        )
        curve, trust = self._tree.curve(path, now_us), self._book.trust(path, now_us)
        return Expected(
            delivered=p_delivered(curve, 0.0, trust).p,
            reported=curve.positive_by(HORIZON_S),
            heard_by=curve.heard_by(told.waited_s),
        )

    def _forecast(self, held: Held, age_s: float, now_us: int) -> float | None:
        """Return what is said of a message of this age, whatever its recipient did."""
        trust = self._book.trust(held.path, now_us)
        if held.heard is None:
            chance = p_delivered(self._tree.curve(held.path, now_us), age_s, trust)
        else:
            positive = held.heard is Said.POSITIVE
            chance = chance_of_word(trust.positive if positive else trust.negative)
        return None if chance.p is None else min(max(chance.p, P_MIN), P_MAX)

    def calibration(self, now_us: int) -> Calibration:
        """Say how good forecasts were, and how much isn't known."""
        return Calibration(
            reporters=len(self._reporters),
            held_out_share=HELD_OUT_SHARE,
            waiting=len(self._holdout),
            groups=self._record.groups(now_us),
        )

    def estimate(self, destination: str, provider: str, now_us: int) -> Estimate:
        """Say what share of a provider's messages arrives in a country, by kind of sender."""
        return self._estimates.of(self._book, destination, provider, now_us)

    def destinations(self, provider: str, now_us: int) -> list[str]:
        """Return to where a provider was used, by country and kind of sender."""
        return self._estimates.destinations(provider, now_us)

    def troubles(self, now_us: int) -> list[Trouble]:
        """Say where receipts fell, and whose receipts are probably made up."""
        cells = dict(self._tree.cells())
        doubted: dict[Key, list[tuple[float, Key, Score]]] = {}
        for key, found in self.suspicions(now_us).items():
            receipts = sum(cells[key].exposure(Pace.WEEK, now_us).positive)
            doubted.setdefault((key[0], ANY, key[2]), []).append((receipts, key, found))
        return self._watch.troubles(now_us) + [
            doubt(cell, each, now_us) for cell, each in doubted.items()
        ]

    def suspicions(self, now_us: int) -> dict[Key, Score]:
        """Return the providers, by carrier, whose receipts don't look like handsets'."""
        found: dict[Key, Score] = {}
        cells = dict(self._tree.cells())
        routes = [each for each in cells if len(each) == _ROUTE]
        for key in routes:
            parts = [converted(self._book.against_peers(key, now_us), len(routes))]
            parts += timing(cells[key], cells[key[:-1]], now_us)
            judged = score(parts)
            if judged.suspected:
                found[key] = judged
        return found

    @property
    def has_opinion(self) -> bool:
        """Whether it may say more of a silent message than that it is silent."""
        return bool(self._reporters) or self._watch.is_alarmed

    def silent(self) -> list[int]:
        """Return the messages that an alarm which is on may be about."""
        return self._watch.silent()

    def settled(self, messages: Iterable[int]) -> None:
        """Forget messages of which nothing more need be said."""
        self._watch.settled(messages)

    # --- to keep, and back -----------------------------------------------------------

    def encode(self) -> bytes:
        """Return all that was learnt."""
        kept = _Kept(
            FORMAT,
            [(key, cell.encode()) for key, cell in self._tree.cells()],
            self._book.encode(),
            sorted(self._reporters),
            self._record.encode(),
            self._holdout.waiting(),
            self._watch.kept(),
        )
        return _encoder.encode(kept)

    @classmethod
    def decode(cls, kept: bytes, secret: bytes) -> Learner:
        """Return a learner that goes on from what was kept; raises UnreadableCell."""
        try:
            found = _decoder.decode(kept)
        except msgspec.DecodeError as error:
            raise UnreadableCell(str(error)) from error
        if found.form != FORMAT:
            raise UnreadableCell(f"it was kept in format {found.form}, not {FORMAT}")
        learner = cls(secret)
        for key, cell in found.cells:
            learner._tree.restore(key, Cell.decode(cell))
        learner._book = Book.decode(found.book)
        learner._reporters = set(found.reporters)
        if found.record is not None:
            learner._record = TrackRecord.decode(found.record)
        learner._holdout = HoldOut(found.held)
        learner._watch.restore(found.charts)
        return learner


def _group(fact: Fact) -> Group:
    return str(fact.provider), fact.subject.country


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(_Kept)
