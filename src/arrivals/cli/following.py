"""Follow a message until its outcome is known: one live line a layer."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from arrivals.cli.connection import Client
from arrivals.cli.output import EXIT_OF_OUTCOME, STYLES, ExitCode, on_stdout, say

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

LAYERS: Final = ("api", "execution", "outcome")
LOOK_EVERY_S: Final = 0.4  # an outcome ends the look at once
STATE_WIDTH: Final = 16


def follow(
    client: Client,
    message_id: str,
    *,
    timeout_s: float | None,
    show: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:
    """Show a message whenever it changed, until its outcome is final or the time is up."""
    from arrivals.clock import SystemClock

    clock = SystemClock()
    began = clock.monotonic()
    path = f"/api/v1/messages/{message_id}"
    while True:
        message: dict[str, Any] = client.get(path)
        show(message)
        left = LOOK_EVERY_S
        if timeout_s is not None:
            left = min(left, timeout_s - (clock.monotonic() - began))
        if message["layers"]["outcome"]["final"] or left <= 0:
            return message
        client.get(f"{path}/outcome", wait=f"{left:.3f}s")


def exit_code_of(message: dict[str, Any]) -> ExitCode:
    """Return the exit code that a message's outcome stands for."""
    return EXIT_OF_OUTCOME.get(message["layers"]["outcome"]["state"], ExitCode.STILL_OPEN)


@dataclass(slots=True)
class Screen:
    """What a follower sees: lines that change at a terminal, lines that follow in a pipe."""

    quiet: bool = False  # --json
    _shown: dict[str, tuple[str, str]] = field(default_factory=dict)
    _live: Live | None = None

    def __enter__(self) -> Screen:
        """Begin to draw, where there is something to draw on."""
        if not self.quiet and sys.stdout.isatty():
            from rich.live import Live

            self._live = Live(console=on_stdout(), auto_refresh=False)
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the last state standing."""
        if self._live is not None:
            self._live.stop()

    def show(self, message: dict[str, Any]) -> None:
        """Show how a message stands now."""
        if self.quiet:
            return
        if self._live is not None:
            self._live.update(_lines(message), refresh=True)
            return
        for layer in LAYERS:
            state, cause = _words(message, layer)
            if self._shown.get(layer) != (state, cause):
                self._shown[layer] = (state, cause)
                say(f"{layer:<10} {state:<{STATE_WIDTH}} {cause}".rstrip())
                sys.stdout.flush()


def _lines(message: dict[str, Any]) -> Text:
    from rich.text import Text

    lines = Text(no_wrap=True, overflow="ellipsis")
    for layer in LAYERS:
        state, cause = _words(message, layer)
        final = message["layers"][layer]["final"]
        style = STYLES.get(state, "") if final else "cyan"
        lines.append(f"  {layer:<10} ", style="dim")
        lines.append(f"{'●' if final else '○'} {state:<{STATE_WIDTH}}", style=style)
        lines.append(f" {cause}\n", style="dim")
    lines.rstrip()
    return lines


def _words(message: dict[str, Any], layer: str) -> tuple[str, str]:
    """Return a layer's state and what there is to say about it."""
    found = message["layers"][layer]
    cause = found.get("cause") or {}
    text = str(cause.get("text") or cause.get("code") or "")
    if not text and layer == "api":
        money = message["money"]
        text = f"checked, priced at {money['price']} {money['currency']}, committed to disk"
    if not text and layer == "execution" and message["attempts"]:
        attempt = message["attempts"][-1]
        text = f"attempt {len(message['attempts'])}, provider {attempt.get('provider')}"
    if not text and layer == "outcome":
        text = _about_outcome(found, message["created_at"])
    return str(found["state"]), text


def _about_outcome(outcome: dict[str, Any], accepted_at: str) -> str:
    if outcome["final"]:
        since = datetime.fromisoformat(outcome["since"])
        took = (since - datetime.fromisoformat(accepted_at)).total_seconds()
        return f"{took:.1f} s after it was accepted"
    final_after = outcome.get("final_after")
    return f"known by {final_after[:19].replace('T', ' ')} UTC" if final_after else ""
