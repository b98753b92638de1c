"""`make playground`: serves the page, with the local platform where no endpoint is named."""

import logging
import os
import signal
import socket
import sys
import tempfile
import webbrowser
from asyncio import CancelledError
from contextlib import ExitStack
from pathlib import Path

import uvicorn

from local_platform.processes import surroundings
from local_platform.processes.ports import PLAYGROUND, check_free, port_from_environment

HOST = "127.0.0.1"
EVERYWHERE = "0.0.0.0"  # noqa: S104
LAST_WORDS = 1
"""Seconds that open pages have when it ends: they would hold it for as long as they are open."""


def _is_no_farewell(record: logging.LogRecord) -> bool:
    """Whether it says more than that a page was still open at the end."""
    return not (record.exc_info and record.exc_info[0] is CancelledError)


class Server(uvicorn.Server):
    """Says where it is as soon as it listens, and shows itself where there is a screen."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        if self.started:
            # As for uvicorn's own signals: what main's handler raises can get lost in the loop.
            signal.signal(signal.SIGHUP, self.handle_exit)
            host = HOST if self.config.host == EVERYWHERE else self.config.host
            address = f"http://{f'[{host}]' if ':' in host else host}:{self.config.port}"
            print(f"Playground: {address} (Ctrl-C to end).", file=sys.stderr, flush=True)
            if _has_a_screen():
                webbrowser.open(address)


def main() -> None:
    """Serve until Ctrl-C."""
    surroundings.isolate()
    for ending in (signal.SIGTERM, signal.SIGHUP):  # so that what is opened here is closed
        signal.signal(ending, lambda *_: sys.exit(0))
    with surroundings.ending_in_words(), ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="playground-")))
        # Gradio reads these when it is imported.
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        os.environ["GRADIO_TEMP_DIR"] = str(folder)
        from playground import local_endpoints, places, server

        host = os.environ.get("PLAYGROUND_HOST") or HOST
        port = port_from_environment("PLAYGROUND_PORT", PLAYGROUND)
        check_free(port, "PLAYGROUND_PORT")
        if url := os.environ.get("ENDPOINT_URL"):
            served, place = [], places.read(url)
        else:
            served = opened.enter_context(local_endpoints.running(port_from_environment()))
            place = served[0].place
        page = server.app(place, served, folder, for_all=not places.is_loopback(host))
        logging.getLogger("uvicorn.error").addFilter(_is_no_farewell)
        Server(
            uvicorn.Config(
                page, host, port, log_level="warning", timeout_graceful_shutdown=LAST_WORDS
            )
        ).run()


def _has_a_screen() -> bool:
    return sys.platform != "linux" or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))


if __name__ == "__main__":
    main()
