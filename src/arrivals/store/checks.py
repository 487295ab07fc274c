"""What the database is asked to prove, as data: each check with the sentence that must hold.

How they are run, over everything or over what changed, is in checking.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Check:
    """One statement of sql/checks.sql, and the sentence it proves."""

    invariant: int
    statement: str
    sentence: str
    walk: str = "messages"  # messages | orders | postings | batches | handoffs | once
    of: str = "message"  # what an id in the answer is

    @property
    def by_id(self) -> bool:
        """Whether what was found broken can be looked at again by its id alone."""
        return self.walk in {"messages", "orders", "postings", "batches"}


@dataclass(frozen=True, slots=True)
class Sum:
    """Postings whose amounts must be the sums of what names them."""

    invariant: int
    parts: str
    single_parts: str  # the same for a run that looks at some of them only
    whole: str
    sentence: str
    walk: str

    @property
    def check(self) -> Check:
        """What it proves, as a check of postings."""
        return Check(self.invariant, self.parts, self.sentence, "whole ledger", "posting")


CHECKS: Final = (
    Check(1, "posting_accounts", "A posting moves money between the two ledger accounts of its "
          "kind.", "postings", "posting"),
    Check(2, "posting_currency", "An account's postings are in the account's currency, so each "
          "currency sums to zero.", "postings", "posting"),
    Check(4, "posting_integers", "Amounts in the ledger are whole micro-units.", "postings",
          "posting"),
    Check(4, "balance_integers", "Balances are whole micro-units.", "once", "account"),
    Check(4, "message_integers", "Prices and costs of messages are whole micro-units."),
    Check(5, "overdrawn", "No account is below its credit limit.", "once", "account"),
    Check(7, "resolution_posting", "A message's hold is resolved by a posting of that kind and "
          "account."),
    Check(7, "resolved_open", "An open message's hold isn't resolved yet."),
    Check(8, "adjustments_in_turn", "Refunds and recharges take turns, each the message's "
          "price, and follow what settlement left."),
    Check(10, "price_snapshot", "A price is its rate times its segments, as it was at accept."),
    Check(12, "unresolved_ends", "An ended message's hold was resolved within 60 s."),
    Check(13, "charged_unsent", "What was never handed off is never charged."),
    Check(14, "unexplained_cost", "A provider's cost has the provider's acknowledgement."),
    Check(15, "whole_orders", "An order names the posting of its hold.", "orders", "order"),
    Check(15, "messages_of_orders", "A message belongs to an order of its account and route."),
    Check(19, "order_totals", "An order's count and cost are those of its messages.", "orders",
          "order"),
    Check(19, "batch_totals", "A stream's counts and cost are those of its orders.", "batches",
          "batch"),
    Check(20, "orphans", "An open message is in a provider's lane, being sent, or wakes at a "
          "known time."),
    Check(21, "illegal_moves", "States moved along the table of moves only."),
    Check(22, "event_gaps", "A message's events count up from 1 without a gap."),
    Check(22, "state_is_fold", "A message's state is what its newest event says."),
    Check(22, "verdict_is_told", "A verdict on record is one of its message's events."),
    Check(22, "broken_chains", "Each event starts from the state in which the one before it "
          "ended."),
    Check(22, "events_without_message", "Every event belongs to a message."),
    Check(23, "epochs_ahead", "Nobody sends under an epoch that its bind never had.", "once"),
    Check(25, "unintended_handoffs", "Every attempt has its intent, and every hand-off an "
          "attempt."),
    Check(25, "resends_without_policy", "A second hand-off was allowed by its policy, and its "
          "event says so."),
    Check(25, "second_handoffs", "No message may have been taken twice unless its policy "
          "allowed it."),
    Check(32, "overdue", "Every message reached its end by its outcome deadline."),
    Check(33, "delivered_without_evidence", "A delivered message has a receipt that says so."),
    Check(37, "parked_too_long", "No receipt is parked for more than 72 h.", "once",
          "parked receipt"),
    Check(37, "parked_without_form", "A parked receipt can still be matched.", "once",
          "parked receipt"),
    Check(38, "foreign_handoffs", "A provider's id leads to a message that it was to carry.",
          "handoffs"),
    Check(40, "times_go_back", "A message's events follow one another in time."),
    Check(46, "wrong_environment", "Test keys reached sandbox providers only, live keys live "
          "ones.", "handoffs"),
    Check(48, "abandoned_sending", "Nothing is left in the hands of a bind's former owner.",
          "once"),
)  # fmt: skip

# What a backup proves of its copy, beside rules and balances: true of any moment, and quick.
CHEAP: Final = frozenset({"balance_integers", "epochs_ahead"})

SUMS: Final = (
    Sum(7, "held_by_orders", "parts_of_holds", "hold_postings", "A hold is the sum of the "
        "orders that name it.", "orders"),
    Sum(7, "settled_by_messages", "parts_of_settlements", "settling_postings", "A capture or "
        "release is the sum of the messages that name it.", "messages"),
    Sum(8, "adjusted_by_messages", "parts_of_adjustments", "adjusting_postings", "A refund or "
        "recharge is the sum of the adjustments that name it.", "messages"),
)  # fmt: skip

# What takes more than one statement.
TRIGGERS: Final = Check(
    3,
    "known_triggers",
    "The database itself refuses to edit postings, prices and events.",
    "once",
    "trigger",
)
BALANCES: Final = Check(
    6,
    "balances_and_rest",
    "Every balance is the sum of its account's postings.",
    "once",
    "account",
)
SHAPES: Final = Check(11, "shapes", "A message's alphabet and segments are those of its text.")
PARTS: Final = Check(
    11,
    "uncharged_parts",
    "What was handed off was charged, part by part, or begun as more where its provider has "
    "another alphabet.",
    "handoffs",
)
MISSING: Final = Check(
    38,
    "missing_handoffs",
    "An id that a provider gave leads to its message.",
)
# It sums every message there is, so only a full run does it.
COSTS: Final = Check(
    14,
    "message_costs",
    "What providers cost us is the sum of their messages' costs.",
    "whole ledger",
    "",
)
