"""Say why a message failed: some thirty reasons, and the way to them from carriers' codes.

Each reason states whether it's permanent, whose fault it is, whether trying again helps,
whether upstream normally charges for it, and what the sender can do. Codes are data in
`reason_codes`, in a namespace for each provider, because the same number means different
things to different providers: there's no global table of error codes.

Two rules matter more than the tables. A code nobody told us about is `unclassified`,
never a guess. And a word that only says that someone stopped waiting (EXPIRED, UNKNOWN)
leads to an ambiguous reason: a timeout is neither a failure nor a delivery.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from arrivals.core.reason_codes import (
    CARRIER_WORLD_ERRORS,
    DIALECT_KEYS,
    RECEIPT_CODES,
    RECEIPT_WORDS,
    STATUSES,
    UNVERIFIED,
    VENDOR_STATUSES,
)


class Permanence(StrEnum):
    """Whether the same message may fare better later."""

    PERMANENT = "permanent"
    TRANSIENT = "transient"
    AMBIGUOUS = "ambiguous"  # what happened isn't known well enough to say


class Fault(StrEnum):
    """Where the cause lies."""

    SENDER = "sender"
    RECIPIENT = "recipient"
    HANDSET = "handset"
    CARRIER = "carrier"
    PROVIDER = "provider"
    US = "us"
    NOBODY_KNOWS = "unknown"


class Retry(StrEnum):
    """What a second attempt is good for."""

    SAME = "same"  # the same route, later
    OTHER = "other"  # another route or provider
    NEVER = "never"


class RefusalKind(StrEnum):
    """What a provider's refusal at submit asks of us."""

    THROTTLED = "throttled"
    PERMANENT = "refused_permanent"
    RETRYABLE = "refused_retryable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One canonical reason for a message not arriving."""

    code: str
    title: str
    permanence: Permanence
    fault: Fault
    retry: Retry
    billable: bool | None  # whether upstream normally charges; None: it varies
    fix: str  # what the sender can do
    filtered: bool = False  # the carrier chose not to deliver it


class StatusMeaning(NamedTuple):
    """What a command_status says about a refused submit."""

    reason: Reason
    kind: RefusalKind


_P, _T, _A = Permanence.PERMANENT, Permanence.TRANSIENT, Permanence.AMBIGUOUS
_SAME, _OTHER, _NEVER = Retry.SAME, Retry.OTHER, Retry.NEVER
_Row = tuple[str, str, Permanence, Fault, Retry, bool | None, str]

_ROWS: Final[tuple[_Row, ...]] = (
    # code, title, permanence, fault, retry, billable, fix
    ("invalid_number", "The number isn't a valid destination",
     _P, Fault.SENDER, _NEVER, False, "Check the number: country code first, digits only."),
    ("unknown_subscriber", "Nobody has this number",
     _P, Fault.RECIPIENT, _NEVER, True, "Remove the number from your list."),
    ("landline_or_not_sms_capable", "The number can't receive SMS",
     _P, Fault.RECIPIENT, _NEVER, None, "Use voice, or ask for a mobile number."),
    ("absent_subscriber", "The phone was off or out of coverage",
     _T, Fault.HANDSET, _SAME, True, "Wait, or send again later with a longer validity."),
    ("handset_busy", "The phone was busy",
     _T, Fault.HANDSET, _SAME, True, "Send again in a few minutes."),
    ("handset_memory_full", "The phone's message memory is full",
     _T, Fault.HANDSET, _SAME, True, "The recipient must delete messages; try in some hours."),
    ("handset_error", "The phone refused the message",
     _A, Fault.HANDSET, _SAME, True, "Send once more; if that fails, use another channel."),
    ("subscriber_barred", "The subscription doesn't allow this message",
     _P, Fault.RECIPIENT, _NEVER, True, "The recipient must ask their operator."),
    ("opted_out", "The recipient opted out",
     _P, Fault.RECIPIENT, _NEVER, False, "Never send again unless they text START."),
    ("content_filtered", "The carrier filtered the message",
     _A, Fault.CARRIER, _OTHER, None,
     "Review links and wording; register the sender and template where that is asked."),
    ("silently_filtered", "The carrier probably dropped the message in silence",
     _A, Fault.CARRIER, _OTHER, True, "Look at the evidence; ask the provider why."),
    ("sender_id_rejected", "The sender ID isn't accepted there",
     _P, Fault.SENDER, _NEVER, None, "Register the sender ID, or use another."),
    ("sender_not_registered", "The sender or campaign isn't registered",
     _P, Fault.SENDER, _NEVER, None, "Register it (10DLC, toll-free, DLT) before you send."),
    ("template_mismatch", "The text doesn't match its registered template",
     _P, Fault.SENDER, _NEVER, None, "Use the registered text, letter for letter."),
    ("quiet_hours_or_dnd", "Quiet hours or a do-not-disturb register forbid it",
     _T, Fault.CARRIER, _SAME, False, "Schedule it within the allowed hours."),
    ("rate_limited_provider", "The provider asked us to slow down",
     _T, Fault.US, _SAME, False, "Nothing to do: we pace and try again."),
    ("carrier_quota_exceeded", "The sender's quota at the carrier is used up",
     _T, Fault.SENDER, _SAME, True, "Send tomorrow, or have the sender's quota raised."),
    ("no_route", "The provider has no way to this destination",
     _P, Fault.US, _OTHER, False, "Ask the operator for a provider that reaches it."),
    ("provider_error", "The provider had an error of its own",
     _T, Fault.PROVIDER, _SAME, False, "Nothing to do: we try again, then another provider."),
    ("provider_timeout_unknown", "The provider never answered; it may have the message",
     _A, Fault.PROVIDER, _OTHER, None,
     "Don't resend blindly: a copy may arrive. Wait for a receipt."),
    ("provider_auth_or_account", "The provider doesn't accept our account",
     _P, Fault.US, _OTHER, False, "The operator must check the provider's login and credit."),
    ("carrier_error", "The carrier's network failed",
     _T, Fault.CARRIER, _SAME, True, "Send again later, or over another route."),
    ("portability_error", "The number moved to another carrier",
     _T, Fault.CARRIER, _OTHER, True, "Send over another route; portability data is stale."),
    ("roaming_restricted", "The phone is abroad and can't be reached there",
     _T, Fault.CARRIER, _SAME, True, "Send again later."),
    ("expired_upstream", "The wait for the phone ended upstream",
     _A, Fault.HANDSET, _SAME, True, "If still useful, send again with a longer validity."),
    ("stopped_halfway", "We stopped before all of its parts were sent",
     _T, Fault.US, _SAME, None,
     "Send it again: without a part it can't have been shown whole."),
    ("expired_in_our_queue", "Its validity ended before we could hand it off",
     _T, Fault.US, _NEVER, False, "Send with a longer validity, or ask for more capacity."),
    ("message_malformed", "The provider couldn't read the message",
     _P, Fault.SENDER, _NEVER, False, "Check its length and encoding."),
    ("provider_dialect", "The provider doesn't take messages in the form that we write them",
     _P, Fault.US, _OTHER, False, "The operator must look at the provider's dialect."),
    ("fraud_or_pumping_blocked", "A fraud rule stopped the message",
     _P, Fault.PROVIDER, _NEVER, False, "Ask the operator which rule; don't send again."),
    ("cancelled", "The message was cancelled",
     _P, Fault.SENDER, _NEVER, False, "Send it again if that was a mistake."),
    ("unclassified", "A failure whose code we don't know",
     _A, Fault.NOBODY_KNOWS, _SAME, None, "Ask the provider what the code means."),
)  # fmt: skip

# Both are filtering; only the first is the carrier's own word for it.
_FILTERED: Final = frozenset({"content_filtered", "silently_filtered"})

REASONS: Final[dict[str, Reason]] = {
    code: Reason(
        code=code,
        title=title,
        permanence=permanence,
        fault=fault,
        retry=retry,
        billable=billable,
        fix=fix,
        filtered=code in _FILTERED,
    )
    for code, title, permanence, fault, retry, billable, fix in _ROWS
}

UNCLASSIFIED: Final = REASONS["unclassified"]

_STATUSES: Final = {
    status: StatusMeaning(REASONS[code], RefusalKind(kind))
    for status, (_, code, kind) in STATUSES.items()
}
_VENDOR_STATUSES: Final = {
    (namespace, status): StatusMeaning(REASONS[code], RefusalKind(kind))
    for namespace, statuses in VENDOR_STATUSES.items()
    for status, (_, code, kind) in statuses.items()
}
# We don't know what it means, only that the provider didn't take the message: one more
# try can't make a duplicate, and the budget ends it.
_UNKNOWN_STATUS: Final = StatusMeaning(UNCLASSIFIED, RefusalKind.RETRYABLE)


def reason_for_status(status: int, namespace: str = "") -> StatusMeaning:
    """Return the reason and the kind of a refused submit's command_status.

    `namespace` names the provider's own codes, 0x400 and above.
    """
    meaning = _VENDOR_STATUSES.get((namespace, status)) or _STATUSES.get(status)
    return meaning or _UNKNOWN_STATUS


def reason_for_receipt(stat: str, err: str, namespace: str, said: str = "") -> Reason:
    """Return the reason of a receipt that isn't good news.

    The code counts before the word, and only in its provider's namespace; `said` is the
    provider's own word where `stat` is only what it amounts to. A word of success or
    progress gives `unclassified`: it has no reason.
    """
    word = stat.strip().upper()
    code = _normal_code(err)
    codes = RECEIPT_CODES.get(namespace, {})
    found = codes.get(f"{word}/{code}") or codes.get(code)
    found = found or RECEIPT_WORDS.get(said.strip().upper()) or RECEIPT_WORDS.get(word)
    return REASONS[found] if found else UNCLASSIFIED


def is_verified(err: str, namespace: str) -> bool:
    """Tell whether a code's meaning was read at its source; unknown codes have none."""
    code = _normal_code(err)
    known = RECEIPT_CODES.get(namespace, {})
    return code in known and code not in UNVERIFIED.get(namespace, frozenset())


def carrier_world_error(reason: str) -> str | None:
    """Return the `err` the carrier world's receipts carry for a reason, if it has one."""
    return CARRIER_WORLD_ERRORS.get(reason)


def dialect_key(status: int) -> str | None:
    """Return the key of a provider's dialect that may mend what a status complains of."""
    return DIALECT_KEYS.get(status)


def status_name(status: int) -> str:
    """Return a command_status's name in the specification, or its number in hex."""
    known = STATUSES.get(status)
    return known[0] if known else f"0x{status:08X}"


def _normal_code(err: str) -> str:
    code = err.strip().upper()
    return code.lstrip("0") if code.isdigit() else code
