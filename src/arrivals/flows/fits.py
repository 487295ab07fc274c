"""What a receipt fits: forms of ids, addresses, and hand-offs that may be meant. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from arrivals.core.handsets import NATIONAL_DIGITS_MIN, Fit, fit_of
from arrivals.core.ids import handoff_reference
from arrivals.core.message import Message, State, is_terminal
from arrivals.flows.doubt import is_unnamed, unnamed
from arrivals.providers.api import Receipt, bare_forms, forms_in
from arrivals.smpp.receipts import IdForm
from arrivals.store.rows import Attempt, Match

# What is usual of a provider that writes ids as given, or of which nothing is known.
LITERAL: Final = (None, IdForm.AS_GIVEN)


class LookedUp:
    """What has an id that one receipt may tell."""

    __slots__ = ("apart", "fitting")

    def __init__(self) -> None:
        self.fitting: list[Match] = []  # and the number, all as surely
        self.apart: list[Match] = []  # and another number


def waits_for(receipt: Receipt) -> list[str]:
    """Return what has to become known for a receipt to be tried again; nearly always two."""
    return [*bare_forms(receipt), *places(receipt)]


def tails_of(receipt: Receipt) -> set[str]:
    """Return the last digits of every number that its addresses could be."""
    numbers = [each for each in (receipt.msisdn, receipt.other) if each]
    both = [*numbers, *(each.lstrip("0") for each in numbers)]
    return {each[-NATIONAL_DIGITS_MIN:] for each in both}


def places(receipt: Receipt) -> list[str]:
    """Return what hand-offs without an id are written down as, to either address."""
    return [unnamed(each) for each in dict.fromkeys((receipt.msisdn, receipt.other)) if each]


def first_forms(receipt: Receipt, usual: IdForm | None) -> Sequence[str]:
    """Return the forms under which an id is looked up first."""
    if usual in LITERAL:
        return (receipt.external_id,) if receipt.external_id else ()
    return forms_in(receipt, usual)


def fits(ours: str, receipt: Receipt) -> Fit:
    """Say how surely a receipt is about one of our numbers."""
    return fit_of(ours, receipt.msisdn, receipt.other)


def fit(match: Match, receipt: Receipt) -> Fit:
    """Say the same of a hand-off with an id that it tells."""
    return fits(match.msisdn, receipt)


def as_of(provider_id: str, receipt: Receipt) -> Receipt:
    """Return a receipt as another provider would have sent it."""
    return msgspec.structs.replace(
        receipt, provider_id=provider_id, came_over=receipt.provider_id
    )


def by_fit(receipt: Receipt, matches: list[Match]) -> LookedUp:
    """Return what fits the number most surely; else those that have the id alone."""
    found = LookedUp()
    if len(matches) == 1 and fit(matches[0], receipt) is Fit.SOURCE:  # nearly always
        found.fitting = matches
        return found
    named = named_ones(matches)
    for some in (named, [each for each in matches if each not in named]):
        fits = [(fit(each, receipt), each) for each in some]
        surest = min((fit for fit, _ in fits), default=Fit.APART)
        if surest is not Fit.APART:
            found.fitting += [each for fit, each in fits if fit is surest]
        elif some is named:
            found.apart = named
    return found


def named_ones(matches: Sequence[Match]) -> list[Match]:
    """Return the hand-offs that were given an id."""
    return [each for each in matches if not is_unnamed(each.handoff.external_id, each.msisdn)]


def is_open(match: Match) -> bool:
    """Tell whether the message of a hand-off hasn't ended."""
    return not is_terminal(State(match.state))


def may_be_about(receipt: Receipt, message: Message, attempt: Attempt) -> bool:
    """Tell whether a receipt that names no known id may be about an attempt."""
    reference = handoff_reference(message.key, attempt.number)
    return (
        attempt.provider_id == receipt.provider_id
        and not attempt.taken
        and receipt.reference in {None, reference}
    )


def are_one(candidates: Sequence[tuple[Message, Match]]) -> bool:
    """Tell whether all candidates are of one message."""
    return len({message.key for message, _ in candidates}) == 1
