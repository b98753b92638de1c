"""The thread that has the model: one job at a time, stopped when nobody wants it, and its end."""

import asyncio
import gc
import math
import subprocess
import sys
import threading
import time
from contextlib import suppress
from threading import Event

import pytest
import torch
from conftest import ROOT, SMALL, before_each_pass, counting_calls, failing, request, run

from flux_worker.contract.catalog import DEV
from flux_worker.errors import CannotStart, DeviceUnusable, GenerationFailed
from flux_worker.generation.inputs import Inputs
from flux_worker.serving.gpu import Gpu

BROKEN = torch.AcceleratorError("CUDA error: an illegal memory access was encountered")


@pytest.fixture
def fresh(pipe):
    """A model of one's own, to be broken."""
    return Gpu(lambda: pipe, DEV)


def generate(gpu, seconds=None, expect=lambda seconds: None, **given):
    spent = {} if seconds is None else seconds
    return gpu.generate(request(**given), Inputs(), lambda progress: None, spent, expect)


def test_the_model_is_loaded_warmed_up_and_run_on_one_thread(pipe):
    threads = []

    def load():
        threads.append(threading.current_thread())
        return pipe

    gpu = Gpu(load, DEV)
    with before_each_pass(pipe.transformer, lambda: threads.append(threading.current_thread())):
        gpu.warm_up(request())
        asyncio.run(generate(gpu))
    assert len(threads) == 3
    assert len(set(threads)) == 1
    assert threads[0] is not threading.main_thread()
    assert threads[0].daemon  # or Ctrl-C would wait for the weights


def test_what_prevents_loading_is_raised_where_it_can_be_said():
    def load():
        raise CannotStart("no weights")

    with pytest.raises(CannotStart, match="no weights"):
        Gpu(load, DEV)


def test_a_warm_up_that_fails_is_raised_too(pipe, fresh):
    broken = failing(pipe.transformer, torch.OutOfMemoryError("x"))
    with broken, pytest.raises(GenerationFailed, match="out of memory"):
        fresh.warm_up(request())
    fresh.warm_up(request())


def test_jobs_run_one_after_the_other_and_the_loop_stays_free(pipe, fresh):
    running, overlaps, ticks = [], [], 0

    async def three_jobs():
        async def tick():
            nonlocal ticks
            while True:
                await asyncio.sleep(0.002)
                ticks += 1

        ticking = asyncio.create_task(tick())
        await asyncio.gather(*(generate(fresh, num_inference_steps=8, seed=n) for n in range(3)))
        ticking.cancel()

    def note():
        running.append(threading.current_thread())
        overlaps.append(len(running))
        running.pop()

    with before_each_pass(pipe.transformer, note):
        asyncio.run(three_jobs())
    assert overlaps == [1] * 24
    assert ticks > 3


def test_the_wait_for_the_turn_is_among_the_stages(pipe, fresh):
    held, seconds = Event(), {"first": {}, "second": {}}

    async def two_jobs():
        first = asyncio.create_task(generate(fresh, seconds["first"]))
        second = asyncio.create_task(generate(fresh, seconds["second"]))
        await asyncio.sleep(0.3)
        held.set()
        await asyncio.gather(first, second)

    begin = time.perf_counter()
    with before_each_pass(pipe.transformer, held.wait):
        asyncio.run(two_jobs())
    assert 0.25 <= seconds["second"]["wait_for_gpu"] < time.perf_counter() - begin
    assert seconds["second"]["wait_for_gpu"] > seconds["first"]["wait_for_gpu"]


def test_what_a_job_still_needs_is_told_from_its_times_and_those_of_the_last(fresh):
    told = {"first": [], "second": []}

    async def two_jobs():
        for each in told.values():
            await generate(fresh, expect=each.append, num_inference_steps=4)

    fresh.warm_up(request(num_inference_steps=1, width=272))
    asyncio.run(two_jobs())
    assert told["first"] == [math.inf] * 5  # the warm-up was of another size
    assert len(told["second"]) == 5
    assert max(told["second"]) < math.inf
    assert 0 < told["second"][-1] < told["second"][0]


def test_a_generation_that_fails_tells_nothing_of_the_next(pipe, fresh):
    told = []
    with failing(pipe.vae.decoder, RuntimeError("x")), pytest.raises(RuntimeError, match="x"):
        asyncio.run(generate(fresh))
    asyncio.run(generate(fresh, expect=told.append))
    assert min(told) == math.inf


def test_the_warm_up_tells_what_its_size_needs(fresh):
    told = []
    fresh.warm_up(request())
    asyncio.run(generate(fresh, expect=told.append))
    assert max(told) < math.inf


def test_a_cancelled_job_that_waits_is_never_begun(pipe, fresh):
    held, begun = Event(), Event()

    def hold():
        begun.set()
        held.wait()

    async def cancel_the_second():
        first = asyncio.create_task(generate(fresh))
        await asyncio.to_thread(begun.wait)
        second = asyncio.create_task(generate(fresh, num_inference_steps=9))
        await asyncio.sleep(0)
        second.cancel()
        held.set()
        await first
        await generate(fresh)
        return second.cancelled()

    with before_each_pass(pipe.transformer, hold), counting_calls(pipe.transformer) as steps:
        assert asyncio.run(cancel_the_second())
    assert len(steps) == 2


def test_a_broken_gpu_is_said_for_good(pipe, fresh, make_worker):
    worker = make_worker({"gpu": fresh})
    with failing(pipe.transformer, BROKEN):
        answer = run(worker, SMALL)
    assert set(answer) == {"error"}
    assert "this worker is being replaced" in answer["error"]
    assert worker.unusable.is_set()


def test_a_gpu_that_breaks_under_a_cancelled_job_is_noticed(pipe, fresh):
    begun, cancelled = Event(), Event()

    async def cancel():
        job = asyncio.create_task(generate(fresh))
        await asyncio.to_thread(begun.wait)
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job
        cancelled.set()
        await asyncio.wait_for(fresh.unusable.wait(), 30)

    def fail():
        begun.set()
        cancelled.wait()
        raise BROKEN

    with before_each_pass(pipe.transformer, fail):
        asyncio.run(cancel())


def test_a_failed_job_keeps_its_stages(pipe, fresh):
    seconds = {}
    with failing(pipe.transformer, BROKEN), pytest.raises(DeviceUnusable):
        asyncio.run(generate(fresh, seconds))
    assert set(seconds) == {"wait_for_gpu", "text_encoding", "denoising"}


ENDS_EARLY = """
import asyncio
from conftest import SMALL, request
from flux_worker.contract.catalog import DEV
from flux_worker.engine import pipeline
from flux_worker.generation.inputs import Inputs
from flux_worker.serving.gpu import Gpu
from flux_worker.settings import Settings
from local_platform.processes.surroundings import DEMO_WEIGHTS

async def cancel():
    asked = request(width=1024, height=1024, num_inference_steps=50)
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()
    report = lambda progress: loop.call_soon_threadsafe(begun.set)
    job = asyncio.create_task(gpu.generate(asked, Inputs(), report, {}))
    await begun.wait()
    job.cancel()

gpu = Gpu(lambda: pipeline.load(Settings(model_path=str(DEMO_WEIGHTS), allow_cpu=True)), DEV)
asyncio.run(cancel())
"""


@pytest.mark.real
def test_a_process_that_ends_during_a_step_ends_well():
    done = subprocess.run(
        [sys.executable, "-c", ENDS_EARLY],
        cwd=ROOT / "tests",
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


def test_what_a_failed_job_held_is_free_at_once(pipe, fresh):
    """Not only when the garbage collector comes by: on a GPU that is memory for the next job."""
    gone = []

    class Held:
        def __del__(self):
            gone.append(1)

    def fail():
        held = Held()
        raise RuntimeError(str(type(held)))

    async def fail_and_go_on():
        with suppress(RuntimeError):
            await generate(fresh)
        until = time.monotonic() + 5
        while not gone and time.monotonic() < until:
            await asyncio.sleep(0.01)
        return bool(gone)

    gc.disable()
    try:
        with before_each_pass(pipe.transformer, fail):
            assert asyncio.run(fail_and_go_on())
    finally:
        gc.enable()
