"""The loop that takes and runs jobs: that each change works, and that the SDK still needs it."""

import asyncio
import json
import time

import loopback
import pytest
from runpod.serverless.modules import rp_http, rp_job, rp_scale
from runpod.serverless.modules.worker_state import JobsProgress

from flux_worker.serving import sdk_loop
from flux_worker.serving.sdk_loop import Scaler


async def nothing(job):
    return {}


@pytest.fixture(autouse=True)
def _no_jobs_of_other_tests():
    JobsProgress().clear()


def ours(config, unusable=None):
    """Our loop, made as the SDK makes its own."""
    return Scaler({"handler": nothing, **config}, unusable or asyncio.Event(), asyncio.Event())


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    sleep = asyncio.sleep
    monkeypatch.setattr(asyncio, "sleep", lambda seconds: sleep(0))


JOB = {"id": "j", "input": {}}


def ends(scaler_class, moment):
    """Take a job that never ends by itself and stop it; say whether it ends."""
    began = asyncio.Event()

    async def handle(job):
        began.set()
        await asyncio.Event().wait()

    async def stop_while_draining(scaler):
        stops = iter([[], ["j"]])

        async def hear(session):
            await asyncio.sleep(0)
            if (stop := next(stops, None)) is None:
                await asyncio.Event().wait()
            return stop

        scaler.stop_signals_fetcher = hear
        listening = asyncio.create_task(scaler.monitor_stop_signals(None))
        scaler.kill_worker()
        for _ in range(100):
            await asyncio.sleep(0)
        listening.cancel()

    async def main():
        scaler = scaler_class({"handler": handle})
        if scaler_class is ours:
            await scaler.jobs_fetcher(None, 1)
        scaler.job_progress.add(JOB)
        scaler.jobs_queue.put_nowait(JOB)
        if moment == "queued":
            await scaler.stop_job("j")
        running = asyncio.create_task(scaler.run_jobs(None))
        await asyncio.sleep(0)
        assert scaler.jobs_tasks
        assert not began.is_set()
        if moment == "not begun":
            await scaler.stop_job("j")
        elif moment != "queued":
            await began.wait()
            await (scaler.stop_job("j") if moment == "runs" else stop_while_draining(scaler))
        for _ in range(100):
            await asyncio.sleep(0)
        running.cancel()
        return not JobsProgress()

    return asyncio.run(main())


@pytest.fixture
def _the_job_is_there(monkeypatch):
    async def take(session, count):
        return [JOB]

    monkeypatch.setattr(sdk_loop, "take_jobs", take)
    monkeypatch.setattr(rp_job, "JOB_GET_URL", "http://127.0.0.1:9/job-take/w?x")


@pytest.mark.usefixtures("_the_job_is_there")
@pytest.mark.parametrize("moment", ["queued", "not begun", "runs", "drains"])
def test_a_job_can_be_stopped_at_any_moment(moment):
    """The SDK itself manages it while the job runs only."""
    assert ends(ours, moment)
    assert ends(rp_scale.JobScaler, moment) == (moment == "runs")


def test_the_sdk_itself_still_ends_with_its_polls(monkeypatch):
    async def ends(scaler_class):
        async def poll(*_):
            await asyncio.Event().wait()

        monkeypatch.setattr(sdk_loop, "take_jobs", poll)
        monkeypatch.setattr(sdk_loop, "GRACE", 0)
        scaler = scaler_class({})
        if scaler_class is rp_scale.JobScaler:
            scaler.jobs_fetcher = poll
        scaler.stop_signals_fetcher = poll
        running = asyncio.create_task(scaler.run())
        for _ in range(20):
            await asyncio.sleep(0)
        scaler.kill_worker()
        await asyncio.wait({running}, timeout=1)
        ended = running.done()
        running.cancel()
        return ended

    assert asyncio.run(ends(ours))
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
        monkeypatch.setattr(sdk_loop, "take_jobs", fetch)
        asyncio.run(shut_down_then_deliver())
        return ran

    assert run(ours) == ["late"]
    assert run(rp_scale.JobScaler) == []


# -- a worker that must be replaced


def test_a_worker_that_shuts_down_waits_for_the_job_that_is_on_its_way_unless_it_is_broken(
    monkeypatch,
):
    async def shut_down(broken):
        delivered, unusable = asyncio.Event(), asyncio.Event()

        async def fetch(session, count):
            await delivered.wait()
            return [{"id": "late"}]

        monkeypatch.setattr(sdk_loop, "take_jobs", fetch)
        scaler = ours({}, unusable)
        taking = asyncio.create_task(scaler.jobs_fetcher(None, 1))
        await asyncio.sleep(0)
        if broken:
            unusable.set()
        scaler.kill_worker()
        for _ in range(100):
            await asyncio.sleep(0)
        delivered.set()
        return await taking

    assert asyncio.run(shut_down(broken=False)) == [{"id": "late"}]
    assert asyncio.run(shut_down(broken=True)) == []


@pytest.mark.parametrize("when", ["before the first poll", "during a poll"])
def test_an_idle_worker_that_needs_replacing_ends_at_once_and_takes_no_job(monkeypatch, when):
    asked = []

    async def fetch(session, count):
        asked.append(1)
        await asyncio.Event().wait()

    async def idle():
        monkeypatch.setattr(sdk_loop, "take_jobs", fetch)
        unusable = asyncio.Event()
        scaler = ours({}, unusable)
        scaler.stop_signals_fetcher = lambda session: asyncio.Event().wait()
        if when == "before the first poll":
            unusable.set()
        running = asyncio.create_task(scaler.run())
        for _ in range(20):
            await asyncio.sleep(0)
        unusable.set()
        await asyncio.wait_for(running, 30)

    asyncio.run(idle())
    assert len(asked) == (when == "during a poll")


class TwoJobs:
    """A worker with two jobs, one of which breaks the GPU while the other is at its upload."""

    def __init__(self, upload_ends_first=False):
        self.unusable = asyncio.Event()
        self.uploaded = asyncio.Event()
        self.upload_ends_first = upload_ends_first

    async def handle(self, job):
        if job["id"] == "uploads":
            await self.uploaded.wait()
            return {"image_url": "https://example.com/x.jpg"}
        self.unusable.set()
        if self.upload_ends_first:
            self.uploaded.set()
            for _ in range(20):
                await asyncio.sleep(0)
        return {"error": "The GPU failed."}


def posted_by(worker, monkeypatch, slow=(), one_by_one=False):
    """Run both jobs on the loop; return the results in the order in which they were taken."""
    taken = []

    def take(request):
        body = json.loads(request.body())
        job_id = request.path.partition("?")[0].rpartition("/")[2]
        if job_id in slow:
            time.sleep(0.5)
        taken.append((job_id, body.get("stopPod", False)))
        request.answer(200)

    jobs = [{"id": "uploads", "input": {}}, {"id": "breaks", "input": {}}]

    async def fetch(session, count):
        given = 1 if one_by_one else count
        return [jobs.pop(0) for _ in jobs[:given]] or await asyncio.Event().wait()

    async def run_both():
        scaler = Scaler(
            {"handler": worker.handle, "concurrency_modifier": lambda _: 2},
            worker.unusable,
            asyncio.Event(),
        )
        scaler.stop_signals_fetcher = lambda session: asyncio.Event().wait()
        worker.scaler = scaler
        running = asyncio.create_task(scaler.run())
        while not worker.unusable.is_set():
            await asyncio.sleep(0)
        for _ in range(200):
            await asyncio.sleep(0)
        worker.uploaded.set()
        await asyncio.wait_for(running, 30)

    with loopback.serving(take) as url:
        monkeypatch.setattr(rp_http, "JOB_DONE_URL", f"{url}/job-done/$ID?gpu=x")
        monkeypatch.setattr(sdk_loop, "take_jobs", fetch)
        asyncio.run(run_both())
    return taken


def test_a_broken_gpu_ends_the_worker_only_when_every_image_is_out(monkeypatch):
    assert posted_by(TwoJobs(), monkeypatch) == [("breaks", False), ("uploads", True)]


def test_the_last_word_waits_for_an_answer_that_is_being_posted(monkeypatch):
    taken = posted_by(TwoJobs(upload_ends_first=True), monkeypatch, slow={"uploads"})
    assert taken == [("uploads", False), ("breaks", True)]


class BothBreak(TwoJobs):
    """A worker whose first job breaks the GPU before the second has begun on it."""

    def __init__(self, second_is):
        super().__init__()
        self.second_is = second_is

    def second_is_there(self):
        queued = not self.scaler.jobs_queue.empty()
        return queued if self.second_is == "queued" else "breaks" in self.scaler.jobs_tasks

    async def handle(self, job):
        while job["id"] == "uploads" and not self.second_is_there():
            await asyncio.sleep(0)
        self.unusable.set()
        return {"error": "The GPU failed."}


@pytest.mark.parametrize("second_is", ["queued", "a task"])
def test_the_last_word_is_left_to_a_job_that_has_not_begun_and_neither_waits_for_the_other(
    second_is, monkeypatch
):
    taken = posted_by(BothBreak(second_is), monkeypatch, one_by_one=True)
    assert taken == [("uploads", False), ("breaks", True)]
