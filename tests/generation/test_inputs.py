"""The stage that brings a caller's files: before the GPU's queue, stoppable, its failures invalid
requests."""

import asyncio
from threading import Event

import pytest
from conftest import SMALL, counting_calls, run

from flux_worker.errors import InvalidRequest
from flux_worker.generation.inputs import Inputs


def test_what_cant_be_brought_is_an_invalid_request(pipe, make_worker):
    async def fetch(asked):
        raise InvalidRequest("image can't be fetched from example.com (404)")

    with counting_calls(pipe.transformer) as steps:
        answer = run(make_worker({"fetch": fetch}), SMALL)
    assert answer == {"error": "Invalid parameter: image can't be fetched from example.com (404)"}
    assert not steps


def test_a_fetch_takes_its_time_before_the_turn_on_the_gpu(make_worker):
    """A job whose files take long lets another pass."""
    ended, arrived = [], asyncio.Event()

    async def fetch(asked):
        if asked.seed == 1:
            await arrived.wait()
        return asked, Inputs()

    async def two_jobs():
        worker = make_worker({"fetch": fetch})

        async def job(seed):
            await worker.handle({"id": str(seed), "input": {**SMALL, "seed": seed}})
            ended.append(seed)

        slow = asyncio.create_task(job(1))
        await job(2)
        arrived.set()
        await slow

    asyncio.run(two_jobs())
    assert ended == [2, 1]


def test_a_stop_ends_the_fetch(pipe, make_worker):
    stopped = Event()

    async def fetch(asked):
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    async def stop():
        job = asyncio.create_task(make_worker({"fetch": fetch}).handle({"id": "j", "input": SMALL}))
        await asyncio.sleep(0.05)
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job

    with counting_calls(pipe.transformer) as steps:
        asyncio.run(stop())
    assert stopped.is_set()
    assert not steps
