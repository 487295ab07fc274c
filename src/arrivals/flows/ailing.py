"""Say what ails a provider: what it is, what it costs, and what to do, in plain sentences.

Of each kind of trouble a look tells one of three: it is found, it is over, or it lingers. What
lingers is too young to be said, or can't be told yet: a process that has just begun knows
nothing of what a provider answers. An alarm begins with what is found and goes on while it
lingers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Final, NamedTuple

from arrivals.core.reasons import REASONS, dialect_key, reason_for_status, status_name
from arrivals.flows.conditions import Condition, Conditions
from arrivals.flows.ignored import FATES, Inbound
from arrivals.outcome.episodes import Cell, Trouble, TroubleKind
from arrivals.outcome.hierarchy import ANY
from arrivals.store.traces import WAITING_COUNTED_MAX

AWAY_MAX_S: Final = 60.0
SLOWING_MAX_S: Final = 10.0  # a hold or two is how providers say what they can take

# A provider is silent that took so many messages and sent no receipt for so long: each of them
# would have to be a slow one.
SILENT_MIN: Final = 20
SILENT_MAX_S: Final = 600.0

DIALECT: Final = REASONS["provider_dialect"].code


class Bearing(Enum):
    """How it stands with one kind of trouble at one look."""

    FOUND = "found"
    LINGERS = "lingers"
    OVER = "over"


class Sign(NamedTuple):
    """What a look tells of one kind of trouble; words are of what is found."""

    bearing: Bearing
    lasted_s: float = 0.0
    words: str = ""  # after the provider's name
    cost: str = ""
    fix: str = ""
    messages: int | None = None  # that it concerns; None: those that wait


_LINGERS: Final = Sign(Bearing.LINGERS)
_OVER: Final = Sign(Bearing.OVER)


class View(NamedTuple):
    """What is known at a look of one provider."""

    name: str
    conditions: Conditions
    inbound: Inbound
    now: float

    def has(self, condition: Condition) -> bool:
        """Tell whether a condition is there."""
        return self.conditions.has(self.name, condition)

    def lasted_s(self, condition: Condition) -> float | None:
        """Return for how long it has been there; None: it isn't."""
        return self.conditions.lasted_s(self.name, condition, self.now)

    @property
    def why(self) -> str:
        """With what it refuses a bind, in brackets; nothing if it doesn't."""
        refusal = self.conditions.refusals.get(self.name)
        return f" ({refusal})" if refusal else ""


def _away(at: View) -> Sign:
    lasted_s = at.lasted_s(Condition.AWAY)
    if lasted_s is None:
        return _OVER
    if lasted_s <= AWAY_MAX_S:
        return _LINGERS
    cost = "The queue moves to the next provider where a route has failover; else it stays."
    fix = (
        f"`arrivals providers check {at.name}` says where it ends: network, TLS or login. Then"
        " ask the provider."
    )
    return Sign(Bearing.FOUND, lasted_s, f"is away{at.why}", cost, fix)


def _lacking(at: View) -> Sign:
    lasted_s = at.lasted_s(Condition.SHORT)
    if at.has(Condition.AWAY):
        return _LINGERS
    if lasted_s is None:
        return _OVER
    if lasted_s <= AWAY_MAX_S:
        return _LINGERS
    lacks = at.conditions.lacks.get(at.name, "")
    cost = "Messages go out; without a bind for receipts none of them gets an outcome."
    fix = f"`arrivals providers check {at.name}` tries each of its binds."
    return Sign(Bearing.FOUND, lasted_s, f"lacks {lacks}{at.why}", cost, fix)


def _broken(at: View) -> Sign:
    lasted_s = at.lasted_s(Condition.BROKEN)
    # One that doesn't know of our bind answers: it loses nothing.
    if lasted_s is None or at.has(Condition.UNBOUND):
        return _LINGERS if at.conditions.is_untold(at.name, at.now) else _OVER
    words = "is broken: it takes messages and never answers"
    cost = (
        "What it was handed is in doubt until its receipts come; one message at a time tries it"
        " now, and its queue moves on where a route has failover."
    )
    fix = f"Ask the provider. New orders go elsewhere with: arrivals drain provider {at.name}"
    return Sign(Bearing.FOUND, lasted_s, words, cost, fix)


def _denied(at: View) -> Sign:
    lasted_s = at.lasted_s(Condition.UNBOUND)
    if lasted_s is None:
        return _LINGERS if at.conditions.is_untold(at.name, at.now) else _OVER
    if not at.conditions.is_asked(at.name, at.now):
        return _OVER
    if lasted_s <= AWAY_MAX_S:
        return _LINGERS
    cost = (
        "Nothing is lost and no try used up; messages move on after half a minute if they may."
    )
    fix = f"Ask the provider; `arrivals providers check {at.name}` shows what the bind is told."
    return Sign(Bearing.FOUND, lasted_s, "says that we aren't bound", cost, fix)


def _slowing(at: View) -> Sign:
    held_s = at.conditions.held_s.get(at.name, 0.0)
    if held_s <= SLOWING_MAX_S:
        return _LINGERS if held_s > 0 else _OVER
    cost = "What could have gone out is held back by its throttling."
    fix = (
        "Ask for more throughput, set `throughput` to what it takes, or give its routes a"
        " `throttle_failover`."
    )
    return Sign(Bearing.FOUND, held_s, "is slowing us", cost, fix)


def _refusing(at: View) -> Sign:
    return _refusal(at, of_form=False)


def _refusing_form(at: View) -> Sign:
    return _refusal(at, of_form=True)


def _refusal(at: View, *, of_form: bool) -> Sign:
    watch = at.conditions.refusing.get(at.name)
    if watch is None:
        return _LINGERS if at.conditions.is_untried(at.name, at.now) else _OVER
    status = watch.complaint(at.now)
    if status is None:
        return _LINGERS
    named, key = status_name(status), dialect_key(status)
    blames_form = key is not None or reason_for_status(status).reason.code == DIALECT
    if blames_form is not of_form:
        return _OVER
    words, fix = f"refuses every message ({named})", "Ask it why."
    if of_form:
        words = f"refuses every message for its form ({named})"
        fix = f"Look at `{key}` in its dialect." if key else "Ask it how it wants them written."
    cost = "Each goes to the next provider, or is tried again, where there is one and a retry."
    return Sign(Bearing.FOUND, watch.lasted_s(at.now), words, cost, fix)


def _silent(at: View) -> Sign:
    messages, lasted_s = at.conditions.silence(at.name, at.now)
    lacks_receiver = "receipts" in at.conditions.lacks.get(at.name, "")
    if messages >= SILENT_MIN and lasted_s >= SILENT_MAX_S and not lacks_receiver:
        cost = "None of those has an outcome, and at their deadlines they are unknown."
        fix = (
            "Ask the provider whether it has receipts for us, and see whether they come"
            " unmarked or to another login. New orders go elsewhere with: arrivals drain"
            f" provider {at.name}"
        )
        words = "takes messages and sends no receipts"
        return Sign(Bearing.FOUND, lasted_s, words, cost, fix, messages)
    return _LINGERS if at.conditions.is_unreported(at.name, at.now) else _OVER


def _ignored(at: View) -> Sign:
    fate = at.inbound.mostly(at.name)
    if fate is None:
        return _OVER if at.inbound.is_known else _LINGERS
    words = f"sends much that comes to nothing: {FATES[fate].words}"
    cost = "Each may have been a receipt, and then its message ends as unknown."
    return Sign(Bearing.FOUND, 0.0, words, cost, FATES[fate].fix)


# In the order in which they are said.
KINDS: Final[dict[TroubleKind, Callable[[View], Sign]]] = {
    TroubleKind.PROVIDER_AWAY: _away,
    TroubleKind.BIND_LACKING: _lacking,
    TroubleKind.PROVIDER_BROKEN: _broken,
    TroubleKind.BIND_DENIED: _denied,
    TroubleKind.PROVIDER_SLOWING: _slowing,
    TroubleKind.MESSAGES_REFUSED: _refusing,
    TroubleKind.FORM_REFUSED: _refusing_form,
    TroubleKind.RECEIPTS_STOPPED: _silent,
    TroubleKind.INBOUND_IGNORED: _ignored,
}


def signs_of(at: View) -> dict[TroubleKind, Sign]:
    """Return what a look tells of each kind of trouble that a provider may have."""
    return {kind: look(at) for kind, look in KINDS.items()}


def cell_of(provider_id: str, *more: str) -> Cell:
    """Return the cell of all that goes over a provider."""
    return (ANY, ANY, provider_id, *more)


def trouble_of(
    kind: TroubleKind, name: str, sign: Sign, now_us: int, waiting: Mapping[str, int]
) -> Trouble:
    """Return what is found as a trouble; `waiting` counts messages by provider."""
    messages = waiting.get(name, 0) if sign.messages is None else sign.messages
    wait = in_words(messages, "waits for it", "wait for it")
    if sign.messages is not None:
        wait = in_words(messages, "was taken", "were taken")
    return Trouble(
        kind=kind,
        cell=cell_of(name),
        began_us=now_us - round(sign.lasted_s * 1e6),
        words=f"provider {name} {sign.words}",
        cost=f"{wait} {sign.cost}",
        fix=sign.fix,
        messages_at_risk=messages,
    )


def in_words(count: int, one: str, several: str) -> str:
    """Say how many messages, as a sentence."""
    if count >= WAITING_COUNTED_MAX:
        return f"{count:,} messages or more {several}."
    if count == 1:
        return f"1 message {one}."
    return f"{count:,} messages {several}." if count else f"No message {one} now."
