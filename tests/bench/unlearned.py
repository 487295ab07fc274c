"""`arrivals` whose model of outcomes learns nothing, to see what learning costs.

python -m tests.bench.unlearned serve --config arrivals.toml
"""

from __future__ import annotations

import asyncio

from arrivals.cli import main
from arrivals.flows.learning import Learning


async def never(_: Learning) -> None:
    """Learn nothing, for ever."""
    await asyncio.Event().wait()


if __name__ == "__main__":
    Learning.run = never  # type: ignore[method-assign, assignment]
    main()
