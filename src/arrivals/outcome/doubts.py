"""Doubt a provider's receipts by how they come, and say so once for all its carriers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from arrivals.outcome.cells import BINS, EDGES_S, Cell, Exposure, Pace
from arrivals.outcome.episodes import Trouble, TroubleKind
from arrivals.outcome.fakes import (
    TAIL_S,
    Ages,
    Part,
    Score,
    missing_tail,
    no_negatives,
    too_fast,
    too_uniform,
)
from arrivals.outcome.hierarchy import Key

_LOG_AGES: Final = tuple(
    math.log(max((EDGES_S[place] + EDGES_S[place + 1]) / 2, 0.25)) for place in range(BINS)
)


def timing(ours: Cell, carrier: Cell, now_us: int) -> list[Part]:
    """Compare a provider's receipts with those of all the others to its carrier."""
    own, every = (each.exposure(Pace.WEEK, now_us) for each in (ours, carrier))
    counts, negatives = _received(own)
    peers = [max(a - b, 0.0) for a, b in zip(_received(every)[0], counts, strict=True)]
    peer_negatives = max(_received(every)[1] - negatives, 0.0)
    late = sum(1 for edge in EDGES_S[:BINS] if edge < TAIL_S)
    mine, theirs = round(sum(counts)), round(sum(peers))
    ages, peer_ages = Ages(counts, _LOG_AGES), Ages(peers, _LOG_AGES)
    return [
        missing_tail(round(sum(counts[late:])), mine, round(sum(peers[late:])), theirs),
        too_fast(ages, peer_ages),
        too_uniform(ages, peer_ages),
        no_negatives(
            round(negatives),
            mine + round(negatives),
            round(peer_negatives),
            theirs + round(peer_negatives),
        ),
    ]


def _received(exposure: Exposure) -> tuple[list[float], float]:
    return exposure.positive[:BINS], sum(exposure.negative)


def doubt(cell: Key, carriers: Sequence[tuple[float, Key, Score]], now_us: int) -> Trouble:
    """Say once of a provider what its receipts to any number of carriers look like."""
    _, most, found = max(carriers, key=lambda each: each[:2])
    where = f"on carrier {most[1]}"
    if len(carriers) > 1:
        where = f"on {len(carriers)} carriers ({cell[0]}), as on {most[1]}"
    return Trouble(
        kind=TroubleKind.RECEIPTS_DOUBTED,
        cell=cell if len(carriers) > 1 else most,
        began_us=now_us,
        words=f"provider {cell[2]} {where}: {found.words}",
        messages_at_risk=round(sum(receipts for receipts, _, _ in carriers)),
    )
