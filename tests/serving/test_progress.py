"""How progress reaches the platform: in order, now and then, and never after the result."""

import asyncio
import json
import time
from contextlib import contextmanager

import aiohttp
import loopback
import pytest
from runpod.serverless.modules import rp_http

from flux_worker.generation.report import Progress
from flux_worker.serving import progress, sdk_posts


@contextmanager
def platform(monkeypatch, slow=0.0, status=200):
    """A platform that notes when it has dealt with each post."""
    taken = []

    def take(request):
        body = json.loads(request.body())
        time.sleep(slow)
        taken.append((time.monotonic(), request.path, body))
        request.answer(status)

    with loopback.serving(take) as url:
        monkeypatch.setattr(rp_http, "JOB_DONE_URL", f"{url}/job-done/w/$ID?gpu=x")
        yield taken


async def burst(reports, pause=0.0, job_id="j"):
    """A job that reports from a thread, as the GPU's does, and posts its result at once."""

    def work(report):
        for step in range(1, reports + 1):
            report(Progress(step, reports))
            time.sleep(pause)

    async with progress.reporting(sdk_posts.channel(), job_id) as report:
        await asyncio.to_thread(work, report)


async def burst_and_result(job_id):
    await burst(80, 0.01, job_id)
    async with aiohttp.ClientSession() as session:
        url = rp_http.JOB_DONE_URL.replace("$ID", job_id)
        await sdk_posts.post_result(session, url, '{"output": "result"}', asyncio.Event())


@pytest.mark.parametrize("slow", [0.0, 0.4])
def test_no_progress_arrives_after_the_result(monkeypatch, slow):
    with platform(monkeypatch, slow) as taken:
        for job_id in "abcde":
            asyncio.run(burst_and_result(job_id))
        time.sleep(1)  # what was late would come now
    for job_id in "abcde":
        bodies = [body for _, path, body in taken if f"/{job_id}?" in path]
        assert len(bodies) >= 2
        assert [body["output"] == "result" for body in bodies] == [False] * (len(bodies) - 1) + [
            True
        ]


def test_updates_are_in_order_and_at_most_two_a_second(monkeypatch):
    with platform(monkeypatch) as taken:
        asyncio.run(burst(150, 0.01))
    steps = [body["output"]["step"] for _, _, body in taken]
    assert steps == sorted(set(steps))
    seconds = taken[-1][0] - taken[0][0]
    assert 3 <= len(taken) <= 2 * seconds + 1.5
    assert taken[0][1:] == (
        "/job-done/w/j?gpu=x&isStream=false",
        {"status": "IN_PROGRESS", "output": Progress(steps[0], 150).body()},
    )


@pytest.mark.parametrize("status", [302, 400, 429, 500])
def test_a_platform_that_takes_no_progress_costs_the_job_nothing(monkeypatch, status):
    with platform(monkeypatch, status=status) as taken:
        asyncio.run(burst(150, 0.01))
    assert 2 <= len(taken) <= 3  # it is asked again


def test_a_platform_that_is_away_costs_the_job_nothing(monkeypatch, caplog):
    caplog.set_level("DEBUG", "flux_worker")
    monkeypatch.setattr(rp_http, "JOB_DONE_URL", "http://127.0.0.1:9/$ID?x")
    asyncio.run(burst(150, 0.01))
    failures = [line for line in caplog.messages if line.startswith("Progress was not taken")]
    assert len(failures) >= 2  # it may be back


def test_a_short_job_tells_nothing_and_waits_for_nobody(monkeypatch):
    with platform(monkeypatch) as taken:
        asyncio.run(burst(3))
        time.sleep(1)
    assert not taken


def test_without_a_platform_reports_go_nowhere():
    assert rp_http.JOB_DONE_URL == "JOB_DONE_URL"
    asyncio.run(burst(3))


def test_without_a_channel_nothing_is_begun():
    async def job():
        async with progress.reporting(None, "j") as report:
            report(Progress(1, 2))
            return len(asyncio.all_tasks())

    assert asyncio.run(job()) == 1
