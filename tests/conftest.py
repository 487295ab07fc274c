"""What every test shares: how Hypothesis behaves on a busy machine, and the backends."""

from __future__ import annotations

from hypothesis import settings

from tests.backends import backend, new_place, place, pytest_collection_modifyitems
from tests.postgres.fixtures import empty_databases, postgres_server, postgres_url

__all__ = [
    "backend",
    "empty_databases",
    "new_place",
    "place",
    "postgres_server",
    "postgres_url",
    "pytest_collection_modifyitems",
]

# No deadline per example: pytest-timeout bounds the whole test, and a slow second of a
# shared machine is not a failure. The blob lets anyone replay what failed elsewhere.
settings.register_profile("arrivals", deadline=None, print_blob=True)
settings.load_profile("arrivals")
