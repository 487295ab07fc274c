"""Learn providers' habits from the receipts on timelines, so that each is counted once."""

from __future__ import annotations

from collections.abc import Sequence

from arrivals.outcome.habits import INFERRED, Habits
from arrivals.smpp.receipts import IdForm, claimed_us
from arrivals.store.feed import FeedEvent


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
