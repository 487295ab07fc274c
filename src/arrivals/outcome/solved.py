"""The limits of charts of receipts, solved beforehand.

To solve one takes up to a fifth of a second (`change.limits`), and the server's loop would
stand still meanwhile. A test solves all of them again; `python -m tests.outcome.solved` prints
the rows after a change of `FALL_TO`, `FALSE_ALARMS` or what is solved.
"""

from __future__ import annotations

from typing import Final

from arrivals.outcome.change import FALL_TO, FALSE_ALARMS, Kind, Limits

STEPS: Final = 20  # usual chances are rounded to these parts
CHARTS: Final = 3  # of each message: each has a third of the false alarms
RATE: Final = FALSE_ALARMS / CHARTS
FIRST: Final = 2  # of STEPS, the first row's; a smaller chance tells nothing

# Warn, alarm, recover: from two twentieths on.
_ROWS: Final = (
    (3.550640, 5.753857, 2.294260),
    (3.943504, 6.180954, 2.675616),
    (4.259958, 6.506471, 2.932768),
    (4.526891, 6.794818, 3.164341),
    (4.799074, 7.044999, 3.390075),
    (5.010954, 7.250993, 3.599600),
    (5.194079, 7.474812, 3.779025),
    (5.360556, 7.671810, 3.962150),
    (5.570316, 7.854379, 4.125297),
    (5.739290, 8.011700, 4.311751),
    (5.914091, 8.186501, 4.486552),
    (6.088892, 8.361301, 4.661353),
    (6.234559, 8.536102, 4.865287),
    (6.438493, 8.710903, 5.069221),
    (6.642428, 8.914837, 5.273155),
    (6.846362, 9.147905, 5.535356),
    (7.079429, 9.380972, 5.826691),
    (7.341630, 9.643173, 6.234559),
    (7.370764, 9.730574, 6.758961),
)

_SOLVED: Final = tuple(
    Limits(fall_to=FALL_TO[Kind.RECEIPTS], warn=warn, alarm=alarm, recover=recover)
    for warn, alarm, recover in _ROWS
)


def limits_of(usual: float) -> Limits:
    """Return the limits for messages that have this chance of a positive receipt."""
    return _SOLVED[max(round(usual * STEPS) - FIRST, 0)]
