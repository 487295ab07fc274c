"""Count what was said beside what really happened, and compare it with what must be so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from arrivals.world.expect import Expect
from arrivals.world.scenario import Scenario

# What became of a message, the best of its hand-offs first; `not_sent` had none.
TRUTHS: Final = ("reached", "filtered", "failed", "expired", "lost", "refused", "not_sent")
VERDICTS: Final = (
    "delivered", "likely_delivered", "failed", "filtered", "likely_filtered", "expired",
    "unknown", "open",
)  # fmt: skip
_FILTERED: Final = frozenset({"filtered", "likely_filtered"})


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """One message in the end: what really became of it, and what is said of it."""

    stream: str
    truth: str  # of TRUTHS
    arrivals: int  # how often it's on the handset
    state: str  # what receipts and deadlines alone made of it
    verdict: str  # of VERDICTS
    probability: float | None
    charged: bool


class Play(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that came of one scenario."""

    scenario: Scenario  # as it was played: a longer stream's count is what it was cut to
    seed: int
    messages: tuple[Seen, ...]
    turned_away: int  # sends that weren't accepted, for want of funds
    alarms: tuple[str, ...]  # all that were raised, in order, as each was said last
    broken: tuple[str, ...]  # promises that the database shows to be broken
    days: float  # of its own time


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What a play came to."""

    name: str
    about: str
    seed: int
    days: float
    messages: int
    turned_away: int
    charged: int
    arrived_twice: int
    table: dict[str, dict[str, int]]  # messages by truth and verdict
    streams: dict[str, dict[str, float]]  # shares of the verdicts
    delivered_right: float | None  # of what is called delivered; None: nothing is
    failed_right: float | None
    kept_in_silence: int  # filtered, and nobody ever said so
    silence_seen: float | None  # of those, that are called filtered
    alarms: list[str]
    misses: list[str]  # what isn't as the scenario states


def finding_of(play: Play) -> Finding:
    """Count a play and compare it with what its scenario states."""
    seen = play.messages
    silent = [each for each in seen if each.truth == "filtered" and each.state == "unknown"]
    found = Finding(
        name=play.scenario.name,
        about=play.scenario.about,
        seed=play.seed,
        days=round(play.days, 2),
        messages=len(seen),
        turned_away=play.turned_away,
        charged=sum(each.charged for each in seen),
        arrived_twice=sum(each.arrivals > 1 for each in seen),
        table=_table(seen),
        streams={
            stream: {word: count / len(whole) for word, count in _verdicts(whole).items()}
            for stream, whole in _by_stream(seen).items()
        },
        delivered_right=_share(
            each.truth == "reached" for each in seen if each.verdict == "delivered"
        ),
        failed_right=_share(
            each.truth != "reached" for each in seen if each.verdict == "failed"
        ),
        kept_in_silence=len(silent),
        silence_seen=_share(each.verdict in _FILTERED for each in silent),
        alarms=list(play.alarms),
        misses=[],
    )
    misses = [*_out_of_tolerance(play), *_not_shown(found, play)]
    return msgspec.structs.replace(found, misses=misses)


def _table(seen: Iterable[Seen]) -> dict[str, dict[str, int]]:
    counts = Counter((each.truth, each.verdict) for each in seen)
    return {
        truth: {word: counts[truth, word] for word in VERDICTS if counts[truth, word]}
        for truth in TRUTHS
        if any(counts[truth, word] for word in VERDICTS)
    }


def _by_stream(seen: Iterable[Seen]) -> dict[str, list[Seen]]:
    streams: dict[str, list[Seen]] = {}
    for each in seen:
        streams.setdefault(each.stream, []).append(each)
    return streams


def _verdicts(seen: Iterable[Seen]) -> dict[str, int]:
    counts = Counter(each.verdict for each in seen)
    return {word: counts[word] for word in VERDICTS if counts[word]}


def _share(of: Iterable[bool]) -> float | None:
    """Return how many of some are so, or None where there are none."""
    whole = list(of)
    return sum(whole) / len(whole) if whole else None


def _out_of_tolerance(play: Play) -> Iterator[str]:
    for stream, whole in _by_stream(play.messages).items():
        expect = play.scenario.expect[stream]
        yield from _off(stream, expect, _verdicts(whole), len(whole))


def _off(stream: str, expect: Expect, counts: Mapping[str, int], count: int) -> Iterator[str]:
    wanted: dict[str, float] = {str(word): share for word, share in expect.verdicts.items()}
    for word in wanted | dict(counts) if wanted else ():
        share, expected = counts.get(word, 0) / count, wanted.get(word, 0.0)
        off_by = expect.verdict_off_by(expected, count)
        if abs(share - expected) > off_by:
            yield f"{stream}: {word} is {share:.3f}, expected {expected:.3f} ± {off_by:.3f}"


def _not_shown(found: Finding, play: Play) -> Iterator[str]:
    shows = play.scenario.shows
    for word, right, least in (
        ("delivered", found.delivered_right, shows.delivered_right),
        ("failed", found.failed_right, shows.failed_right),
    ):
        if right is not None and right < least:
            yield f"what is called {word} is so in {right:.3f}, expected {least:.3f} at least"
    if found.arrived_twice > shows.twice * found.messages:
        yield f"{found.arrived_twice} messages arrived twice"
    for words in shows.raises:
        if not _said(words, found.alarms):
            yield f"no alarm says {words!r}"
    for words in shows.never_raises:
        if _said(words, found.alarms):
            yield f"an alarm says {words!r}"
    yield from play.broken


def _said(words: str, alarms: Sequence[str]) -> bool:
    return any(words in each for each in alarms)
