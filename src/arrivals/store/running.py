"""Run named statements within a transaction; each database does it in its own way."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Final, TypeVar

import msgspec

T = TypeVar("T")

_encode: Final = msgspec.json.Encoder().encode


class Running(ABC):
    """What the verbs of a transaction are made of."""

    now_us: int

    @abstractmethod
    def _run(self, name: str, *values: Any) -> None:
        """Run a statement."""

    @abstractmethod
    def _changed(self, name: str, *values: Any) -> int:
        """Run a statement; return how many rows it changed."""

    @abstractmethod
    def _all(self, name: str, *values: Any) -> list[Any]:
        """Run a statement; return its rows."""

    @abstractmethod
    def _value(self, name: str, *values: Any) -> Any:
        """Run a statement; return the first value of its first row, or None."""

    def _rows(self, decoder: msgspec.json.Decoder[list[T]], name: str, *values: Any) -> list[T]:
        return decoder.decode(self._value(name, *values))

    def _plain(self, name: str, *values: Any) -> Any:
        return msgspec.json.decode(self._value(name, *values))


def as_text(rows: object) -> str:
    """Return what a statement takes as one JSON text."""
    return _encode(rows).decode()
