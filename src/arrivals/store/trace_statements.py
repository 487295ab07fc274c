"""The statements that read journeys, put together from their parts: for one account or all."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from arrivals.store.statements import statements
from arrivals.store.transaction import MESSAGE_COLUMNS

_ORDER_COLUMNS: Final = (
    "o.id, o.account_id, o.key_id, o.route_id, o.accepted_at, o.category, o.sender, o.text,"
    " o.client_ref, o.request_id, o.send_at, o.expires_at, o.outcome_deadline, o.on_ambiguous,"
    " o.providers, o.count, o.cost, o.currency, o.hold_posting, o.balance_after, o.decision,"
    " o.batch_id"
)


_OWN: Final = re.compile(r"\{own(ed)? ([\w.]+) = ([^{}]+)\}")


@cache
def trace_statements(dialect: str, *, everybody: bool = False) -> dict[str, str]:
    """Return the statements of this module, by name: for one account, or for all."""

    raw = statements("traces", dialect)

    def own(found: re.Match[str]) -> str:
        indexed, column, value = found.groups()
        if not everybody:
            return f"{column} = {value}"
        text = raw["every account" if indexed else "everybody"]
        return text.replace("{column}", column).replace("{value}", value)

    texts = {name: _OWN.sub(own, text) for name, text in raw.items()}
    parts = {
        "{message_columns}": MESSAGE_COLUMNS,
        "{order_columns}": _ORDER_COLUMNS,
        "{middle}": texts["middle"],
        "{encoding}": texts["encoding"],
        "{whole}": _whole(
            texts["whole"],
            {"{message_columns}": MESSAGE_COLUMNS, "{encoding}": texts["encoding"]},
        ),
    }
    return {name: _whole(text, parts) for name, text in texts.items()}


def _whole(text: str, parts: dict[str, str]) -> str:
    for mark, part in parts.items():
        text = text.replace(mark, part)
    return text
