"""The auditor: a small model of what must be true, which believes nobody but the wires.

It is told what customers asked for and were answered, what providers really received and said,
and what of that the platform heard. It knows no state machine, no ledger and no store: it
keeps, for each number that somebody wrote to, what happened to it, and from that says what may
not happen next and what must have become of it in the end.

Each recipient of a run has a number of its own, which is how the auditor knows a message by
what is on the wire.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from arrivals.sim.calm import calm_violations
from arrivals.sim.dossier import Recipient, Submit, is_whole
from arrivals.sim.evidence import Evidence
from arrivals.sim.frames import MISSPOKEN, RINVSYSTYP, Frame, read_id, read_short, shown
from arrivals.sim.plan import PROVIDERS, SLOWING
from arrivals.sim.said import BAD, GOOD
from arrivals.world.installation import fitting

if TYPE_CHECKING:
    from arrivals.sim.network import Wire
    from arrivals.sim.plan import Plan

NO_FUNDS: Final = 402
TRY_LATER: Final = 429
VIOLATIONS_MAX: Final = 50
RESPONSE_TIMEOUT_S: Final = 10.0
JUST_A_SECOND_S: Final = 0.999  # a pace is kept to in any second, its end not included
TOLD_BY: Final = ("provider", "id", "stat", "err", "claimed_at")  # which receipt it was


class Auditor:
    """Sees everything, and says at once what may not be."""

    def __init__(self, plan: Plan, now: Any, funds: Mapping[str, int]) -> None:
        """Watch one run; `now` tells the time in seconds, `funds` what accounts begin with."""
        self.recipients: dict[str, Recipient] = {}
        self.violations: list[str] = []
        self.seen = 0
        self.outcomes: Counter[str] = Counter()
        self.deaths = 0  # how often the process was killed
        self._plan = plan
        self._now = now
        self._funds = funds
        self._open: dict[tuple[Wire, int], Submit] = {}  # not answered by the provider yet
        self._answered: dict[tuple[Wire, int], Submit] = {}
        self._left_at: dict[tuple[Wire, int], float] = {}
        self._lately: dict[Wire, deque[float]] = {}  # when submits left, within a second
        self._evidence = Evidence(plan, self.recipients)
        self._alphabets = {
            name: fitting(world).alphabet if plan.binds[name].told else "gsm7"
            for name, world in plan.worlds.items()
        }
        self._understood = {  # by who was told how they want to be spoken to
            name
            for name, world in plan.worlds.items()
            if plan.binds[name].told and not world.breaks.blames
        }
        # What ends doubts is late then, by one clock or the other.
        self._is_late = any(fault.kind in {*SLOWING, "clock_jump"} for fault in plan.faults)
        self._digest = blake2b(digest_size=8)
        self.story: list[str] = []

    @property
    def digest(self) -> str:
        """The run in one word: two runs alike in every event have the same."""
        return self._digest.hexdigest()

    def note(self, what: str) -> None:
        """Add a line to the story."""
        line = f"{self._now():10.4f} {what}"
        self._digest.update(line.encode())
        self.story.append(line)
        self.seen += 1

    def violation(self, invariant: int, what: str) -> None:
        """Record that something happened that may not."""
        self.note(f"VIOLATION of {invariant}: {what}")
        if len(self.violations) < VIOLATIONS_MAX:
            self.violations.append(f"invariant {invariant}: {what} ({self._now():.3f} s)")

    # --- what customers see ----------------------------------------------------------

    def asked(self, recipient: Recipient) -> None:
        """Note that a customer is about to ask for this."""
        self.recipients[recipient.number] = recipient

    def accepted(self, numbers: Sequence[str], ids: Sequence[str]) -> None:
        """Note an answer that says these were accepted."""
        for number, message_id in zip(numbers, ids, strict=True):
            recipient = self.recipients[number]
            if recipient.refused:
                self.violation(16, f"{number} was refused and then accepted")
            if recipient.accepted and recipient.message_id != message_id:
                self.violation(17, f"{number} was accepted twice, as two messages")
            recipient.accepted, recipient.message_id = True, message_id
            recipient.accepted_at = self._now()
        self.note(f"accepted {' '.join(numbers)}")

    def refused(self, numbers: Sequence[str], status: int) -> None:
        """Note an answer that says nothing of this was kept."""
        for number in numbers:
            recipient = self.recipients[number]
            if recipient.accepted:
                self.violation(17, f"{number} was accepted and then refused with {status}")
            if recipient.submits:
                self.violation(16, f"{number} was handed off and then refused with {status}")
            recipient.refused = True
        self.note(f"refused {status} {' '.join(numbers)}")
        self._judge_refusal(self.recipients[numbers[0]], status)

    def _judge_refusal(self, recipient: Recipient, status: int) -> None:
        """Nothing is wrong with what customers ask for, but that funds may not reach."""
        account = recipient.account
        if status not in {NO_FUNDS, TRY_LATER}:
            self.violation(17, f"{recipient.number} was refused with {status}, for no reason")
        asked = sum(each.price for each in self.recipients.values() if each.account == account)
        if status == NO_FUNDS and asked <= self._funds[account]:
            self.violation(
                5, f"{account} has funds for {asked}, and {recipient.number} has none"
            )

    def taken_back(self, recipient: Recipient) -> None:
        """Note an answer that says a message was cancelled: nobody may have it."""
        recipient.cancelled = True
        self.note(f"cancelled {recipient.number}")
        if any(each.may_be_taken for each in recipient.submits):
            self.violation(21, f"{recipient.number} was cancelled though somebody may have it")

    # --- what goes to providers ------------------------------------------------------

    def leaves(self, wire: Wire, provider: str, frame: Frame) -> None:
        """Note that a submit_sm leaves the platform."""
        now = self._left_at[wire, frame.sequence] = self._now()
        self._judge_pace(wire, provider, now)
        recipient = self.recipients.get(read_short(frame.body).destination)
        if recipient is not None:
            recipient.left += 1

    def submitted(self, wire: Wire, provider: str, frame: Frame) -> None:
        """Note that a provider received a submit_sm."""
        short = read_short(frame.body)
        number = short.destination
        self.note(f"{provider} got {number} {short.part}/{short.parts} as {frame.sequence}")
        recipient = self.recipients.get(number)
        if recipient is None:
            self.violation(16, f"{provider} received {number}, which nobody asked for")
            return
        left_at = self._left_at.get((wire, frame.sequence), self._now())
        text = shown(short, self._alphabets[provider])
        submit = Submit(
            provider, wire, number, short.part, short.parts, short.series, text, left_at
        )
        self._judge(recipient, submit, is_whole=short.whole)
        recipient.submits.append(submit)
        self._open[wire, frame.sequence] = submit
        self._judge_window(wire, provider)

    def _judge(self, recipient: Recipient, submit: Submit, *, is_whole: bool) -> None:
        number, part, parts = recipient.number, submit.part, submit.parts
        if recipient.refused:
            self.violation(16, f"{number} was refused and handed off")
        if recipient.cancelled:
            self.violation(21, f"{number} was cancelled and handed off")
        if parts != recipient.parts and not is_whole:
            self.violation(
                11, f"{number} was charged as {recipient.parts} parts, sent as {parts}"
            )
        if submit.text not in recipient.text or (parts == 1 and submit.text != recipient.text):
            self.violation(15, f"{number} was sent another text")
        before = [each for each in recipient.submits if each.part == part]
        twice = [each for each in before if each.may_be_taken]
        if len(twice) > (recipient.policy == "resend"):
            self.violation(25, f"{number} part {part} was handed off again, without a policy")
        if part > 1 and not any(each.precedes(submit) for each in recipient.submits):
            self.violation(29, f"{number} part {part} came without the part before it")

    def _judge_pace(self, wire: Wire, provider: str, now: float) -> None:
        lately = self._lately.setdefault(wire, deque())
        lately.append(now)
        while lately[0] <= now - JUST_A_SECOND_S:
            lately.popleft()
        limit = self._plan.binds[provider].throughput
        if limit and len(lately) > limit:
            self.violation(
                28, f"{provider} got {len(lately)} PDUs in a second, not {limit:.0f}"
            )

    def _judge_window(self, wire: Wire, provider: str) -> None:
        # The platform waits for an answer no longer than its timeout, then its slot is free.
        since = self._now() - RESPONSE_TIMEOUT_S + 1.0
        window = self._plan.binds[provider].window
        open_ = [s for (w, _), s in self._open.items() if w is wire and s.left_at > since]
        if len(open_) > window:
            self.violation(
                28, f"{provider} has {len(open_)} unanswered in a window of {window}"
            )

    def answered(self, wire: Wire, frame: Frame) -> None:
        """Note what a provider answers, whether or not anybody hears it."""
        submit = self._open.pop((wire, frame.sequence), None)
        if submit is not None:
            submit.status = frame.status
            if not frame.status:
                self._evidence.named(submit, read_id(frame.body))
            self._answered[wire, frame.sequence] = submit
            self.note(f"{submit.provider} answers {frame.sequence} {frame.status:#x}")
            if frame.status in MISSPOKEN and submit.provider in self._understood:
                self.violation(
                    47, f"{submit.provider} doesn't take how {submit.number} is written"
                )

    def bind_answered(self, provider: str, frame: Frame) -> None:
        """Note what a provider answers to a bind."""
        if frame.status == RINVSYSTYP and provider in self._understood:
            self.violation(47, f"{provider} doesn't take how the bind is written")

    def heard(self, wire: Wire, frame: Frame) -> None:
        """Note that the platform read an answer."""
        submit = self._answered.get((wire, frame.sequence))
        if submit is not None:
            submit.heard_at = self._now() if submit.heard_at is None else submit.heard_at

    # --- what comes back -------------------------------------------------------------

    def spoiled(self, frame: Frame) -> None:
        """Note that receipts about a number were made up."""
        for recipient in self._evidence.about(frame):
            recipient.spoiled = True

    def receipt_heard(self, wire: Wire, provider: str, frame: Frame) -> None:
        """Note that the platform read a deliver_sm."""
        self._evidence.heard(wire, provider, frame)

    def receipt_acknowledged(self, wire: Wire, sequence: int) -> None:
        """Note that the platform said it has a receipt: from now on it counts."""
        told = self._evidence.acknowledged(wire, sequence)
        if told is not None:
            words = "/".join(sorted(told.said.words))
            self.note(f"receipt {told.number or told.said.name} {words} from {told.provider}")

    def receipt_refused(self, wire: Wire, sequence: int, status: int) -> None:
        """Note that the platform refused a deliver_sm: a receipt that can be read is none."""
        told = self._evidence.refused(wire, sequence)
        if told is not None:
            about = told.number or told.said.name
            self.violation(37, f"a receipt about {about} was refused with {status:#x}")

    # --- what must have become of it -------------------------------------------------

    def wants_timeline(self, number: str) -> bool:
        """Tell whether a message's timeline has to be shown as well at its end."""
        self._evidence.settle()
        recipient = self.recipients.get(number)
        if recipient is None:
            return False
        may_be_guessed = recipient.parts > 1 and recipient.policy == "resend"
        return may_be_guessed or recipient.told_again or recipient.told_elsewhere

    def judge_end(
        self,
        recipient: Recipient,
        message: dict[str, Any],
        timeline: Sequence[dict[str, Any]] = (),
    ) -> bool:
        """Compare what a message's owner is told in the end with what really happened."""
        self._evidence.settle()
        before = len(self.violations)
        number, outcome = recipient.number, message["layers"]["outcome"]["state"]
        execution = message["layers"]["execution"]["state"]
        self.note(f"{number} ended {outcome}")
        self.outcomes[outcome] += 1
        money = message["money"]
        charged = round(money["charged"] * 1_000_000)
        if charged not in (0, recipient.price):
            self.violation(9, f"{number} costs {charged}, its price is {recipient.price}")
        # Of what a killed process was about to send nobody can know that it wasn't sent.
        in_doubt = self.deaths and execution == "handoff_unknown"
        if charged and not recipient.left and not in_doubt:
            self.violation(13, f"{number} was charged and never handed off")
        if outcome == "delivered" and not charged:
            self.violation(9, f"{number} was delivered and not charged")
        if outcome == "pending":
            self.violation(32, f"{number} has no outcome in the end")
        if recipient.cancelled and outcome != "cancelled":
            self.violation(21, f"{number} was cancelled and ended {outcome}")
        by_policy = recipient.policy == "fail"
        if outcome == "failed" and not by_policy and recipient.was_only_held:
            self.violation(27, f"{number} failed, and was never more than told to wait")
        self._judge_handoffs(recipient, execution)
        if not recipient.spoiled:
            self._judge_words(recipient, outcome, timeline)
            self._judge_evidence(recipient, timeline)
        return len(self.violations) == before

    def _judge_handoffs(self, recipient: Recipient, execution: str) -> None:
        """Nothing is in doubt that was answered, and what was taken is what was asked for."""
        number, taken = recipient.number, recipient.taken
        answered = recipient.left == len(recipient.submits) and all(
            each.heard_at is not None and each.heard_at - each.left_at < RESPONSE_TIMEOUT_S
            for each in recipient.submits
        )
        if execution == "handoff_unknown" and answered and not (self.deaths or self._is_late):
            self.violation(26, f"{number} is in doubt, and every part of it was answered")
        if is_whole(taken):
            text = "".join(s.text for s in sorted(taken, key=lambda each: each.part))
            if text != recipient.text:
                self.violation(15, f"{number} shows another text, put together")
            if len({each.series for each in taken}) > 1:
                self.violation(29, f"{number} has parts that can't be put together")

    def _judge_words(
        self, recipient: Recipient, outcome: str, timeline: Sequence[dict[str, Any]]
    ) -> None:
        number = recipient.number
        by_reference = self._evidence.is_some_good_homeless
        if outcome == "delivered" and GOOD not in recipient.heard and not by_reference:
            self.violation(33, f"{number} is delivered, and nobody said so")
        if recipient.disagreed:
            return
        said = {
            (told.said.name, told.said.word)
            for told in recipient.said
            if self._evidence.counts(told)
            # Of a killed process nobody can know whether it kept the id that it was given.
            and not (self.deaths and told.short.source != number)
        }
        # Of a long message sent again, whose part an unknown id is of can only be guessed.
        resent = any(event["kind"] == "resend_allowed" for event in timeline)
        guessed = resent and recipient.parts > 1
        good = {name for name, word in said if word == GOOD}
        if self._arrived(recipient, good) and outcome != "delivered" and not guessed:
            self.violation(37, f"{number} has receipts that it was delivered, and is {outcome}")
        if {word for _, word in said} & BAD and outcome in {"unknown", "pending", "cancelled"}:
            self.violation(37, f"{number} has a receipt that it failed, and is {outcome}")

    def _arrived(self, recipient: Recipient, good: set[str]) -> bool:
        """Tell whether receipts say of every part of one hand-off that it was delivered."""
        taken = recipient.taken
        by = {each.provider for each in taken}
        if not good or not {each.part for each in taken} >= set(range(1, taken[0].parts + 1)):
            return False
        if any(self._plan.worlds[name].receipts.per == "message" for name in by):
            return len(by) == 1
        return taken[0].parts == 1 or (is_whole(taken) and len(good) >= len(taken))

    def _judge_evidence(self, recipient: Recipient, timeline: Sequence[dict[str, Any]]) -> None:
        receipts = [event["facts"] for event in timeline if event["kind"].startswith("receipt")]
        copies = Counter(tuple(str(facts.get(name)) for name in TOLD_BY) for facts in receipts)
        for copy, count in copies.items():
            if count > 1:
                self.violation(35, f"{recipient.number} has {copy} {count} times")
        # Customers read of providers by their places in the route's list.
        called = {f"provider {n}": name for n, name in enumerate(PROVIDERS, 1)}
        told = {called.get(facts["provider"], "one by its name") for facts in receipts}
        for each in told - self._evidence.told_by(recipient):
            self.violation(38, f"{recipient.number} believes {each}, which never got it")

    def judge_calm(self, outcomes: Mapping[str, str]) -> None:
        """Judge a run in which one thing was odd and nothing went wrong beside it."""
        for invariant, what in calm_violations(self._plan, self.recipients, outcomes):
            self.violation(invariant, what)

    def judge_books(
        self, account: str, funds: int, balance: dict[str, Any], charged: int
    ) -> None:
        """Compare an account's balance with what its messages cost."""
        available, held = (round(balance[name] * 1_000_000) for name in ("balance", "held"))
        self.note(f"{account} has {available}, {held} held")
        if held:
            self.violation(12, f"{account} still has {held} held after all ended")
        if available + held + charged != funds:
            self.violation(6, f"{account} had {funds}; {available} + {held} + {charged} now")
