"""Say how one provider wants to be spoken to, where SMPP leaves it open or it bends SMPP.

Facts about a provider, not decisions: the defaults are what most take, and each other value
is one that somebody's provider asks for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ALPHABETS: Final = ("gsm7", "latin-1", "ascii")
VALIDITIES: Final = ("relative", "absolute", "none")
LONG_MESSAGES: Final = ("udh", "sar", "payload")


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
    interface_version: int = 0x34  # in the bind
    optional_parameters: bool = True  # false: no TLV ever leaves
    validity: str = "relative"  # relative | absolute | none
    alphabet: str = "gsm7"  # gsm7 | latin-1 | ascii: what data_coding 0 means there
    senders: tuple[SenderForm, ...] = ()  # the first full match decides; none: by our own rule
    unmarked_receipts: bool = False  # its receipts may lack esm_class's mark
    long_messages: str = "udh"  # udh | sar | payload
    id_form: str | None = None  # how its receipts write ids (IdForm); None: it is learnt


PLAIN: Final = Dialect()
