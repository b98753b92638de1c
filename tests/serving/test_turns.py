"""When the next job is to be taken for the GPU."""

import asyncio

import pytest
import virtual_time
from virtual_time import now

from flux_worker.serving.turns import LONGEST_LEAD, TRIPS, Turns


def free_at(story, **more):
    """Tell the turns something; return when they then ask for another job, and None for never."""

    async def main():
        turns = Turns()
        asyncio.get_running_loop().create_task(story(turns))
        await asyncio.sleep(0)
        async with asyncio.timeout(1000):
            await turns.nearly_free()
        return round(now(), 3)

    try:
        return virtual_time.run(main())
    except TimeoutError:
        return None


def test_an_idle_gpu_wants_a_job_at_once():
    async def story(turns):
        pass

    assert free_at(story) == 0


def test_a_job_of_unknown_length_is_waited_for():
    async def story(turns):
        turns.join("a")
        await asyncio.sleep(7)
        turns.leave("a")

    assert free_at(story) == 7


def test_a_job_is_wanted_a_trip_and_a_preparation_before_the_foreseen_end():
    async def story(turns):
        turns.note_trip(0.2)
        turns.note_preparation(0.1)
        turns.join("a")
        turns.expect("a", 5)

    assert free_at(story) == 4.7


def test_the_shortest_of_the_newest_trips_counts():
    async def story(turns):
        for seconds in (0.01, *[20] * TRIPS, 0.2):
            turns.note_trip(seconds)
        turns.join("a")
        turns.expect("a", 5)

    assert free_at(story) == 4.8


def test_no_job_is_taken_long_before_its_turn():
    async def story(turns):
        turns.note_trip(20)
        turns.note_preparation(3)
        turns.join("a")
        turns.expect("a", 5)

    assert free_at(story) == 5 - LONGEST_LEAD


@pytest.mark.parametrize(("later", "end"), [(9, 11), (1, 3)])
def test_what_was_foreseen_is_corrected(later, end):
    async def story(turns):
        turns.join("a")
        turns.expect("a", 5)
        await asyncio.sleep(2)
        turns.expect("a", later)

    assert free_at(story) == end


def test_a_job_that_waits_for_its_turn_is_enough():
    async def story(turns):
        turns.join("a")
        turns.join("b")
        turns.expect("a", 5)
        turns.expect("b", 4)
        await asyncio.sleep(6)
        turns.leave("a")

    assert free_at(story) == 10  # from its turn on it is the one that runs


def test_a_job_that_leaves_before_its_turn_makes_room():
    async def story(turns):
        turns.join("a")
        turns.expect("a", 5)
        turns.join("b")
        await asyncio.sleep(3)
        turns.leave("b")

    assert free_at(story) == 5


def test_who_is_not_here_changes_nothing():
    async def story(turns):
        turns.join("a")
        turns.expect("stranger", 0)
        turns.leave("stranger")
        turns.leave("stranger")

    assert free_at(story) is None


def test_while_a_job_is_aside_others_are_wanted():
    async def story(turns):
        turns.join("slow")
        await asyncio.sleep(1)
        with turns.aside("slow"):
            await asyncio.sleep(60)

    assert free_at(story) == 1


def test_a_job_that_was_aside_comes_after_those_that_came_meanwhile():
    async def story(turns):
        turns.join("slow")
        with turns.aside("slow"):
            turns.join("quick")
            turns.expect("quick", 3)
        turns.expect("slow", 10)
        await asyncio.sleep(3)
        turns.leave("quick")
        await asyncio.sleep(4)
        turns.leave("slow")

    # With both here none is wanted; then what the slow one needs is foreseen.
    assert free_at(story) == 7


def test_a_job_that_never_joined_is_not_joined_by_standing_aside():
    async def story(turns):
        with turns.aside("unknown"):
            pass
        turns.join("a")
        await asyncio.sleep(5)
        turns.leave("a")

    assert free_at(story) == 5
