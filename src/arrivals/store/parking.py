"""The verbs for receipts that match nothing so far; see store/api.py for their promises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from arrivals.store.rows import Heard, ParkedReceipt, ToPark
from arrivals.store.running import Running, as_text

_PARKED: Final = msgspec.json.Decoder(list[ParkedReceipt])


class Parking(Running):
    """What a transaction does with parked receipts."""

    def park(self, receipts: Sequence[ToPark]) -> int:
        merged: dict[tuple[str, str], ToPark] = {}
        for each in receipts:
            name = (each.provider_id, each.fingerprint)
            count = merged[name].count if name in merged else 0
            first = merged.setdefault(name, each)
            merged[name] = msgspec.structs.replace(first, count=count + each.count)
        if not merged:
            return 0
        rows = self._all("park", self.now_us, as_text(list(merged.values())))
        new = [
            (parked_id, merged[provider_id, fingerprint])
            for parked_id, provider_id, fingerprint, count in rows
            if count == merged[provider_id, fingerprint].count
        ]
        forms = [
            (each.provider_id, form, parked_id)
            for parked_id, each in new
            for form in each.forms
        ]
        self._run("park_forms", as_text(forms))
        return len(new)

    def any_parked(self) -> bool:
        return self._value("any_parked") is not None

    def parked_under(self, heard: Sequence[Heard], limit: int) -> list[list[int]]:
        found: list[list[int]] = [[] for _ in heard]
        if not heard:
            return found
        asked = [
            (number, each.provider_id, each.form, each.after_id)
            for number, each in enumerate(heard)
        ]
        for number, parked_id in self._plain("parked_under", as_text(asked), limit):
            found[number].append(parked_id)
        return [sorted(each) for each in found]

    def hear_later(self, heard: Sequence[Heard]) -> None:
        if heard:
            self._run("hear_later", self.now_us, as_text(heard))

    def take_heard(self, limit: int) -> list[Heard]:
        found = [Heard(*row) for row in self._all("take_heard", limit)]
        return sorted(found, key=lambda each: (each.turn_us, each.provider_id, each.form))

    def parked_between(
        self, since: tuple[int, int], until_us: int, limit: int
    ) -> list[tuple[int, int]]:
        found = self._plain("parked_between", *since, until_us, limit)
        return sorted((received_at_us, parked_id) for received_at_us, parked_id in found)

    def parked_after(self, parked_id: int, limit: int) -> list[int]:
        return sorted(self._plain("parked_after", parked_id, limit))

    def newest_parked(self) -> int:
        return self._value("newest_parked") or 0

    def parked(self, parked_ids: Sequence[int]) -> list[ParkedReceipt]:
        if not parked_ids:
            return []
        found = self._rows(_PARKED, "parked", as_text(parked_ids))
        return sorted(found, key=lambda each: each.parked_id)

    def unpark(self, parked_ids: Sequence[int]) -> None:
        if parked_ids:
            self._run("unpark_forms", as_text(parked_ids))
            self._run("unpark", as_text(parked_ids))
