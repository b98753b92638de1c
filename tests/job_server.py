"""Runpod's protocol for one worker that runs in the test, on real HTTP."""

import asyncio
import json
import threading
from contextlib import contextmanager
from functools import partial

import loopback
from runpod.serverless.modules import rp_http, rp_job
from runpod.serverless.modules.worker_state import JobsProgress

from flux_worker.serving import sdk_loop
from flux_worker.serving.sdk_loop import Loop
from flux_worker.serving.sdk_posts import post_result
from flux_worker.serving.turns import Turns

HOLD = object()
"""An answer that doesn't come before the end."""


class JobServer:
    """Answers each poll with the next of `jobs` or `stops`: a status, a body, or HOLD.

    A body is bytes, or what becomes JSON. When they have run out, the last is repeated.
    """

    def __init__(self, jobs=(HOLD,), stops=(HOLD,)):
        self.left = {"take": list(jobs), "stop": list(stops)}
        self.polls = {"take": 0, "stop": 0}
        self.results = []
        """Pairs of a job's id, as in the address, and the body, in the order of their arrival."""
        self.result_statuses = []
        """What the next results are answered with; 200 when they have run out."""
        self._end = threading.Event()

    def handle(self, request):
        path, kind = request.path.partition("?")[0].split("/"), request.path.split("/")[1]
        if kind == "job-done":
            body = json.loads(request.body())
            status = self.result_statuses.pop(0) if self.result_statuses else 200
            if status == 200:
                self.results.append((path[-1], body))
            return request.answer(status)
        kind = "stop" if kind == "job-stop" else "take"
        self.polls[kind] += 1
        left = self.left[kind]
        answer = left.pop(0) if len(left) > 1 else left[0]
        if answer is HOLD:
            self._end.wait()
            return request.drop()
        if isinstance(answer, int):
            return request.answer(answer)
        headers = {"Content-Type": "application/json"}
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        return request.answer(200, body, headers)

    @contextmanager
    def serving(self, monkeypatch):
        JobsProgress().clear()
        with loopback.serving(self.handle) as url:
            monkeypatch.setattr(rp_job, "JOB_GET_URL", f"{url}/job-take/w?gpu=x")
            monkeypatch.setattr(rp_http, "JOB_DONE_URL", f"{url}/job-done/w/$ID?gpu=x")
            try:
                yield url
            finally:
                self._end.set()

    def answered(self):
        return [job_id for job_id, _ in self.results]


def work(server, handle, monkeypatch, until, turns=None):
    """Run our loop against the server until that holds, and then to its end."""
    sleep = asyncio.sleep
    monkeypatch.setattr(asyncio, "sleep", lambda seconds: sleep(min(seconds, 0.01)))
    monkeypatch.setattr(sdk_loop, "GRACE", 0)
    shutdown = asyncio.Event()
    monkeypatch.setattr(rp_http, "_transmit", partial(post_result, shutdown=shutdown))

    async def main():
        loop = Loop({"handler": handle}, turns or Turns(), asyncio.Event(), shutdown, ceiling=8)
        running = asyncio.create_task(loop.run())
        async with asyncio.timeout(60):
            while not until():
                await asyncio.sleep(0.01)
            shutdown.set()
            await running

    with server.serving(monkeypatch):
        asyncio.run(main())
