"""Look up which hand-offs have the ids that receipts tell, in a few statements for all.

Of an id that very many hand-offs have, only those are read whose number may be a receipt's; and
of a receipt that tells no number, the open ones. Such an id alone names nobody.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Final

from arrivals.core.handsets import NATIONAL_DIGITS_MIN, Fit
from arrivals.flows.fits import (
    LITERAL,
    LookedUp,
    by_fit,
    first_forms,
    fit,
    is_open,
    places,
    tails_of,
)
from arrivals.providers.api import Receipt, forms_of
from arrivals.smpp.receipts import IdForm
from arrivals.store.api import Transaction
from arrivals.store.rows import MATCHES_MAX, REUSED_MAX, Match

# In which form a provider surely tells ids; None if that isn't known.
UsualForm = Callable[[str], IdForm | None]

_OTHERS: Final = ""  # in place of the last digits of a number


def nothing_usual(_: str) -> None:
    """Know nothing of any provider."""


_Question = tuple[str, tuple[str, ...]]  # a provider, and forms of an id
_Name = tuple[str, str]  # a provider, and an id as it is stored


class KnownIds:
    """The ids of one transaction's hand-offs and of all before."""

    def __init__(self, tx: Transaction, usual_form: UsualForm) -> None:
        self._tx = tx
        self._usual_form = usual_form

    def look_up(self, receipts: Sequence[Receipt]) -> list[LookedUp]:
        """Look ids up in the provider's usual form, else as they were sent; then in any other.

        What a usual form finds among ended messages only gives way to an open one, so that a
        provider that changes its ways is understood as if nothing were known of it.
        """
        known = {name: self._usual_form(name) for name in {r.provider_id for r in receipts}}
        usual = [known[each.provider_id] for each in receipts]
        first = [first_forms(each, form) for each, form in zip(receipts, usual, strict=True)]
        found = self._ask(receipts, first)
        others = [
            ()
            if looked.fitting
            and (form in LITERAL or any(is_open(each) for each in looked.fitting))
            else (*forms_of(receipt), *places(receipt))
            for receipt, looked, form in zip(receipts, found, usual, strict=True)
        ]
        if not any(others):
            return found
        for receipt, looked, more in zip(
            receipts, found, self._ask(receipts, others), strict=True
        ):
            as_sent = receipt.external_id
            exact = [each for each in more.fitting if each.handoff.external_id == as_sent]
            plain = exact or more.fitting
            if plain and (not looked.fitting or any(is_open(each) for each in plain)):
                looked.fitting = plain
            looked.apart = more.apart or looked.apart
        return found

    def _ask(
        self, receipts: Sequence[Receipt], forms: Sequence[Sequence[str]]
    ) -> list[LookedUp]:
        """Look forms of ids up, and part what is found by how surely its number fits."""
        asking = [
            (each.provider_id, tuple(its_forms))
            for each, its_forms in zip(receipts, forms, strict=True)
        ]
        questions = list(dict.fromkeys(asking))
        answers: dict[_Question, list[Match]] = {each: [] for each in questions}
        for match in self._tx.match(questions):
            answers[questions[match.asked]].append(match)
        reused = self._reused(receipts, asking, answers)
        return [
            by_fit(receipt, [*answers[question], *_of_number(receipt, question, reused)])
            for receipt, question in zip(receipts, asking, strict=True)
        ]

    def _reused(
        self,
        receipts: Sequence[Receipt],
        asking: Sequence[_Question],
        answers: dict[_Question, list[Match]],
    ) -> dict[_Name, dict[str, list[Match]]]:
        """Take ids out of the answers that very many have; return those by last digits."""
        names = {
            name
            for matches in answers.values()
            if len(matches) >= MATCHES_MAX
            for name, count in Counter(map(_name, matches)).items()
            if count >= MATCHES_MAX
        }
        if not names:
            return {}
        for question, matches in answers.items():
            answers[question] = [each for each in matches if _name(each) not in names]
        found: dict[_Name, dict[str, list[Match]]] = {}
        for provider_id, form in sorted(names):
            tails = {
                tail
                for receipt, (asked, forms) in zip(receipts, asking, strict=True)
                if asked == provider_id and form in forms
                for tail in tails_of(receipt)
            }
            by_tail = found[provider_id, form] = defaultdict(list)
            looked_at = REUSED_MAX // len(names)
            for each in self._tx.match_reused(provider_id, form, sorted(tails), looked_at):
                tail = each.msisdn[-NATIONAL_DIGITS_MIN:]
                by_tail[tail if tail in tails else _OTHERS].append(each)
        return found


def _name(match: Match) -> _Name:
    return match.handoff.provider_id, match.handoff.external_id


def _of_number(
    receipt: Receipt, question: _Question, reused: dict[_Name, dict[str, list[Match]]]
) -> list[Match]:
    """Return what has an id that very many have and may be about a receipt's number."""
    if not reused:
        return []
    provider_id, forms = question
    tails = tails_of(receipt) if receipt.msisdn else {*tails_of(receipt), _OTHERS}
    return [
        match
        for form in forms
        if (by_tail := reused.get((provider_id, form)))
        for tail in sorted(tails)
        for match in by_tail.get(tail, ())
        if fit(match, receipt) is not Fit.APART
    ]
