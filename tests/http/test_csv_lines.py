"""CSV as programs write it, and bodies that aren't UTF-8: read, or refused in plain words."""

from __future__ import annotations

import gzip

import httpx
import msgspec
import pytest

from arrivals.core.errors import Refusal
from arrivals.flows.batches import StreamLine, words_of
from arrivals.http.charsets import declared, kind_of
from arrivals.http.csv_lines import CsvLines
from tests.http.installation import Installation

N, M = "31612345678", "31687654321"
BATCH = "/api/v1/batches?route_id=1&caller_id=ARRIVALS&message=Hi"


def read(body: bytes, charset: str | None = None, step: int = 10_000) -> list[StreamLine]:
    reader = CsvLines(charset)
    found = [
        line
        for at in range(0, len(body), step)
        for line in reader.feed(body[at : at + step])
        if line is not None
    ]
    return found + reader.end()


@pytest.mark.parametrize(
    ("report", "body", "rows"),
    [
        ("CR alone ends lines", f"to,message\r{N},Hi\r{M},Ho\r", [(N, "Hi"), (M, "Ho")]),
        ("CR alone, and none at the end", f"to\r{N}\r{M}", [(N, None), (M, None)]),
        ("CRLF, and a CR within quotes", f'to,text\r\n{N},"a\rb"\r\n', [(N, "a\nb")]),
        ("sep=; in front", f"sep=;\r\nto;message\r\n{N};Hi, you\r\n", [(N, "Hi, you")]),
        ("sep= and a tab", f"sep=\t\nto\ttext\n{N}\tHi\n", [(N, "Hi")]),
        ("sep= and a pipe", f"SEP=|\nto|text\n{N}|Hi; you\n", [(N, "Hi; you")]),
        ("sep= in quotes, behind a mark", f'\ufeff"sep=;"\nto;text\n{N};Hi\n', [(N, "Hi")]),
        ("empty columns at the right", f"to;message;;\r\n{N};Hi;;\r\n", [(N, "Hi")]),
        ("empty cells at the right", f"to,message\n{N},Hi,,\n", [(N, "Hi")]),
        ("cells left out at the right", f"to,message,client_ref\n{N},Hi\n", [(N, "Hi")]),
        ("a data frame's index", f",to,message\n0,{N},Hi\n1,{M},Ho\n", [(N, "Hi"), (M, "Ho")]),
        ("a blank cell is none", f"to,message\n{N},  \n", [(N, None)]),
        ("a text keeps its spaces", f"to,message\n{N}, Hi \n", [(N, " Hi ")]),
        ("an inch in a text", f'to,text\n{N},5" wide\n{M},Ho\n', [(N, '5" wide'), (M, "Ho")]),
        ("doubled quotes", f'to,message\n{N},"say ""hi"", you"\n', [(N, 'say "hi", you')]),
        ("a line break within quotes", f'to,text\n{N},"a\n""b"" c"\n', [(N, 'a\n"b" c')]),
        ("capitals and spaces in the header", f"To , MESSAGE\n{N},Hi\n", [(N, "Hi")]),
        ("blank lines", f"\n\nto\n\n{N}\n\n", [(N, None)]),
        ("empty rows of a spreadsheet", f"to;text\n;\n{N};Hi\n ; \n;\n", [(N, "Hi")]),
    ],
)  # fmt: skip
def test_csv_as_programs_write_it(report: str, body: str, rows: list[tuple[str, str]]) -> None:
    for step in (10_000, 1, 3):
        found = [each.recipient for each in read(body.encode(), step=step)]
        assert [each and (each.to, each.text) for each in found] == rows, report


@pytest.mark.parametrize(
    ("report", "body", "words"),
    [
        (
            "a text with a comma",
            f"to,message\n{N},Hi, you\n",
            '3 cells, the header has 2: put "',
        ),
        ("a text with a tab", f"to\tmessage\n{N}\tHi\tyou\n", "holds a tab"),
        ("a text cut off by an empty column", f"to;text;\n{N};Hi; you\n", "the header has 2"),
        ("a quote never closed", f'to,message\n{N},"Hi\n', "opens a quotation mark and never"),
        (
            "text behind a quote",
            f'to,message\n{N},"Hi" you\n',
            "behind a closing quotation mark",
        ),
        ("a NUL", f"to,message\n{N},H\0i\n", "U+0000"),
        ("a file cut off", f"to,message\n{N[:8]}", "is the file whole?"),
        ("a column without a name", f"to,,message\n{N},x,Hi\n", "column 2, which the header"),
        ("a long reference", f"to,client_ref\n{N},{'x' * 65}\n", "client_ref: has at most 64"),
        ("an open quote that swallows lines", f'to,text\n{N},"' + "x\n" * 40_000, "left open"),
        ("a line without end", f"to,text\n{N}," + "x" * 70_000 + "\n", "64 KiB a line"),
    ],
)
def test_each_mistake_of_a_record_has_its_words(report: str, body: str, words: str) -> None:
    refusal = read(body.encode())[0].refusal
    assert refusal is not None, report
    assert words in words_of(refusal)


@pytest.mark.parametrize(
    ("report", "body", "words"),
    [
        ("no header", f"{N},Hi\n".encode(), "must name the columns in its first line"),
        ("no header, and a plus", b"+31 612 345 678;Hi\n", "must name the columns"),
        ("a column misspelt", b"to,mesage\n", "no field 'mesage'"),
        ("a column too many", b"to,name\n", "no field 'name'"),
        ("sep= names nothing", b"sep=\nto\n", "separator that can't be used"),
        ("sep= names a letter", b"sep=x\nto\n", "separator that can't be used"),
        ("UTF-16 of a spreadsheet", "to\n31".encode("utf-16"), "is UTF-16, not text in UTF-8"),
        ("UTF-16 without a mark", "to\n31".encode("utf-16-be"), "is UTF-16"),
        ("UTF-32", "to\n31".encode("utf-32"), "is UTF-32"),
        ("a spreadsheet itself", b"PK\x03\x04\x14\0", "as .xlsx files are"),
        ("an old spreadsheet", b"\xd0\xcf\x11\xe0\xa1", "an .xls file"),
        ("a PDF", b"%PDF-1.7", "a PDF"),
        ("packed", gzip.compress(b"to\n", mtime=0), "is gzip"),
        ("Latin-1 in the header", b"to,caf\xe9\n", "octet 7 is 0xE9"),
        ("nothing", b"", "needs a header"),
        ("a mark and nothing", b"\xef\xbb\xbf", "needs a header"),
    ],
)  # fmt: skip
def test_what_cant_begin_a_csv_says_what_it_is(report: str, body: bytes, words: str) -> None:
    for step in (10_000, 1):
        with pytest.raises(Refusal) as caught:
            read(body, step=step)
        assert words in words_of(caught.value), report


def test_an_unknown_column_is_mended_by_what_the_refusal_says() -> None:
    with pytest.raises(Refusal) as caught:
        read(b"to,mesage\n")
    assert caught.value.fix.startswith("Did you mean message?")


def test_a_declared_charset_counts_where_octets_differ() -> None:
    """Report: a Java client declares ISO-8859-1 by itself, and sends ASCII nearly always."""
    body = f"to,message\n{N},Hi\n{M},caf\xe9\n".encode("latin-1")
    fine, refused = read(body, "ISO-8859-1")
    assert fine.recipient is not None
    assert refused.refusal is not None
    assert "declared as ISO-8859-1" in words_of(refused.refusal)
    undeclared = read(body)[1].refusal
    assert undeclared is not None
    assert "octet 16 is 0xE9" in words_of(undeclared)


@pytest.mark.parametrize(
    ("content_type", "charset"),
    [
        (None, None),
        ("application/json", None),
        ("application/json; charset=utf-8", None),
        ('application/json;charset="UTF8"', None),
        ("text/csv; header=present; charset=US-ASCII", None),
        ("text/csv; charset=ISO-8859-1", "ISO-8859-1"),
        ("text/csv; charset=windows-1252; header=present", "windows-1252"),
        ("application/json; charset=klingon", "klingon"),
        ("application/json; charset=utf-16le", "utf-16le"),
    ],
)
def test_declared_charsets(content_type: str | None, charset: str | None) -> None:
    assert declared(content_type) == charset


def test_plain_text_is_of_no_other_kind() -> None:
    assert kind_of(b'{"a"') is None


# --- whole requests -------------------------------------------------------------------

SEND = {"route_id": 1, "caller_id": "BRIDGE", "numbers": [N], "message": "caf\xe9"}
RAW = msgspec.json.encode(SEND)


async def test_a_byte_order_mark_is_left_out(main: httpx.AsyncClient) -> None:
    """Report: PowerShell and Notepad put one in front of JSON."""
    for path, body in (
        ("/api/v1/send_sms", RAW),
        ("/api/v1/estimate", RAW),
        (BATCH, f'{{"to":"{N}"}}\n'.encode()),
        (BATCH, f'{{"to":"{N}"}}'.encode()),
    ):
        answer = await main.post(path, content=b"\xef\xbb\xbf" + body)
        assert answer.status_code == 200, answer.text
        assert not answer.json().get("refusals")


@pytest.mark.parametrize(
    ("report", "body", "content_type", "words"),
    [
        ("UTF-16", RAW.decode().encode("utf-16"), "application/json", "is UTF-16"),
        ("UTF-16 unmarked", RAW.decode().encode("utf-16-le"), "application/json", "is UTF-16"),
        ("packed", gzip.compress(RAW, mtime=0), "application/json", "is gzip"),
        ("Latin-1 undeclared", RAW.decode().encode("latin-1"), "application/json", "0xE9"),
        ("Latin-1 declared", RAW.decode().encode("latin-1"),
         "application/json; charset=latin-1", "is declared as latin-1"),
        ("UTF-8 declared as another", RAW, "application/json; charset=windows-1251",
         "is declared as windows-1251"),
        ("no JSON", b"numbers=316", "application/json", "isn't valid JSON"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/api/v1/send_sms", "/api/v1/estimate"])
async def test_another_charset_is_named(
    main: httpx.AsyncClient, report: str, body: bytes, content_type: str, words: str, path: str
) -> None:
    answer = await main.post(path, content=body, headers={"Content-Type": content_type})
    assert answer.status_code == 422, report
    assert words in answer.json()["detail"][0]["msg"]


async def test_ascii_is_the_same_in_the_charset_declared(main: httpx.AsyncClient) -> None:
    raw = msgspec.json.encode(SEND | {"message": "hello"})
    headers = {"Content-Type": "application/json; charset=ISO-8859-1"}
    answer = await main.post("/api/v1/send_sms", content=raw, headers=headers)
    assert answer.status_code == 200


@pytest.mark.parametrize("content_type", ["application/x-ndjson", "text/csv"])
async def test_a_stream_of_another_kind_leaves_no_batch(
    api: Installation, main: httpx.AsyncClient, content_type: str
) -> None:
    body = f'{{"to":"{N}"}}\n'.encode("utf-16")
    answer = await main.post(BATCH, content=body, headers={"Content-Type": content_type})
    assert answer.status_code == 422
    assert "is UTF-16" in answer.json()["detail"][0]["msg"]
    assert await api.sql("SELECT count(*) FROM batches") == [(0,)]


async def test_a_line_in_a_declared_charset_is_refused_alone(main: httpx.AsyncClient) -> None:
    body = f'{{"to":"{N}"}}\n{{"to":"{M}","message":"caf\xe9"}}\n'.encode("latin-1")
    headers = {"Content-Type": "application/x-ndjson; charset=latin-1"}
    answer = (await main.post(BATCH, content=body, headers=headers)).json()
    assert answer["accepted"] == 1
    assert "declared as latin-1" in answer["refusals"][0]["detail"]


@pytest.mark.parametrize(
    ("report", "body"),
    [
        ("a whole number of a data frame", {"numbers": [31612345678]}),
        ("a float of a data frame", {"numbers": [31612345678.0]}),
        ("a number in messages", {"numbers": None, "messages": [{"to": 31612345678}]}),
    ],
)
async def test_a_number_as_json_number_says_why_not(
    main: httpx.AsyncClient, report: str, body: dict[str, object]
) -> None:
    """It has lost its 0 or its plus by then: 0612345678 would be Australia's 612345678."""
    answer = await main.post("/api/v1/send_sms", json=SEND | body)
    assert answer.json()["code"] == "body_invalid", report
    assert "write it as a text, in quotation marks" in answer.json()["detail"][0]["msg"]


@pytest.mark.parametrize("path", ["/api/v1/send_sms", "/api/v1/estimate", "csv", "ndjson"])
async def test_every_way_in_reads_a_number_alike(
    api: Installation, main: httpx.AsyncClient, path: str
) -> None:
    """Report: one way took a fraction for more digits where another refused it."""
    numbers = ["+44 (0)7911 123456", "447911123456.0", "4.47911E+11", "\u202a447911123456"]
    if path == "csv":
        body = "to\n" + "\n".join(numbers) + "\n"
        answer = await main.post(
            BATCH, content=body.encode(), headers={"Content-Type": "text/csv"}
        )
    elif path == "ndjson":
        lines = b"\n".join(msgspec.json.encode({"to": number}) for number in numbers)
        answer = await main.post(BATCH, content=lines)
    else:
        answer = await main.post(path, json=SEND | {"numbers": numbers, "partial": True})
    found = answer.json()
    refused = found.get("refused") if path.startswith("/") else found["refusals"]
    assert [each["code"] for each in refused] == ["invalid_number"]
    assert "spreadsheet" in refused[0]["detail"]
    if path != "/api/v1/estimate":
        assert await api.sql("SELECT DISTINCT msisdn FROM messages") == [("447911123456",)]
