"""`make playground`: serves the page, with the local platform where no endpoint is named."""

import os
import sys
import tempfile
import webbrowser
from contextlib import ExitStack
from pathlib import Path
from threading import Timer

import uvicorn

from local_platform.processes import surroundings
from local_platform.processes.ports import check_free, port_from_environment

HOST, PORT = "127.0.0.1", 7860


def main() -> None:
    """Serve until Ctrl-C."""
    surroundings.isolate()
    with surroundings.ending_in_words(), ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="playground-")))
        # Gradio reads these when it is imported.
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        os.environ["GRADIO_TEMP_DIR"] = str(folder)
        from playground import local_endpoints, places, server

        host = os.environ.get("PLAYGROUND_HOST") or HOST
        port = port_from_environment("PLAYGROUND_PORT", PORT)
        check_free(port, "PLAYGROUND_PORT")
        if url := os.environ.get("ENDPOINT_URL"):
            served, place = [], places.read(url)
        else:
            served = opened.enter_context(local_endpoints.running(port_from_environment()))
            place = served[0].place
        page = server.app(place, served, folder, for_all=host != HOST)
        address = f"http://{HOST if host == '0.0.0.0' else host}:{port}"  # noqa: S104
        print(f"Playground: {address} (Ctrl-C to end).", file=sys.stderr, flush=True)
        if _has_a_screen():
            Timer(1, webbrowser.open, [address]).start()
        uvicorn.run(page, host=host, port=port, log_level="warning")


def _has_a_screen() -> bool:
    return sys.platform != "linux" or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))


if __name__ == "__main__":
    main()
