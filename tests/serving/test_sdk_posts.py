"""What is posted to the platform: that each change works, and that the SDK still needs it."""

import asyncio
import json
import threading
from contextlib import contextmanager

import aiohttp
import loopback
import pytest
from runpod.serverless.modules import rp_http, rp_progress

from flux_worker.serving import sdk_posts
from flux_worker.serving.sdk_pauses import Pauses


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


BODY = '{"output": {}}'


def post(transmit, url, body=BODY):
    async def once():
        async with aiohttp.ClientSession() as session:
            await asyncio.wait_for(transmit(session, url, body), 60)

    asyncio.run(once())


async def ours(session, url, body):
    """Post as a worker that lives on."""
    await sdk_posts.post_result(session, url, body, asyncio.Event())


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    sleep = asyncio.sleep
    monkeypatch.setattr(asyncio, "sleep", lambda seconds: sleep(0))
    monkeypatch.setattr(Pauses, "wait", lambda self: sleep(0))


@pytest.mark.parametrize("trouble", [500, 503, 429, 408, 425, 0])
def test_a_result_is_posted_until_it_is_taken(trouble, caplog):
    with answering(*[trouble] * 40, 200) as (url, taken):
        post(ours, url)
    assert taken == [BODY]
    assert len(caplog.records) == 2


@pytest.mark.parametrize("refusal", [400, 401, 403, 404, 405, 410, 422])
def test_a_refusal_is_believed_only_after_a_while(refusal):
    often = [refusal] * sdk_posts.REFUSALS
    with answering(*often[1:], 200) as (url, taken):
        post(ours, url)
    assert taken == [BODY]
    with answering(*often, 200) as (url, taken), pytest.raises(sdk_posts.NotTaken):
        post(ours, url)
    assert taken == []


def test_refusals_are_counted_in_a_row():
    """A proxy says 404 while the platform behind it restarts, after it has said 503."""
    with answering(*[404, 503] * 20, 404, 404, 200) as (url, taken):
        post(ours, url)
    assert taken == [BODY]


def test_an_image_that_is_too_large_for_an_answer_becomes_a_sentence():
    body = json.dumps({"output": {"image_url": "data:" + "x" * 2_000_000}, "stopPod": True})
    with answering(503, 413, 503, 200) as (url, taken):
        post(ours, url, body)
    answer = json.loads(taken[0])
    assert set(answer) == {"error", "stopPod"}
    assert "for its size, 2.0 MB: no cost is reported" in answer["error"]


@pytest.mark.parametrize("body", ['{"error": "No."}', BODY.replace("{}", '{"image_url": "x"}')])
def test_an_answer_without_an_image_that_is_too_large_is_given_up(body):
    """Where the image was uploaded, its URL is all that there is of it: no sentence replaces it."""
    with answering(*[413] * (sdk_posts.REFUSALS - 1), 200) as (url, taken):
        post(ours, url, body)
    assert taken == [body]
    with (
        answering(*[413] * sdk_posts.REFUSALS, 200) as (url, taken),
        pytest.raises(sdk_posts.NotTaken),
    ):
        post(ours, url, body)
    assert taken == []


# -- answers that take nothing


@contextmanager
def redirecting(status, location):
    """A platform that answers the first post with a redirect, and takes those after it."""
    asked, taken = [], []

    def take(request):
        body = request.body().decode()
        asked.append(f"{request.command} {request.path}")
        if len(asked) == 1:
            return request.answer(status, headers={"Location": location} if location else {})
        if body:
            taken.append(body)
        return request.answer(200)

    with loopback.serving(take) as url:
        yield f"{url}/job-done", asked, taken


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304])
@pytest.mark.parametrize("location", ["/elsewhere", "", "mailto:x", "http://[", "http://x:99999/"])
def test_a_redirect_that_drops_the_result_is_no_taking(status, location):
    with redirecting(status, location) as (url, asked, taken):
        post(ours, url)
    assert asked == ["POST /job-done"] * 2
    assert taken == [BODY]


@pytest.mark.parametrize("status", [307, 308])
def test_a_redirect_that_keeps_the_result_is_followed(status):
    with redirecting(status, "/elsewhere") as (url, asked, taken):
        post(ours, url)
    assert asked == ["POST /job-done", "POST /elsewhere"]
    assert taken == [BODY]


@pytest.mark.parametrize("location", ["", "mailto:x", "http://[", "http://1.1.1.1.1/"])
def test_a_redirect_that_leads_nowhere_is_tried_again(location):
    with redirecting(307, location) as (url, asked, taken):
        post(ours, url)
    assert asked == ["POST /job-done"] * 2
    assert taken == [BODY]


def test_redirects_that_lead_in_a_circle_take_nothing():
    left, taken = [307] * 25, []

    def take(request):
        body = request.body().decode()
        if left:
            return request.answer(left.pop(), headers={"Location": request.path})
        taken.append(body)
        return request.answer(200)

    with loopback.serving(take) as url:
        post(ours, f"{url}/job-done")
    assert taken == [BODY]


@pytest.mark.parametrize(
    "said", ["\r\n", "HTTP/1.1 4xx no\r\n\r\n", "HTTP/1.1 200 OK\r\nx\r\n\r\n"]
)
def test_what_is_no_http_is_no_refusal(said):
    """aiohttp calls it a 400."""
    left, taken = [said] * 10, []

    def take(request):
        body = request.body().decode()
        if left:
            request.wfile.write(left.pop().encode())
            return request.drop()
        taken.append(body)
        return request.answer(200)

    with loopback.serving(take) as url:
        post(ours, f"{url}/job-done")
    assert taken == [BODY]


def test_the_status_says_that_a_result_is_taken_whatever_follows_it():
    held, arrived = threading.Event(), []

    def take(request):
        arrived.append(request.body().decode())
        request.send_response(200)
        request.send_header("Content-Length", "1000000000")
        request.end_headers()
        held.wait(60)
        request.drop()

    with loopback.serving(take) as url:
        post(ours, f"{url}/job-done")
        held.set()
    assert arrived == [BODY]


def test_an_address_that_is_none_is_given_up():
    with pytest.raises(aiohttp.InvalidURL):
        post(ours, "http://127.0.0.1:99999/")


def test_half_a_surrogate_pair_arrives_as_json():
    with answering(200) as (url, taken):
        post(ours, url, json.dumps({"error": "got \ud800"}, ensure_ascii=False))
    assert json.loads(taken[0]) == {"error": "got \ud800"}


@pytest.mark.parametrize("trouble", [503, 0])
def test_a_worker_that_ends_gives_a_result_a_bounded_time(trouble, monkeypatch):
    monkeypatch.setattr(sdk_posts, "LAST_PATIENCE", 0.3)

    async def ending(session, url, body):
        shutdown = asyncio.Event()
        asyncio.get_running_loop().call_later(0.1, shutdown.set)
        await sdk_posts.post_result(session, url, body, shutdown)

    with answering(*[trouble] * 100_000) as (url, taken), pytest.raises(aiohttp.ClientError):
        post(ending, url)
    assert taken == []


def test_a_result_that_is_taken_while_the_worker_ends_arrives():
    async def ending(session, url, body):
        shutdown = asyncio.Event()
        shutdown.set()
        await sdk_posts.post_result(session, url, body, shutdown)

    with answering(503, 0, 200) as (url, taken):
        post(ending, url)
    assert taken == [BODY]


def test_a_result_of_a_job_that_is_stopped_is_not_posted_any_more(caplog):
    async def stopped(session, url, body):
        posting = asyncio.create_task(ours(session, url, body))
        while not caplog.records:
            await asyncio.wait({posting}, timeout=0.01)
        posting.cancel()
        await asyncio.wait({posting})
        assert posting.cancelled()

    with answering(*[503] * 100_000) as (url, taken):
        post(stopped, url)
    assert taken == []


@pytest.mark.parametrize("trouble", [429, 0])
def test_the_sdk_itself_still_loses_results(trouble):
    with answering(trouble, 200) as (url, taken), pytest.raises(aiohttp.ClientError):
        post(rp_http._transmit, url)
    assert taken == []


def test_the_sdk_itself_still_gives_up_at_a_refusal():
    for refusal in (403, 404, 413):
        with answering(refusal, 200) as (url, taken), pytest.raises(aiohttp.ClientError):
            post(rp_http._transmit, url)
        assert taken == []


@pytest.mark.parametrize("status", [301, 302, 303])
def test_the_sdk_itself_still_takes_a_redirect_for_the_platforms_word(status):
    with redirecting(status, "/elsewhere") as (url, asked, taken):
        post(rp_http._transmit, url)
    assert asked == ["POST /job-done", "GET /elsewhere"]
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
