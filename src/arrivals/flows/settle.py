"""Settle the money of messages that ended, in the transaction that ends them.

A hold is resolved once: captured or released. A revision after that appends a refund or a
recharge, never an edit. All messages of one account and kind share one posting per
transaction; each message names it, and `arrivals verify` adds them up.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from arrivals.core.catalogue import Account
from arrivals.core.ledger import (
    PostingKind,
    adjustment,
    is_charged,
    posting,
    provider_cost,
    settlement,
)
from arrivals.core.message import Message, is_terminal
from arrivals.core.money import Micros
from arrivals.store.api import Refused, Transaction

_RESOLUTION = {PostingKind.CAPTURE: "captured", PostingKind.RELEASE: "released"}


class _Gathered:
    """A posting of this transaction, and the amount still to be added to it."""

    __slots__ = ("amount", "currency", "posting_id")

    def __init__(self, posting_id: int, currency: str) -> None:
        self.posting_id = posting_id
        self.currency = currency
        self.amount = 0


class Settlement:
    """The money side of one transaction's ends and revisions.

    `account_of` gives the account's refund policy; the default asks the transaction.
    """

    def __init__(
        self, tx: Transaction, account_of: Callable[[int], Account | None] | None = None
    ) -> None:
        self._tx = tx
        self._accounts: dict[int, Account] | None = None
        self._account_of = account_of or self._look_up
        # What has gathered on a posting since it was opened, by kind and account.
        self._open: dict[tuple[PostingKind, int], _Gathered] = {}

    def of(self, before: Message, after: Message) -> Message:
        """Return `after` with its money settled, if this move ended or revised it."""
        if not is_terminal(after.state) or after.state is before.state:
            return after
        if before.resolution is None:
            return self._resolve(after)
        account = self._account(after)
        charged = is_charged(after.state, after.reach, account.refund_on)
        self._adjust(after, account, charged=charged)
        return after

    def give_back(self, message: Message) -> None:
        """Refund an ended message that turns out never to have been handed off."""
        self._adjust(message, self._account(message), charged=False)

    def charge_cost(self, provider_id: str, amount: int, currency: str) -> None:
        """Book what a provider charges for hand-offs it acknowledged."""
        if amount:
            self._tx.post(provider_cost(provider_id, Micros(amount), currency))

    def _resolve(self, message: Message) -> Message:
        account = self._account(message)
        kind = settlement(message.state, message.reach, account.refund_on)
        gathered = self._open.get((kind, account.account_id))
        if gathered is None:
            posting_id = self._tx.post(
                posting(kind, account.account_id, message.price, account.currency)
            )
            gathered = _Gathered(posting_id, account.currency)
            self._open[kind, account.account_id] = gathered
        else:
            gathered.amount += message.price
        return msgspec.structs.replace(
            message, resolution=_RESOLUTION[kind], resolution_posting=gathered.posting_id
        )

    def finish(self) -> None:
        """Post what has gathered; the transaction adds it to the postings that were opened."""
        for (kind, account_id), gathered in self._open.items():
            if gathered.amount:
                amount, gathered.amount = Micros(gathered.amount), 0
                self._tx.post(posting(kind, account_id, amount, gathered.currency))

    def _adjust(self, message: Message, account: Account, *, charged: bool) -> None:
        """Append a refund or a recharge, where what was paid isn't what is charged now."""
        newest = self._tx.adjustments([message.key]).get(message.key)
        paid = newest == "recharge" if newest else message.resolution == "captured"
        kind = adjustment(paid=paid, charged=charged, recharge=account.recharge)
        if kind is None:
            return
        self.finish()
        try:
            posting_id = self._tx.post(
                posting(kind, account.account_id, message.price, account.currency)
            )
        except Refused:
            return  # money that isn't there is not taken; the event still tells the revision
        self._tx.adjust(message.key, kind.value, message.price, posting_id)

    def _account(self, message: Message) -> Account:
        account = self._account_of(message.account_id)
        if account is None:
            raise AssertionError(f"account {message.account_id} has messages and no document")
        return account

    def _look_up(self, account_id: int) -> Account | None:
        if self._accounts is None:
            self._accounts = self._tx.catalogue().accounts
        return self._accounts.get(account_id)
