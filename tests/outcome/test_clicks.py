"""Whose click it was, by what is told of it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from arrivals.core.feedback import MACHINES as SAID
from arrivals.outcome.clicks import (
    ROBOTS,
    SOONEST_S,
    USER_AGENT_CHARS_MAX,
    Click,
    Clicker,
    Why,
    clicked_by,
)

SENT_US = 1_750_000_000_000_000
LATER_US = SENT_US + 60_000_000

APPLE = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_11_1) AppleWebKit/601.2.4 (KHTML, like Gecko)"
    " Version/9.0.1 Safari/601.2.4 facebookexternalhit/1.1 Facebot Twitterbot/1.0"
)
WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
MACHINES = [
    (APPLE, Why.PREVIEW),
    ("facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)", Why.PREVIEW),
    ("Twitterbot/1.0", Why.PREVIEW),
    ("WhatsApp/2.23.20.0 A", Why.PREVIEW),
    ("TelegramBot (like TwitterBot)", Why.PREVIEW),
    ("Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", Why.PREVIEW),
    ("Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)", Why.PREVIEW),
    (f"Mozilla/5.0 (Windows NT 6.1) {WEBKIT} BingPreview/1.0b", Why.PREVIEW),
    ("Mozilla/5.0 (compatible; SnapURLPreview/1.0; +https://www.snapchat.com)", Why.PREVIEW),
    (f"Mozilla/5.0 (Linux; Android 6.0.1) {WEBKIT} (compatible; Google-Safety)", Why.SECURITY),
    ("Mozilla/5.0 (compatible; CloudflareRadarURLScanner)", Why.SECURITY),
    (f"Mozilla/5.0 (X11; Linux x86_64) {WEBKIT} HeadlessChrome/120.0.0.0", Why.HEADLESS),
    (f"Mozilla/5.0 (Unknown; Linux x86_64) {WEBKIT} PhantomJS/2.1.1", Why.HEADLESS),
    ("python-requests/2.32.3", Why.LIBRARY),
    ("Python/3.12 aiohttp/3.9.5", Why.LIBRARY),
    ("curl/8.5.0", Why.LIBRARY),
    ("Wget/1.21.4", Why.LIBRARY),
    ("Go-http-client/2.0", Why.LIBRARY),
    ("Dalvik/2.1.0 (Linux; U; Android 13; SM-G991B Build/TP1A)", Why.LIBRARY),
    ("okhttp/4.12.0", Why.LIBRARY),
    ("Java/17.0.2", Why.LIBRARY),
    ("Mozilla/5.0 (compatible; bingbot/2.0)", Why.CRAWLER),
    ("Some-Crawler 1.0", Why.CRAWLER),
    ("", Why.NO_USER_AGENT),
    ("  ", Why.NO_USER_AGENT),
]
PEOPLE = [
    f"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) {WEBKIT} Mobile/15E148",
    f"Mozilla/5.0 (Linux; Android 14; Pixel 8) {WEBKIT} Chrome/126.0.0.0 Mobile Safari/537.36",
    # A phone named Cubot, and browsers within other programs.
    f"Mozilla/5.0 (Linux; Android 11; CUBOT X50) {WEBKIT} Chrome/126.0.0.0 Mobile",
    f"Mozilla/5.0 (Linux; Android 14; Pixel 8; wv) {WEBKIT} [FB_IAB/FB4A;FBAV/470.0;]",
    f"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5) {WEBKIT} Mobile/15E148 Snapchat/12.8",
    "Nokia6300/2.0 (05.00) Profile/MIDP-2.0 Configuration/CLDC-1.1",
    "Opera/9.80 (J2ME/MIDP; Opera Mini/4.2/28.3590; U; en) Presto/2.8.119 Version/11.10",
]


def of(sent_us: int | None = SENT_US, **told: Any) -> tuple[Clicker, Why]:
    return clicked_by(Click(**{"at_us": LATER_US, **told}), sent_us)


@pytest.mark.parametrize(("user_agent", "why"), MACHINES)
def test_machines_are_known_by_what_they_call_themselves(user_agent: str, why: Why) -> None:
    for written in (user_agent, user_agent.upper()):
        assert of(user_agent=written) == (Clicker.SCANNER, why)


@pytest.mark.parametrize("user_agent", PEOPLE)
def test_people_have_browsers_of_all_kinds(user_agent: str) -> None:
    assert of(user_agent=user_agent) == (Clicker.HUMAN, Why.NOTHING_AGAINST)


def test_every_row_has_a_machine_that_only_it_knows() -> None:
    """No row is there for nothing, and each has its source."""
    for row in ROBOTS:
        assert row.source
        knows = [name for name, _ in MACHINES if re.search(row.named, name, re.IGNORECASE)]
        before = ROBOTS[: ROBOTS.index(row)]
        assert any(
            not any(re.search(each.named, name, re.IGNORECASE) for each in before)
            for name in knows
        ), row.named


@pytest.mark.parametrize(
    ("after_s", "by"),
    [(-3600, "scanner"), (0, "scanner"), (1.999, "scanner"), (2, "human"), (3600, "human")],
)
def test_nobody_reads_as_fast_as_machines(after_s: float, by: str) -> None:
    assert SOONEST_S == 2
    found = of(at_us=SENT_US + round(after_s * 1e6), user_agent=PEOPLE[0], method="GET")
    assert found[0] == by
    assert (found[1] is Why.TOO_SOON) == (by == "scanner")


def test_what_was_never_taken_cannot_be_opened_too_soon() -> None:
    assert of(None, at_us=0) == (Clicker.HUMAN, Why.NOTHING_AGAINST)


def test_who_asks_for_no_page_reads_none() -> None:
    assert of(method="HEAD") == (Clicker.SCANNER, Why.HEAD)
    assert of(method="HEAD", user_agent=PEOPLE[0])[1] is Why.HEAD
    for method in ("GET", "POST"):
        assert of(method=method) == (Clicker.HUMAN, Why.NOTHING_AGAINST)


def test_of_a_user_agent_only_so_much_is_looked_at() -> None:
    long = "x" * USER_AGENT_CHARS_MAX
    assert of(user_agent=f"{long} Twitterbot/1.0")[0] is Clicker.HUMAN
    assert of(user_agent=f"Twitterbot/1.0 {long}")[0] is Clicker.SCANNER


def test_every_reason_can_be_said() -> None:
    assert set(SAID) == {each.value for each in Why} - {Why.NOTHING_AGAINST.value}
