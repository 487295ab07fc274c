"""Read what a provider sends: a receipt, a handset's reply, or what comes to nothing. Pure."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

from arrivals.core.catalogue import Provider
from arrivals.core.replies import digits_of
from arrivals.providers.api import Fate, Ignored, Receipt, Reply, Sink
from arrivals.smpp import constants as c
from arrivals.smpp.events import ProtocolError, UnexpectedAnswer
from arrivals.smpp.pdu import HEADER_OCTETS, Pdu, UnencodablePdu, encode
from arrivals.smpp.receipt_texts import has_abbreviation, tell_of_a_state
from arrivals.smpp.receipts import may_report, normal_form, parse_receipt, resembles_receipt

# Of what comes to nothing: a receipt whole, and of a flood of payloads its beginnings.
IGNORED_OCTETS_MAX: Final = 1_024
_TEXTS: Final = frozenset({c.DELIVER_SM, c.DATA_SM})


def read_receipt(provider_id: str, pdu: Pdu, *, unmarked: bool = False) -> Receipt | None:
    """Return the receipt that a deliver_sm or data_sm carries; None for anything else.

    `unmarked` says that this provider's receipts may lack esm_class's mark.
    """
    report = parse_receipt(pdu, unmarked=unmarked)
    if report is None:
        return None
    named = dict.fromkeys(each for each in (report.message_id, report.text_id) if each)
    external_id = normal_form(report.message_id or "") or None
    digits = report.source.strip().lstrip("+")
    is_number = digits.isascii() and digits.isdigit()
    said = (
        external_id,
        report.state,
        report.error,
        report.done_date,
        digits,
        report.user_message_reference,
        report.intermediate,
    )
    return Receipt(
        provider_id=provider_id,
        external_id=external_id,
        names=tuple(named),
        word=report.state,
        said=report.stat_raw or "",
        error=report.error or "",
        msisdn=digits.removeprefix("00") if is_number else "",
        other=digits_of(report.destination),
        reference=report.user_message_reference,
        done=report.done_date,
        intermediate=report.intermediate,
        fingerprint=blake2b(repr(said).encode(), digest_size=8).hexdigest(),
        # Of one that breaks its layout nobody knows which octets matter: all are kept.
        raw=(report.raw if pdu.body is None else encode(pdu)).hex(),
        tlv_said=report.tlv_said or "",
    )


def read_reply(provider_id: str, pdu: Pdu, now_us: int) -> Reply | None:
    """Return between whom a handset's message went; its text stays behind.

    None for whatever isn't surely one, such as a receipt that doesn't say that it is: a word
    that something failed must not be taken for proof that it arrived.
    """
    if pdu.number("esm_class") & c.ESM_MESSAGE_TYPE_MASK or may_report(pdu):
        return None
    msisdn = digits_of(pdu.octets("source_addr").decode("latin-1"))
    sender = digits_of(pdu.octets("destination_addr").decode("latin-1"))
    if not msisdn or not sender:
        return None
    return Reply(provider_id=provider_id, msisdn=msisdn, sender=sender, came_at_us=now_us)


def read_request(provider: Provider, pdu: Pdu, now_us: int) -> Receipt | Reply | Ignored:
    """Return what a request of a provider's says, or that it comes to nothing."""
    name = provider.provider_id
    if pdu.command_id not in _TEXTS:
        return _ignored(name, Fate.ALERT, pdu)
    receipt = read_receipt(name, pdu, unmarked=provider.dialect.unmarked_receipts)
    if receipt is not None:
        return receipt
    reply = read_reply(name, pdu, now_us)
    if reply is not None:
        return reply
    return _ignored(name, Fate.UNMARKED if resembles_receipt(pdu) else Fate.UNREADABLE, pdu)


def ignored_event(provider_id: str, event: ProtocolError | UnexpectedAnswer) -> Ignored:
    """Return what became of what breaks the protocol, or answers nothing that is remembered."""
    if isinstance(event, UnexpectedAnswer):
        return _ignored(provider_id, Fate.UNASKED, event.pdu)
    if event.pdu is not None:
        return _ignored(provider_id, Fate(event.fault.value), event.pdu)
    octets = event.octets
    command_id = int.from_bytes(octets[4:8], "big")
    if command_id in _TEXTS and not tell_of_a_state(octets):
        octets = octets[:HEADER_OCTETS]
    return Ignored(
        provider_id=provider_id,
        fate=Fate(event.fault.value),
        command=c.command_name(command_id) if octets else "",
        raw=octets[:IGNORED_OCTETS_MAX].hex(),
    )


def _ignored(provider_id: str, fate: Fate, pdu: Pdu) -> Ignored:
    return Ignored(
        provider_id=provider_id,
        fate=fate,
        command=c.command_name(pdu.command_id),
        raw=_octets(pdu)[:IGNORED_OCTETS_MAX].hex(),
    )


def _octets(pdu: Pdu) -> bytes:
    """Return a PDU's octets; of a text without a receipt's own words, all but the text.

    What somebody wrote is nobody's business here, however a carrier sent it.
    """
    if not pdu.message or resembles_receipt(pdu) or has_abbreviation(pdu.message):
        return encode(pdu)
    fields = {name: value for name, value in pdu.fields.items() if name != "short_message"}
    tlvs = tuple(each for each in pdu.tlvs if each[0] != c.TLV_MESSAGE_PAYLOAD)
    silent = Pdu(pdu.command_id, pdu.command_status, pdu.sequence_number, fields, tlvs)
    try:
        return encode(silent)
    except UnencodablePdu:  # a field of it breaks its bounds
        return b""


class News:
    """What one reading of a link brought to be recorded, and whom to acknowledge for it."""

    __slots__ = ("_ignored", "_receipts", "_replies", "_tokens", "came_at_us")

    def __init__(self, came_at_us: int) -> None:
        self.came_at_us = came_at_us
        self._receipts: list[Receipt] = []
        self._replies: list[Reply] = []
        self._ignored: list[Ignored] = []
        self._tokens: dict[type, list[object]] = {Receipt: [], Reply: [], Ignored: []}

    @property
    def owed(self) -> int:
        """How many answers the provider waits for."""
        return sum(map(len, self._tokens.values()))

    def add(self, said: Receipt | Reply | Ignored, token: object = None) -> None:
        """Take what was said; its token is for whoever records it, None if it has no answer."""
        match said:
            case Receipt():
                self._receipts.append(said)
            case Reply():
                self._replies.append(said)
            case Ignored():
                self._ignored.append(said)
        if token is not None:
            self._tokens[type(said)].append(token)

    def tell(self, sink: Sink) -> None:
        """Hand everything on, each kind by itself."""
        if self._receipts:
            sink.received(self._receipts, self._tokens[Receipt])
        if self._replies:
            sink.replied(self._replies, self._tokens[Reply])
        if self._ignored:
            sink.ignored(self._ignored, self._tokens[Ignored])
