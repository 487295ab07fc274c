"""Find the message that a receipt is about, through the database and never through memory.

    the id and the number      the number chooses among those that have the id: as the source,
                               as the other address, or by its last digits
    the number alone           when exactly one hand-off in doubt fits, or one without an id;
                               the reference that we sent along tells which
    the id alone               when only one message has it as it is told, its hand-off is
                               recent, and nothing to the number that is told may be out

The last two come in that order: of a number with a hand-off in doubt a receipt is more likely
than an id that was used twice. While the answer to another hand-off to the number is awaited,
an id decides only as its provider usually tells ids: in another form, or among another login's
ids, it may as well be the one that the answer will give. All of it is looked up among the ids
of the provider that sent the receipt, then among those of the provider that its `ids_of` names,
and nobody else's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Final

import msgspec

from arrivals.core.catalogue import Catalogue
from arrivals.core.handsets import Fit
from arrivals.core.ids import handoff_reference
from arrivals.core.message import Message, Move, State, is_terminal
from arrivals.core.parts import part_in_doubt
from arrivals.core.timeline import PART_HELD
from arrivals.flows.doubt import DOUBTED_FOR_US, Doubts, is_awaited, may_be_out
from arrivals.flows.fits import (
    LITERAL,
    LookedUp,
    are_one,
    as_of,
    fit,
    fits,
    may_be_about,
    named_ones,
)
from arrivals.flows.journal import Journal
from arrivals.flows.known_ids import KnownIds, UsualForm
from arrivals.flows.receipt_words import TOLD_MAX, Found
from arrivals.providers.api import Receipt, form_of, forms_in, forms_of
from arrivals.smpp.receipts import IdForm, normal_form
from arrivals.store.api import Transaction
from arrivals.store.rows import Attempt, Handoff, Match

# How sure a match is that no id made: the reference is ours, but only 16 bits wide.
INFERRED_BY_REFERENCE: Final = 0.99
INFERRED: Final = 0.9

# The answers that name parts.
_NAMING: Final = (Move.TAKEN, PART_HELD, Move.UNANSWERED, Move.PART_REFUSED)

_Key = tuple[str, str, int, int, int]  # of a hand-off


class Matching:
    """The receipts of one transaction, and whose they are."""

    def __init__(
        self, tx: Transaction, catalogue: Catalogue, journal: Journal, usual_form: UsualForm
    ) -> None:
        self.seen: dict[_Key, tuple[Handoff, dict[str, int]]] = {}
        self._tx = tx
        self._catalogue = catalogue
        self._journal = journal
        self._usual_form = cache(usual_form)  # it is asked for each receipt
        self._known = KnownIds(tx, self._usual_form)
        self._doubts = Doubts(tx, journal)
        self._given = cache(self._given_ids)
        # The hand-offs that this transaction inferred, which it couldn't look up at its begin.
        self._inferred: dict[tuple[str, str], list[Match]] = {}
        self._ways: list[list[tuple[Receipt, LookedUp]]] = []

    def look_up(self, receipts: Sequence[Receipt]) -> None:
        """Look everything up that receipts may be about, and load its messages."""
        own = self._known.look_up(receipts)
        self._ways = [[way] for way in zip(receipts, own, strict=True)]
        links = self._links(receipts)
        linked = {
            number: as_of(links[receipt.provider_id], receipt)
            for number, receipt in enumerate(receipts)
            if receipt.provider_id in links and not named_ones(own[number].fitting)
        }
        if linked:
            others = self._known.look_up(list(linked.values()))
            for (number, told), found in zip(linked.items(), others, strict=True):
                self._ways[number].append((told, found))
        self._journal.load(
            match.handoff.message_id
            for ways in self._ways
            for told, found in ways
            for match in (*found.fitting, *self._alone(told, found.apart))
        )

    def _links(self, receipts: Sequence[Receipt]) -> dict[str, str]:
        """Return, of the providers that sent receipts, whose ids these may tell beside."""
        providers = (
            self._catalogue.providers.get(each) for each in {r.provider_id for r in receipts}
        )
        return {each.provider_id: each.ids_of for each in providers if each and each.ids_of}

    # --- whose is it -----------------------------------------------------------------

    def whose(self, number: int, since_us: int | None) -> Found | None:
        """Find the message of one receipt of those that were looked up.

        `since_us` is when it came, if it has been parked.
        """
        ways = self._ways[number]
        for told, looked in ways:
            matches = named_ones(self._with_inferred(told, looked.fitting))
            sure = [each for each in matches if self._is_sure(told, each)]
            if len(sure) < len(matches) and self._is_awaited(
                ways[0][0], told, matches, since_us
            ):
                if not sure:
                    return None
                matches = sure
            found = self._by_id(told, matches)
            if found is not None:
                return found
        return self._whose_without_both(ways, since_us)

    def _is_sure(self, told: Receipt, match: Match) -> bool:
        """Tell whether a receipt tells an id as its provider surely gave it."""
        handoff, usual = match.handoff, self._usual_form(told.provider_id)
        if told.reference == handoff_reference(handoff.message_id, handoff.attempt):
            return True
        if told.came_over or usual in LITERAL:
            as_given = form_of(told, handoff.external_id) is IdForm.AS_GIVEN
            return as_given and not told.came_over
        return handoff.external_id in forms_in(told, usual)

    def _is_awaited(
        self, own: Receipt, told: Receipt, matches: Sequence[Match], since_us: int | None
    ) -> bool:
        """Tell whether an answer is awaited that may give the id that a receipt tells.

        `own` is the receipt as its provider sent it, `told` as the one whose ids it may tell.
        """
        known = {each.handoff.message_id for each in matches}
        return any(
            message.key not in known
            and is_awaited(message)
            and self._attempts(message, since_us, receipt)
            for receipt in ((own,) if own is told else (own, told))
            for message in self._in_doubt(receipt)
        )

    def _whose_without_both(
        self, ways: Sequence[tuple[Receipt, LookedUp]], since_us: int | None
    ) -> Found | None:
        """Find the message by the number alone, or else by the id alone."""
        found = self._by_doubt([told for told, _ in ways], since_us)
        if found is not None:
            return found
        for told, looked in ways:
            matches = self._with_inferred(told, looked.fitting)
            nameless = [each for each in matches if each not in named_ones(matches)]
            found = self._by_destination(told, nameless, since_us)
            if found is not None:
                return found
        return self._by_id_alone([(told, looked.apart) for told, looked in ways])

    def _with_inferred(self, receipt: Receipt, matches: list[Match]) -> list[Match]:
        """Add what was inferred since the look-up; an id as sent goes before its forms."""
        if not self._inferred:
            return matches
        both = matches + [
            match
            for form in forms_of(receipt)
            for match in self._inferred.get((receipt.provider_id, form), ())
            if fit(match, receipt) is not Fit.APART
        ]
        as_sent = [each for each in both if each.handoff.external_id == receipt.external_id]
        return as_sent or both

    def _by_id(self, receipt: Receipt, matches: Sequence[Match]) -> Found | None:
        """Choose among hand-offs with this id and destination: still open, then newest.

        A receipt that names no destination fits one message or none.
        """
        candidates = self._open_first(matches)
        if not candidates:
            return None
        untold = not receipt.msisdn and fit(candidates[0][1], receipt) is Fit.UNTOLD
        if untold and not are_one(candidates):
            return None
        if len(candidates) == 1:  # as it is nearly always
            return self._found(receipt, *candidates[0], "id", 1.0)
        # A receipt may have told an id before the answer did, and then its part was guessed.
        first: dict[tuple[int, int], tuple[Message, Match]] = {}
        for each in sorted(candidates, key=lambda each: each[1].handoff.at_us):
            first.setdefault((each[0].key, each[1].handoff.attempt), each)
        message, best = max(
            first.values(), key=lambda each: (each[1].handoff.at_us, each[0].key)
        )
        found = self._found(receipt, message, best, "id", 1.0)
        matches = [match for each, match in candidates if each.key == message.key]
        return self._shared(found, matches) if len(matches) > 1 else found

    def _shared(self, found: Found, matches: Sequence[Match]) -> Found:
        """Add the parts that have the very same id, if an answer named so many by it.

        One that was told by a receipt before has two hand-offs as well, and is one part.
        """
        own = found.handoff
        same = {
            each.handoff.part: each
            for each in matches
            if each.handoff.attempt == own.attempt
            and each.handoff.external_id == own.external_id
        }
        if len(same) == 1 or _named_by(own, self._journal) < len(same):
            return found
        sharing = tuple(
            (each.handoff, self.seen.get(_key(each.handoff), (None, each.seen))[1])
            for _, each in sorted(same.items())
        )
        return msgspec.structs.replace(found, sharing=sharing)

    def choose(self, found: Found, place: str) -> Found:
        """Return a final receipt as that of one of the parts that share its id.

        Each fills one place, the very same one as often as there are places; then it repeats.
        """
        if not found.sharing:
            return found
        fingerprint = found.receipt.fingerprint
        free = [each for each in found.sharing if place not in each[1]]
        known = [each for each in found.sharing if fingerprint in each[1]]
        handoff, seen = (free or known or found.sharing)[0]
        seen = self._counter(handoff, seen)
        return msgspec.structs.replace(found, handoff=handoff, seen=seen)

    def _by_id_alone(self, ways: Sequence[tuple[Receipt, Sequence[Match]]]) -> Found | None:
        """Find the only message with exactly this id, though another number is told.

        Not one of long ago, whose id may have been given again; and nothing while there may
        be another hand-off to a number that is told, which has no id yet.
        """
        told = [receipt for receipt, _ in ways]
        for receipt, apart in ways:
            candidates = self._open_first(self._alone(receipt, apart))
            if candidates and not any(map(self._may_be_another_s, told)):
                message, best = max(candidates, key=lambda each: each[1].handoff.at_us)
                return self._found(receipt, message, best, "id", 1.0)
        return None

    def _alone(self, receipt: Receipt, apart: Sequence[Match]) -> list[Match]:
        """Return the recent hand-offs with exactly this id, if only one message has it."""
        if not apart:
            return []
        usual = self._usual_form(receipt.provider_id)
        form = usual or IdForm.AS_GIVEN
        exact = [each for each in apart if form_of(receipt, each.handoff.external_id) is form]
        sure = exact if usual else apart
        if len({each.handoff.message_id for each in sure}) != 1:
            return []
        since_us = self._tx.now_us - DOUBTED_FOR_US
        return [each for each in exact if each.handoff.at_us >= since_us]

    def _may_be_another_s(self, receipt: Receipt) -> bool:
        numbers = [each for each in (receipt.msisdn, receipt.other) if each]
        return any(map(may_be_out, self._doubts.to(receipt.provider_id, *numbers)))

    def _by_destination(
        self, receipt: Receipt, matches: Sequence[Match], since_us: int | None
    ) -> Found | None:
        """Find the only message to a destination that its provider took without an id."""
        candidates = [
            each
            for each in self._open_first(matches)
            if self._is_to(each[0], receipt)
            and self._attempts(each[0], since_us)
            and not self._is_anothers(receipt, each[0])
        ]
        if not candidates or not are_one(candidates):
            return None
        message, best = candidates[0]
        return self._found(receipt, message, best, "destination", INFERRED)

    def _open_first(self, matches: Sequence[Match]) -> list[tuple[Message, Match]]:
        """Return the matches with their messages: the open ones, or else those that ended."""
        found = [
            (message, match)
            for match in matches
            if (message := self._journal.get(match.handoff.message_id)) is not None
        ]
        return [each for each in found if not is_terminal(each[0].state)] or found

    def _by_doubt(self, ways: Sequence[Receipt], since_us: int | None) -> Found | None:
        """Find the hand-off in doubt that it may be about: a lost answer leaves no id."""
        # What still waits for news comes before what has ended without it.
        waiting: list[tuple[Receipt, Message, list[int]]] = []
        ended: list[tuple[Receipt, Message, list[int]]] = []
        for told in ways:
            for message in self._told_apart(told):
                if (
                    may_be_out(message)
                    and (attempts := self._attempts(message, since_us, told))
                    and not self._is_anothers(told, message)
                ):
                    some = ended if is_terminal(message.state) else waiting
                    some.append((told, message, attempts))
                    if len(waiting) > 1:
                        return None
        fitting = waiting or ended
        if len(fitting) != 1:
            return None
        told, message, attempts = fitting[0]
        if message.seq >= TOLD_MAX:  # each id that is inferred would be one more of it
            return None
        # What is under way may have its answer yet, which tells whose receipt this is.
        if message.state is State.SENDING and message.attempts in attempts:
            return None
        return self._infer(told, message, attempts[0])

    def _is_anothers(self, receipt: Receipt, message: Message) -> bool:
        """Tell whether another provider gave the id that a receipt tells, for this message.

        Then it speaks of that hand-off: somebody crossed it over, and nobody said so in
        `ids_of`. It is no word about a hand-off in doubt to the provider that sent it.
        """
        return any(
            provider_id != receipt.provider_id and form_of(receipt, each) is not None
            for provider_id, each in self._given(message.key)
        )

    def _given_ids(self, key: int) -> Sequence[tuple[object, str]]:
        """Return the ids that answers gave a message, and whose; receipts change none of it."""
        return [
            (told.body.get("provider"), normal_form(str(each)))
            for kind in _NAMING
            for told in self._journal.told(key, kind)
            for each in told.body.get("ids", ())
        ]

    def _in_doubt(self, receipt: Receipt) -> Iterator[Message]:
        """Yield a provider's messages to the handset of which bytes may be out."""
        if receipt.provider_id not in self._catalogue.providers:
            return
        for number in filter(None, (receipt.msisdn, receipt.other)):
            is_found = False
            for each in self._doubts.to(receipt.provider_id, number):
                if self._is_to(each, receipt):
                    is_found = True
                    yield each
            if is_found:
                return

    def _told_apart(self, receipt: Receipt) -> Iterable[Message]:
        """Return the same; none if they are too many to be told apart without a reference."""
        numbers = [each for each in (receipt.msisdn, receipt.other) if each]
        if receipt.reference is None and self._doubts.are_too_many(
            receipt.provider_id, *numbers
        ):
            return ()
        return self._in_doubt(receipt)

    def _is_to(self, message: Message, receipt: Receipt) -> bool:
        """Tell whether a receipt's handset is a message's, and not merely its other address.

        That one is the handset where the source is no number, or the number we wrote from.
        """
        if not receipt.msisdn or fits(message.msisdn, receipt) is Fit.SOURCE:
            return True
        return self._doubts.went_between(message, receipt.msisdn)

    def _attempts(
        self, message: Message, since_us: int | None, receipt: Receipt | None = None
    ) -> list[int]:
        """Return the attempts that a receipt may be about, the likeliest first.

        It is about none that began after it came; one that names no known id, about none that
        its provider answered, and sooner about one that it answered for in part.
        """
        # Of what is under way or taken, the newest attempt wasn't proved to be nothing.
        newest = message.state in {State.SENDING, State.SUBMITTED} and not message.resends
        if since_us is None and newest:
            begun = [Attempt(message.attempts, 0, message.provider_id)]
        else:
            begun = self._doubts.attempts(message)
        return [
            each.number
            for each in sorted(begun, key=lambda each: not each.partly)
            if (since_us is None or each.begun_at_us <= since_us)
            and (receipt is None or may_be_about(receipt, message, each))
        ]

    def _infer(self, receipt: Receipt, message: Message, attempt: int) -> Found:
        handoff = Handoff(
            receipt.provider_id,
            receipt.external_id or f"inferred:{message.key}",
            message.key,
            attempt,
            part_in_doubt(message.parts, message.segments, attempt),
            self._tx.now_us,
        )
        by_reference = receipt.reference is not None
        found = Found(
            receipt,
            message,
            handoff,
            self._counter(handoff, {} if receipt.external_id else self._seen_by(handoff)),
            "reference" if by_reference else "destination",
            INFERRED_BY_REFERENCE if by_reference else INFERRED,
        )
        self._tx.add_handoffs([handoff])
        match = Match(0, handoff, found.seen, message.msisdn, message.state)
        name = (receipt.provider_id, handoff.external_id)
        self._inferred.setdefault(name, []).append(match)
        return found

    def _found(
        self, receipt: Receipt, message: Message, best: Match, by: str, confidence: float
    ) -> Found:
        seen = self._counter(best.handoff, best.seen)
        return Found(receipt, message, best.handoff, seen, by, confidence)

    def _seen_by(self, handoff: Handoff) -> dict[str, int]:
        """Return what a hand-off that no receipt can name has seen before (invariant 35)."""
        matches = self._tx.match([(handoff.provider_id, (handoff.external_id,))])
        known = [each for each in matches if _key(each.handoff) == _key(handoff)]
        return known[0].seen if known else {}

    def _counter(self, handoff: Handoff, seen: dict[str, int]) -> dict[str, int]:
        return self.seen.setdefault(_key(handoff), (handoff, seen))[1]


def _key(handoff: Handoff) -> _Key:
    return msgspec.structs.astuple(handoff)[:5]


def _named_by(handoff: Handoff, journal: Journal) -> int:
    """Return how many parts of its attempt an answer named by a hand-off's id."""
    return max(
        (
            [normal_form(str(each)) for each in told.body.get("ids", ())].count(
                handoff.external_id
            )
            for kind in _NAMING
            for told in journal.told(handoff.message_id, kind)
            if told.body.get("attempt") == handoff.attempt
        ),
        default=0,
    )
