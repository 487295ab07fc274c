"""Hold the codes carriers and providers use, each beside the reason it stands for.

Data only; `reasons` reads it. A namespace belongs to one provider's product and is chosen
in the provider's profile. Codes whose meaning isn't settled are left out on purpose: an
unknown code is `unclassified`, which is true. As of November 2026; what wasn't read at
its source stands in UNVERIFIED as well, because providers change their codes.
"""

from __future__ import annotations

from typing import Final

_THROTTLED: Final = "throttled"
_PERMANENT: Final = "refused_permanent"
_RETRYABLE: Final = "refused_retryable"

UNWRITABLE: Final = 0  # nobody's status: our own, for a message that SMPP can't carry

# SMPP 3.4 section 5.1.3 and SMPP 5.0 section 4.7.6: command_status of a submit_sm_resp.
# The names are the specification's; the reasons are our reading of its descriptions.
STATUSES: Final[dict[int, tuple[str, str, str]]] = {
    UNWRITABLE: ("unwritable", "message_malformed", _PERMANENT),
    0x001: ("ESME_RINVMSGLEN", "provider_dialect", _PERMANENT),
    0x002: ("ESME_RINVCMDLEN", "provider_dialect", _PERMANENT),
    0x003: ("ESME_RINVCMDID", "provider_dialect", _PERMANENT),
    0x004: ("ESME_RINVBNDSTS", "provider_error", _RETRYABLE),
    0x005: ("ESME_RALYBND", "provider_error", _RETRYABLE),
    0x006: ("ESME_RINVPRTFLG", "provider_dialect", _PERMANENT),
    0x007: ("ESME_RINVREGDLVFLG", "provider_dialect", _PERMANENT),
    0x008: ("ESME_RSYSERR", "provider_error", _RETRYABLE),
    0x00A: ("ESME_RINVSRCADR", "sender_id_rejected", _PERMANENT),
    0x00B: ("ESME_RINVDSTADR", "invalid_number", _PERMANENT),
    0x00D: ("ESME_RBINDFAIL", "provider_auth_or_account", _RETRYABLE),
    0x00E: ("ESME_RINVPASWD", "provider_auth_or_account", _RETRYABLE),
    0x00F: ("ESME_RINVSYSID", "provider_auth_or_account", _RETRYABLE),
    0x014: ("ESME_RMSGQFUL", "rate_limited_provider", _THROTTLED),
    0x015: ("ESME_RINVSERTYP", "provider_dialect", _PERMANENT),
    0x033: ("ESME_RINVNUMDESTS", "provider_dialect", _PERMANENT),
    0x034: ("ESME_RINVDLNAME", "provider_dialect", _PERMANENT),
    0x040: ("ESME_RINVDESTFLAG", "provider_dialect", _PERMANENT),
    0x042: ("ESME_RINVSUBREP", "provider_dialect", _PERMANENT),
    0x043: ("ESME_RINVESMCLASS", "provider_dialect", _PERMANENT),
    0x044: ("ESME_RCNTSUBDL", "provider_dialect", _PERMANENT),
    0x045: ("ESME_RSUBMITFAIL", "provider_error", _RETRYABLE),
    0x048: ("ESME_RINVSRCTON", "provider_dialect", _PERMANENT),
    0x049: ("ESME_RINVSRCNPI", "provider_dialect", _PERMANENT),
    0x050: ("ESME_RINVDSTTON", "provider_dialect", _PERMANENT),
    0x051: ("ESME_RINVDSTNPI", "provider_dialect", _PERMANENT),
    0x053: ("ESME_RINVSYSTYP", "provider_dialect", _PERMANENT),
    0x054: ("ESME_RINVREPFLAG", "provider_dialect", _PERMANENT),
    0x055: ("ESME_RINVNUMMSGS", "provider_dialect", _PERMANENT),
    0x058: ("ESME_RTHROTTLED", "rate_limited_provider", _THROTTLED),
    0x061: ("ESME_RINVSCHED", "provider_dialect", _PERMANENT),
    0x062: ("ESME_RINVEXPIRY", "provider_dialect", _PERMANENT),
    0x063: ("ESME_RINVDFTMSGID", "provider_dialect", _PERMANENT),
    0x064: ("ESME_RX_T_APPN", "provider_error", _RETRYABLE),
    0x065: ("ESME_RX_P_APPN", "unclassified", _PERMANENT),
    0x066: ("ESME_RX_R_APPN", "unclassified", _PERMANENT),
    0x0C0: ("ESME_RINVOPTPARSTREAM", "provider_dialect", _PERMANENT),
    0x0C1: ("ESME_ROPTPARNOTALLWD", "provider_dialect", _PERMANENT),
    0x0C2: ("ESME_RINVPARLEN", "provider_dialect", _PERMANENT),
    0x0C3: ("ESME_RMISSINGOPTPARAM", "provider_dialect", _PERMANENT),
    0x0C4: ("ESME_RINVOPTPARAMVAL", "provider_dialect", _PERMANENT),
    0x0FE: ("ESME_RDELIVERYFAILURE", "carrier_error", _RETRYABLE),
    0x0FF: ("ESME_RUNKNOWNERR", "unclassified", _RETRYABLE),
    # SMPP 5.0
    0x100: ("ESME_RSERTYPUNAUTH", "provider_auth_or_account", _PERMANENT),
    0x101: ("ESME_RPROHIBITED", "provider_auth_or_account", _PERMANENT),
    0x102: ("ESME_RSERTYPUNAVAIL", "provider_error", _RETRYABLE),
    0x103: ("ESME_RSERTYPDENIED", "provider_auth_or_account", _PERMANENT),
    0x104: ("ESME_RINVDCS", "provider_dialect", _PERMANENT),
    0x105: ("ESME_RINVSRCADDRSUBUNIT", "provider_dialect", _PERMANENT),
    0x106: ("ESME_RINVDSTADDRSUBUNIT", "provider_dialect", _PERMANENT),
}

# What blames our way of writing a submit_sm, beside the key of the provider's dialect that
# changes it. What isn't here is written in one way only, and no key helps.
DIALECT_KEYS: Final[dict[int, str]] = {
    0x001: "long_messages",  # more octets than it takes in one: of long ones, or packed ones
    0x002: "optional_parameters",  # a command that goes on where it thinks that it ends
    0x003: "interface_version",
    0x015: "service_type",
    0x043: "long_messages",  # the mark of a header in the text
    0x048: "senders",
    0x049: "senders",
    0x053: "system_type",
    0x061: "validity",
    0x062: "validity",
    0x0C0: "optional_parameters",
    0x0C1: "optional_parameters",
    0x0C2: "optional_parameters",
    0x0C3: "optional_parameters",
    0x0C4: "optional_parameters",
    0x100: "service_type",
    0x103: "service_type",
    0x104: "alphabet",
    0x105: "optional_parameters",
    0x106: "optional_parameters",
}

# The carrier world's own command_status values, in the vendor range of SMPP 5.0.
VENDOR_STATUSES: Final[dict[str, dict[int, tuple[str, str, str]]]] = {
    "carrier_world": {
        0x400: ("WORLD_RSPAM", "content_filtered", _PERMANENT),
        0x401: ("WORLD_RSENDERUNREG", "sender_not_registered", _PERMANENT),
        0x402: ("WORLD_RNOROUTE", "no_route", _PERMANENT),
        0x403: ("WORLD_ROPTEDOUT", "opted_out", _PERMANENT),
    },
}

# The carrier world's receipts: reason to `err`, three digits as its receipts print it.
CARRIER_WORLD_ERRORS: Final[dict[str, str]] = {
    "absent_subscriber": "001",
    "unknown_subscriber": "002",
    "handset_memory_full": "003",
    "subscriber_barred": "004",
    "content_filtered": "010",
    "sender_id_rejected": "011",
    "sender_not_registered": "012",
    "template_mismatch": "013",
    "carrier_quota_exceeded": "014",
    "carrier_error": "020",
    "expired_upstream": "030",
}

# GSM MAP error numbers as SMSCs print them in `err`; the numbering differs in places, so a
# profile must name this namespace before it's used.
_GSM_MAP: Final[dict[str, str]] = {
    "1": "unknown_subscriber",
    "5": "unknown_subscriber",
    "6": "absent_subscriber",
    "8": "roaming_restricted",
    "11": "landline_or_not_sms_capable",
    "13": "subscriber_barred",
    "15": "subscriber_barred",
    "21": "landline_or_not_sms_capable",
    "27": "absent_subscriber",
    "31": "handset_busy",
    "34": "carrier_error",
    "35": "carrier_error",
    "36": "carrier_error",
    "40": "handset_memory_full",
    "41": "handset_error",
    "42": "handset_error",
    "REJECTD/11": "invalid_number",
}

# Sinch: 10DLC codes below 300, rejections by its own gateway from 300.
_SINCH: Final[dict[str, str]] = {
    "15": "content_filtered",
    "60": "sender_not_registered",
    "62": "content_filtered",
    "64": "carrier_quota_exceeded",
    "300": "invalid_number",
    "310": "sender_id_rejected",
    "332": "message_malformed",
    "334": "message_malformed",
}

_TWILIO: Final[dict[str, str]] = {
    "20003": "provider_auth_or_account",
    "20429": "rate_limited_provider",
    "21211": "invalid_number",
    "21217": "invalid_number",
    "21408": "no_route",
    "21610": "opted_out",
    "21611": "rate_limited_provider",
    "21614": "invalid_number",
    "21617": "message_malformed",
    "21635": "landline_or_not_sms_capable",
    "30001": "rate_limited_provider",
    "30002": "provider_auth_or_account",
    "30003": "absent_subscriber",
    "30005": "unknown_subscriber",
    "30006": "landline_or_not_sms_capable",
    "30007": "content_filtered",
    "30008": "unclassified",
    "30019": "message_malformed",
    "30032": "sender_not_registered",
    "30034": "sender_not_registered",
    "30036": "expired_upstream",
    "30410": "provider_timeout_unknown",
    "30500": "provider_error",
    "63017": "rate_limited_provider",
}

_TWILIO_SMPP: Final[dict[str, str]] = {"2": "handset_memory_full"}

# Vonage: `err-code` of a delivery receipt; its submit statuses are another list.
_VONAGE: Final[dict[str, str]] = {
    "1": "unclassified",
    "2": "absent_subscriber",
    "3": "unknown_subscriber",
    "4": "subscriber_barred",
    "5": "portability_error",
    "6": "content_filtered",
    "7": "handset_busy",
    "8": "carrier_error",
    "9": "opted_out",
    "10": "message_malformed",
    "11": "no_route",
    "12": "invalid_number",
    "13": "subscriber_barred",
    "14": "subscriber_barred",
    "15": "sender_id_rejected",
}

_TELNYX: Final[dict[str, str]] = {
    "10002": "invalid_number",
    "10007": "provider_error",
    "10009": "provider_auth_or_account",
    "40001": "landline_or_not_sms_capable",
    "40002": "content_filtered",
    "40003": "content_filtered",
    "40004": "unclassified",
    "40005": "expired_upstream",
    "40006": "carrier_error",
    "40009": "message_malformed",
    "40010": "sender_not_registered",
    "40011": "rate_limited_provider",
    "40012": "invalid_number",
    "40013": "sender_id_rejected",
    "40014": "expired_upstream",
    "40015": "content_filtered",
    "40150": "sender_not_registered",
    "40300": "opted_out",
    "40302": "message_malformed",
    "40305": "sender_id_rejected",
    "40310": "invalid_number",
}

_INFOBIP: Final[dict[str, str]] = {
    "EC_ABSENT_SUBSCRIBER": "absent_subscriber",
    "EC_INVALID_DEST": "invalid_number",
    "EC_SYSTEM_FAILURE": "carrier_error",
    "EC_TELESERVICE_NOT_PROV": "landline_or_not_sms_capable",
    "EC_UNKNOWN_SUBSCRIBER": "unknown_subscriber",
}

_AWS: Final[dict[str, str]] = {
    "TEXT_CARRIER_BLOCKED": "content_filtered",
    "TEXT_CARRIER_UNREACHABLE": "carrier_error",
    "TEXT_INVALID": "invalid_number",
    "TEXT_PROTECT_BLOCKED": "fraud_or_pumping_blocked",
    "TEXT_SPAM": "content_filtered",
    "TEXT_TTL_EXPIRED": "expired_upstream",
    "TEXT_UNKNOWN": "unclassified",
    "TEXT_UNREACHABLE": "absent_subscriber",
}

# Namespace → code, or WORD/code where the word matters. Codes of digits without leading zeros.
RECEIPT_CODES: Final[dict[str, dict[str, str]]] = {
    "aws": _AWS,
    "carrier_world": {err.lstrip("0"): code for code, err in CARRIER_WORLD_ERRORS.items()},
    "gsm_map": _GSM_MAP,
    "infobip": _INFOBIP,
    "sinch": _SINCH,
    "telnyx": _TELNYX,
    "twilio": _TWILIO,
    "twilio_smpp": _TWILIO_SMPP,
    "vonage": _VONAGE,
}

# What the word alone says. UNDELIV and REJECTD say no reason; EXPIRED says only that
# somebody stopped waiting.
RECEIPT_WORDS: Final[dict[str, str]] = {
    "BLIST": "opted_out",
    "DELETED": "cancelled",
    "EXPIRED": "expired_upstream",
    "NOROUTE": "no_route",
}

# Codes known at second hand or from general knowledge: check them against the provider's
# own documentation before you rely on them.
UNVERIFIED: Final[dict[str, frozenset[str]]] = {
    "aws": frozenset(_AWS),
    "infobip": frozenset(_INFOBIP),
    "sinch": frozenset({"300", "310", "332", "334"}),
    "telnyx": frozenset({"10002", "10007", "10009", "40010"}),
    "twilio": frozenset(_TWILIO)
    - {"21611", "21635", "30001", "30003", "30036", "30410", "63017"},
    "vonage": frozenset({"15"}),
}
