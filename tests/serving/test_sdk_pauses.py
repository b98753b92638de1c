"""How long is waited: the times are those of a clock that the test winds."""

import asyncio

import pytest
import virtual_time
from virtual_time import now

from flux_worker.serving.sdk_pauses import Pauses, bounded


async def waited(pauses, times):
    lasted = []
    for _ in range(times):
        begin = now()
        await pauses.wait()
        lasted.append(now() - begin)
    return lasted


def test_pauses_double_up_to_the_longest_and_begin_again():
    async def main():
        pauses = Pauses(1, 5, asyncio.Event())
        assert await waited(pauses, 5) == [1, 2, 4, 5, 5]
        pauses.reset()
        assert await waited(pauses, 2) == [1, 2]

    virtual_time.run(main())


def test_the_shutdown_ends_a_pause_and_those_after_it_are_short_again():
    async def main():
        shutdown = asyncio.Event()
        pauses = Pauses(4, 60, shutdown)
        await waited(pauses, 3)
        asyncio.get_running_loop().call_later(3, shutdown.set)
        assert await waited(pauses, 3) == [3, 4, 8]

    virtual_time.run(main())


def test_a_block_may_take_any_time_before_the_shutdown():
    async def main():
        async with bounded(asyncio.Event(), 5):
            await asyncio.sleep(1e6)

    virtual_time.run(main())


@pytest.mark.parametrize("before", [0, 100])
def test_a_block_has_a_bounded_time_from_the_shutdown_on(before):
    async def main():
        shutdown = asyncio.Event()
        asyncio.get_running_loop().call_later(before, shutdown.set)
        with pytest.raises(TimeoutError):
            async with bounded(shutdown, 5):
                await asyncio.sleep(1e6)
        assert now() == before + 5

    virtual_time.run(main())


def test_a_block_that_ends_in_time_ends_well():
    async def main():
        shutdown = asyncio.Event()
        shutdown.set()
        async with bounded(shutdown, 5):
            await asyncio.sleep(4)
        await asyncio.sleep(10)

    virtual_time.run(main())
