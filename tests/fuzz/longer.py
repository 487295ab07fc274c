"""A plugin of pytest that gives each property more examples than a test run has time for."""

from __future__ import annotations

from typing import Final

EXAMPLES: Final = 1_000  # of each property in one round


def pytest_collection_finish() -> None:
    """Choose the long form once everything is imported, and so after the usual one."""
    # Not above: pytest wants to be the first to import its plugins.
    from hypothesis import settings

    settings.register_profile("long", deadline=None, print_blob=True, max_examples=EXAMPLES)
    settings.load_profile("long")
