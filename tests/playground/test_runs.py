import asyncio

import numpy as np
import pytest
from scripted_endpoint import report, scripted

from flux_worker.contract.catalog import DEV
from flux_worker.contract.request import ImageRequest
from flux_worker.delivery import images
from playground import runs
from playground.runs import Run, State

FILE = images.encode(np.zeros((8, 8, 3), np.uint8), "png", {"seed": 7})
DONE = report(
    "COMPLETED",
    output={"image_url": FILE.data_url, "cost": 0.00131072},
    delayTime=120,
    executionTime=3400,
)
WAITS = report("IN_QUEUE")
DRAWS = report("IN_PROGRESS", output={"step": 3, "steps": 8, "percent": 37, "eta_seconds": 1.9})


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch):
    monkeypatch.setattr(runs, "PAUSE", 0.01)
    monkeypatch.setattr(runs, "LONGEST_PAUSE", 0.02)


def asked(**given):
    return ImageRequest.parse({"prompt": "a red circle", "seed": 7, **given}, DEV)[0]


def follow(folder, endpoint, **given):
    run = Run(asked(**given), DEV, endpoint.place("my-key"), DEV.price)
    asyncio.run(run.follow(folder))
    return run


def test_a_run_ends_with_the_picture_its_cost_and_its_times(tmp_path):
    with scripted(status=[WAITS, DRAWS, DONE]) as endpoint:
        run = follow(tmp_path, endpoint)
    assert (run.state, run.is_final, run.problem) == (State.DONE, True, None)
    assert run.picture.read_bytes() == FILE.data
    assert run.picture.name == "flux-dev-7.png"
    assert run.cost == 0.00131072
    assert run.place.key == "", "nothing more is asked"
    assert (run.seconds("delayTime"), run.seconds("executionTime")) == (0.12, 3.4)


def test_what_is_sent_is_the_whole_request_with_the_seed_that_was_drawn(tmp_path):
    with scripted(status=DONE) as endpoint:
        run = follow(tmp_path, endpoint, seed=-1, width=257)
        sent = endpoint.asked[0][1]["input"]
    assert sent["seed"] == run.request.seed >= 0
    assert sent["width"] == 257
    assert sent["preview"] is True
    assert not sent.keys() & {"negative_prompt", "loras", "image", "mask_image", "strength"}


def test_loras_are_sent_with_their_scales(tmp_path):
    with scripted(status=DONE) as endpoint:
        follow(tmp_path, endpoint, loras=[{"path": "crescent"}, {"path": "o/n", "scale": -2}])
        sent = endpoint.asked[0][1]["input"]
    assert sent["loras"] == [{"path": "crescent", "scale": 1.0}, {"path": "o/n", "scale": -2.0}]


def test_a_failed_job_is_told_in_the_endpoints_words(tmp_path):
    told = "The GPU ran out of memory while generating 1536x1536: …"
    with scripted(status=[DRAWS, report("FAILED", error=told)]) as endpoint:
        run = follow(tmp_path, endpoint)
    assert (run.state, run.problem, run.may_ask_again) == (State.FAILED, told, False)


@pytest.mark.parametrize("error", [None, "", {"message": "x"}])
def test_a_job_that_failed_without_a_word_is_told_all_the_same(tmp_path, error):
    with scripted(status=report("FAILED", error=error)) as endpoint:
        assert "doesn't say why" in follow(tmp_path, endpoint).problem


def test_a_job_that_ran_out_of_time_is_told_with_what_to_do(tmp_path):
    with scripted(status=report("TIMED_OUT")) as endpoint:
        run = follow(tmp_path, endpoint)
    assert run.state is State.FAILED
    assert "raise the endpoint's execution timeout" in run.problem


def test_a_cancelled_job_is_no_failure(tmp_path):
    with scripted(status=report("CANCELLED")) as endpoint:
        run = follow(tmp_path, endpoint)
    assert (run.state, run.problem) == (State.CANCELLED, None)


def test_an_endpoint_that_goes_away_for_a_while_is_asked_again(tmp_path):
    with scripted(status=[DRAWS, (502, b""), (502, b""), DONE]) as endpoint:
        run = follow(tmp_path, endpoint)
    assert run.state is State.DONE
    assert run.picture


def test_meanwhile_it_says_so(tmp_path):
    async def look(endpoint):
        run = Run(asked(), DEV, endpoint.place(), DEV.price)
        following = asyncio.create_task(run.follow(tmp_path))
        while not run.problem:
            await asyncio.sleep(0.01)
        told, state = run.problem, run.state
        endpoint.answers["status"] = [DONE]
        await following
        return told, state

    with scripted(status=[DRAWS, (502, b"")]) as endpoint:
        told, state = asyncio.run(look(endpoint))
    assert "Asking again; the job goes on there." in told
    assert state is State.DRAWING


def test_a_result_that_is_forgotten_ends_the_run(tmp_path):
    with scripted(status=[DRAWS, (404, {"error": "no"})]) as endpoint:
        run = follow(tmp_path, endpoint)
    assert (run.state, run.is_gone, run.may_ask_again) == (State.FAILED, True, True)
    assert "half an hour" in run.problem


def test_a_job_that_could_not_be_queued_is_not_sent_again(tmp_path):
    with scripted(run=(502, b"")) as endpoint:
        run = follow(tmp_path, endpoint)
        assert [operation for operation, *_ in endpoint.asked] == ["run"]
    assert (run.state, run.may_ask_again) == (State.FAILED, False)


@pytest.mark.parametrize("job_id", ["", "../health", "a b", "x" * 300, "j\r\nX: y"])
def test_an_id_that_could_lead_elsewhere_is_refused(tmp_path, job_id):
    with scripted(run=(200, {"id": job_id, "status": "IN_QUEUE"})) as endpoint:
        run = follow(tmp_path, endpoint)
        assert [operation for operation, *_ in endpoint.asked] == ["run"]
    assert run.state is State.FAILED


@pytest.mark.parametrize(
    "output", [None, "text", [1], {}, {"image_url": 5}, {"image_url": "data:image/png;base64,A"}]
)
def test_a_picture_that_cannot_be_read_is_said(tmp_path, output):
    with scripted(status=report("COMPLETED", output=output)) as endpoint:
        run = follow(tmp_path, endpoint)
    assert (run.state, run.is_final, run.picture) == (State.DONE, True, None)
    assert run.problem


def test_a_state_that_nobody_knows_is_waited_through(tmp_path):
    with scripted(status=[report("RESHUFFLED"), DONE]) as endpoint:
        assert follow(tmp_path, endpoint).state is State.DONE
