"""What must become of messages, money and receipts: the contract again, as dicts and numbers.

It is written from docs/message-life.md and docs/money.md and calls nothing of ours, so that it
and the flows can only agree by both being right. Messages here have one segment and one
provider, `north`; `south` only ever reports what isn't its own.
"""

from __future__ import annotations

from collections.abc import Iterable

from tests.model.facts import (
    CLIMB,
    DOUBTED_FOR,
    SECOND,
    Account,
    Handoff,
    Message,
    Receipt,
    same_id,
)

__all__ = ["SAYS", "SECOND", "Account", "Handoff", "Message", "Receipt", "Reference"]

SENDING_AT_MOST = 300 * SECOND  # then nobody will answer any more
RESEND_AFTER = 60 * SECOND
PARKED_FOR, ANSWERS_FOR = 3 * 86_400 * SECOND, 7 * 86_400 * SECOND
TRIES_AT_MOST = 5

QUEUED = ("accepted", "scheduled", "waiting")
OUT = ("waiting", "sending", "ambiguous", "submitted")  # a provider may have it
ENDED = (*CLIMB, "cancelled")
SAYS = {
    ("DELIVRD", "000"): "delivered",
    ("UNDELIV", "001"): "failed",
    ("REJECTD", "010"): "filtered",
    ("EXPIRED", "000"): "expired",
    ("ENROUTE", "000"): "submitted",
}


class Reference:
    """The whole installation, as far as it can be seen."""

    def __init__(self, cost: int) -> None:
        self.now = 0
        self.epoch = 0
        self.cost = cost  # what north charges for each hand-off
        self.accounts: dict[int, Account] = {}
        self.messages: dict[int, Message] = {}
        self.handoffs: list[Handoff] = []
        self.parked: list[tuple[int, Receipt]] = []  # since when
        self.answers: dict[tuple[int, str], tuple[int, str, list[int]]] = {}

    # --- accept ----------------------------------------------------------------------

    def affordable(self, account: Account, prices: list[int], *, partial: bool) -> list[int]:
        """Return which of these messages the funds reach: all or none, unless partial."""
        left = account.available + account.limit
        if not partial:
            return list(range(len(prices))) if sum(prices) <= left else []
        taken = []
        for n, price in enumerate(prices):
            if price <= left:
                left -= price
                taken.append(n)
        return taken

    def accept(self, message: Message) -> None:
        """Take a message that is paid for."""
        self.messages[message.key] = message
        message.account.available -= message.price
        message.account.held += message.price

    # --- dispatch --------------------------------------------------------------------

    def claim(self, message: Message) -> bool:
        """Begin an attempt of a ready message, or end it if it's of no use any more."""
        message.ready = False
        if message.expires <= self.now:
            self._no_use(message)
            return False
        number = len(message.begun) + 1
        message.begun[number] = self.now
        message.possible.add(number)
        message.state, message.epoch = "sending", self.epoch
        self._wake(message, min(self.now + SENDING_AT_MOST, message.deadline))
        return True

    def take_bind(self, epoch: int) -> None:
        """Let a new owner begin: what the others were sending is in doubt."""
        self.epoch = epoch
        self.lose(
            each
            for each in self.messages.values()
            if each.state == "sending" and each.epoch < epoch
        )

    def lose(self, messages: Iterable[Message]) -> None:
        """Put in doubt what nobody will answer for."""
        lost = list(messages)
        for each in lost:
            self._doubt(each)
        self._hear(numbers={each.number for each in lost})

    def _doubt(self, message: Message) -> None:
        message.state, message.reach = "ambiguous", max(message.reach, 1)
        wakes = {"fail": self.now}
        if not message.resends and self.now + RESEND_AFTER < message.expires:
            wakes["resend"] = self.now + RESEND_AFTER
        decides = message.reach < 2
        self._wake(
            message,
            wakes.get(message.policy, message.deadline) if decides else message.deadline,
        )

    # --- answers ---------------------------------------------------------------------

    def answer(self, message: Message, attempt: int, epoch: int, word: str, id_: str) -> None:
        """Hear what a provider says of one attempt."""
        if word == "not_sent" and not message.epoch == epoch == self.epoch:
            return  # only who wrote the intent, and still owns the bind, may say so
        heard: set[str] = set()
        if word == "taken":
            heard = self._taken(message, attempt, id_)
        elif word == "unanswered":
            if attempt == max(message.begun) and message.state == "sending":
                self._doubt(message)
        elif attempt not in message.possible:
            return  # it said so before
        else:
            self._not_taken(message, attempt, word)
        self._hear(ids=heard, numbers={message.number})

    def _taken(self, message: Message, attempt: int, id_: str) -> set[str]:
        id_ = id_ or f"to:{message.number}"
        said_before = attempt in message.taken
        message.taken.add(attempt)
        known = self._handoff("north", id_, message, attempt)
        if message.state in {"waiting", "sending", "ambiguous"}:
            message.state, message.ready = "submitted", False
            self._wake(message, message.deadline)
        elif said_before:
            return set()
        message.reach, message.cost = 2, message.cost + self.cost
        if known is None:
            self._add_handoff("north", id_, message, attempt)
        return {id_}

    def _not_taken(self, message: Message, attempt: int, word: str) -> None:
        message.possible.discard(attempt)
        message.unbound += word == "not_bound"
        if message.state in ENDED:
            if message.reach == 1 and not message.possible:
                self._adjust(message, charged=False)
            return
        if message.reach < 2 and not message.possible:
            message.reach = 0
        answers = ("sending",) if word == "not_sent" else ("sending", "ambiguous")
        last = message.state == "ambiguous" and not message.reach
        if message.state not in answers or not (last or attempt == max(message.begun)):
            return
        wait = self.retry(message, word)
        if wait is None:
            message.tries += 1
            if not message.reach:
                self._end(message, "failed")
            elif message.state == "sending":  # the other attempt may have arrived
                message.state = "ambiguous"
                self._wake(message, message.deadline)
            return
        message.state, message.wake = "waiting", wait
        message.tries += word == "refused_now"

    def retry(self, message: Message, word: str) -> tuple[int, int] | None:
        """Return between when it's tried again; None: never."""
        if word == "refused":
            return None
        budgeted = word == "refused_now"
        turn = message.tries + 1 if budgeted else max(1, len(message.begun) - message.tries)
        if word == "not_bound":
            turn = message.unbound
        first, factor, most = {
            "throttled": (SECOND, 2, 60 * SECOND),
            "not_sent": (SECOND // 2, 2, 30 * SECOND),
            "not_bound": (SECOND // 2, 2, 30 * SECOND),
            "refused_now": (10 * SECOND, 3, 3_600 * SECOND),
        }[word]
        wait = min(first * factor ** (turn - 1), most)
        low, high = self.now + wait // 2, self.now + wait
        if budgeted:
            return None if turn >= TRIES_AT_MOST or low >= message.expires else (low, high)
        return min(low, message.expires), min(high, message.expires)

    # --- receipts --------------------------------------------------------------------

    def receive(self, receipt: Receipt) -> None:
        """Hear a receipt, and then what waited for a doubt that it ended."""
        before = self._awaited()
        self._receive(receipt)
        self._hear_of_ends(before)

    def _receive(self, receipt: Receipt, since: int | None = None) -> None:
        """Hear a receipt, now or since it was parked."""
        handoff = self._whose(receipt, since)
        if handoff is None:
            if not receipt.id and not receipt.number:
                return  # nothing could ever match it
            if receipt not in [each for _, each in self.parked]:
                self.parked.append((self.now if since is None else since, receipt))
            return
        handoff.seen[receipt.fingerprint] += 1
        if handoff.seen[receipt.fingerprint] == 1:
            self._take_in(handoff.message, SAYS.get((receipt.word, receipt.error)))

    def _take_in(self, message: Message, said: str | None) -> None:
        """Believe what a receipt says for the first time, as far as it may."""
        if said is None and message.state == "waiting":
            said = "submitted"  # somebody has it, whatever it means
        if said is None or not self._allows(message, said):
            if message.state != "cancelled":
                message.reach = 2
            if message.state == "ambiguous":
                self._wake(message, message.deadline)
            return
        message.reach, message.ready = 2, False
        if said == "submitted":
            message.state = said
            self._wake(message, message.deadline)
        else:
            self._end(message, said)

    def _allows(self, message: Message, said: str) -> bool:
        if said == "submitted":
            return message.state in {"waiting", "sending", "ambiguous"}
        if message.state in OUT:
            return True
        return message.state in CLIMB and CLIMB.index(message.state) < CLIMB.index(said)

    def _whose(self, receipt: Receipt, since: int | None) -> Handoff | None:
        """Find its hand-off: by id and number, by what is in doubt, by either alone."""
        mine = [each for each in self.handoffs if each.provider == receipt.provider]
        if receipt.id:
            fits = [each for each in mine if receipt.number in {"", each.message.number}]
            as_sent = [each for each in fits if each.id == receipt.id.casefold()]
            named = as_sent or [each for each in fits if same_id(each.id, receipt.id)]
            if named and not as_sent and self._is_awaited(receipt, named, since):
                return None
            named = self._open_first(named)
            if named and (receipt.number or len({each.message.key for each in named}) == 1):
                return max(named, key=lambda each: each.at)
        if not receipt.number:
            return None
        doubtful = [
            (each, attempts)
            for each in self.messages.values()
            if receipt.provider == "north" and each.number == receipt.number
            if each.in_doubt(self.now)
            if (attempts := self._attempts(each, receipt, since))
        ]
        doubtful = [each for each in doubtful if each[0].state not in ENDED] or doubtful
        if len(doubtful) == 1 and not (
            doubtful[0][0].state == "sending" and max(doubtful[0][0].begun) in doubtful[0][1]
        ):
            message, (attempt, *_) = doubtful[0]
            id_ = receipt.id.casefold() or f"inferred:{message.key}"
            return self._handoff("north", id_, message, attempt) or self._add_handoff(
                "north", id_, message, attempt
            )
        nameless = [
            each
            for each in self._open_first(
                [each for each in mine if each.id == f"to:{receipt.number}"]
            )
            if self._attempts(each.message, None, since)
        ]
        if len({each.message.key for each in nameless}) == 1:
            return nameless[0]
        return self._by_id_alone(receipt, mine) if receipt.id else None

    def _is_awaited(self, receipt: Receipt, named: list[Handoff], since: int | None) -> bool:
        """Whether an answer may yet give just the id that is told in another form."""
        return receipt.provider == "north" and any(
            each.is_awaited()
            for each in self.messages.values()
            if each.number == receipt.number and each not in [one.message for one in named]
            if self._attempts(each, receipt, since)
        )

    def _by_id_alone(self, receipt: Receipt, mine: list[Handoff]) -> Handoff | None:
        """Find the only message with the id, of late and as it is told, whatever number is."""
        same = [each for each in mine if same_id(each.id, receipt.id)]
        exact = [
            each
            for each in same
            if each.id == receipt.id.casefold() and each.at >= self.now - DOUBTED_FOR
        ]
        others = [
            each
            for each in self.messages.values()
            if each.number == receipt.number and each.in_doubt(self.now)
        ]
        if len({each.message.key for each in same}) != 1 or not exact or others:
            return None
        return max(self._open_first(exact), key=lambda each: each.at)

    def _attempts(
        self, message: Message, receipt: Receipt | None, since: int | None
    ) -> list[int]:
        """Return the attempts a receipt may be about: none that began after it came."""
        echoed = receipt.attempt_echoed if receipt else None
        return [
            number
            for number in sorted(message.possible)
            if (since is None or message.begun[number] <= since)
            and echoed in {None, (message.key, number)}
            and not (receipt and number in message.taken)
        ]

    def _open_first(self, found: list[Handoff]) -> list[Handoff]:
        return [each for each in found if each.message.state not in ENDED] or found

    def _handoff(
        self, provider: str, id_: str, message: Message, attempt: int
    ) -> Handoff | None:
        wanted = (provider, id_, message.key, attempt)
        for each in self.handoffs:
            if (each.provider, each.id, each.message.key, each.attempt) == wanted:
                return each
        return None

    def _add_handoff(self, provider: str, id_: str, message: Message, attempt: int) -> Handoff:
        new = Handoff(provider=provider, id=id_, message=message, attempt=attempt, at=self.now)
        self.handoffs.append(new)
        return new

    def _hear(self, *, ids: Iterable[str] = (), numbers: Iterable[str] = ()) -> None:
        """Try parked receipts again that these ids or destinations may explain."""
        ids, numbers = set(ids), set(numbers)
        again = [
            (since, each)
            for since, each in self.parked
            if each.provider == "north"
            and (each.number in numbers or (each.id and any(same_id(i, each.id) for i in ids)))
        ]
        again.sort(key=lambda each: each[0])  # the oldest first, whichever was tried before
        self.parked = [each for each in self.parked if each not in again]
        before = self._awaited()
        for since, each in again:
            self._receive(each, since)
        self._hear_of_ends(before)

    def _awaited(self) -> list[Message]:
        return [each for each in self.messages.values() if each.is_awaited()]

    def _hear_of_ends(self, before: list[Message]) -> None:
        """Try again what waited for doubts that have ended."""
        ended = {each.number for each in before if not each.is_awaited()}
        if ended:
            self._hear(numbers=ended)

    # --- time ------------------------------------------------------------------------

    def sweep(self) -> int:
        """Do what is due; return how much was."""
        due = [
            each
            for each in self.messages.values()
            if each.wake is not None and each.wake[1] <= self.now
        ]
        before = [each for each in due if each.is_awaited()]
        for each in due:
            if each.state in {"submitted", "ambiguous"}:
                self._no_news(each)
            elif each.state in QUEUED and each.expires <= self.now:
                self._no_use(each)
            elif each.state in QUEUED:
                each.ready = True
                self._wake(each, each.expires)
        self._hear_of_ends(before)
        self.lose(each for each in due if each.state == "sending")
        return len(due)

    def _no_news(self, message: Message) -> None:
        decides = message.state == "ambiguous" and message.reach < 2
        if message.deadline <= self.now:
            self._end(message, "unknown")
        elif decides and message.policy == "fail":
            self._end(message, "failed")
        elif (
            decides
            and message.policy == "resend"
            and not message.resends
            and message.expires > self.now
        ):
            message.state, message.ready, message.resends = "waiting", True, 1
            self._wake(message, message.expires)
        else:
            self._wake(message, message.deadline)

    def _no_use(self, message: Message) -> None:
        if not message.reach:
            self._end(message, "expired")
            return
        message.state, message.ready = "ambiguous", False  # the first may have arrived
        self._wake(message, message.deadline)

    def forget(self) -> None:
        """Drop what has outlived its keeping."""
        self.parked = [each for each in self.parked if each[0] >= self.now - PARKED_FOR]
        self.answers = {
            name: each
            for name, each in self.answers.items()
            if each[0] >= self.now - ANSWERS_FOR
        }

    # --- the customer ----------------------------------------------------------------

    def cancel(self, message: Message) -> bool:
        """Cancel what waits and never left."""
        if message.state not in QUEUED or message.reach:
            return False
        self._end(message, "cancelled")
        return True

    # --- ends and their money --------------------------------------------------------

    def _end(self, message: Message, state: str) -> None:
        message.state, message.ready, message.wake = state, False, None
        account = message.account
        charged = state != "cancelled" and message.reach > 0 and state not in account.refund_on
        if message.resolution is not None:
            self._adjust(message, charged=charged)
            return
        account.held -= message.price
        account.available += 0 if charged else message.price
        message.resolution, message.paid = ("captured" if charged else "released"), charged

    def _adjust(self, message: Message, *, charged: bool) -> None:
        account = message.account
        if message.paid and not charged:
            account.available += message.price
            message.paid = False
            return
        reaches = account.available + account.limit >= message.price
        if charged and not message.paid and account.recharge and reaches:
            account.available -= message.price
            message.paid = True

    def _wake(self, message: Message, at: int) -> None:
        message.wake = (at, at)
