"""How progress reaches the platform: in order, now and then, and never after the result."""

import asyncio
import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from runpod.serverless.modules import rp_http

from flux_worker import progress, sdk
from flux_worker.steps import Progress


@contextmanager
def platform(monkeypatch, slow=0.0, status=200):
    """A platform that notes when it has dealt with each post."""
    taken = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            time.sleep(slow)
            taken.append((time.monotonic(), self.path, body))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever).start()
    url = f"http://127.0.0.1:{server.server_port}/job-done/w/$ID?gpu=x"
    monkeypatch.setattr(rp_http, "JOB_DONE_URL", url)
    try:
        yield taken
    finally:
        server.shutdown()
        server.server_close()


async def burst(reports, pause=0.0):
    """A job that reports from a thread, as the GPU's does, and is answered at once."""

    def work(report):
        for step in range(1, reports + 1):
            report(Progress(step, reports))
            time.sleep(pause)

    async with progress.reporting(sdk.channel(), "j") as report:
        await asyncio.to_thread(work, report)
    return time.monotonic()


@pytest.mark.parametrize("slow", [0.0, 0.4])
def test_a_burst_ends_before_the_result(monkeypatch, slow):
    with platform(monkeypatch, slow) as taken:
        ends = [asyncio.run(burst(20, 0.01)) for _ in range(5)]
        time.sleep(1)  # what was late would come now
    assert len(taken) >= 5
    arrivals = [arrival for arrival, _, _ in taken]
    for begin, end in zip([0, *ends], ends, strict=False):
        assert [arrival for arrival in arrivals if begin < arrival <= end]
    assert arrivals[-1] <= ends[-1]


def test_updates_are_in_order_and_at_most_two_a_second(monkeypatch):
    with platform(monkeypatch) as taken:
        asyncio.run(burst(150, 0.01))
    steps = [body["output"]["step"] for _, _, body in taken]
    assert steps == sorted(set(steps))
    seconds = taken[-1][0] - taken[0][0]
    assert len(taken) - 1 <= 2 * seconds + 0.5
    assert taken[0][1:] == (
        "/job-done/w/j?gpu=x&isStream=false",
        {"status": "IN_PROGRESS", "output": {"step": steps[0], "steps": 150, "percent": 1}},
    )


@pytest.mark.parametrize("status", [400, 429, 500])
def test_a_platform_that_takes_no_progress_costs_the_job_nothing(monkeypatch, status):
    with platform(monkeypatch, status=status) as taken:
        asyncio.run(burst(60, 0.01))
    assert len(taken) <= 3


def test_a_platform_that_is_away_costs_the_job_nothing(monkeypatch):
    monkeypatch.setattr(rp_http, "JOB_DONE_URL", "http://127.0.0.1:9/$ID?x")
    asyncio.run(burst(20, 0.01))


def test_without_a_platform_reports_go_nowhere():
    assert rp_http.JOB_DONE_URL == "JOB_DONE_URL"
    asyncio.run(burst(3))
