"""Learn how a provider writes its receipts: in which form the ids, by which clock the dates.

Nobody tells either, and both show: a receipt that matched by its id did so in one form, and its
done date lies some hours from when it came. What is kept of a provider is counts, halved when
they are many, so what it does now outweighs what it did before.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from typing import Final, TypeVar

import msgspec

from arrivals.smpp.receipts import IdForm

PROVIDERS_MAX: Final = 1_000
RECEIPTS_MAX: Final = 10_000  # counted of one provider before all counts are halved
FORM_RECEIPTS_MIN: Final = 100  # before a form is taken for a provider's own
FORM_SHARE_MIN: Final = 0.99
CLOCK_RECEIPTS_MIN: Final = 20  # before a clock's offset is told

STEP_US: Final = 15 * 60 * 1_000_000  # zones differ by quarters of an hour
STEP_MINUTES: Final = 15
STEPS_MAX: Final = 14 * 4  # UTC+14 is the farthest zone; more is a clock that is wrong

Name = TypeVar("Name")

INFERRED: Final = "inferred"  # matched, and not by an id


class Habit(msgspec.Struct, kw_only=True):
    """How one provider writes its receipts, counted."""

    forms: dict[str, int] = {}  # receipts by IdForm, and those that were INFERRED
    offsets: dict[int, int] = {}  # by how many steps its clock was ahead of ours

    def saw(self, form: str, claimed_us: int | None, came_us: int) -> None:
        """Count a receipt that was matched."""
        self.forms[form] = self.forms.get(form, 0) + 1
        if claimed_us is not None:
            steps = round((claimed_us - came_us) / STEP_US)
            if abs(steps) <= STEPS_MAX:
                self.offsets[steps] = self.offsets.get(steps, 0) + 1
        if self.receipts > RECEIPTS_MAX:
            self.forms, self.offsets = _halved(self.forms), _halved(self.offsets)

    @property
    def receipts(self) -> int:
        """How many receipts this rests on."""
        return sum(self.forms.values())

    @property
    def id_form(self) -> IdForm | None:
        """The form in which it surely writes ids, or None."""
        named = {form: count for form, count in self.forms.items() if form != INFERRED}
        total = sum(named.values())
        if total < FORM_RECEIPTS_MIN:
            return None
        form = max(named, key=named.__getitem__)
        return IdForm(form) if named[form] >= FORM_SHARE_MIN * total else None

    @property
    def clock_offset_minutes(self) -> int | None:
        """By how much its clock is ahead of UTC: the median, in quarters of an hour."""
        total = sum(self.offsets.values())
        if total < CLOCK_RECEIPTS_MIN:
            return None
        steps = sorted(self.offsets)
        below = list(accumulate(self.offsets[each] for each in steps))
        return steps[bisect_left(below, total / 2)] * STEP_MINUTES


def _halved(counts: dict[Name, int]) -> dict[Name, int]:
    return {name: count // 2 for name, count in counts.items() if count > 1}


class Habits:
    """The habits of every provider."""

    def __init__(self) -> None:
        self.by_provider: dict[str, Habit] = {}

    def saw(self, provider_id: str, form: str, claimed_us: int | None, came_us: int) -> None:
        """Count a receipt that was matched; of too many providers the newest aren't counted."""
        habit = self.by_provider.get(provider_id)
        if habit is None:
            if len(self.by_provider) >= PROVIDERS_MAX:
                return
            habit = self.by_provider[provider_id] = Habit()
        habit.saw(form, claimed_us, came_us)

    def id_form(self, provider_id: str) -> IdForm | None:
        """Return the form in which a provider surely writes ids, or None."""
        habit = self.by_provider.get(provider_id)
        return habit.id_form if habit else None
