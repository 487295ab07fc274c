"""What every reading verb stands on: a connection, its dialect, and whose rows it may see."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

T = TypeVar("T")
Arguments = ParamSpec("Arguments")


class Rows(Protocol):
    """What a statement found."""

    @property
    def get(self) -> Any:
        """The first value of the first row, or None."""

    def fetchall(self) -> list[Any]:
        """Return all rows."""


class ReadingConnection(Protocol):
    """A connection that runs statements; as a context, it shows one state of the database."""

    def execute(self, statement: str, bindings: Any = (), /) -> Rows:
        """Run a statement."""

    def __enter__(self) -> Any: ...
    def __exit__(self, *about: Any) -> Any: ...


class ReaderBase:
    """A reading connection of one dialect."""

    def __init__(self, connection: ReadingConnection, dialect: str) -> None:
        self.dialect = dialect
        self._connection = connection

    def seen_by(self, account_id: int) -> AbstractContextManager[Any]:  # noqa: ARG002
        """Show no rows but this account's, where the database can see to that itself."""
        return nullcontext()


Self = TypeVar("Self", bound=ReaderBase)


def for_account(
    verb: Callable[Concatenate[Self, int, Arguments], T],
) -> Callable[Concatenate[Self, int, Arguments], T]:
    """Make a verb see the rows of the account that is its first argument, and no others."""

    @functools.wraps(verb)
    def guarded(
        reader: Self, account_id: int, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> T:
        with reader.seen_by(account_id):
            return verb(reader, account_id, *args, **kwargs)

    return guarded  # type: ignore[return-value]  # the parameters have names here
