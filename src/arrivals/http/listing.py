"""Show pages as JSON, as NDJSON and as CSV, with a cursor to the next one.

A cursor names the last row that was looked at, so rows that arrive meanwhile neither move
a page nor repeat on it. CSV is for spreadsheets: no cell can begin a formula there.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from arrivals.http.endpoints import Parameter
from arrivals.http.exchange import Header, Request, Response, json_response, query_int
from arrivals.http.routing import normal

PAGE_DEFAULT: Final = 50
PAGE_MAX: Final = 200

NDJSON: Final = b"application/x-ndjson"
CSV: Final = b"text/csv; charset=utf-8"

# A spreadsheet runs a cell that begins with one of these as a formula.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_BLANK: Final = " \u00a0"

PAGE: Final = (
    Parameter(
        name="limit",
        about="At most 200; above it 200",
        type="integer",
        default=PAGE_DEFAULT,
        least=1,
    ),
    Parameter(name="cursor", about="`next_cursor` of the page before"),
)

_encode: Final = msgspec.json.Encoder().encode


def page_limit(request: Request) -> int:
    """Return how many rows the caller wants on a page."""
    return query_int(request, "limit", PAGE_DEFAULT, least=1, clamp=PAGE_MAX)


def wants(request: Request, suffix: str, media_type: str) -> bool:
    """Tell whether a form was asked for, by the path's suffix or the Accept header."""
    if request.scope["path"].rstrip("/").endswith(suffix):
        return True
    return media_type in (request.header(b"accept") or "")


def next_link(request: Request, cursor: str | None) -> str | None:
    """Return the address of the next page, or None on the last one."""
    if cursor is None:
        return None
    # With two slashes in front it would be another host's address.
    return f"{normal(request.scope['path'])}?{urlencode({**request.query, 'cursor': cursor})}"


def page_response(
    request: Request,
    page: Any,
    rows: Sequence[msgspec.Struct],
    cursor: str | None,
    columns: Mapping[str, str],
) -> Response:
    """Answer with a page in the form that was asked for; `page` is its JSON form."""
    if wants(request, ".csv", "text/csv"):
        body = to_csv(columns, [flat(row) for row in rows]).encode()
        return Response(200, body, CSV, _next_headers(request, cursor))
    if wants(request, ".ndjson", NDJSON.decode()):
        body = b"".join(_encode(row) + b"\n" for row in rows)
        return Response(200, body, NDJSON, _next_headers(request, cursor))
    return json_response(page)


def _next_headers(request: Request, cursor: str | None) -> list[Header]:
    """Name the next page where the body has no room for it."""
    link = next_link(request, cursor)
    if cursor is None or link is None:
        return []
    return [
        (b"link", f'<{link}>; rel="next"'.encode("ascii", "replace")),
        (b"x-next-cursor", cursor.encode()),
    ]


def columns_of(
    kind: type[msgspec.Struct], counted: Mapping[str, Iterable[str]] | None = None
) -> dict[str, str]:
    """Return the columns of a kind of row, each with what an empty cell of it says.

    They are the same on every page. `counted` names what may be counted, by the field that
    holds the counts.
    """
    found: dict[str, str] = {}
    for each in msgspec.structs.fields(kind):
        inner: dict[str, str] = {"": ""}
        if isinstance(each.type, type) and issubclass(each.type, msgspec.Struct):
            inner = columns_of(each.type, counted)
        elif counted is not None and each.name in counted:
            inner = dict.fromkeys(counted[each.name], "0")
        found |= {f"{each.name}.{name}".rstrip("."): empty for name, empty in inner.items()}
    return found


def flat(row: msgspec.Struct) -> dict[str, str]:
    """Flatten a row to cells: nested names are joined by a dot."""
    return dict(_cells("", msgspec.to_builtins(row, builtin_types=(msgspec.Raw,))))


def _cells(name: str, value: Any) -> list[tuple[str, str]]:
    if isinstance(value, Mapping):
        inner = [
            _cells(f"{name}.{key}" if name else str(key), its) for key, its in value.items()
        ]
        return [cell for cells in inner for cell in cells]
    if isinstance(value, msgspec.Raw):
        return [(name, bytes(value).decode())]
    return [(name, "" if value is None else str(value))]


def to_csv(columns: Mapping[str, str], rows: Iterable[Mapping[str, str]]) -> str:
    """Write rows under a header as CSV, safe for spreadsheets."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows(
        [safe_cell(row.get(name, empty)) for name, empty in columns.items()] for row in rows
    )
    return text.getvalue()


def safe_cell(cell: str) -> str:
    """Return a cell no spreadsheet takes for a formula, on its first line or a later one."""
    return "\n".join(
        f"'{line}" if line.lstrip(_BLANK).startswith(_FORMULA) else line
        for line in cell.split("\n")
    )
