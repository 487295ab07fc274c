"""Say how one provider wants to be spoken to, where SMPP leaves it open or it bends SMPP.

Facts about a provider, not decisions: the defaults are what most take, and each other value
is one that somebody's provider asks for.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from typing import Final

ALPHABETS: Final = ("gsm7", "latin-1", "ascii")
VALIDITIES: Final = ("relative", "absolute", "none")
LONG_MESSAGES: Final = ("udh", "sar", "payload")
INTERFACE_3_4: Final = 0x34  # the first version with optional parameters and transceivers

# A sender has at most 20 characters. With these bounds no pattern takes longer over one than
# a few milliseconds, whatever it repeats.
PATTERN_CHARS_MAX: Final = 64
REPEATS_MAX: Final = 4
GROUPS_MAX: Final = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class SenderForm:
    """How senders that match a pattern whole are written: their TON and NPI."""

    pattern: str
    ton: int
    npi: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Dialect:
    """One provider's ways."""

    system_type: str = ""  # in the bind
    service_type: str = ""  # in each submit_sm
    address_range: str = ""  # in the bind
    interface_version: int = INTERFACE_3_4  # in the bind
    optional_parameters: bool = True  # false: no TLV ever leaves
    validity: str = "relative"  # relative | absolute | none
    alphabet: str = "gsm7"  # gsm7 | latin-1 | ascii: what data_coding 0 means there
    senders: tuple[SenderForm, ...] = ()  # the first full match decides; none: by our own rule
    unmarked_receipts: bool = False  # its receipts may lack esm_class's mark
    long_messages: str = "udh"  # udh | sar | payload
    id_form: str | None = None  # how its receipts write ids (IdForm); None: it is learnt


PLAIN: Final = Dialect()

# What stands for one character: an escaped one, or a class of them.
_ATOM: Final = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)


def pattern_problem(pattern: str) -> str | None:
    """Say why a pattern of senders can't be used; None if it can.

    A pattern that tries too many ways is refused by its form, since no example proves one fast.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of what a later Python may read otherwise
            re.compile(pattern)
    except (re.error, OverflowError, RecursionError, Warning) as error:
        return f"it isn't a regular expression: {error}"
    if re.search(r"\\[1-9]", pattern):
        return "it refers back to a group"
    bare = _ATOM.sub("x", pattern)
    if re.search(r"\(\?(?!:)", bare):
        return "it has a group that is more than one: (?…)"
    bare = bare.replace("(?:", "(")
    if re.search(r"\)[*+?{]", bare):
        return "it repeats a group"
    if len(re.findall(r"[*+?{]", bare)) > REPEATS_MAX:
        return f"it repeats more than {REPEATS_MAX} times"
    if bare.count("(") > GROUPS_MAX:
        return f"it has more than {GROUPS_MAX} groups"
    return None
