"""A support desk: a code found by number, and why it didn't come, by a key that can't send."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from tests.e2e.test_quickstart import MESSAGE_ID, Dev

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

NUMBER = "99900000002"  # its phone is switched off
LATER = "99900000001"  # of another test, which may run first
KNOWN_WITHIN_S = 15.0  # a running server looks for new keys every five seconds


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    running = Dev(tmp_path_factory.mktemp("desk"))
    yield running
    running.stop()


def desk_key(dev: Dev) -> str:
    """Make a key for the desk, and wait until the server knows it."""
    words = ("--account", "1", "--scope", "support", "--expires", "90d")
    key = str(json.loads(dev.run("keys", "create", *words, "--json").stdout)["key"])
    until = time.monotonic() + KNOWN_WITHIN_S
    while dev.run("messages", "list", "--key", key).returncode and time.monotonic() < until:
        time.sleep(0.5)
    return key


def used(dev: Dev, key: str) -> str | None:
    listed = json.loads(dev.run("keys", "list", "--json").stdout)
    (found,) = [each for each in listed if each["key_id"] in key.replace("_", "")]
    return str(found["last_used_at"]) if found["last_used_at"] else None


def test_two_commands_say_why_a_code_did_not_come(dev: Dev) -> None:
    """Of another account's message; and nothing can be sent, cancelled or spent."""
    customer = dev.facts["keys"]["other"]
    sent = dev.run("send", f"+{NUMBER}", "Your code is 4839", "--wait", "--key", customer)
    assert sent.returncode == 2, sent
    key = ("--key", desk_key(dev))

    found = dev.run("messages", "find", "--number", f"+{NUMBER}", *key)
    assert found.returncode == 0, found
    matched = MESSAGE_ID.search(found.stdout)
    assert matched
    explained = dev.run("explain", matched[0], *key)
    assert explained.returncode == 0, explained
    assert "the phone was off or out of coverage" in explained.stdout, explained
    assert "4839" not in found.stdout + explained.stdout

    again = dev.run("messages", "find", "--number", NUMBER, *key, "--json")
    assert [each["account_id"] for each in json.loads(again.stdout)["messages"]] == [4]
    for words in (
        ("send", f"+{NUMBER}", "Hello"),
        ("cancel", matched[0]),
        ("estimate", f"+{NUMBER}", "Hello"),
        ("balance",),
    ):
        refused = dev.run(*words, *key)
        assert refused.returncode == 1, refused
        assert "support" in refused.stderr
        assert "What to do: " in refused.stderr
    assert used(dev, key[1]) is not None


def test_a_scheduled_message_is_cancelled_and_its_money_free_again(dev: Dev) -> None:
    """`send --send-at`, `cancel`, `balance`: against a server that runs."""
    before = json.loads(dev.run("balance", "--json").stdout)["balance"]
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3_600))
    priced = json.loads(dev.run("estimate", f"+{LATER}", "Later", "--json").stdout)
    sent = dev.run("send", f"+{LATER}", "Later", "--send-at", at, "--quote", priced["quote_id"])
    assert sent.returncode == 0, sent
    held = json.loads(dev.run("balance", "--json").stdout)["held"]
    assert held == priced["estimated_cost"] > 0
    cancelled = dev.run("cancel", sent.stdout.splitlines()[0])
    assert cancelled.returncode == 0, cancelled
    assert json.loads(dev.run("balance", "--json").stdout)["balance"] == before
    assert dev.run("cancel", sent.stdout.splitlines()[0]).returncode in {0, 1}
    refused = dev.run("send", f"+{LATER}", "Later", "--max-price", "0.000001")
    assert refused.returncode == 1
    assert "max_price" in refused.stderr
