"""The real worker behind the SDK's development API, on loopback."""

import json
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self
from urllib.error import URLError
from urllib.request import Request, urlopen

from local_platform.processes import leash
from local_platform.processes.ports import check_free, free_ports
from local_platform.processes.surroundings import ROOT, demo_environment

START_TIMEOUT = 120.0
"""Seconds; importing torch and diffusers takes 5 to 15 of them on two cores."""


def post_json(url: str, body: object) -> Any:
    """Post JSON and return the JSON that is answered."""
    headers = {"Content-Type": "application/json"}
    request = Request(url, data=json.dumps(body).encode(), headers=headers)
    with urlopen(request, timeout=600) as response:
        return json.load(response)


class ApiWorker:
    """The worker with `--rp_serve_api`, from start to end of a `with` block."""

    def __init__(
        self,
        settings: Mapping[str, str],
        port: int | None = None,
        log: Path | None = None,
        leftovers: Iterable[Path] = (),
        program: Path = ROOT / "handler.py",
    ) -> None:
        """Describe the worker; the block starts it.

        Args:
            settings: environment variables, on top of this process's and the demo's.
            port: where to serve; by default a free one.
            log: the file that takes the output; by default it goes to this process's.
            leftovers: files and folders to remove when the worker has ended.
            program: what the worker runs.
        """
        self.url = f"http://127.0.0.1:{port or free_ports(1)[0]}"
        self._environment = demo_environment(settings)
        self._log = log
        self._leftovers = leftovers
        self._program = program

    def __enter__(self) -> Self:
        port = self.url.rpartition(":")[2]
        check_free(int(port))
        serve = ["--rp_serve_api", "--rp_api_host", "127.0.0.1", "--rp_api_port", port]
        command = [sys.executable, str(self._program), *serve]
        self._leash = leash.start(command, self._environment, self._log, self._leftovers)
        self._wait_until_it_answers()
        return self

    def __exit__(self, *_: object) -> None:
        leash.end(self._leash)

    def wait(self) -> int:
        """Wait until the worker ends by itself, and return its exit status."""
        return self._leash.wait()

    def post(self, path: str, body: object) -> Any:
        """Post JSON and return the JSON that is answered."""
        return post_json(self.url + path, body)

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline and self._leash.poll() is None:
            try:
                urlopen(self.url + "/openapi.json", timeout=5).close()
                return
            except (URLError, OSError):
                time.sleep(0.1)
        log = self._log.read_text(errors="replace") if self._log else ""
        leash.end(self._leash)
        raise RuntimeError(f"The worker did not start.\n{log}".strip())
