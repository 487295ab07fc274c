"""The verbs for receipts that match nothing so far; see store/api.py for their promises."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from arrivals.store.rows import ParkedReceipt
from arrivals.store.running import Running, as_text

_PARKED: Final = msgspec.json.Decoder(list[ParkedReceipt])


class Parking(Running):
    """What a transaction does with parked receipts."""

    def park(
        self,
        provider_id: str,
        forms: Sequence[str],
        fingerprint: str,
        receipt: str,
        *,
        ids_of: str | None = None,
    ) -> bool:
        parked_id, count = self._all("park", provider_id, self.now_us, fingerprint, receipt)[0]
        if count > 1:
            return False
        self._park_under([provider_id, *([ids_of] if ids_of else [])], [(parked_id, forms)])
        return True

    def keep_parked(
        self, provider_ids: Sequence[str], receipts: Sequence[tuple[int, Sequence[str]]]
    ) -> None:
        ids = as_text([parked_id for parked_id, _ in receipts])
        self._run("unpark_elsewhere", ids, as_text(provider_ids))
        self._park_under(provider_ids, receipts)

    def parked_under(self, provider_id: str, forms: Iterable[str]) -> list[ParkedReceipt]:
        if self._value("any_parked") is None:
            return []
        return self._parked("parked_under", provider_id, as_text(sorted(set(forms))))

    def parked_with_match(self, since_us: int, limit: int) -> list[tuple[str, str]]:
        found = self._plain("parked_with_match", since_us, limit)
        return [(provider_id, form) for provider_id, form in found]

    def parked_after(self, parked_id: int, limit: int) -> list[int]:
        return sorted(self._plain("parked_after", parked_id, limit))

    def newest_parked(self) -> int:
        return self._value("newest_parked") or 0

    def parked(self, parked_ids: Sequence[int]) -> list[ParkedReceipt]:
        return self._parked("parked", as_text(parked_ids)) if parked_ids else []

    def unpark(self, parked_ids: Sequence[int]) -> None:
        if parked_ids:
            self._run("unpark_forms", as_text(parked_ids))
            self._run("unpark", as_text(parked_ids))

    def _parked(self, name: str, *values: str) -> list[ParkedReceipt]:
        found = self._rows(_PARKED, name, *values)
        return sorted(found, key=lambda each: each.parked_id)

    def _park_under(
        self, provider_ids: Sequence[str], receipts: Sequence[tuple[int, Sequence[str]]]
    ) -> None:
        rows = [
            (provider_id, form, parked_id)
            for parked_id, forms in receipts
            for provider_id in provider_ids
            for form in forms
        ]
        self._run("park_forms", as_text(rows))
