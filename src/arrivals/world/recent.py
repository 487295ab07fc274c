"""A memory that is bounded: what wasn't used for long is forgotten."""

from __future__ import annotations

from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """Two generations of a table: a full one becomes the older, and the older is dropped."""

    def __init__(self, entries_max: int) -> None:
        """Keep the latest `entries_max` at least, and twice as many at most."""
        self._max = entries_max
        self._recent: dict[K, V] = {}
        self._older: dict[K, V] = {}

    def get(self, key: K) -> V | None:
        """Return what is kept under a key, if it still is."""
        found = self._recent.get(key)
        return self._older.get(key) if found is None else found

    def put(self, key: K, value: V) -> None:
        """Keep something under a key."""
        if len(self._recent) >= self._max:
            self._older = self._recent
            self._recent = {}
        self._recent[key] = value
