"""The local platform in a thread, and what a client without any library does with it."""

import json
import os
import signal
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from local_platform.api.server import Server
from local_platform.processes.ports import free_ports
from local_platform.processes.surroundings import demo_environment
from local_platform.queue.endpoint import Endpoint

DEV = "black-forest-labs-flux-1-dev"
SCHNELL = "black-forest-labs-flux-1-schnell"
KONTEXT = "black-forest-labs-flux-1-kontext-dev"


class Platform:
    def __init__(self, url, *endpoints):
        self.url, self.endpoints = url, endpoints
        self.endpoint = endpoints[0]

    def __call__(self, method, path, body=None, **headers):
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = Request(self.url + path, data, headers, method=method)
        try:
            with urlopen(request, timeout=120) as response:
                text = response.read()
                return response.status, json.loads(text) if text else None
        except HTTPError as error:
            return error.code, json.loads(error.read())

    def as_worker(self, worker_id, method, operation, rest="", body=None):
        """Ask for what a worker asks for, with the key that the fleet gives it."""
        path = f"/worker/{self.endpoint.id}/{operation}/{worker_id}{rest}"
        return self(method, path, body, Authorization=self.endpoint.fleet.register(worker_id))

    def wait(self, job_id, *statuses, seconds=100):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            report = self("GET", f"/status/{job_id}")[1]
            if report["status"] in statuses:
                return report
            time.sleep(0.05)
        raise AssertionError(f"still {report}")

    def worker_process(self, worker_id):
        """The id of the worker's own process, which its leash is the parent of."""
        leash = self.endpoint.fleet.running[worker_id].pid
        return int(Path(f"/proc/{leash}/task/{leash}/children").read_text().split()[0])

    def kill_worker(self, worker_id):
        os.kill(self.worker_process(worker_id), signal.SIGKILL)
        while worker_id in self.endpoint.fleet.running:
            time.sleep(0.01)


@contextmanager
def serving_both(s3, log, **more):
    """Serve dev and schnell on the demo weights, a worker each; the log takes what these say."""
    settings = {**s3.environment, **more}
    each = [demo_environment({**settings, "FLUX_MODEL": m}) for m in ("dev", "schnell")]
    with serving(1, each, log_file=log, ids=(DEV, SCHNELL)) as platform:
        yield platform


@contextmanager
def serving_kontext(s3, folder, **more):
    """Serve Kontext by one worker, on its own demo weights."""
    own = demo_environment({**s3.environment, "FLUX_MODEL": "kontext", **more})
    with serving(1, own, log_file=folder / "worker.log", ids=(KONTEXT,)) as platform:
        yield platform


@contextmanager
def serving(workers, settings, api_key=None, ids=(DEV,), worker_url=None, **fleet):
    """Serve endpoints with so many workers each; settings is one environment, or one for each.

    Workers reach the platform at `worker_url`, if that is not its own.
    """
    port = free_ports(1)[0]
    url = f"http://127.0.0.1:{port}"
    each = settings if isinstance(settings, list) else [settings] * len(ids)
    endpoints = [
        Endpoint(name, worker_url or url, own, **fleet) for name, own in zip(ids, each, strict=True)
    ]
    with Server(endpoints, port, workers, api_key).in_thread():
        yield Platform(url, *endpoints)
