"""What carriers do with a hand-off, decided by a seed: their answer, and the receipts they owe.

A carrier's mind doesn't depend on what happens to us: the same attempt at the same number meets
the same fate before a crash and after it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from arrivals.providers.api import Receipt, Result
from tests.flows.script import receipt, result_of

# How often, and the word of tests/flows/script.py for the answer.
ANSWERS = {
    "taken": 44,
    "throttled": 8,
    "refused": 6,
    "refused_here": 6,
    "refused_now": 6,
    "not_sent": 6,
    "not_bound": 4,
    "unanswered": 12,  # the carrier has it all the same
    "lost": 7,  # it doesn't
    "partly": 5,
}
PROVED_NOT_TAKEN = (
    "throttled",
    "refused",
    "refused_here",
    "refused_now",
    "not_sent",
    "not_bound",
)
# A message is tried so often at most, so that every script ends.
ATTEMPTS_BEFORE_TAKEN = 3

# What is said of each part in the end, in this order unless the script shuffles it.
SAYINGS = (
    ("DELIVRD",),
    ("DELIVRD",),
    ("DELIVRD", "DELIVRD"),
    ("ENROUTE", "DELIVRD"),
    ("ACCEPTD", "UNDELIV"),
    ("UNDELIV",),
    ("EXPIRED", "DELIVRD"),
    ("UNDELIV", "DELIVRD"),
    ("EXPIRED",),
    (),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What becomes of one hand-off."""

    answer: str  # a word of ANSWERS
    parts_taken: int
    answers_late: bool  # after it was given up: the real answer still comes
    words: tuple[str, ...]  # receipts, of each part that was taken
    shouts: bool  # receipts give the id in capitals

    def ids(self, msisdn: str, attempt: int) -> list[str]:
        """Return the carrier's ids of the parts it took."""
        return [f"m{msisdn}-{attempt}-{part}" for part in range(1, self.parts_taken + 1)]

    def result(self, msisdn: str, attempt: int) -> Result:
        """Return the answer that comes first."""
        match self.answer:
            case "taken" | "partly":
                return result_of(self.answer, self.ids(msisdn, attempt))
            case "refused" | "refused_here" | "refused_now":
                return result_of(self.answer, ["no_route"])
            case "lost":
                return result_of("unanswered", ())
            case word:
                return result_of(word, ())

    def late_result(self, msisdn: str, attempt: int) -> Result | None:
        """Return the answer that comes after it was given up, if one does."""
        if self.answer != "unanswered" or not self.answers_late:
            return None
        return result_of("taken", self.ids(msisdn, attempt))

    def receipts(self, provider_id: str, msisdn: str, attempt: int) -> dict[str, Receipt]:
        """Return the receipts that the carrier sends until each is acknowledged, by name."""
        owed = {}
        for part, external_id in enumerate(self.ids(msisdn, attempt), 1):
            name = external_id.upper() if self.shouts else external_id
            for turn, word in enumerate(self.words):
                owed[f"{msisdn}/{attempt}/{part}/{turn}"] = receipt(
                    provider_id, name, word, msisdn
                )
        return owed


def fate(seed: int, msisdn: str, attempt: int, segments: int) -> Fate:
    """Return what a carrier does with this attempt at this number."""
    chance = random.Random(f"{seed}/{msisdn}/{attempt}")
    [answer] = chance.choices(list(ANSWERS), list(ANSWERS.values()))
    if attempt > ATTEMPTS_BEFORE_TAKEN or (answer == "partly" and segments == 1):
        answer = "taken"
    parts = {"taken": segments, "unanswered": segments, "partly": 1}
    return Fate(
        answer=answer,
        parts_taken=parts.get(answer, 0),
        answers_late=chance.random() < 0.5,
        words=chance.choice(SAYINGS) if answer != "partly" else (),
        shouts=chance.random() < 0.2,
    )


def stray(n: int) -> Receipt:
    """Return a receipt about a message that nobody ever sent."""
    return receipt("north", f"stray-{n}", "DELIVRD", f"4477009{n:05d}")
