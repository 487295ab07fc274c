"""Run a server on an event loop until it is told to stop, or can't begin."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from arrivals.cli.notify import notify
from arrivals.cli.output import ExitCode, Stop

if TYPE_CHECKING:
    import asyncio


def serve_until_stopped(
    work: Callable[[asyncio.Event], Awaitable[None]],
    *,
    in_production: bool = False,
    on_hangup: Callable[[], None] | None = None,
) -> None:
    """Run `work` with an event that SIGTERM and SIGINT set; raises Stop if it can't begin.

    `on_hangup` is called at SIGHUP, which ends the process if there is none. In production the
    log is JSON lines, unless a terminal reads it.
    """
    import asyncio

    import uvloop

    from arrivals.flows.administer import Impossible
    from arrivals.store.api import StoreError
    from arrivals.telemetry import configure_logging

    configure_logging(sys.stderr, as_json=in_production and not sys.stderr.isatty())
    # What an operator is told in words needs no traceback beside them.
    logging.getLogger("arrivals.store").addFilter(
        lambda record: not (record.exc_info and isinstance(record.exc_info[1], Impossible))
    )
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_until_signalled(work, on_hangup))
    except Impossible as error:
        raise Stop(error.problem, error.fix) from None
    except StoreError as error:
        raise Stop(str(error), error.fix or _remedy(error)) from None
    except OSError as error:
        raise Stop(
            f"the server can't begin: {error.strerror or error}",
            "is the port taken? choose another one, or 0 for any",
            code=ExitCode.UNREACHABLE,
        ) from None


def _remedy(error: Exception) -> str:
    from arrivals.store.api import StoreFull

    if isinstance(error, StoreFull):
        return "make room"
    return "stop the other process, or choose another folder with --data"


async def _until_signalled(
    work: Callable[[asyncio.Event], Awaitable[None]], on_hangup: Callable[[], None] | None
) -> None:
    import asyncio

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def end() -> None:
        notify("STOPPING=1")
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    if on_hangup is not None:
        loop.add_signal_handler(signal.SIGHUP, on_hangup)
    await work(stop)
