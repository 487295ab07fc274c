"""What every test shares: how Hypothesis behaves on a busy machine, and a real PostgreSQL."""

from __future__ import annotations

from hypothesis import settings

from tests.postgres.fixtures import empty_databases, postgres_server, postgres_url

__all__ = ["empty_databases", "postgres_server", "postgres_url"]

# No deadline per example: pytest-timeout bounds the whole test, and a slow second of a
# shared machine is not a failure. The blob lets anyone replay what failed elsewhere.
settings.register_profile("arrivals", deadline=None, print_blob=True)
settings.load_profile("arrivals")
