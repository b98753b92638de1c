"""Which jobs are run, whatever the platform delivers, and whom a stop hits."""

import asyncio

import aiohttp
import pytest
import virtual_time
from job_server import HOLD, JobServer, work
from runpod.serverless.modules import rp_http, rp_scale
from runpod.serverless.modules.worker_state import JobsProgress

from flux_worker.serving.sdk_jobs import EARLY, ODD_ID, REFUSAL, REMEMBERED, Jobs, sound
from flux_worker.serving.turns import Turns

GOOD = {"id": "good-u1", "input": {"prompt": "p"}}
UNANSWERABLE = [
    *(None, 5, "job", [], [GOOD], {}, {"input": {}}, {"id": None}, {"id": ""}, {"id": True}),
    *({"id": ["a"]}, {"id": {"a": 1}}, {"id": ".."}, {"id": "a" * 100_000}),
]
ODD = {5: "5", 1.5: "1.5", "a\nb": "a%0Ab", "a/../b": "a%2F..%2Fb", "a b": "a%20b", "\ud800": "%3F"}
HARD_TO_HOLD = [
    {**GOOD, "self": 1},
    {**GOOD, "__class__": "x"},
    {**GOOD, "__dict__": 5},
    {**GOOD, "batchId": ["x"]},
    {"id": "good-u1"},
]
"""Jobs with a good id that break the SDK's notes, or its own way of taking them."""


def shown(value):
    return ascii(value)[:30]


@pytest.mark.parametrize("given", UNANSWERABLE, ids=shown)
def test_what_cannot_be_answered_is_dropped(given):
    assert sound(given) is None


@pytest.mark.parametrize("job_id", ODD, ids=shown)
def test_an_odd_id_is_answered_at_its_address_and_not_run(job_id):
    assert sound({"id": job_id, "input": {}}) == {"id": ODD[job_id], REFUSAL: ODD_ID}


def test_a_sound_job_keeps_what_is_read_of_it():
    job = {**GOOD, "s3Config": {"bucketName": "b"}, "batchId": "b-1"}
    assert sound({**job, "webhook": "x"}) == job
    assert sound({**GOOD, "batchId": "a\nb"}) == GOOD


# -- on real HTTP


async def answer(job):
    await asyncio.sleep(0.05)
    return {"image_url": "x"}


@pytest.mark.parametrize("count", [1, 3], ids=["alone", "in a batch"])
@pytest.mark.parametrize("bad", [*UNANSWERABLE[:8], *HARD_TO_HOLD, GOOD], ids=shown)
def test_a_bad_job_takes_no_other_with_it(bad, count, monkeypatch):
    others = [{**GOOD, "id": f"other-{number}"} for number in (1, 2)]
    deliveries = [[bad, GOOD, *others], HOLD] if count > 1 else [bad, GOOD, *others, HOLD]
    server = JobServer(deliveries)
    work(server, answer, monkeypatch, lambda: len(set(server.answered())) == 3)
    assert all("output" in body for _, body in server.results)
    assert not JobsProgress()


@pytest.mark.parametrize("count", [1, 3], ids=["alone", "in a batch"])
def test_a_job_with_an_odd_id_is_answered_with_a_sentence(count, monkeypatch):
    bad = [{"id": job_id, "input": {}} for job_id in ODD]
    server = JobServer([[*bad, GOOD], HOLD] if count > 1 else [*bad, GOOD, HOLD])
    work(server, answer, monkeypatch, lambda: len(server.results) > len(bad))
    results = dict(server.results)
    assert results.pop("good-u1") == {"output": {"image_url": "x"}}
    assert results == {address: {"error": ODD_ID} for address in ODD.values()}


def test_a_job_that_is_delivered_twice_at_once_runs_once(monkeypatch):
    server, ran = JobServer([[GOOD, GOOD], [GOOD, {**GOOD, "id": "last"}], HOLD]), []
    turns = Turns()

    async def handle(job):
        ran.append(job["id"])
        turns.leave(job["id"])
        while "last" not in ran:
            await asyncio.sleep(0.01)
        return {}

    work(server, handle, monkeypatch, lambda: len(server.results) == 2, turns)
    assert sorted(ran) == ["good-u1", "last"]


@pytest.mark.parametrize("bad", [None, *HARD_TO_HOLD[:3]], ids=shown)
def test_the_sdk_itself_still_loses_the_jobs_that_come_with_a_bad_one(bad):
    async def main():
        scaler = rp_scale.JobScaler({"concurrency_modifier": lambda _: 3})
        await scaler.set_scale()

        async def fetch(session, count):
            scaler.kill_worker()
            return [bad, {**GOOD, "id": "other"}]

        scaler.jobs_fetcher = fetch
        await scaler.get_jobs(None)
        return scaler.jobs_queue.qsize()

    JobsProgress().clear()
    assert asyncio.run(main()) == 1
    assert not JobsProgress()


@pytest.mark.parametrize("job_id", [5, "a\nb"])
def test_the_sdk_itself_still_cannot_post_for_an_odd_id(job_id, monkeypatch):
    server = JobServer()

    async def main():
        async with aiohttp.ClientSession() as session:
            await rp_http.send_result(session, {"output": {}}, {"id": job_id})

    with server.serving(monkeypatch):
        try:
            asyncio.run(main())
        except ValueError as error:
            assert "header" in str(error)  # noqa: PT017
    assert server.results == []


# -- stops


def with_jobs(story):
    async def main():
        jobs = Jobs()

        async def take(*ids):
            given = [{**GOOD, "id": each} for each in ids]
            return [job["id"] for each in given if (job := await jobs.take(each))]

        await story(jobs, take)

    virtual_time.run(main())


def test_a_stop_hits_the_run_that_is_here_and_only_once():
    async def story(jobs, take):
        await take("a", "b")
        assert jobs.stop("b")
        assert not jobs.stop("b")
        assert jobs.stop("a")

    with_jobs(story)


def test_a_stop_for_a_run_that_has_ended_leaves_the_retry_alone():
    async def story(jobs, take):
        await take("a")
        jobs.end("a")
        jobs.stop("a")
        assert await take("a") == ["a"]
        assert jobs.stop("a")

    with_jobs(story)


def test_a_stop_that_is_ahead_of_its_job_keeps_it_from_running_and_not_its_retry():
    async def story(jobs, take):
        jobs.stop("a")
        assert await take("a", "b") == ["b"]
        jobs.stop("a")
        assert await take("a") == ["a"]

    with_jobs(story)


def test_a_stop_for_a_job_that_never_came_is_forgotten():
    async def story(jobs, take):
        jobs.stop("a")
        await asyncio.sleep(EARLY)
        assert await take("a") == ["a"]

    with_jobs(story)


def test_a_retry_waits_until_the_stopped_run_has_ended():
    async def story(jobs, take):
        await take("a")
        jobs.stop("a")
        retry = asyncio.create_task(take("a", "a", "b"))
        await asyncio.sleep(1)
        assert not retry.done()
        jobs.end("a")
        assert await retry == ["a", "b"]
        assert jobs.stop("a")

    with_jobs(story)


def test_what_ended_is_not_remembered_for_ever():
    async def story(jobs, take):
        for number in range(REMEMBERED + 1):
            await take(str(number))
            jobs.end(str(number))
        for forgotten in (False, True):
            job_id = "0" if forgotten else "1"
            jobs.stop(job_id)
            # As one that never was here: the stop may be ahead of it.
            assert await take(job_id) == ([] if forgotten else [job_id])

    with_jobs(story)


def test_a_stop_is_ahead_of_its_job_for_a_second_from_the_last_time_it_was_heard():
    async def story(jobs, take):
        for each in ("a", "b", "a"):
            jobs.stop(each)
            await asyncio.sleep(EARLY / 2)
        jobs.stop("c")
        assert await take("a", "b", "c") == ["b"]

    with_jobs(story)


def test_any_number_of_stops_is_heard_at_once():
    """In a time that grows with their number, not with its square: that would be hours."""

    async def story(jobs, take):
        for number in range(200_000):
            jobs.stop(str(number))
        assert await take("0", "x") == ["x"]

    with_jobs(story)
