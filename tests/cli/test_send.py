"""`arrivals send`: what it asks, what it prints, and that its exit code is the outcome."""

from __future__ import annotations

import json

import pytest

from arrivals.cli.connection import find_server
from arrivals.cli.output import Stop
from tests.cli.answering import MESSAGE_ID, Asked, accepted, answering, message
from tests.cli.typed import type_in

PROBLEM = {
    "type": "/docs/errors#insufficient_balance",
    "status": 402,
    "detail": "Insufficient balance",
    "fix": "Add funds.",
    "code": "insufficient_balance",
}


def server_with(outcome: str, *, final: bool = True, problem=None):
    """Answer as a server does whose messages have this outcome."""

    def answer(asked: Asked):
        if asked.method == "POST":
            return problem or (200, accepted())
        if asked.path.endswith("/outcome"):
            return 200, {}
        return 200, message(outcome, final=final)

    return answering(answer)


def send(url: str, *words: object):
    """Send one message to a server."""
    return type_in(
        "send", "31612345678", "Your code is 4839", "--url", url, "--key", "k", *words
    )


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        ("delivered", 0),
        ("failed", 2),
        ("filtered", 3),
        ("unknown", 4),
        ("expired", 5),
        ("cancelled", 6),
    ],
)
def test_the_exit_code_is_the_outcome(outcome, code) -> None:
    """Each outcome has its own code, with --json and without."""
    with server_with(outcome) as here:
        assert send(here.url, "--wait").code == code
        found = send(here.url, "--wait", "--json")
    assert found.code == code
    assert found.json["exit_code"] == code
    assert found.json["message"]["bx_message_id"] == MESSAGE_ID


def test_a_message_still_open_when_the_time_is_up_is_7() -> None:
    """The wait ends, the message doesn't; watch goes on."""
    with server_with("pending", final=False) as here:
        found = send(here.url, "--wait", "--timeout", 0.2)
    assert found.code == 7
    assert f"arrivals watch {MESSAGE_ID}" in found.out


def test_without_a_terminal_each_layer_has_plain_lines() -> None:
    """No escape codes, one line for each thing that changed."""
    with server_with("delivered") as here:
        found = send(here.url, "--wait")
    assert "\x1b" not in found.out
    assert [line.split()[:2] for line in found.out.splitlines()] == [
        [MESSAGE_ID],
        ["api", "accepted"],
        ["execution", "handed_off"],
        ["outcome", "delivered"],
    ]


def test_accepted_is_not_called_delivered() -> None:
    """Without --wait the first line is the id, and the words say how little is known."""
    with server_with("delivered") as here:
        found = send(here.url)
        assert send(here.url, "--json").json == accepted()
    assert found.code == 0
    assert found.out.splitlines()[0] == MESSAGE_ID
    assert "isn't delivered" in found.out


def test_what_is_asked_for_is_what_was_typed() -> None:
    """Only what was given is in the body, and the key in its header."""
    with server_with("delivered") as here:
        send(here.url, "--route", 3, "--sender", "BANK", "--valid-for", 30, "--client-ref", "r")
        asked = here.asked[0]
    assert json.loads(asked.body) == {
        "caller_id": "BANK",
        "client_ref": "r",
        "message": "Your code is 4839",
        "numbers": ["31612345678"],
        "route_id": 3,
        "valid_for": 30,
    }
    assert asked.headers["x-api-key"] == "k"


def test_a_refusal_is_1_and_says_what_to_do() -> None:
    """Detail and fix for people, the body as it came for --json."""
    with server_with("delivered", problem=(402, PROBLEM)) as here:
        found = send(here.url)
        assert send(here.url, "--json").json == PROBLEM
    assert found.code == 1
    assert "Insufficient balance" in found.err
    assert "Add funds." in found.err


def test_a_body_that_is_invalid_is_named_by_its_place() -> None:
    """The list form of 422 is read too."""
    detail = [{"loc": ["body", "numbers", 0], "msg": "too short", "type": "x"}]
    body = {"detail": detail, "code": "body_invalid", "fix": "Correct `detail`."}
    with server_with("x", problem=(422, body)) as here:
        found = send(here.url)
    assert found.code == 1
    assert "numbers.0: too short" in found.err
    assert "`detail`" not in found.err  # a terminal shows no such thing


@pytest.mark.parametrize("status", [500, 503])
def test_a_server_that_cannot_is_69(status) -> None:
    """What the server could not do isn't a refusal."""
    with server_with("x", problem=(status, {"detail": "not now"})) as here:
        assert send(here.url).code == 69


def test_an_answer_that_is_no_json_is_69() -> None:
    """Some other server stands there."""
    with answering(lambda _: (200, b"<html>")) as here:
        found = send(here.url)
    assert found.code == 69
    assert "JSON" in found.err


def test_a_server_that_is_not_there_is_69() -> None:
    """Nothing listens on that port any more."""
    with answering(lambda _: None) as here:
        url = here.url
    assert send(url).code == 69
    assert send(url, "--json").json["fix"]


def test_a_lost_answer_is_asked_for_again_under_the_same_key() -> None:
    """A repeat is the same request: one message, however often it is sent."""
    cut: list[int] = []

    def answer(asked: Asked):
        cut.append(1)
        return None if len(cut) < 3 else (200, accepted())

    with answering(answer) as here:
        assert send(here.url).code == 0
        keys = {asked.headers["idempotency-key"] for asked in here.asked}
    assert len(here.asked) == 3
    assert len(keys) == 1


def test_a_connection_that_always_breaks_is_69_and_says_what_is_safe() -> None:
    """Whether the send happened isn't known, and that is what it says."""
    with answering(lambda _: None) as here:
        found = send(here.url, "--idempotency-key", "mine")
        assert {asked.headers["idempotency-key"] for asked in here.asked} == {"mine"}
    assert found.code == 69
    assert "isn't known" in found.err
    assert "--idempotency-key mine" in found.err


def test_a_key_that_was_made_up_is_told_when_it_is_needed() -> None:
    """Without it nobody could repeat the command safely; looking needs none."""
    with answering(lambda _: None) as here:
        found = send(here.url)
        [key] = {asked.headers["idempotency-key"] for asked in here.asked}
        looked = type_in("explain", MESSAGE_ID, "--url", here.url, "--key", "k")
    assert f"--idempotency-key {key}" in found.err
    assert looked.code == 69
    assert "idempotency" not in looked.err


def test_what_was_accepted_is_told_even_if_the_server_goes_away() -> None:
    """Else somebody would send it again."""

    def answer(asked: Asked):
        return (200, accepted()) if asked.method == "POST" else None

    with answering(answer) as here:
        found = send(here.url, "--wait")
        told = send(here.url, "--wait", "--json")
    assert found.code == told.code == 69
    assert f"it was accepted all the same; see: arrivals watch {MESSAGE_ID}" in found.err
    assert told.json["send"] == accepted()


# --- where the server and the key come from -------------------------------------------


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """A folder without dev.json, and an environment that names nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ARRIVALS_URL", raising=False)
    monkeypatch.delenv("ARRIVALS_API_KEY", raising=False)
    return tmp_path


def keep_dev_file(folder, url="http://127.0.0.1:8025"):
    """Write what dev would have."""
    (folder / "arrivals-data").mkdir()
    kept = {"api": url, "keys": {"main": "dev-key"}}
    (folder / "arrivals-data" / "dev.json").write_text(json.dumps(kept))


def test_options_come_before_the_environment_before_dev_json(nowhere, monkeypatch) -> None:
    """The nearest word counts."""
    keep_dev_file(nowhere)
    assert find_server(None, None) == ("http://127.0.0.1:8025", "dev-key")
    monkeypatch.setenv("ARRIVALS_URL", "https://sms.example/")
    monkeypatch.setenv("ARRIVALS_API_KEY", "env-key")
    assert find_server(None, None) == ("https://sms.example", "env-key")
    assert find_server("http://x", "y") == ("http://x", "y")


def test_the_development_key_goes_to_no_other_server(nowhere, monkeypatch) -> None:
    """A key in dev.json is for the server in dev.json."""
    keep_dev_file(nowhere)
    with pytest.raises(Stop) as stopped:
        find_server("https://sms.example", None)
    assert stopped.value.code == 64
    assert find_server("http://127.0.0.1:8025/", None)[1] == "dev-key"


def test_without_any_server_it_is_69(nowhere) -> None:
    """And it says how to get one."""
    found = type_in("send", "31612345678", "Hi")
    assert found.code == 69
    assert "arrivals dev" in found.err


@pytest.mark.parametrize("contents", [b"", b"[]", b"{", b"\xff"])
def test_a_dev_json_that_is_none_is_as_good_as_none(nowhere, contents) -> None:
    """Whatever stands in it, the command doesn't crash."""
    keep_dev_file(nowhere)
    (nowhere / "arrivals-data" / "dev.json").write_bytes(contents)
    assert type_in("send", "31612345678", "Hi").code == 69


@pytest.mark.parametrize("key", ["é", "a\nb"])
def test_a_key_that_no_header_can_hold(nowhere, key) -> None:
    """It is wrong usage, not a crash."""
    with server_with("delivered") as here:
        words = ("send", "3", "Hi", "--url", here.url)
        assert type_in(*words, "--key", key).code == 64
        assert type_in(*words, "--key", "k", "--idempotency-key", key).code == 64
        assert here.asked == []


# --- looking ---------------------------------------------------------------------------


def test_watch_ends_with_the_outcome() -> None:
    """The same codes as send --wait."""
    with server_with("unknown") as here:
        assert type_in("watch", MESSAGE_ID, "--url", here.url, "--key", "k").code == 4


def test_watch_follows_an_order_to_its_end() -> None:
    """One line for each change, 0 at the end, 7 before."""
    ended = iter([1, 2])

    def answer(asked: Asked):
        assert asked.path == "/api/v1/orders/7"
        done = next(ended)
        return 200, {"ended": done, "count": 2, "layers": {"outcome": {"delivered": done}}}

    with answering(answer) as here:
        found = type_in("watch", "7", "--url", here.url, "--key", "k")
    assert found.code == 0
    assert found.out.splitlines() == [
        "order 7: 1 of 2 ended; 1 delivered",
        "order 7: 2 of 2 ended; 2 delivered",
    ]


def test_explain_prints_sentences_with_their_events() -> None:
    """Each sentence cites its events; --json prints the answer."""
    answer = {
        "verdict": "filtered",
        "sentences": [{"text": "It was stopped.", "cites": [3, 4]}],
    }
    with answering(lambda _: (200, answer)) as here:
        found = type_in("explain", MESSAGE_ID, "--url", here.url, "--key", "k")
        as_json = type_in("explain", MESSAGE_ID, "--url", here.url, "--key", "k", "--json")
    assert found.out.splitlines() == [f"{MESSAGE_ID}  filtered", "  It was stopped. [3, 4]"]
    assert as_json.json == answer


def test_explain_tells_of_look_alikes_when_asked() -> None:
    """Two answers in one: the cohort's sentences below, or beside the rest in JSON."""
    told: dict[str, object] = {"verdict": None, "sentences": []}

    def answer(asked: Asked):
        return 200, {"sentences": ["Alike."]} if asked.path.endswith("/cohort") else told

    words = ("explain", MESSAGE_ID, "--cohort", "--key", "k", "--url")
    with answering(answer) as here:
        found = type_in(*words, here.url)
        as_json = type_in(*words, here.url, "--json")
    assert found.out.splitlines() == [f"{MESSAGE_ID}  open", "look-alikes", "  Alike."]
    assert as_json.json == {**told, "cohort": {"sentences": ["Alike."]}}


def test_compare_prints_the_text_of_the_server() -> None:
    """It names both; --json prints the answer."""
    other = MESSAGE_ID.replace("BX-1", "BX-2")
    words = ("compare", MESSAGE_ID, other, "--key", "k", "--url")
    with answering(lambda asked: (200, b"a line\n" if "format" in asked.query else {})) as here:
        found = type_in(*words, here.url)
        as_json = type_in(*words, here.url, "--json")
        pairs = [(each.path, each.query["a"], each.query["b"]) for each in here.asked]
    assert pairs == [("/api/v1/compare", [MESSAGE_ID], [other])] * 2
    assert (found.out, as_json.json) == ("a line\n", {})


def test_timeline_prints_the_text_of_the_server() -> None:
    """It asks for the form for people."""
    with answering(lambda asked: (200, b"a line\n")) as here:
        found = type_in("timeline", MESSAGE_ID, "--url", here.url, "--key", "k")
        assert here.asked[0].query == {"format": ["text"]}
    assert found.out == "a line\n"
