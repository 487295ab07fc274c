"""Tell the service manager that started this process how it is, as sd_notify(3) does."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import Final

SOCKET_VARIABLE: Final = "NOTIFY_SOCKET"


def notify(*lines: str) -> None:
    """Send states such as READY=1; where nobody asked for them, or hears them, do nothing."""
    address = os.environ.get(SOCKET_VARIABLE, "")
    if not address.startswith(("/", "@")):
        return
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as there,
    ):
        there.setblocking(False)  # noqa: FBT003 - the standard library's own signature
        # With @ in front it is a name of the kernel's, which begins with a NUL there.
        there.sendto("\n".join(lines).encode(), address.replace("@", "\0", 1))
