"""Ports that nobody listens on."""

import os
import re
import socket
from contextlib import ExitStack

PLAYGROUND = 7860
"""Where `make playground` serves its page."""


def free_ports(count: int) -> list[int]:
    """Return different free TCP ports of 127.0.0.1, in no order."""
    with ExitStack() as taken:
        sockets = [taken.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]


def check_free(port: int, name: str = "PORT") -> None:
    """Raise a RuntimeError where somebody listens on this port of 127.0.0.1 already.

    Args:
        port: to be listened on.
        name: the variable that chooses another.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise RuntimeError(f"Port {port} is taken: choose another by {name}=….") from None


def port_from_environment(name: str = "PORT", default: int = 8000) -> int:
    """Return the port that a variable names, or the default, or raise a ValueError."""
    port = os.environ.get(name) or str(default)
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65536:
        raise ValueError(f"{name} must be a number from 1 to 65535, not {port}.")
    return int(port)
