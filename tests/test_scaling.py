"""The simulated endpoint, beside queueing theory and what Runpod documents."""

import asyncio
import itertools
import math
import random
from xml.etree import ElementTree

import pytest

from benchmarks.scaling import chart
from benchmarks.scaling.check import Served, Takes, arrivals, waits
from benchmarks.scaling.choice import Endpoint, cheapest, keeps_up, try_out
from benchmarks.scaling.measures import measure, poisson
from benchmarks.scaling.simulation import QueueDelay, RequestCount, Settings, simulate
from local_platform.queue.job_queue import JobQueue

SECONDS = 2.0
COLD_START = 30.0
JOBS = 40_000


def fixed(workers):
    return Settings(min_workers=workers, max_workers=workers)


def mean_wait(load, seconds, workers=1):
    """Simulate at a share of what the workers can do; return the mean wait."""
    draw = random.Random(1)
    rate = load * workers / SECONDS
    arrivals = poisson(rate, JOBS / rate)
    run = simulate(arrivals, [seconds(draw) for _ in arrivals], fixed(workers), COLD_START)
    return measure(run, price=1.0).mean_wait


def constant(_):
    return SECONDS


def exponential(draw):
    return draw.expovariate(1 / SECONDS)


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_a_worker_with_constant_jobs_lets_wait_as_m_d_1_does(load):
    expected = SECONDS * load / (2 * (1 - load))
    assert mean_wait(load, constant) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_a_worker_with_exponential_jobs_lets_wait_as_m_m_1_does(load):
    expected = SECONDS * load / (1 - load)
    assert mean_wait(load, exponential) == pytest.approx(expected, rel=0.07)


@pytest.mark.parametrize("workers", [2, 5, 20])
def test_several_workers_let_wait_as_erlangs_formula_says(workers):
    load = 0.8
    offered = load * workers
    all_busy = offered**workers / math.factorial(workers) / (1 - load)
    some_free = sum(offered**k / math.factorial(k) for k in range(workers))
    expected = all_busy / (all_busy + some_free) * SECONDS / (workers * (1 - load))
    assert mean_wait(load, exponential, workers) == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("policy", [QueueDelay(4), QueueDelay(0), RequestCount(1), RequestCount(4)])
@pytest.mark.parametrize(("least", "most"), [(0, 1), (0, 7), (2, 2), (2, 5)])
@pytest.mark.parametrize("rate", [0.01, 0.3, 1.5, 5])
def test_every_job_runs_once_in_turn_on_at_most_the_highest_number_of_workers(
    policy, least, most, rate
):
    settings = Settings(policy, least, most)
    arrivals = poisson(rate, 500 / rate)
    run = simulate(arrivals, [SECONDS] * len(arrivals), settings, COLD_START)
    assert len(run.started) == len(run.finished) == len(arrivals)
    assert list(run.started) == sorted(run.started)
    for arrival, start, end in zip(arrivals, run.started, run.finished, strict=True):
        assert arrival <= start
        assert end == start + SECONDS
    for arrival in arrivals:
        assert sum(begin <= arrival < end for begin, end in run.lives) >= least
    assert highest(run.lives) <= most
    assert highest(list(zip(run.started, run.finished, strict=True))) <= most


def highest(spans):
    """How many are open at once at most; where one ends another may begin."""
    steps = sorted([(begin, 1) for begin, _ in spans] + [(end, -1) for _, end in spans])
    return max(itertools.accumulate(step for _, step in steps))


def test_the_cost_is_what_all_workers_lives_cost():
    arrivals = poisson(0.2, 2000)
    run = simulate(arrivals, [SECONDS] * len(arrivals), Settings(), COLD_START)
    alive = sum(end - begin for begin, end in run.lives)
    measures = measure(run, price=0.00155)
    assert measures.dollars * len(arrivals) / 1000 == pytest.approx(0.00155 * alive)
    assert measures.busy == pytest.approx(len(arrivals) * SECONDS / alive)


def test_a_stretch_is_paid_for_by_itself():
    run = simulate([0.0, 100.0, 200.0], [10.0] * 3, fixed(1), COLD_START)
    measures = measure(run, price=1.0, since=100.0, until=150.0)
    assert measures.workers == pytest.approx(1.0)
    assert measures.dollars == pytest.approx(1000 * 50.0)


def test_a_lone_job_waits_for_the_cold_start_and_pays_for_it_and_for_the_idle_time():
    run = simulate([10.0], [SECONDS], Settings(idle_timeout=5), COLD_START)
    assert run.started == [10 + COLD_START]
    assert run.lives == [(10, 10 + COLD_START + SECONDS + 5)]


def test_only_a_job_within_the_idle_timeout_finds_the_worker_warm():
    end = COLD_START + SECONDS
    run = simulate([0, end + 4, end + 20], [SECONDS] * 3, Settings(idle_timeout=5), COLD_START)
    assert run.started == [COLD_START, end + 4, end + 20 + COLD_START]
    assert [ended for _, ended in run.lives] == [end + 4 + SECONDS + 5, end + 20 + end + 5]


def test_the_least_number_of_workers_outlives_the_idle_timeout_and_is_ready_at_once():
    run = simulate([0, 0, 0, 500], [SECONDS] * 4, Settings(RequestCount(1), 1, 3), COLD_START)
    assert run.started == [0, 2, 4, 500]
    assert run.lives == [(0, 500 + SECONDS), (0, COLD_START + 5), (0, COLD_START + 5)]


def births(policy, arrivals, **settings):
    run = simulate(arrivals, [60.0] * len(arrivals), Settings(policy, **settings), COLD_START)
    return sorted(begin for begin, _ in run.lives)


def test_queue_delay_starts_a_worker_for_the_first_job_and_one_for_each_that_waited_too_long():
    assert births(QueueDelay(4), [0, 10, 20]) == [0, 14, 24]


def test_queue_delay_starts_none_for_jobs_that_are_taken_in_time():
    one_second_each = simulate([0, 1, 2, 3], [1] * 4, Settings(QueueDelay(4), 1, 3), COLD_START)
    assert len(one_second_each.lives) == 1


@pytest.mark.parametrize(("value", "workers"), [(1, [0] * 8), (3, [0] * 3), (4, [0] * 2), (9, [0])])
def test_request_count_starts_a_worker_for_so_many_jobs(value, workers):
    assert births(RequestCount(value), [0] * 8, max_workers=10) == workers


def test_request_count_counts_running_jobs_too():
    assert births(RequestCount(2), [0, 40, 40], max_workers=10) == [0, 40]


@pytest.mark.parametrize("rate", [0.1, 0.2])
def test_what_is_chosen_is_fast_enough_with_a_tenth_more_images_and_patience_is_cheaper(rate):
    endpoint = Endpoint(seconds=3.7, price=0.00155, cold_start=COLD_START)
    quick, slow = (cheapest(endpoint, rate, longest) for longest in (10, 60))
    assert slow.measures.dollars < quick.measures.dollars
    for choice, longest in ((quick, 10), (slow, 60)):
        for images in (rate, 1.1 * rate):
            assert try_out(endpoint, images, choice.settings).measures.p95_wait <= longest
    assert cheapest(endpoint, rate, -1) is None


def test_an_endpoint_keeps_up_with_less_than_what_all_its_workers_do():
    endpoint = Endpoint(seconds=4.0, price=1.0, cold_start=COLD_START)
    assert keeps_up(endpoint, 0.7, Settings(max_workers=3))
    assert not keeps_up(endpoint, 0.75, Settings(max_workers=3))


def test_the_check_sends_as_many_jobs_a_second_as_it_says():
    drawn = arrivals(rate=0.5, jobs=100)
    assert len(drawn) == 100
    assert drawn == sorted(drawn)
    assert drawn[-1] == pytest.approx(200)


def test_the_check_simulates_jobs_as_they_were_sent_and_served():
    served = [Served(0, 0, 2), Served(0.5, 0, 3), Served(1, 0, 1), Served(1.5, 0, 1)]
    assert waits(served, workers=2) == [0, 0, 1, 1.5]
    assert waits(served, workers=4) == [0, 0, 0, 0]


def test_the_check_sees_how_long_a_job_keeps_its_worker_from_asking_for_another():
    pause = 0.05

    async def take_twice():
        queue = JobQueue(lambda job: None)
        takes = Takes(queue)
        job = queue.submit({"input": {}}, sync=False)
        await queue.take("worker", 1, 10.0)
        await asyncio.sleep(pause)
        await queue.take("worker", 1, 0.0)
        return takes.busy(job.id)

    assert asyncio.run(take_twice()) >= pause


def test_the_chart_shows_each_curve_in_both_panels_and_is_the_same_each_time():
    points = [chart.Point(0.1, 30.0, 40.0), chart.Point(10.0, 1.0, 6.0)]
    curves = {"95 % wait ≤ 60 s": points, "a <b> & c": points[:1]}
    drawn = chart.draw(curves)
    assert drawn == chart.draw(curves)
    circles = ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}circle")
    assert len(list(circles)) == 2 * 3
