"""The changes to the pinned SDK: that each works, and that the SDK still needs it."""

import asyncio
from contextlib import contextmanager

import aiohttp
import loopback
import pytest
from runpod.serverless.modules import rp_http, rp_progress, rp_scale

from flux_worker import sdk


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


def test_a_stop_waits_until_the_task_has_begun():
    """The SDK itself cancels it before, and the job then counts as running for ever."""

    async def stop_at_once(scaler_class):
        scaler, began = scaler_class({}), []

        async def job():
            began.append(1)
            await asyncio.Event().wait()

        scaler.jobs_tasks["j"] = asyncio.create_task(job())
        assert await scaler.stop_job("j")
        await asyncio.gather(scaler.jobs_tasks["j"], return_exceptions=True)
        return bool(began)

    assert asyncio.run(stop_at_once(sdk.Scaler))
    assert not asyncio.run(stop_at_once(rp_scale.JobScaler))


def test_a_stop_for_nothing_does_not_delay_the_next():
    async def stop_both():
        scaler = sdk.Scaler({})
        running = scaler.jobs_tasks["runs"] = asyncio.create_task(asyncio.Event().wait())
        turns = 0
        for job_id in ("ended", "runs"):
            await scaler.stop_job(job_id)
        while not running.done():
            turns += 1
            await asyncio.sleep(0)
        return turns

    assert asyncio.run(stop_both()) < sdk.STOP_ATTEMPTS


def test_a_job_that_drains_can_still_be_stopped(monkeypatch):
    """The SDK itself hears no stop once the shutdown has begun."""

    async def stop_after_shutdown(scaler_class):
        stops = iter([[], ["j"]])

        async def hear(session):
            await asyncio.sleep(0)
            if (stop := next(stops, None)) is None:
                await asyncio.Event().wait()
            return stop

        scaler = scaler_class({})
        scaler.stop_signals_fetcher = hear
        running = scaler.jobs_tasks["j"] = asyncio.create_task(asyncio.Event().wait())
        listening = asyncio.create_task(scaler.monitor_stop_signals(None))
        scaler.kill_worker()
        for _ in range(100):
            await asyncio.sleep(0)
        listening.cancel()
        return running.cancelled()

    assert asyncio.run(stop_after_shutdown(sdk.Scaler))
    assert not asyncio.run(stop_after_shutdown(rp_scale.JobScaler))


def test_a_worker_that_is_being_replaced_waits_for_no_job():
    async def shut_down(config):
        scaler, delivered = sdk.Scaler(config), asyncio.Event()

        async def fetch():
            await delivered.wait()
            return [{"id": "late"}]

        fetching = asyncio.create_task(scaler._until_shutdown(fetch()))
        await asyncio.sleep(0)
        scaler.kill_worker()
        for _ in range(100):
            await asyncio.sleep(0)
        delivered.set()
        return await fetching

    assert asyncio.run(shut_down({})) == [{"id": "late"}]
    assert asyncio.run(shut_down({"refresh_worker": True})) is None


def test_an_idle_worker_that_needs_replacing_ends_by_itself():
    async def idle(config):
        scaler = sdk.Scaler(config)
        fetching = asyncio.create_task(scaler._until_shutdown(asyncio.Event().wait()))
        await asyncio.sleep(0)
        config["refresh_worker"] = True
        jobs = await asyncio.wait_for(fetching, 30)
        return jobs, scaler.is_alive()

    assert asyncio.run(idle({})) == (None, False)


def test_a_worker_that_needs_replacing_takes_no_job():
    asked = []

    async def fetch():
        asked.append(1)
        return [{"id": "j"}]

    async def take():
        scaler = sdk.Scaler({"refresh_worker": True})
        return await scaler._until_shutdown(fetch()), scaler.is_alive()

    assert asyncio.run(take()) == (None, False)
    assert not asked


def test_the_sdk_itself_still_sends_each_progress_on_a_thread_of_its_own(monkeypatch):
    started = []
    monkeypatch.setattr(rp_progress.threading.Thread, "start", lambda self: started.append(self))
    for step in range(3):
        rp_progress.progress_update({"id": "j"}, {"step": step})
    assert len(started) == 3


def test_the_sdk_itself_still_ends_with_its_polls(monkeypatch):
    async def ends(scaler_class):
        async def poll(*_):
            await asyncio.Event().wait()

        monkeypatch.setattr(rp_scale, "get_job", poll)
        monkeypatch.setattr(sdk, "GRACE", 0)
        scaler = scaler_class({})
        scaler.stop_signals_fetcher = poll
        running = asyncio.create_task(scaler.run())
        for _ in range(20):
            await asyncio.sleep(0)
        scaler.kill_worker()
        await asyncio.wait({running}, timeout=1)
        ended = running.done()
        running.cancel()
        return ended

    assert asyncio.run(ends(sdk.Scaler))
    assert not asyncio.run(ends(rp_scale.JobScaler))


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
