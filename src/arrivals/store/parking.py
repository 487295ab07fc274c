"""The verbs for receipts that match nothing so far; see store/api.py for their promises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from arrivals.store.rows import Heard, ParkedReceipt
from arrivals.store.running import Running, as_text

_PARKED: Final = msgspec.json.Decoder(list[ParkedReceipt])


class Parking(Running):
    """What a transaction does with parked receipts."""

    def park(
        self, provider_id: str, forms: Sequence[str], fingerprint: str, receipt: str
    ) -> bool:
        parked_id, count = self._all("park", provider_id, self.now_us, fingerprint, receipt)[0]
        if count > 1:
            return False
        self._run("park_forms", as_text([(provider_id, form, parked_id) for form in forms]))
        return True

    def parked_under(self, heard: Sequence[Heard], limit: int) -> list[list[int]]:
        found: list[list[int]] = [[] for _ in heard]
        if not heard or self._value("any_parked") is None:
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
