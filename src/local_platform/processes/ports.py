"""Ports that nobody listens on."""

import os
import re
import socket
from itertools import islice
from random import SystemRandom

PLAYGROUND = 7860
"""Where `make playground` serves its page."""


RANDOM = SystemRandom()
QUIET = range(10_000, 32_768)
"""Below those that a system gives to whoever asks for any, a connection or a server: one of those
could be gone by the time that it is listened on."""


def free_ports(count: int) -> list[int]:
    """Return different free TCP ports of 127.0.0.1, in no order."""
    candidates = iter(RANDOM.sample(QUIET, len(QUIET)))
    return list(islice(filter(_is_free, candidates), count))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


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
