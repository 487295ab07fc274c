"""Places for what takes long or much: bounded for each account, and for the process.

The account's bound is well below the process's, so no account can have all places.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from arrivals.core.errors import Code, refuse


class Room:
    """So many places of a kind."""

    def __init__(self, code: Code, *, each_max: int, all_max: int) -> None:
        """Refuse with `code` whoever comes when an account or the process has its fill."""
        self._code = code
        self.each_max = each_max
        self.all_max = all_max
        self._of: dict[int, int] = {}
        self.taken = 0

    def take(self, account_id: int, places: int = 1) -> None:
        """Take places for an account, or raise the Refusal."""
        now = self._of.get(account_id, 0) + places
        if now > self.each_max or self.taken + places > self.all_max:
            raise refuse(self._code)
        self._of[account_id] = now
        self.taken += places

    @contextlib.contextmanager
    def lent(self, account_id: int) -> Iterator[None]:
        """Let others have a place that is held, and take it back whoever has come."""
        self.give_back(account_id)
        try:
            yield
        finally:
            self._of[account_id] = self._of.get(account_id, 0) + 1
            self.taken += 1

    def give_back(self, account_id: int, places: int = 1) -> None:
        """Let others have an account's places again."""
        if not places:
            return
        self.taken -= places
        left = self._of[account_id] - places
        if left:
            self._of[account_id] = left
        else:
            del self._of[account_id]

    @contextlib.contextmanager
    def place(self, account_id: int) -> Iterator[None]:
        """Hold one place; raises the Refusal."""
        self.take(account_id)
        try:
            yield
        finally:
            self.give_back(account_id)
