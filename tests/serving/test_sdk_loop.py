"""The loop that takes and runs jobs: that each change works, and that the SDK still needs it."""

import asyncio
import json
import time
from itertools import count, pairwise

import loopback
import pytest
import virtual_time
from job_server import HOLD, JobServer, work
from runpod.serverless.modules import rp_http, rp_scale
from runpod.serverless.modules.worker_state import JobsProgress
from virtual_time import now

from flux_worker.serving import sdk_loop
from flux_worker.serving.sdk_loop import Loop
from flux_worker.serving.sdk_posts import REFUSALS
from flux_worker.serving.turns import Turns

JOB = {"id": "j", "input": {}}


async def nothing(job):
    return {}


def never(*_):
    return asyncio.Event().wait()


@pytest.fixture(autouse=True)
def _no_jobs_of_other_tests():
    JobsProgress().clear()


def made(handle=nothing, unusable=None, turns=None, ceiling=8):
    """Our loop, and what ends it."""
    shutdown, turns = asyncio.Event(), turns or Turns()
    loop = Loop({"handler": handle}, turns, unusable or asyncio.Event(), shutdown, ceiling)
    return loop, shutdown


def at_once(monkeypatch):
    sleep = asyncio.sleep
    monkeypatch.setattr(asyncio, "sleep", lambda seconds: sleep(0))


async def some_turns(turns=100):
    for _ in range(turns):
        await asyncio.sleep(0)


# -- when jobs are taken


GENERATION, DELIVERY, TRIP = 3.0, 0.5, 0.05
"""Seconds."""


def begun(monkeypatch, ours=True, foreseen=False, ceiling=8, jobs=4, delivery=DELIVERY):
    """Run jobs that all wait in the queue; return when each was asked for, and began."""
    asked, begins, numbers, turns = [], [], count(), Turns()
    gpu = asyncio.Lock()

    async def fetch(session, *_):
        asked.append(now())
        await asyncio.sleep(TRIP)
        number = next(numbers)
        return [{"id": f"job-{number}", "input": {}}] if number < jobs else await never()

    async def handle(job):
        if foreseen:
            turns.expect(job["id"], GENERATION)
        async with gpu:
            begins.append(now())
            await asyncio.sleep(GENERATION)
        turns.leave(job["id"])
        await asyncio.sleep(delivery)
        return {}

    async def post(*_):
        await asyncio.sleep(TRIP)

    async def main():
        if ours:
            monkeypatch.setattr(sdk_loop, "take_jobs", fetch)
            loop, shutdown = made(handle, turns=turns, ceiling=ceiling)
            running = asyncio.create_task(loop.run())
        else:
            scaler = rp_scale.JobScaler({"handler": handle})
            scaler.jobs_fetcher, shutdown = fetch, scaler._shutdown_event
            scaler.stop_signals_fetcher = never
            running = asyncio.create_task(scaler.run())
        await asyncio.sleep(100)
        shutdown.set()
        await running

    monkeypatch.setattr(rp_http, "_transmit", post)
    virtual_time.run(main())
    return asked, begins


def waits(begins):
    """How long the GPU had nothing to do before each job but the first."""
    return [round(later - earlier - GENERATION, 2) for earlier, later in pairwise(begins)]


def test_the_next_job_is_asked_for_when_the_gpu_is_free(monkeypatch):
    asked, begins = begun(monkeypatch)
    assert waits(begins) == [TRIP] * 3
    assert [round(at, 2) for at in asked[1:4]] == [round(at + GENERATION, 2) for at in begins[:3]]


def test_the_sdk_itself_still_leaves_the_gpu_waiting(monkeypatch):
    _, begins = begun(monkeypatch, ours=False)
    assert min(waits(begins)) > 2 * TRIP + DELIVERY


def test_the_next_job_is_asked_for_a_round_trip_before_that_where_its_end_is_foreseen(monkeypatch):
    asked, begins = begun(monkeypatch, foreseen=True)
    assert waits(begins) == [0.0] * 3
    early = [
        round(begin + GENERATION - at, 2) for at, begin in zip(asked[1:4], begins, strict=False)
    ]
    assert early == [TRIP] * 3


def test_no_more_jobs_are_in_flight_than_allowed(monkeypatch):
    """Uploads that hang don't pile up."""
    _, begins = begun(monkeypatch, ceiling=2, delivery=10.0)
    assert [round(at, 2) for at in begins] == [0.05, 3.1, 13.15, 16.2]
    _, begins = begun(monkeypatch, foreseen=True, ceiling=1)
    assert waits(begins) == [round(DELIVERY + 2 * TRIP, 2)] * 3


# -- stops


@pytest.mark.parametrize("moment", ["not begun", "runs", "drains"])
def test_a_job_can_be_stopped_at_any_moment(moment, monkeypatch):
    """The SDK itself manages it while the job runs only."""
    delivered, heard, ended = asyncio.Event(), [], []

    async def main():
        began = asyncio.Event()
        loop, shutdown = made()

        async def handle(job):
            began.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("handler")

        loop, shutdown = made(handle)

        async def fetch(session):
            if delivered.is_set():
                return await never()
            delivered.set()
            return [JOB]

        async def hear(session):
            if heard:
                await never()
            if moment == "not begun":
                while not JobsProgress():
                    await asyncio.sleep(0)
            else:
                await began.wait()
            if moment == "drains":
                shutdown.set()
                await some_turns()
            heard.append(moment)
            return ["j"]

        monkeypatch.setattr(sdk_loop, "take_jobs", fetch)
        monkeypatch.setattr(sdk_loop, "hear_stops", hear)
        monkeypatch.setattr(sdk_loop.rp_job, "JOB_GET_URL", "http://127.0.0.1:9/job-take/w?x")
        running = asyncio.create_task(loop.run())
        while not heard or JobsProgress():
            await asyncio.sleep(0)
        shutdown.set()
        await running

    monkeypatch.setattr(sdk_loop, "GRACE", 0)
    asyncio.run(asyncio.wait_for(main(), 30))


def test_a_job_that_came_with_one_that_has_to_wait_runs_at_once_and_can_be_stopped(monkeypatch):
    told = []
    deliveries = [(0.0, [JOB]), (2.0, [{"id": "other", "input": {}}, JOB])]
    stops = [(1.0, "j"), (3.0, "other"), (9.0, "j")]

    async def fetch(session):
        if not deliveries:
            return await never()
        at, jobs = deliveries.pop(0)
        await asyncio.sleep(at - now())
        return jobs

    async def hear(session):
        if not stops:
            return await never()
        at, job_id = stops.pop(0)
        await asyncio.sleep(at - now())
        return [job_id]

    async def main():
        turns = Turns()

        async def handle(job):
            told.append((round(now()), "begins", job["id"]))
            turns.leave(job["id"])
            try:
                return await never()
            finally:
                told.append((round(now()), "stops", job["id"]))
                await asyncio.sleep(5)  # a cancelled job's end takes its time

        monkeypatch.setattr(sdk_loop, "take_jobs", fetch)
        monkeypatch.setattr(sdk_loop, "hear_stops", hear)
        monkeypatch.setattr(sdk_loop.rp_job, "JOB_GET_URL", "http://127.0.0.1:9/job-take/w?x")
        loop, shutdown = made(handle, turns=turns)
        running = asyncio.create_task(loop.run())
        await asyncio.sleep(10)
        shutdown.set()
        await asyncio.wait_for(running, 10)

    virtual_time.run(main())
    assert told == [
        *((0, "begins", "j"), (1, "stops", "j"), (2, "begins", "other"), (3, "stops", "other")),
        *((6, "begins", "j"), (9, "stops", "j")),
    ]


@pytest.mark.parametrize("moment", ["queued", "not begun", "drains"])
def test_the_sdk_itself_still_misses_stops(moment, monkeypatch):
    at_once(monkeypatch)

    async def main():
        began = asyncio.Event()

        async def handle(job):
            began.set()
            await asyncio.Event().wait()

        scaler = rp_scale.JobScaler({"handler": handle})
        scaler.job_progress.add(JOB)
        scaler.jobs_queue.put_nowait(JOB)
        if moment == "queued":
            await scaler.stop_job("j")
        running = asyncio.create_task(scaler.run_jobs(None))
        await asyncio.sleep(0)
        if moment == "not begun":
            await scaler.stop_job("j")
        elif moment == "drains":
            await began.wait()
            scaler.kill_worker()

            async def hear(session):
                return ["j"]

            scaler.stop_signals_fetcher = hear
            await scaler.monitor_stop_signals(None)
        await some_turns()
        running.cancel()
        return not JobsProgress()

    assert not asyncio.run(main())


# -- the end


def test_an_idle_worker_ends_at_once_and_the_sdk_itself_with_its_polls(monkeypatch):
    async def ends(running, shutdown):
        await some_turns(20)
        shutdown.set()
        await asyncio.wait({running}, timeout=1)
        ended = running.done()
        running.cancel()
        return ended

    async def ours():
        loop, shutdown = made()
        return await ends(asyncio.create_task(loop.run()), shutdown)

    async def the_sdks():
        scaler = rp_scale.JobScaler({"handler": nothing})
        scaler.jobs_fetcher = scaler.stop_signals_fetcher = never
        return await ends(asyncio.create_task(scaler.run()), scaler._shutdown_event)

    monkeypatch.setattr(sdk_loop, "take_jobs", never)
    monkeypatch.setattr(sdk_loop, "GRACE", 0)
    assert asyncio.run(ours())
    assert not asyncio.run(the_sdks())


def test_a_job_that_arrives_while_the_worker_shuts_down_is_run(monkeypatch):
    """The SDK itself takes such a job and ends without having run it."""
    at_once(monkeypatch)

    def run(ours):
        ran = []

        async def main():
            arrival, delivered = asyncio.Event(), asyncio.Event()

            async def fetch(session, *_):
                if delivered.is_set():
                    return await never()
                await arrival.wait()
                delivered.set()
                return [{"id": "late", "input": {}}]

            async def handle(job):
                ran.append(job["id"])
                return {}

            if ours:
                monkeypatch.setattr(sdk_loop, "take_jobs", fetch)
                loop, shutdown = made(handle)
                running = asyncio.create_task(loop.run())
            else:
                scaler = rp_scale.JobScaler({"handler": handle})
                scaler.jobs_fetcher, shutdown = fetch, scaler._shutdown_event
                scaler.stop_signals_fetcher = never
                scaler.stop_signals_fetcher_timeout = 1
                running = asyncio.create_task(scaler.run())
            await some_turns(20)
            shutdown.set()
            await some_turns(200)  # an idle loop of the SDK's looks for the shutdown now
            arrival.set()
            await asyncio.wait_for(running, 20)

        asyncio.run(main())
        return ran

    async def post(*_):
        return None

    monkeypatch.setattr(rp_http, "_transmit", post)
    assert run(ours=True) == ["late"]
    assert run(ours=False) == []


# -- a worker that must be replaced


@pytest.mark.parametrize("broken", [False, True])
def test_a_broken_worker_does_not_wait_for_a_job_that_may_be_on_its_way(broken, monkeypatch):
    at_once(monkeypatch)
    ran = []

    async def main():
        delivered, unusable = asyncio.Event(), asyncio.Event()

        async def fetch(session):
            if ran:
                return await never()
            await delivered.wait()
            return [JOB]

        async def handle(job):
            ran.append(job["id"])
            return {}

        monkeypatch.setattr(sdk_loop, "take_jobs", fetch)
        loop, shutdown = made(handle, unusable)
        running = asyncio.create_task(loop.run())
        await some_turns(20)
        (unusable if broken else shutdown).set()
        await some_turns(20)
        delivered.set()
        await asyncio.wait_for(running, 20)

    async def post(*_):
        return None

    monkeypatch.setattr(rp_http, "_transmit", post)
    asyncio.run(main())
    assert ran == ([] if broken else ["j"])


@pytest.mark.parametrize("when", ["before the first poll", "during a poll"])
def test_an_idle_worker_that_needs_replacing_ends_at_once_and_takes_no_job(monkeypatch, when):
    asked = []

    async def fetch(session):
        asked.append(1)
        await never()

    async def idle():
        monkeypatch.setattr(sdk_loop, "take_jobs", fetch)
        unusable = asyncio.Event()
        loop, _ = made(unusable=unusable)
        if when == "before the first poll":
            unusable.set()
        running = asyncio.create_task(loop.run())
        await some_turns(20)
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
        self.turns = Turns()

    async def handle(self, job):
        if job["id"] == "uploads":
            self.turns.leave("uploads")
            await self.uploaded.wait()
            return {"image_url": "https://example.com/x.jpg"}
        self.unusable.set()
        if self.upload_ends_first:
            self.uploaded.set()
            await some_turns(20)
        return {"error": "The GPU failed."}


def posted_by(worker, monkeypatch, slow=()):
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

    async def fetch(session):
        return [jobs.pop(0)] if jobs else await never()

    async def run_both():
        loop, _ = made(worker.handle, worker.unusable, worker.turns)
        running = asyncio.create_task(loop.run())
        while not worker.unusable.is_set():
            await asyncio.sleep(0)
        await some_turns(200)
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
    """A worker whose first job breaks the GPU when the second has been taken for its turn."""

    async def handle(self, job):
        if job["id"] == "uploads":
            self.turns.expect("uploads", 0)
            while len(JobsProgress()) < 2:
                await asyncio.sleep(0)
        self.unusable.set()
        return {"error": "The GPU failed."}


def test_the_last_word_is_left_to_a_job_that_waits_for_its_turn(monkeypatch):
    assert posted_by(BothBreak(), monkeypatch) == [("uploads", False), ("breaks", True)]


# -- answers


def test_an_answer_that_nobody_takes_ends_its_job_and_not_the_loop(monkeypatch, caplog):
    server = JobServer([JOB, {"id": "next", "input": {}}, HOLD])
    server.result_statuses = [403] * REFUSALS
    work(server, nothing, monkeypatch, lambda: server.answered() == ["next"])
    assert not JobsProgress()
