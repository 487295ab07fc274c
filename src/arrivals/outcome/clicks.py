"""Tell a person's click on a message's link from a machine's, by what is known of it.

Networks open links before they deliver a message, and some of what they open they then filter;
phones and mail programs fetch them for a preview, and security software for a look. None of it
is anybody reading. Machines are known by how they call themselves, which is the table ROBOTS,
and by how they come: without a name, for no page, or sooner than anybody could have read.

Whoever hides is taken for a person, so a click is strong evidence and no proof.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

# Assumed: nobody has read a message and opened its link sooner. Networks scan it within one or
# two seconds, or while it is being handed to them.
SOONEST_S: Final = 2.0
USER_AGENT_CHARS_MAX: Final = 1_024
METHODS: Final = ("GET", "HEAD", "POST")

_SOONEST_US: Final = round(SOONEST_S * 1e6)


class Clicker(StrEnum):
    """Who opened a link."""

    HUMAN = "human"
    SCANNER = "scanner"


class Why(StrEnum):
    """What a click is told by."""

    PREVIEW = "preview"  # fetches pages to show what is behind a link
    SECURITY = "security"  # looks at pages for what is dangerous
    CRAWLER = "crawler"
    HEADLESS = "headless"  # a browser that nobody looks at
    LIBRARY = "library"  # what programs fetch with
    NO_USER_AGENT = "no_user_agent"  # every browser sends one
    HEAD = "head"  # asks for no page
    TOO_SOON = "too_soon"
    NOTHING_AGAINST = "nothing_against"  # a person's, as far as anybody can tell


class Click(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a click; None: not told."""

    at_us: int
    user_agent: str | None = None
    method: str | None = None


class Robot(NamedTuple):
    """By what some machines are known in a user agent, in any case of letters."""

    named: str  # a regular expression
    why: Why
    source: str


_LIST: Final = "github.com/monperrus/crawler-user-agents, as of July 2026"

ROBOTS: Final = (
    Robot(
        "facebookexternalhit|facebookcatalog|facebot", Why.PREVIEW,
        "developers.facebook.com/docs/sharing/webmasters/web-crawlers; Apple's Messages calls"
        " itself that and Twitterbot when it fetches a preview",
    ),
    Robot("twitterbot", Why.PREVIEW, "developer.x.com, cards: getting started"),
    Robot("slackbot|slack-imgproxy", Why.PREVIEW, "api.slack.com/robots"),
    Robot("bingpreview|microsoftpreview", Why.PREVIEW,
          "bing.com/webmasters/help: which crawlers does Bing use"),
    Robot("snapurlpreview|snap url preview", Why.PREVIEW, "developers.snap.com/robots"),
    Robot("^whatsapp|^viber|telegrambot|discordbot|linkedinbot|skypeuripreview", Why.PREVIEW,
          _LIST),
    Robot("google-safety", Why.SECURITY,
          "developers.google.com, crawling: special-case crawlers"),
    Robot("virustotal|urlscanner|radar-scanner|twinwavescanner", Why.SECURITY, _LIST),
    Robot("headlesschrome", Why.HEADLESS, "developer.chrome.com/docs/chromium/headless"),
    Robot("phantomjs|puppeteer|playwright|chrome-lighthouse", Why.HEADLESS, _LIST),
    Robot("go-http-client", Why.LIBRARY, "pkg.go.dev/net/http: its default"),
    Robot("^curl/|libcurl", Why.LIBRARY, "curl.se/docs/manpage.html: -A"),
    Robot("^wget", Why.LIBRARY, "gnu.org/software/wget/manual: --user-agent"),
    Robot("^dalvik/", Why.LIBRARY, "AOSP, RuntimeInit: what an app fetches with by default"),
    Robot(
        r"python-requests|python-urllib|python-httpx|aiohttp|okhttp|apache-httpclient|^java/|"
        r"^axios/|node-fetch|^undici|libwww-perl|^ruby|guzzlehttp|^httpie/",
        Why.LIBRARY, _LIST,
    ),
    # Not a Cubot, which is a phone.
    Robot(r"(?<!cu)bot(?![a-z])|crawler|spider|preview", Why.CRAWLER,
          f"how most of them name themselves: {_LIST}"),
)  # fmt: skip

_MARKS: Final = tuple((re.compile(each.named, re.IGNORECASE), each.why) for each in ROBOTS)


def clicked_by(click: Click, sent_us: int | None) -> tuple[Clicker, Why]:
    """Tell who opened a link and by what that is known.

    `sent_us` is when a provider took the message; None where nobody did, as far as is known.
    """
    why = _robot(click.user_agent) or _manner(click, sent_us)
    return (Clicker.SCANNER, why) if why else (Clicker.HUMAN, Why.NOTHING_AGAINST)


def _robot(user_agent: str | None) -> Why | None:
    if user_agent is None:
        return None
    told = user_agent[:USER_AGENT_CHARS_MAX].strip()
    if not told:
        return Why.NO_USER_AGENT
    return next((why for mark, why in _MARKS if mark.search(told)), None)


def _manner(click: Click, sent_us: int | None) -> Why | None:
    if click.method == "HEAD":
        return Why.HEAD
    too_soon = sent_us is not None and click.at_us - sent_us < _SOONEST_US
    return Why.TOO_SOON if too_soon else None
