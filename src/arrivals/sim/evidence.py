"""Which receipts the platform read and acknowledged, and which messages they're about.

The auditor tells by the id, which providers answered on the wire, else by the number. A
receipt may come before the answer that gives its id, and with a number that nobody wrote
to: then it's placed once more is known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from arrivals.sim.dossier import Told
from arrivals.sim.frames import Frame, read_short
from arrivals.sim.said import GOOD, name_of, names_of, read_said
from arrivals.world.installation import fitting

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from arrivals.sim.dossier import Recipient, Submit
    from arrivals.sim.network import Wire
    from arrivals.sim.plan import Plan


class Evidence:
    """All receipts of one run."""

    def __init__(self, plan: Plan, recipients: dict[str, Recipient]) -> None:
        """Begin with none; `recipients` are whom they may be about."""
        self._plan = plan
        self._recipients = recipients
        self._ids: dict[str, Submit] = {}  # by every way to write them
        self._told: dict[tuple[Wire, int], Told] = {}  # the latest under each number
        self._homeless: list[Told] = []
        self._unmarked = {  # providers of which the platform knows that their marks may lack
            name
            for name, world in plan.worlds.items()
            if plan.binds[name].told and fitting(world).unmarked_receipts
        }

    def named(self, submit: Submit, message_id: str) -> None:
        """Note the id that a provider gave."""
        for name in names_of(message_id):
            self._ids[name] = submit

    def heard(self, wire: Wire, provider: str, frame: Frame) -> None:
        """Note a deliver_sm that the platform read."""
        try:
            short = read_short(frame.body)
        except (IndexError, ValueError):
            return  # spoiled
        said = read_said(short)
        if said is not None:
            told = self._told[wire, frame.sequence] = Told(provider, short, said, frame.body)
            self._place(told)

    def acknowledged(self, wire: Wire, sequence: int) -> Told | None:
        """Note that the platform said it has a receipt; return it, if it was one."""
        told = self._told.get((wire, sequence))
        if told is not None:
            told.is_acknowledged = True
            self._count(told)
        return told

    def refused(self, wire: Wire, sequence: int) -> Told | None:
        """Return the receipt that the platform refused, if it could have read it."""
        told = self._told.get((wire, sequence))
        return told if told is not None and self.is_readable(told) else None

    def is_readable(self, told: Told) -> bool:
        """Tell whether the platform can know that this is a receipt."""
        return told.said.marked or told.provider in self._unmarked

    def about(self, frame: Frame) -> Iterator[Recipient]:
        """Yield whom a deliver_sm may be about, however it's written."""
        try:
            short = read_short(frame.body)
        except (IndexError, ValueError):
            return
        said = read_said(short)
        submit = self._ids.get(name_of(said.name)) if said else None
        numbers = {short.source, short.destination, submit.number if submit else ""}
        yield from (
            self._recipients[each] for each in sorted(numbers & self._recipients.keys())
        )

    def settle(self) -> None:
        """Place what couldn't be placed when it came."""
        homeless, self._homeless = self._homeless, []
        for told in homeless:
            self._place(told)
            if told.is_acknowledged:
                self._count(told)

    @property
    def is_some_good_homeless(self) -> bool:
        """Whether somebody said delivered of a message that only its reference can tell."""
        return any(GOOD in told.said.words for told in self._homeless)

    def counts(self, told: Told) -> bool:
        """Tell whether an acknowledged receipt must have changed its message."""
        return bool(told.said.word) and self.is_readable(told) and told.may_be_known

    def told_by(self, recipient: Recipient) -> set[str]:
        """Return the providers whose receipts may be about somebody."""
        return self._tellers({each.provider for each in recipient.submits})

    def _tellers(self, having: set[str]) -> set[str]:
        binds = self._plan.binds.items()
        return having | {name for name, bind in binds if bind.ids_of in having}

    def _nameless(self, submits: Sequence[Submit]) -> list[Submit]:
        named = {id(each) for each in self._ids.values()}
        return [each for each in submits if id(each) not in named]

    def _place(self, told: Told) -> None:
        """Find whom a receipt is about, and note what it says."""
        told.submit = self._ids.get(name_of(told.said.name))
        number = told.submit.number if told.submit else told.short.source
        recipient = self._recipients.get(number)
        if recipient is None:
            self._homeless.append(told)
            return
        told.number = number
        recipient.heard |= told.said.words
        recipient.disagreed |= len(told.said.words) > 1

    def _count(self, told: Told) -> None:
        recipient = self._recipients.get(told.number)
        if recipient is None:
            return
        # Of a hand-off without an id, whoever may have it can tell; one that was given another
        # id isn't meant.
        having = [told.submit] if told.submit else self._nameless(recipient.taken)
        if told.provider in self._tellers({each.provider for each in having}):
            recipient.said.append(told)
            recipient.told_again |= (told.provider, told.body) in recipient.receipts
            recipient.receipts.add((told.provider, told.body))
        else:
            recipient.told_elsewhere = True
