"""Fold the receipts of a long message's parts to one outcome.

What is known of each part is one letter, and each hand-off has a row of them: a handset puts
together the parts of one hand-off only, so the parts of two don't add up. The rows are kept
as text, `1:dd. 3:d..`: of the first attempt two of three parts arrived, of the third one. A row
is as long as its hand-off has parts: as many as the message has segments, unless the provider
that took it has another alphabet than the one by which it was priced. Then the row is begun
before the hand-off, so that whatever comes first meets its length.

What is known only ever grows, so the order of receipts doesn't matter (invariant 36).

The rule of the roll-up: all parts of one hand-off arrived, and the message is delivered; else
the worst that was said of any part is said of the message; else it stays open. Where a provider
may send one receipt for all parts, and doesn't say, one that arrived speaks for the others once
they have been silent for PARTS_WAIT_US.
"""

from __future__ import annotations

from typing import Final

from arrivals.core.message import Move

# How bad the worst that was said of a part is; in the second row the same where it was said to
# be delivered as well.
_NOT_DELIVERED: Final = ".efx"
_DELIVERED: Final = "dEFX"
_BADNESS: Final = {
    Move.RECEIPT_DELIVERED: 0,
    Move.RECEIPT_EXPIRED: 1,
    Move.RECEIPT_FAILED: 2,
    Move.RECEIPT_FILTERED: 3,
}
_WORDS: Final = {
    "e": "expired",
    "f": "failed",
    "x": "filtered",
    # A part that arrived did so, whatever else was said of it.
    **dict.fromkeys(_DELIVERED, "delivered"),
}
_MOVE_OF_BADNESS: Final = {badness: move for move, badness in _BADNESS.items()}

# How long other parts' receipts are waited for after one's. They come together or, from a
# handset that puts the message together first, a little later; a failure may take longer.
PARTS_WAIT_US: Final = 3_600 * 1_000_000

FINAL_MOVES: Final = frozenset(_BADNESS)  # what a receipt can say of a part


def roll_up(
    parts: str | None, segments: int, attempt: int, part: int, said: Move
) -> tuple[str, Move | None]:
    """Add one part's receipt to what is known: (what is known then, the message's move if any).

    A hand-off whose every part arrived makes the message delivered; else one part that didn't
    decides it, and parts of which nothing was said leave it open.
    """
    rows = _rows(parts)
    letters = list(rows.get(attempt, "." * segments))
    at = min(max(part, 1), len(letters)) - 1
    delivered = said is Move.RECEIPT_DELIVERED or letters[at] in _DELIVERED
    letters[at] = (_DELIVERED if delivered else _NOT_DELIVERED)[
        max(_badness(letters[at]), _BADNESS[said])
    ]
    rows[attempt] = "".join(letters)
    known = _text(rows)
    if any(_arrived(row) == len(row) for row in rows.values()):
        return known, Move.RECEIPT_DELIVERED
    worst = max(_badness(letter) for row in rows.values() for letter in row)
    return known, _MOVE_OF_BADNESS[worst] if worst else None


def begin(
    parts: str | None, segments: int, attempt: int, count: int, *, may_be_out: bool
) -> str | None:
    """Return what is known once a hand-off is to leave in this many parts.

    However often it was tried, few rows are kept: those of which a part was heard, and, where
    an earlier hand-off `may_be_out`, the first of the others. A message is sent again once at
    most, and every attempt between that one and this was proved to be nothing.
    """
    if count == segments:
        return parts
    rows = _rows(parts)
    unheard = [number for number, row in rows.items() if not row.strip(".")]
    for number in unheard[1:] if may_be_out else unheard:
        del rows[number]
    rows[attempt] = "." * count
    return _text(rows)


def count_of(parts: str | None, segments: int, attempt: int) -> int:
    """Return in how many parts a hand-off left, or leaves."""
    return len(_rows(parts).get(attempt, "." * segments)) if parts else segments


def part_in_doubt(parts: str | None, segments: int, attempt: int) -> int:
    """Return the part that a receipt without a known id is about: the last one still open.

    A provider that loses answers took the first parts of a message rather than the last.
    """
    row = _rows(parts).get(attempt, "." * segments)
    return row.rfind(".") + 1 or len(row)


def place_of(parts: str | None, segments: int, attempt: int, part: int) -> int:
    """Return which place among the parts an id takes when its first final word comes.

    Its own, unless a receipt whose part had to be guessed took that: then the last one open. So
    each id has one place, and what they add up to doesn't depend on the guesses.
    """
    letters = _rows(parts).get(attempt, "." * segments)
    own = min(max(part, 1), len(letters))
    return own if letters[own - 1] == "." else letters.rfind(".") + 1 or own


def contradicts(parts: str | None, segments: int, attempt: int, part: int, said: Move) -> bool:
    """Tell whether a part's receipt says the opposite of one that came before it."""
    row = _rows(parts).get(attempt, "." * segments)
    letter = row[min(max(part, 1), len(row)) - 1]
    if said is Move.RECEIPT_DELIVERED:
        return _badness(letter) > 0
    return letter in _DELIVERED


def has_arrived_in_part(parts: str | None) -> bool:
    """Tell whether any part is known to have arrived."""
    return any(_arrived(row) for row in _rows(parts).values())


def lacks_part(parts: str | None, attempt: int) -> bool:
    """Tell whether a part of a hand-off is known not to have arrived."""
    return parts is not None and any(
        letter in "efx" for letter in _rows(parts).get(attempt, "")
    )


def whole_handoffs(parts: str | None) -> int:
    """Return of how many hand-offs every part is known to have arrived."""
    return sum(_arrived(row) == len(row) for row in _rows(parts).values())


def outcomes(parts: str | None, segments: int) -> list[str | None]:
    """Return what is known of each segment, of the hand-off of which most arrived.

    Of one in other parts than these nothing is said of a segment, unless it holds of all.
    """
    best = max(
        reversed(_rows(parts).values()),
        key=lambda row: _arrived(row) / len(row),
        default="." * segments,
    )
    if len(best) != segments:
        best = (best[0] if len(set(best)) == 1 else ".") * segments
    return [_WORDS.get(letter) for letter in best]


def _rows(parts: str | None) -> dict[int, str]:
    found = (row.split(":") for row in (parts or "").split())
    return {int(attempt): letters for attempt, letters in found}


def _text(rows: dict[int, str]) -> str:
    return " ".join(f"{number}:{row}" for number, row in sorted(rows.items()))


def _arrived(row: str) -> int:
    return sum(letter in _DELIVERED for letter in row)


def _badness(letter: str) -> int:
    return (_DELIVERED if letter in _DELIVERED else _NOT_DELIVERED).index(letter)
