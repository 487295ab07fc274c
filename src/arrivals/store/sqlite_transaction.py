"""A writing transaction on SQLite: the only one at its time, so it reads what it may change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import apsw

from arrivals.store.running import as_text
from arrivals.store.statements import statements
from arrivals.store.transaction import MESSAGE_COLUMNS, SqlTransaction

_SQL: Final = {
    name: text.replace("{message_columns}", MESSAGE_COLUMNS)
    for name, text in statements("write").items()
}
_SQL["first_ready"] = _SQL["first_ready"].replace("{not_paused}", _SQL["not_paused"])
_SQL["claim_not_paused"] = _SQL["claim"].replace("{not_paused}", _SQL["not_paused"])
_SQL["claim"] = _SQL["claim"].replace("{not_paused}", "")


class SqliteTransaction(SqlTransaction):
    """One transaction of the only writer."""

    def __init__(self, connection: apsw.Connection, now_us: int) -> None:
        super().__init__(now_us)
        self._connection = connection
        self._next_posting = 0
        self._next_order = 0

    def next_order_ids(self, count: int) -> Sequence[int]:
        first = max(self._next_order, int(self._value("next_order_id")))
        self._next_order = first + count
        return range(first, first + count)

    def take_bind(self, provider_id: str, owner: str, lease_us: int) -> int:  # noqa: ARG002
        return int(self._value("take_bind", provider_id, owner, self.now_us))

    def renew_bind(
        self,
        provider_id: str,
        epoch: int,
        lease_us: int,  # noqa: ARG002
        *,
        up: bool,  # noqa: ARG002
    ) -> bool:
        return self.bind_epoch(provider_id) == epoch

    def release_bind(self, provider_id: str, epoch: int) -> None:
        """Leave it: the next process that opens the folder takes it as it is."""

    def leased_elsewhere(self, owner: str) -> dict[str, bool]:  # noqa: ARG002
        return {}

    def note_lane(self, provider_id: str, lane: int, rank: int) -> None:
        """Tell nobody: the only process that hands out ranks is this one."""

    def lane_times(self) -> list[tuple[str, int, int]]:
        return []

    def _next_posting_id(self) -> int:
        posting_id = self._next_posting or int(self._value("next_posting_id"))
        self._next_posting = posting_id + 1
        return posting_id

    def _write_balances(self, rows: Sequence[tuple[int, int, int]]) -> None:
        self._run("update_balances", as_text(rows))

    def _run(self, name: str, *values: Any) -> None:
        self._connection.execute(_SQL[name], values).fetchall()

    def _changed(self, name: str, *values: Any) -> int:
        self._run(name, *values)
        return int(self._connection.changes())

    def _all(self, name: str, *values: Any) -> list[Any]:
        return self._connection.execute(_SQL[name], values).fetchall()

    def _value(self, name: str, *values: Any) -> Any:
        return self._connection.execute(_SQL[name], values).get
