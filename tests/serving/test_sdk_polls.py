"""How often the platform is asked: that each change works, and that the SDK still needs it."""

import asyncio
from itertools import pairwise

import aiohttp
import pytest
import virtual_time
from job_server import HOLD, JobServer, work
from runpod.serverless.modules import rp_job, rp_scale
from virtual_time import now

from flux_worker.serving import sdk_loop, sdk_polls
from flux_worker.serving.sdk_loop import Loop
from flux_worker.serving.sdk_pauses import Pauses
from flux_worker.serving.sdk_polls import Poll
from flux_worker.serving.turns import Turns


async def no_job_runs(job):
    raise AssertionError


def polls(answers, useful=True):
    """Ask for each of these in turn; return when each was asked for."""
    asked = []

    async def fetch():
        asked.append(now())
        answer, held = answers[len(asked) - 1]
        await asyncio.sleep(held)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def main():
        poll = Poll("jobs", asyncio.Event())
        for _ in answers:
            await poll.rest(useful=bool(await poll.ask(fetch)) and useful)

    virtual_time.run(main())
    return [round(later - earlier, 3) for earlier, later in pairwise(asked)]


def test_nothing_at_once_is_asked_for_again_ever_more_slowly():
    assert polls([([], 0)] * 8) == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0]


def test_failures_are_tried_again_ever_more_slowly():
    lasted = polls([(OSError(), 0)] * 10)
    assert lasted[:3] == [0.1, 0.2, 0.4]
    assert lasted[-1] == sdk_polls.LONGEST_FAILING


@pytest.mark.parametrize("between", [([{}], 0), ([], 25)], ids=["a job", "a poll held open"])
@pytest.mark.parametrize("before", [([], 0), (OSError(), 0)], ids=["nothing", "a failure"])
def test_what_works_lets_the_pauses_begin_again(before, between):
    assert polls([*[before] * 4, between, before, before])[4:] == [between[1], 0.1]


def test_what_comes_at_once_and_is_of_no_use_is_asked_for_ever_more_slowly():
    assert polls([([{}], 0)] * 5, useful=False) == [0.1, 0.2, 0.4, 0.8]


def test_a_poll_that_nobody_answers_is_given_up_and_is_no_failure(caplog):
    assert polls([([], 1e6), ([], 0)]) == [sdk_polls.PATIENCE]
    assert not caplog.records


def test_a_failure_that_lasts_is_said_once_and_so_is_its_end(caplog):
    failing = [(OSError(), 0), (ValueError(), 0)] * 20
    polls([([], 0), *failing, ([], 0), ([], 0), *failing, ([], 0)])
    assert [record.getMessage() for record in caplog.records] == [
        "Asking the platform for jobs fails (OSError).",
        "Asking the platform for jobs works again.",
    ] * 2


# -- on real HTTP


@pytest.mark.parametrize("kind", ["take", "stop"])
@pytest.mark.parametrize(
    "answer", [400, 204, 304, 429, 500, "no job", {"x": 1}, [1, None], {"jobsToStop": "good-u1"}]
)
def test_the_loop_rests_after_each_poll_that_brought_nothing(kind, answer, monkeypatch, capsys):
    rests = []

    async def wait(self):
        rests.append(1)
        await asyncio.sleep(0)

    monkeypatch.setattr(Pauses, "wait", wait)
    server = JobServer(**{"jobs" if kind == "take" else "stops": [answer]})
    work(server, no_job_runs, monkeypatch, lambda: server.polls[kind] >= 20)
    assert server.polls[kind] - 2 <= len(rests) <= server.polls[kind]
    assert "ailed" not in capsys.readouterr().out


def test_the_sdk_itself_still_asks_again_at_once(monkeypatch):
    server, slept = JobServer([500]), []

    async def main():
        scaler = rp_scale.JobScaler({})
        async with aiohttp.ClientSession() as session:
            getting = asyncio.create_task(scaler.get_jobs(session))
            while server.polls["take"] < 20:
                await asyncio.wait({getting}, timeout=0.01)
            scaler.kill_worker()
            await getting

    sleep = asyncio.sleep
    monkeypatch.setattr(asyncio, "sleep", lambda seconds: slept.append(seconds) or sleep(0))
    with server.serving(monkeypatch):
        asyncio.run(main())
    assert not any(slept)


def test_the_sdk_itself_still_drops_a_job_without_an_input(monkeypatch):
    async def fetch(take):
        async with aiohttp.ClientSession() as session:
            return await take(session)

    with JobServer([{"id": "j"}]).serving(monkeypatch):
        assert asyncio.run(fetch(sdk_polls.take_jobs)) == [{"id": "j"}]
        with pytest.raises(Exception, match="missing"):
            asyncio.run(fetch(rp_job.get_job))


def test_the_shutdown_ends_a_pause(monkeypatch):
    monkeypatch.setattr(sdk_polls, "FIRST_PAUSE", 1e6)
    monkeypatch.setattr(sdk_polls, "LONGEST_FAILING", 1e6)
    server = JobServer([500, HOLD], [500, HOLD])
    work(server, no_job_runs, monkeypatch, lambda: all(server.polls.values()))
    assert server.polls["take"] == 1


def test_a_platform_without_an_address_for_stops_is_said_so(monkeypatch, caplog):
    async def main(url):
        monkeypatch.setattr(rp_job, "JOB_GET_URL", f"{url}/jobs?x")
        shutdown = asyncio.Event()
        loop = Loop({"handler": no_job_runs}, Turns(), asyncio.Event(), shutdown, ceiling=1)
        running = asyncio.create_task(loop.run())
        while not caplog.records:
            await asyncio.sleep(0.01)
        shutdown.set()
        await running

    monkeypatch.setattr(sdk_loop, "GRACE", 0)
    with JobServer().serving(monkeypatch) as url:
        asyncio.run(main(url))
    assert "cancelled jobs run to their end" in caplog.text
