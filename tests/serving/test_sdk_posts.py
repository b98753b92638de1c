"""What is posted to the platform: that each change works, and that the SDK still needs it."""

import asyncio
from contextlib import contextmanager

import aiohttp
import loopback
import pytest
from runpod.serverless.modules import rp_http, rp_progress

from flux_worker.serving import sdk_posts


@contextmanager
def answering(*statuses):
    """A platform that answers posts with these in turn; 0 drops the connection."""
    left, taken = list(statuses), []

    def take(request):
        body, status = request.body(), left.pop(0)
        if status == 0:
            return request.drop()
        if status == 200:
            taken.append(body.decode())
        return request.answer(status)

    with loopback.serving(take) as url:
        yield f"{url}/job-done", taken


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
        post(sdk_posts.post_result, url)
    assert taken == ['{"output": {}}']


def test_a_result_that_is_refused_for_good_is_not_posted_again():
    with answering(400, 200) as (url, taken), pytest.raises(aiohttp.ClientResponseError):
        post(sdk_posts.post_result, url)
    assert taken == []


def test_a_result_is_given_up_in_the_end():
    answers = [503] * sdk_posts.POST_ATTEMPTS
    with answering(*answers, 200) as (url, taken), pytest.raises(aiohttp.ClientResponseError):
        post(sdk_posts.post_result, url)
    assert taken == []


@pytest.mark.parametrize("trouble", [429, 0])
def test_the_sdk_itself_still_loses_results(trouble):
    assert rp_http._transmit is not sdk_posts.post_result
    with answering(trouble, 200) as (url, taken), pytest.raises(aiohttp.ClientError):
        post(rp_http._transmit, url)
    assert taken == []


def test_the_sdk_itself_still_sends_each_progress_on_a_thread_of_its_own(monkeypatch):
    started = []
    monkeypatch.setattr(rp_progress.threading.Thread, "start", lambda self: started.append(self))
    for step in range(3):
        rp_progress.progress_update({"id": "j"}, {"step": step})
    assert len(started) == 3


def test_without_a_platform_there_is_no_channel(monkeypatch):
    assert sdk_posts.channel() is None
    monkeypatch.setattr(rp_http, "JOB_DONE_URL", "http://127.0.0.1:9/$ID?x")
    assert sdk_posts.channel() is sdk_posts.progress_channel
