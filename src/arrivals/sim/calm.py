"""What must be so in a run in which one provider is odd in one way and all else is well.

With nothing else to blame, more can be demanded: a number that is held keeps nobody else
waiting, a provider that loses what it's handed gets a window of it and a few probes, and one
that finds fault with how we write leaves the message to the next.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from arrivals.sim.dossier import Recipient
    from arrivals.sim.plan import Plan

ODD: Final = "north"
HELD: Final = "held_numbers"
HANDED_OFF_WITHIN_S: Final = 5.0  # of being accepted, where nothing holds a message up
# A bind may slow down where many numbers are held: of five in a hundred nobody notices.
HELD_UNNOTICED: Final = 0.05
LOST_IN_A_ROW: Final = 10  # until a provider is only probed
PROBES: Final = 10  # in the minutes that a run lasts, with pauses that grow

Finding = tuple[int, str]


def calm_violations(
    plan: Plan, recipients: Mapping[str, Recipient], outcomes: Mapping[str, str]
) -> Iterator[Finding]:
    """Yield what may not be, as invariants and sentences; `outcomes` are by number."""
    sent = [each for each in recipients.values() if each.accepted and not each.cancelled]
    others = [each for each in sent if not _is_touched(plan, each)]
    is_slow = len(sent) - len(others) > HELD_UNNOTICED * len(sent) and plan.calm == HELD
    for each in others:
        outcome = outcomes.get(each.number, "")
        if outcome != "delivered":
            yield 27, f"{each.number} is {outcome} though nothing was in its way"
        left_at = min((submit.left_at for submit in each.submits), default=None)
        if is_slow:
            continue
        if left_at is None or left_at - each.accepted_at > HANDED_OFF_WITHIN_S:
            when = "never" if left_at is None else f"{left_at - each.accepted_at:.1f} s later"
            yield 27, f"{each.number} was accepted and handed off {when}"
    if plan.calm == "crash_loop":
        lost = [each for each in sent if _is_touched(plan, each)]
        most = plan.binds[ODD].window + LOST_IN_A_ROW + PROBES
        if len(lost) > most:
            yield 26, f"{len(lost)} messages are in doubt at {ODD}, {most} may be"


def _is_touched(plan: Plan, recipient: Recipient) -> bool:
    """Tell whether the odd thing happened to this message itself."""
    if plan.calm == HELD:
        return recipient.is_held
    if plan.calm == "crash_loop":
        heard = sum(each.heard_at is not None for each in recipient.submits)
        return recipient.left > heard  # some of it left, and nothing came back
    return False  # to be told that it's badly written ends no message
