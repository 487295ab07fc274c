"""Whose time a look at the server's stack is counted as."""

from __future__ import annotations

import pytest

from tests.bench.profile import ELSE, PAGE, Profile, room_of, shares, stacks_of, tables

LOOP = "main (arrivals/cli/__init__.py:7);run (asyncio/runners.py:9)"
SENT = (
    f"{LOOP};Application.__call__ (arrivals/http/app.py:88);send (arrivals/http/sending.py:3)"
)
DECODED = f"{SENT};raw_decode (json/decoder.py:41)"
READ = f"{LOOP};data_received (uvicorn/protocols/http/httptools_impl.py:1)"
SEEN = f"{SENT} 3\n{DECODED} 1\n{READ} 4\n{LOOP} 2\n"


def test_a_look_is_the_innermost_known_room_s() -> None:
    rooms = [room_of(frames) for frames, _ in stacks_of(SEEN)]
    assert rooms == ["http: requests, answers"] * 2 + ["HTTP server (uvicorn)", ELSE]


def test_functions_have_what_they_called_and_what_holds_everything_is_left_out() -> None:
    looks, rooms, functions = shares(SEEN)
    assert looks == 10
    assert sum(rooms.values()) == pytest.approx(1)
    assert functions == {
        "Application.__call__ (http/app.py)": 0.4,
        "send (http/sending.py)": 0.4,
    }


def test_a_function_that_calls_itself_is_counted_once() -> None:
    twice = "f (arrivals/core/parts.py:1);f (arrivals/core/parts.py:2) 1\n"
    assert shares(twice)[2] == {"f (core/parts.py)": 1.0}


def test_the_tables_say_the_shares() -> None:
    found = Profile(
        looks=10, rooms={ELSE: 0.25}, functions={"f (x.py)": 0.5}, held=0.5, cpu_us=300,
        settled_per_s=2_000,
    )  # fmt: skip
    text = tables(found)
    assert f"| {ELSE} | 25.0% |" in text
    assert "| `f (x.py)` | 50.0% |" in text
    assert "300 µs" in text


def test_the_page_has_a_place_for_them() -> None:
    assert PAGE.read_text("utf-8").count("<!-- profile: ") == 2
