"""The answers that set two messages side by side, or one among its look-alikes."""

from __future__ import annotations

from typing import Final

import msgspec

from arrivals.core.compare import Aligned, Comparison, Factor, Odds, Side, Span
from arrivals.core.contrast import Remark, remarks, shown
from arrivals.core.ids import MessageIds
from arrivals.core.instants import rfc3339, spell
from arrivals.core.message import is_terminal
from arrivals.outcome.cohort import Cohort, GoesWith, says
from arrivals.store.traces import LOOKALIKES_MAX


class ComparedMessage(msgspec.Struct, kw_only=True):
    """One of two messages, in a few words."""

    bx_message_id: str
    state: str
    final: bool
    reason: str | None
    created_at: str


class ComparedFactor(msgspec.Struct, kw_only=True):
    """One thing in which messages may differ."""

    name: str
    asked: bool  # it was asked for; otherwise it came about
    same: bool
    a: str | None
    b: str | None


class ComparedSpan(msgspec.Struct, kw_only=True):
    """How long one message was in a stretch of its journey."""

    ms: float
    event: int  # that ended it, or the newest
    runs: bool  # until now: nothing has ended it


class ComparedStretch(msgspec.Struct, kw_only=True):
    """The same stretch of both journeys; null where a journey lacks it."""

    stretch: str
    whose: str | None  # us | provider | carrier | customer
    a: ComparedSpan | None
    b: ComparedSpan | None
    difference_ms: float  # how much longer it took b


class ComparedLatency(msgspec.Struct, kw_only=True):
    """How long both took until their outcome, or until now; its stretches add up to it."""

    a_ms: float
    b_ms: float
    difference_ms: float
    stretches: list[ComparedStretch]


class Chances(msgspec.Struct, kw_only=True):
    """One probability for each of two messages; null while it isn't known."""

    a: float | None
    b: float | None


class ComparedOutcome(msgspec.Struct, kw_only=True):
    """What was to be expected of both, what came of them, and what that goes with.

    `goes_with` adds up, but for rounding, to the difference of what was expected; with
    `unexplained` it adds up to `difference`.
    """

    measure: str  # delivered, or where nobody ever confirmed such messages: reported delivered
    expected: Chances
    found: Chances
    difference: float
    goes_with: dict[str, float]
    unexplained: float


class CompareAnswer(msgspec.Struct, kw_only=True):
    """Two messages side by side; differences are b's less a's."""

    a: ComparedMessage
    b: ComparedMessage
    same_request: bool  # but for when it came
    remarks: list[Remark]  # in sentences; `a` and `b` are seqs of their events
    factors: list[ComparedFactor]
    latency: ComparedLatency
    outcome: ComparedOutcome | None  # null without a model or a hand-off


class CohortAnswer(msgspec.Struct, kw_only=True):
    """How messages of one sender, country and template ended."""

    bx_message_id: str
    since: str
    until: str
    looked_at_max: int
    cut: bool  # the account had more messages in that time than are looked at
    sentences: list[str]
    messages: int
    open: int
    cancelled: int
    verdicts: dict[str, int]
    entropy_bits: float
    determinism: float | None  # 1: all end alike; 0: as mixed as can be; null: too few
    goes_with: list[GoesWith]


def compare_answer(ids: MessageIds, found: Comparison) -> CompareAnswer:
    """Show two messages side by side."""
    times = found.latency
    return CompareAnswer(
        a=_message(ids, found.a),
        b=_message(ids, found.b),
        same_request=all(each.same for each in found.factors if each.asked),
        remarks=remarks(found),
        factors=[_factor(each) for each in found.factors],
        latency=ComparedLatency(
            a_ms=times.a_us / 1_000,
            b_ms=times.b_us / 1_000,
            difference_ms=times.difference_us / 1_000,
            stretches=[_stretch(each) for each in times.rows],
        ),
        outcome=None if found.odds is None else _outcome(found.odds),
    )


def _message(ids: MessageIds, side: Side) -> ComparedMessage:
    message = side.trace.message
    return ComparedMessage(
        bx_message_id=ids.encode(message.key),
        state=message.state.value,
        final=is_terminal(message.state),
        reason=message.reason,
        created_at=rfc3339(side.trace.accepted_at_us),
    )


def _factor(factor: Factor) -> ComparedFactor:
    return ComparedFactor(
        name=factor.name, asked=factor.asked, same=factor.same, a=factor.a, b=factor.b
    )


def _stretch(row: Aligned) -> ComparedStretch:
    return ComparedStretch(
        stretch=row.stretch.value,
        whose=row.whose,
        a=_span(row.a),
        b=_span(row.b),
        difference_ms=row.difference_us / 1_000,
    )


def _span(span: Span | None) -> ComparedSpan | None:
    if span is None:
        return None
    return ComparedSpan(ms=span.us / 1_000, event=span.event, runs=span.runs)


def _outcome(odds: Odds) -> ComparedOutcome:
    return ComparedOutcome(
        measure=odds.measure.value,
        expected=Chances(a=_rounded(odds.expected_a), b=_rounded(odds.expected_b)),
        found=Chances(a=odds.found_a, b=odds.found_b),
        difference=_rounded(odds.difference),
        goes_with={name: _rounded(share) for name, share in odds.shares.items()},
        unexplained=_rounded(odds.unexplained),
    )


def _rounded(share: float) -> float:
    """Return a probability with the digits that mean anything."""
    return round(share, 4)


def cohort_answer(
    bx_message_id: str, found: Cohort, from_us: int, to_us: int, *, cut: bool
) -> CohortAnswer:
    """Show how look-alikes ended."""
    said = says(found)
    if cut:
        said.append(
            f"Only the newest {LOOKALIKES_MAX:,} messages of the account were looked at."
        )
    return CohortAnswer(
        bx_message_id=bx_message_id,
        since=rfc3339(from_us),
        until=rfc3339(to_us),
        looked_at_max=LOOKALIKES_MAX,
        cut=cut,
        sentences=said,
        messages=found.messages,
        open=found.open,
        cancelled=found.cancelled,
        verdicts=found.verdicts,
        entropy_bits=_rounded(found.entropy_bits),
        determinism=None if found.determinism is None else _rounded(found.determinism),
        goes_with=[_telling(each) for each in found.factors],
    )


def _telling(found: GoesWith) -> GoesWith:
    return msgspec.structs.replace(
        found, bits=_rounded(found.bits), by_chance=_rounded(found.by_chance)
    )


# --- for people -----------------------------------------------------------------------

_NAME_WIDTH: Final = 36
_VALUE_WIDTH: Final = 22


def compare_text(answer: CompareAnswer) -> str:
    """Write a comparison for people: what differs first, then both journeys in two columns."""
    a, b = answer.a, answer.b
    lines = [f"A  {a.bx_message_id}  {_word(a)}", f"B  {b.bx_message_id}  {_word(b)}", ""]
    lines += [_remark(each) for each in answer.remarks]
    differ = [each for each in answer.factors if not each.same]
    if differ:
        lines += ["", _line("what differs", "A", "B")]
        lines += [_line(each.name, _short(each.a), _short(each.b)) for each in differ]
    lines += ["", _line("journey", "A", "B", "B - A")]
    for row in answer.latency.stretches:
        whose = f" ({row.whose})" if row.whose else ""
        spans = (_time(row.a), _time(row.b))
        lines.append(_line(f"{row.stretch}{whose}", *spans, _difference(row.difference_ms)))
    whole = answer.latency
    lines.append(
        _line("in all", _ms(whole.a_ms), _ms(whole.b_ms), _difference(whole.difference_ms))
    )
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _word(message: ComparedMessage) -> str:
    return f"{message.state}: {message.reason}" if message.reason else message.state


def _remark(remark: Remark) -> str:
    cites = [
        f"{name} {', '.join(str(seq) for seq in seqs)}"
        for name, seqs in (("A", remark.a), ("B", remark.b))
        if seqs
    ]
    return f"{remark.text} [{'; '.join(cites)}]" if cites else remark.text


def _line(name: str, a: str, b: str, difference: str = "") -> str:
    return f"  {name:<{_NAME_WIDTH}}  {a:<{_VALUE_WIDTH}}  {b:<{_VALUE_WIDTH}}  {difference}"


def _short(value: str | None) -> str:
    text = shown(value)
    return text if len(text) <= _VALUE_WIDTH else text[: _VALUE_WIDTH - 1] + "…"


def _time(span: ComparedSpan | None) -> str:
    if span is None:
        return "-"
    return f"{_ms(span.ms)}{' so far' if span.runs else ''} [{span.event}]"


def _ms(ms: float) -> str:
    return spell(round(ms * 1_000))


def _difference(ms: float) -> str:
    return f"{'-' if ms < 0 else '+'}{_ms(abs(ms))}" if ms else ""


def cohort_text(answer: CohortAnswer) -> str:
    """Write a cohort for people."""
    return "\n".join([answer.bx_message_id, *answer.sentences]) + "\n"
