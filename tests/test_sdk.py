"""The changes to the pinned SDK: that each works, and that the SDK still needs it."""

import asyncio
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import aiohttp
import pytest
from runpod.serverless.modules import rp_http, rp_scale

from flux_worker import sdk


@contextmanager
def answering(*statuses):
    """A platform that answers posts with these in turn; 0 drops the connection."""
    left, taken = list(statuses), []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = left.pop(0)
            if status == 0:
                self.connection.close()
                return
            if status == 200:
                taken.append(body.decode())
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/job-done", taken
    finally:
        server.shutdown()
        server.server_close()


def post(transmit, url):
    async def once():
        async with aiohttp.ClientSession() as session:
            await transmit(session, url, '{"output": {}}')

    asyncio.run(once())


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    sleep = asyncio.sleep
    monkeypatch.setattr(asyncio, "sleep", lambda seconds: sleep(0))


@pytest.mark.parametrize("trouble", [500, 503, 429, 408, 0])
def test_a_result_is_posted_until_it_is_taken(trouble):
    with answering(trouble, trouble, trouble, trouble, 200) as (url, taken):
        post(sdk.post_result, url)
    assert taken == ['{"output": {}}']


def test_a_result_that_is_refused_for_good_is_not_posted_again():
    with answering(400, 200) as (url, taken), pytest.raises(aiohttp.ClientResponseError):
        post(sdk.post_result, url)
    assert taken == []


def test_a_result_is_given_up_in_the_end():
    answers = [503] * sdk.POST_ATTEMPTS
    with answering(*answers, 200) as (url, taken), pytest.raises(aiohttp.ClientResponseError):
        post(sdk.post_result, url)
    assert taken == []


@pytest.mark.parametrize("trouble", [429, 0])
def test_the_sdk_itself_still_loses_results(trouble):
    assert rp_http._transmit is not sdk.post_result
    with answering(trouble, 200) as (url, taken), pytest.raises(aiohttp.ClientError):
        post(rp_http._transmit, url)
    assert taken == []


def test_the_sdk_itself_still_drops_a_stop_for_a_job_that_is_not_running_yet():
    async def stop_then_start(scaler_class):
        scaler = scaler_class({})
        stopped = asyncio.create_task(scaler.stop_job("j"))
        await asyncio.sleep(0)
        scaler.jobs_tasks["j"] = asyncio.create_task(asyncio.Event().wait())
        return await stopped

    assert asyncio.run(stop_then_start(rp_scale.JobScaler)) is False
    assert asyncio.run(stop_then_start(sdk.Scaler)) is True


def test_a_job_that_arrives_while_the_worker_shuts_down_is_run(monkeypatch):
    """The SDK itself takes such a job and ends without having run it."""

    def run(scaler_class):
        ran, delivered = [], asyncio.Event()

        async def fetch(session, count):
            if delivered.is_set():
                await asyncio.Event().wait()
            await arrival.wait()
            delivered.set()
            return [{"id": "late", "input": {}}]

        async def handle(session, config, job):
            ran.append(job["id"])

        async def shut_down_then_deliver():
            scaler = scaler_class({})
            scaler.jobs_handler = handle
            scaler.stop_signals_fetcher = lambda session: asyncio.Event().wait()
            if scaler_class is rp_scale.JobScaler:
                scaler.jobs_fetcher = fetch
                scaler.stop_signals_fetcher_timeout = 1
            running = asyncio.create_task(scaler.run())
            for _ in range(20):
                await asyncio.sleep(0)
            scaler.kill_worker()
            for _ in range(200):  # an idle loop of the SDK's looks for the shutdown now
                await asyncio.sleep(0)
            arrival.set()
            await asyncio.wait_for(running, 20)

        arrival = asyncio.Event()
        monkeypatch.setattr(rp_scale, "get_job", fetch)
        asyncio.run(shut_down_then_deliver())
        return ran

    assert run(sdk.Scaler) == ["late"]
    assert run(rp_scale.JobScaler) == []
