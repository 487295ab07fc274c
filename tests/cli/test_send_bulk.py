"""`arrivals send-bulk`: a file is one stream with one key, however often it is started."""

from __future__ import annotations

import json

import pytest

from tests.cli.answering import Asked, answering
from tests.cli.typed import type_in


def committed(count: int, refused: int = 0):
    """What the API answers to a whole stream."""
    return {
        "batch_id": 5,
        "received": count + refused,
        "accepted": count,
        "refused": refused,
        "cost": 0.1,
        "currency": "EUR",
        "refusals": [{"line": 2, "to": "12", "detail": "too short"}] * refused,
    }


def bulk_server(refused: int = 0):
    """Take a stream, then let its messages end."""

    def answer(asked: Asked):
        if asked.method == "POST":
            return 200, committed(asked.body.count(b"\n") - refused, refused)
        if asked.path.endswith("/5"):
            ended = {"ended": 2, "layers": {"outcome": {"delivered": 2}}}
            return 200, committed(2, refused) | ended
        return 200, {"batches": []}

    return answering(answer)


@pytest.fixture
def file(tmp_path):
    """A file of two recipients."""
    path = tmp_path / "people.csv"
    path.write_text('to,message,client_ref\n31612345678,"Hi, you",a\n\n31687654321,Hi,\n')
    return path


def send_bulk(url: str, *words: object):
    """Send a file to a server."""
    return type_in("send-bulk", *words, "--url", url, "--key", "k")


def test_lines_go_out_as_they_stand_in_the_file(file) -> None:
    """NDJSON without empty lines; the options stand in the query, and no text does."""
    with bulk_server() as here:
        found = send_bulk(here.url, file, "--route", 2)
        asked = here.asked[0]
    assert found.code == 0
    assert "2 accepted, 0 refused" in found.out
    assert "Outcome: 2 delivered" in found.out
    assert [json.loads(line) for line in asked.body.splitlines()] == [
        {"to": "31612345678", "message": "Hi, you", "client_ref": "a"},
        {"to": "31687654321", "message": "Hi"},
    ]
    assert asked.query == {"caller_id": ["ARRIVALS"], "route_id": ["2"]}
    assert asked.headers["content-type"] == "application/x-ndjson"


def test_the_same_file_and_options_are_the_same_stream(file) -> None:
    """The key follows from both, and stands beside the file."""

    def key_of(*words: object) -> str:
        with bulk_server() as here:
            assert send_bulk(here.url, file, "--no-wait", *words).code == 0
            return here.asked[0].headers["idempotency-key"]

    first = key_of()
    assert key_of() == first
    assert key_of("--route", 2) != first
    kept = json.loads((file.parent / "people.csv.arrivals.json").read_bytes())
    assert kept["batch_id"] == 5
    file.write_text(file.read_text() + "31600000000,Hi,\n")
    assert key_of() != first


def test_what_was_sent_before_is_not_called_sent_again(file) -> None:
    """The server says that it knows the whole stream; so does the command."""

    def answer(asked: Asked):
        return 200, committed(2), ("Idempotent-Replayed", "true")

    with answering(answer) as here:
        found = send_bulk(here.url, file, "--no-wait")
        told = send_bulk(here.url, file, "--no-wait", "--json").json
    assert "nothing is sent again" in found.out
    assert told["repeated"] is True
    with bulk_server() as here:
        assert "again" not in send_bulk(here.url, file, "--no-wait").out


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_columns_stand_apart_as_spreadsheets_write_them(tmp_path, delimiter) -> None:
    """As the API itself reads CSV."""
    path = tmp_path / "people.csv"
    path.write_text(f"to{delimiter}message\n31612345678{delimiter}Hi, you\n")
    with bulk_server() as here:
        assert send_bulk(here.url, path, "--no-wait").code == 0
        assert json.loads(here.asked[0].body) == {"to": "31612345678", "message": "Hi, you"}


def test_one_text_for_all(tmp_path) -> None:
    """--text fills in what lines don't have."""
    path = tmp_path / "numbers.csv"
    path.write_text("\ufeffnumber\n31612345678\n")
    with bulk_server() as here:
        assert send_bulk(here.url, path, "--text", "Hello", "--no-wait").code == 0
        assert json.loads(here.asked[0].body) == {"to": "31612345678", "message": "Hello"}


def test_refused_lines_are_1_and_named(file) -> None:
    """The others were accepted all the same."""
    with bulk_server(refused=1) as here:
        found = send_bulk(here.url, file, "--no-wait")
        assert send_bulk(here.url, file, "--no-wait", "--json").json["refused"] == 1
    assert found.code == 1
    # The second recipient: behind the header and a blank line, as an editor counts.
    assert "line 4 (12): too short" in found.out


def test_nothing_accepted_is_1_and_says_why(file) -> None:
    """The API refuses the stream as a whole, and tells of each line all the same."""
    refused = committed(0, refused=1) | {"code": "nothing_accepted", "detail": [], "fix": ""}
    with answering(lambda asked: (422, refused)) as here:
        found = send_bulk(here.url, file)
        told = send_bulk(here.url, file, "--json")
    assert (found.code, told.code) == (1, 1)
    assert "0 accepted, 1 refused" in found.out
    assert "line 4 (12): too short" in found.out
    assert told.json["refusals"][0]["line"] == 4


@pytest.mark.parametrize(
    ("octets", "code", "words"),
    [
        (b"", 64, "header"),
        (b"name\nx\n", 64, "no field 'name'"),
        (b"message\nx\n", 64, "needs `to` once"),
        (b"to,mesage\n31612345678,Hi\n", 64, "Did you mean message?"),
        (b"31612345678,Hi\n31687654321,Hi\n", 64, "must name the columns"),
        (b"to,message\n31612345678,Hi, you\n", 64, 'put " around a text that holds ,'),
        (b"to,message\n31612345678,Hi\n3168765", 64, "is the file whole?"),
        ("to,message\n31612345678,Hi\n".encode("utf-16"), 64, "is UTF-16"),
        (b"PK\x03\x04\x14", 64, ".xlsx"),
        (b"to,message\n31612345678,Hi\x00\n", 64, "U+0000"),
        (b"to\n31612345678\n", 64, "--text"),
        (b"to,message\n", 64, "no recipients"),
        (b'to,message\n31612345678,"open\n', 64, "never closes it"),
        (b"to,message\n31612345678,\xff\n", 64, "UTF-8"),
    ],
)
def test_a_file_that_cannot_be_sent(tmp_path, octets, code, words) -> None:
    """Nothing is asked of the server."""
    path = tmp_path / "people.csv"
    path.write_bytes(octets)
    with bulk_server() as here:
        found = send_bulk(here.url, path)
        assert here.asked == []
    assert found.code == code
    assert words in found.err


def test_a_stream_that_breaks_off_says_so(file) -> None:
    """It is not reachable, and the key is kept for the next start."""
    with answering(lambda asked: None) as here:
        found = send_bulk(here.url, file)
    assert found.code == 69
    assert "goes on where it stopped" in found.err
    assert json.loads((file.parent / "people.csv.arrivals.json").read_bytes())[
        "idempotency_key"
    ]


@pytest.mark.parametrize(
    ("words", "refused", "duplicates", "code", "said"),
    [
        ((), 0, {"count": 1, "sent": True}, 0, "1 line repeats the number and text"),
        ((), 1, {"count": 2, "sent": True}, 1, "--deduplicate leaves them out"),
        (("--deduplicate",), 2, {"count": 2, "sent": False}, 0, "a line before: left out"),
        (("--deduplicate",), 3, {"count": 2, "sent": False}, 1, "2 lines repeat"),
    ],
)
def test_lines_that_repeat_others_are_told(
    file, words, refused, duplicates, code, said
) -> None:
    """What was asked to be left out is no reason for a bad exit code."""

    def answer(asked: Asked):
        if asked.method == "POST":
            return 200, committed(2, refused) | {"duplicates": duplicates | {"lines": []}}
        return 200, {"batches": []}

    with answering(answer) as here:
        found = send_bulk(here.url, file, "--no-wait", *words)
        query = next(each.query for each in here.asked if each.method == "POST")
    assert found.code == code
    assert said in found.out
    assert ("deduplicate" in query) == bool(words)


@pytest.mark.parametrize(
    ("report", "octets"),
    [
        ("a spreadsheet's separator", b"sep=;\r\nto;message;;\r\n31612345678;Hi, you;;\r\n"),
        ("CR alone", b'to,message\r31612345678,"Hi, you"\r'),
        ("a byte-order mark and tabs", b"\xef\xbb\xbfNumber\tText\n31612345678\tHi, you\n"),
    ],
)
def test_a_file_is_read_as_the_api_reads_csv(tmp_path, report, octets) -> None:
    path = tmp_path / "people.csv"
    path.write_bytes(octets)
    with bulk_server() as here:
        assert send_bulk(here.url, path, "--no-wait").code == 0, report
        (line,) = next(e.body for e in here.asked if e.method == "POST").splitlines()
    assert json.loads(line) == {"to": "31612345678", "message": "Hi, you"}
