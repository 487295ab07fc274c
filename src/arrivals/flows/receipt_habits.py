"""Learn providers' habits from the receipts on timelines, so that each is counted once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from arrivals.outcome.habits import INFERRED, Habit, Habits
from arrivals.smpp.receipts import IdForm, claimed_us
from arrivals.store.feed import FeedEvent

if TYPE_CHECKING:
    from arrivals.core.catalogue import Catalogue

LEARNT: Final = "learnt"  # the setting in which all that was learnt is kept


class _Kept(msgspec.Struct, frozen=True):
    """What is kept, as far as it is about receipts."""

    habits: dict[str, Habit] = {}


def habits_in(kept: str) -> dict[str, Habit]:
    """Return providers' habits from what was kept; none from what nobody can read now."""
    try:
        return msgspec.json.decode(kept, type=_Kept).habits
    except msgspec.DecodeError:
        return {}


def usual_forms(
    catalogue: Callable[[], Catalogue], habits: Habits
) -> Callable[[str], IdForm | None]:
    """Return who knows how a provider writes ids: its settings, else what was learnt."""

    def usual(provider_id: str) -> IdForm | None:
        provider = catalogue().providers.get(provider_id)
        if provider is not None and provider.dialect.id_form is not None:
            return IdForm(provider.dialect.id_form)
        return habits.id_form(provider_id)

    return usual


def observe(habits: Habits, events: Sequence[FeedEvent]) -> None:
    """Count what each receipt among the events shows of its provider."""
    for event in events:
        body = event.body
        matched_by = body.get("matched_by")
        if matched_by is None:  # no receipt
            continue
        habits.saw(
            str(body["provider"]),
            body.get("id_form", IdForm.AS_GIVEN.value) if matched_by == "id" else INFERRED,
            claimed_us(str(body.get("claimed_at", ""))),
            body.get("came_at", event.at_us),
        )
