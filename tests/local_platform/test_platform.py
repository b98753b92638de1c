"""The local platform, with real workers and real clients, over HTTP."""

import json
import logging
import signal
import time
from urllib.request import urlopen

import loopback
import pytest
import runpod
from conftest import SMALL
from running_platform import DEV, serving

from local_platform.processes.surroundings import demo_environment

pytestmark = pytest.mark.real

LONG = {**SMALL, "width": 768, "height": 768, "num_inference_steps": 50}


@pytest.fixture(scope="module")
def platform(s3, tmp_path_factory):
    log = tmp_path_factory.mktemp("platform") / "worker.log"
    with serving(1, demo_environment(s3.environment), log_file=log) as running:
        running.log = log
        yield running


@pytest.fixture(scope="module")
def queue():
    """A platform without workers: the tests are its workers."""
    with serving(0, {}) as running:
        yield running


@pytest.fixture
def client(platform, monkeypatch):
    monkeypatch.setattr(runpod, "api_key", "local")
    monkeypatch.setattr(runpod, "endpoint_url_base", f"{platform.url}/v2")
    return runpod.Endpoint(DEV)


# -- with a real worker


def test_the_envelope_is_the_documented_one(platform):
    status, report = platform("POST", f"/v2/{DEV}/runsync", {"input": SMALL})
    assert status == 200
    assert set(report) == {
        *("delayTime", "executionTime", "id", "output", "status", "workerId"),
    }
    assert report["status"] == "COMPLETED"
    assert set(report["output"]) == {"image_url", "cost"}
    urlopen(report["output"]["image_url"]).close()


def test_a_single_endpoint_answers_to_every_id(platform):
    report = platform("POST", "/v2/flux/runsync", {"input": SMALL})[1]
    assert report["status"] == "COMPLETED"


def test_the_python_client(client):
    assert client.run_sync(SMALL)["cost"] == 0.00131072
    job = client.run(SMALL)
    assert job.output(timeout=60)["image_url"].startswith("http://127.0.0.1")
    assert job.status() == "COMPLETED"
    assert client.health()["workers"]["idle"] == 1


def test_a_bad_request_fails_with_its_sentence(platform):
    report = platform("POST", "/runsync", {"input": {**SMALL, "width": 2000}})[1]
    assert report["status"] == "FAILED"
    assert report["error"] == "Invalid parameter: width must be between 256 and 1536 (got 2000)"
    assert "output" not in report


def test_a_jobs_own_bucket_reaches_the_worker(platform, s3):
    config = {
        "accessId": s3.access_key_id,
        "accessSecret": s3.secret_access_key,
        "bucketName": "of-the-job",
        "endpointUrl": s3.endpoint_url,
    }
    s3.client().create_bucket(Bucket="of-the-job")
    report = platform("POST", "/runsync", {"input": SMALL, "s3Config": config})[1]
    assert "/of-the-job/" in report["output"]["image_url"]


def test_a_running_job_tells_how_far_it_is(platform):
    job_id = platform("POST", "/run", {"input": {**LONG, "preview": True}})[1]["id"]
    told = []
    while (report := platform("GET", f"/status/{job_id}")[1])["status"] != "COMPLETED":
        if "output" in report:
            told.append(report["output"])
        time.sleep(0.05)
    steps = [progress["step"] for progress in told]
    assert len(set(steps)) > 2
    assert steps == sorted(steps)
    assert all(progress["percent"] == 2 * progress["step"] for progress in told)
    assert all(progress["eta_seconds"] >= 0 for progress in told)
    assert told[-1]["preview"].startswith("data:image/jpeg;base64,")
    assert set(report["output"]) == {"image_url", "cost"}


def test_a_cancelled_job_frees_the_worker_for_the_next(platform):
    job_id = platform("POST", "/run", {"input": LONG})[1]["id"]
    platform.wait(job_id, "IN_PROGRESS")
    while "output" not in platform("GET", f"/status/{job_id}")[1]:
        time.sleep(0.02)  # its first steps are told: it is generating
    assert platform("POST", f"/cancel/{job_id}")[1]["status"] == "CANCELLED"
    assert platform("POST", "/runsync", {"input": SMALL})[1]["status"] == "COMPLETED"
    assert platform("GET", f"/status/{job_id}")[1]["status"] == "CANCELLED"
    assert '"message": "job stopped"' in platform.log.read_text()


def test_a_job_that_takes_too_long_is_timed_out(platform):
    body = {"input": LONG, "policy": {"executionTimeout": 300}}
    report = platform("POST", "/runsync", body)[1]
    assert report["status"] == "TIMED_OUT"
    assert platform("POST", "/runsync", {"input": SMALL})[1]["status"] == "COMPLETED"


def test_a_job_whose_worker_is_killed_is_run_by_the_next(platform):
    job_id = platform("POST", "/run", {"input": LONG})[1]["id"]
    first = platform.wait(job_id, "IN_PROGRESS")["workerId"]
    platform.kill_worker(first)
    report = platform.wait(job_id, "COMPLETED")
    assert report["workerId"] != first
    assert platform("GET", "/health")[1]["jobs"]["retried"] >= 1


def test_a_worker_that_is_told_to_end_finishes_its_job_first(platform):
    job_id = platform("POST", "/run", {"input": LONG})[1]["id"]
    worker_id = platform.wait(job_id, "IN_PROGRESS")["workerId"]
    platform.endpoint.fleet.running[worker_id].send_signal(signal.SIGTERM)
    assert platform.wait(job_id, "COMPLETED")["workerId"] == worker_id


def test_an_idle_worker_ends_soon_and_swallows_no_job(platform):
    worker_id = platform("POST", "/runsync", {"input": SMALL})[1]["workerId"]
    process = platform.endpoint.fleet.running[worker_id]
    time.sleep(1)  # its poll is open
    process.send_signal(signal.SIGTERM)
    late = platform("POST", "/run", {"input": SMALL})[1]["id"]
    assert platform.wait(late, "COMPLETED")["workerId"] == worker_id
    for _ in range(200):  # ten seconds; its poll would be open for 25
        if worker_id not in platform.endpoint.fleet.running:
            break
        time.sleep(0.05)
    assert worker_id not in platform.endpoint.fleet.running


# -- with two real workers


@pytest.fixture(scope="module")
def pair():
    with serving(2, demo_environment({"OMP_NUM_THREADS": "1"})) as running:
        while running("GET", "/health")[1]["workers"]["idle"] < 2:
            time.sleep(0.1)
        yield running


def test_no_job_is_held_while_a_worker_is_idle(pair):
    jobs = [pair("POST", "/run", {"input": LONG})[1]["id"] for _ in range(2)]
    ran = {pair.wait(job, "IN_PROGRESS")["workerId"] for job in jobs}
    assert len(ran) == 2
    for job in jobs:
        pair("POST", f"/cancel/{job}")


def test_a_job_that_waits_goes_to_whoever_is_free_first(pair):
    """Although it is taken before that: both know what such images take from the last ones."""

    def run(status, *steps):
        given = [{**LONG, "width": 512, "height": 512, "num_inference_steps": n} for n in steps]
        jobs = [pair("POST", "/run", {"input": each})[1]["id"] for each in given]
        for job in jobs:
            pair.wait(job, status)
        return jobs

    run("COMPLETED", 1, 1)
    long, short = run("IN_PROGRESS", 45, 15)
    third = pair("POST", "/run", {"input": SMALL})[1]["id"]
    reports = [pair.wait(job, "COMPLETED") for job in (long, short, third)]
    assert reports[2]["workerId"] == reports[1]["workerId"] != reports[0]["workerId"]


# -- without one


def take(queue, worker="w1"):
    return queue.as_worker(worker, "GET", "job-take", "?gpu=x")[1]


def done(queue, job_id, body, worker="w1"):
    return queue.as_worker(worker, "POST", "job-done", f"/{job_id}?isStream=false", body)[0]


def submit(queue, **body):
    return queue("POST", "/run", {"input": {"prompt": "x"}, **body})[1]["id"]


def test_a_worker_receives_the_job_without_what_is_the_platforms(queue):
    job_id = submit(queue, policy={"ttl": 1e6}, webhook="http://127.0.0.1:9/", s3Config={"a": "b"})
    assert take(queue) == {"id": job_id, "input": {"prompt": "x"}, "s3Config": {"a": "b"}}
    done(queue, job_id, {"output": 1})


def test_what_else_a_body_holds_reaches_no_worker(queue):
    """The SDK makes attributes of a job's keys, and gives the batch up where it can't."""
    job_id = submit(queue, self=1, __class__="x", id="mine")
    assert take(queue) == {"id": job_id, "input": {"prompt": "x"}}
    done(queue, job_id, {"output": 1})


def test_a_worker_that_has_lost_a_job_has_no_say_in_it_any_more(queue, monkeypatch):
    monkeypatch.setattr("local_platform.api.worker_routes.POLL", 0.01)
    job_id = submit(queue, policy={"executionTimeout": 300})
    take(queue, "before")
    queue.wait(job_id, "TIMED_OUT")
    queue("POST", f"/retry/{job_id}")
    assert take(queue, "after")["id"] == job_id
    done(queue, job_id, {"error": "late"}, worker="before")
    done(queue, job_id, {"status": "IN_PROGRESS", "output": "late"}, worker="before")
    assert queue("GET", f"/status/{job_id}")[1]["status"] in ("IN_PROGRESS", "TIMED_OUT")
    assert queue.as_worker("before", "GET", "job-stop") == (204, None)
    done(queue, job_id, {"output": 1}, worker="after")
    assert queue("GET", f"/status/{job_id}")[1]["output"] == 1


def test_a_retried_job_lives_as_long_as_a_new_one(queue):
    job_id = submit(queue, policy={"ttl": 600})
    queue.wait(job_id, "TIMED_OUT")
    queue("POST", f"/retry/{job_id}")
    time.sleep(0.3)
    assert take(queue)["id"] == job_id
    done(queue, job_id, {"output": 1})
    assert queue("GET", f"/status/{job_id}")[1]["delayTime"] < 600


def test_a_worker_that_leaves_gets_no_more_jobs(queue):
    job_id = submit(queue)
    take(queue, "leaving")
    done(queue, job_id, {"error": "broken", "stopPod": True}, worker="leaving")
    job_id = submit(queue)
    assert queue.as_worker("leaving", "GET", "job-take", "?gpu=x") == (204, None)
    assert take(queue)["id"] == job_id
    done(queue, job_id, {"output": 1})


def test_a_stream_shows_what_is_new(queue):
    job_id = submit(queue)
    take(queue)
    queue.as_worker("w1", "POST", "job-stream", f"/{job_id}", {"output": "a"})
    assert queue("GET", f"/stream/{job_id}")[1]["stream"] == [{"output": "a"}]
    assert queue("GET", f"/stream/{job_id}")[1]["stream"] == []
    done(queue, job_id, {"output": 1})
    assert queue("GET", f"/stream/{job_id}")[1]["status"] == "COMPLETED"


@pytest.mark.parametrize(("operation", "kept"), [("run", "KEPT_ASYNC"), ("runsync", "KEPT_SYNC")])
def test_old_results_are_forgotten(queue, monkeypatch, operation, kept):
    monkeypatch.setattr(f"local_platform.queue.jobs.{kept}", 0.5)
    job_id = queue("POST", f"/{operation}?wait=1000", {"input": {"prompt": "x"}})[1]["id"]
    take(queue)
    done(queue, job_id, {"output": 1})
    assert queue("GET", f"/status/{job_id}")[0] == 200
    for _ in range(100):
        if queue("GET", f"/status/{job_id}")[0] == 404:
            return
        time.sleep(0.05)
    raise AssertionError("still there")


def test_the_first_final_state_wins(queue):
    job_id = submit(queue)
    take(queue)
    done(queue, job_id, {"output": {"image_url": "first"}})
    done(queue, job_id, {"error": "second"})
    done(queue, job_id, {"status": "IN_PROGRESS", "output": "third"})
    report = queue("GET", f"/status/{job_id}")[1]
    assert (report["status"], report["output"]) == ("COMPLETED", {"image_url": "first"})


def test_progress_shows_in_the_status(queue):
    job_id = submit(queue)
    take(queue)
    done(queue, job_id, {"status": "IN_PROGRESS", "output": {"step": 3}})
    report = queue("GET", f"/status/{job_id}")[1]
    assert (report["status"], report["output"]) == ("IN_PROGRESS", {"step": 3})
    done(queue, job_id, {"output": 1})


def test_a_cancelled_job_is_named_to_its_worker(queue):
    job_id = submit(queue)
    take(queue, "w7")
    queue("POST", f"/cancel/{job_id}")
    assert queue.as_worker("w7", "GET", "job-stop", "?gpu=x")[1] == {"jobsToStop": [job_id]}


def test_only_failed_jobs_can_be_retried(queue):
    job_id = submit(queue)
    assert queue("POST", f"/retry/{job_id}")[0] == 400
    take(queue)
    done(queue, job_id, {"error": "no"})
    assert queue("POST", f"/retry/{job_id}")[1] == {"id": job_id, "status": "IN_QUEUE"}
    assert take(queue)["id"] == job_id
    done(queue, job_id, {"output": 1})


def test_a_purge_removes_what_waits(queue):
    waiting = [submit(queue) for _ in range(3)]
    assert queue("POST", "/purge-queue")[1] == {"removed": 3, "status": "completed"}
    assert queue("GET", f"/status/{waiting[0]}")[1]["status"] == "CANCELLED"
    assert queue("GET", "/health")[1]["jobs"]["inQueue"] == 0


def test_a_batch_is_taken_at_once_and_in_order(queue):
    ids = [submit(queue) for _ in range(3)]
    for expected in (ids[:2], ids[2:]):
        batch = queue.as_worker("w1", "GET", "job-take-batch", "?gpu=x&batch_size=2")[1]
        assert [job["id"] for job in batch] == expected
    for job_id in ids:
        done(queue, job_id, {"output": 1})


def test_a_job_is_failed_when_it_has_cost_three_workers(queue):
    job_id = submit(queue)
    for worker in ("a", "b", "c"):
        assert take(queue, worker)["id"] == job_id
        queue.endpoint.queue.worker_vanished(worker)
    report = queue("GET", f"/status/{job_id}")[1]
    assert report["status"] == "FAILED"
    assert report["error"] == "The worker ended during the job, 3 times."


def test_a_job_that_waits_longer_than_its_ttl_is_timed_out(queue):
    job_id = submit(queue, policy={"ttl": 100})
    assert queue.wait(job_id, "TIMED_OUT")["error"] == "The job outlived its ttl."


def test_runsync_answers_with_the_status_when_the_wait_is_over(queue):
    report = queue("POST", "/runsync?wait=1000", {"input": {"prompt": "x"}})[1]
    assert report["status"] == "IN_QUEUE"
    queue("POST", "/purge-queue")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "says"),
    [
        ("POST", "/run", b"{", 400, "not valid JSON"),
        ("POST", "/run", b"[]", 400, 'an object with an "input"'),
        ("POST", "/run", b'{"input": null}', 400, 'an object with an "input"'),
        ("POST", "/run", b'{"input": "' + b"x" * 10_000_000 + b'"}', 413, "larger than 10 MB"),
        ("POST", "/runsync", b'{"input": "' + b"x" * 20_000_000 + b'"}', 413, "larger than 20 MB"),
        ("POST", "/runsync?wait=1", b"{}", 400, "wait must be between 1000 and 300000"),
        ("POST", "/runsync?wait=x", b"{}", 400, "wait must be"),
        ("GET", "/status/nobody", None, 404, "There is no job nobody"),
        ("GET", "/nothing", None, 404, "no such operation"),
        ("GET", "/run", None, 405, "no such operation"),
    ],
)
def test_what_is_refused_is_refused_in_words(queue, method, path, body, status, says):
    answered, report = queue(method, path, body)
    assert answered == status
    assert says in report["error"]


@pytest.mark.parametrize("answers", [[200], [500, 404, 200], [500, 500, 500]])
def test_the_webhook_is_told_until_it_takes_it(queue, monkeypatch, answers):
    monkeypatch.setattr("local_platform.queue.endpoint.WEBHOOK_PAUSE", 0.05)
    bodies = []

    def hook(request):
        bodies.append(json.loads(request.body()))
        request.answer(answers[len(bodies) - 1])

    with loopback.serving(hook) as url:
        job_id = submit(queue, webhook=f"{url}/hook")
        take(queue)
        done(queue, job_id, {"output": {"image_url": "u"}})
        report = queue("GET", f"/status/{job_id}")[1]
        for _ in range(100):
            if len(bodies) == len(answers):
                break
            time.sleep(0.05)
        time.sleep(0.3)  # one too many would come now
    told = {**report, "input": {"prompt": "x"}, "webhook": f"{url}/hook"}
    assert report["status"] == "COMPLETED"
    assert bodies == [told] * len(answers)


NOWHERE = ["x", "//x", "ftp://x", "http://", "http://[", "http://x:99999/", "http://xn--/"]


@pytest.mark.parametrize(
    "webhook", [*NOWHERE, "http://127.0.0.1:9/", "http://\ud800/", "http://%00/"]
)
def test_a_webhook_that_leads_nowhere_is_said_and_costs_the_job_nothing(
    queue, webhook, monkeypatch, caplog
):
    monkeypatch.setattr("local_platform.queue.endpoint.WEBHOOK_PAUSE", 0.0)
    job_id = submit(queue, webhook=webhook)
    take(queue)
    done(queue, job_id, {"output": 1})
    while f"The webhook of job {job_id} was not accepted." not in caplog.text:
        time.sleep(0.01)
    assert queue("GET", f"/status/{job_id}")[1]["status"] == "COMPLETED"


@pytest.mark.parametrize("status", [200, 500])
def test_of_a_webhooks_answer_the_status_alone_is_read(queue, monkeypatch, status):
    monkeypatch.setattr("local_platform.queue.endpoint.WEBHOOK_PAUSE", 0.0)
    left = []

    def endless(request):
        request.body()
        request.send_response(status)
        request.end_headers()
        try:
            while True:
                request.wfile.write(b"x" * 100_000)
        except OSError:
            left.append(1)
        request.drop()

    with loopback.serving(endless) as url:
        job_id = submit(queue, webhook=url)
        take(queue)
        done(queue, job_id, {"output": 1})
        while len(left) < (1 if status == 200 else 3):
            time.sleep(0.01)


@pytest.mark.parametrize("end", ["completed", "failed", "cancelled"])
def test_a_buckets_key_goes_to_the_worker_alone(queue, caplog, end):
    caplog.set_level(logging.DEBUG)
    config = {"accessId": "id-of-the-job", "accessSecret": "secret-of-the-job"}
    told = []

    def hook(request):
        told.append(request.body().decode())
        request.answer(200)

    with loopback.serving(hook) as url:
        asked = {"prompt": "x", "inner": [{"s3Config": config, "kept": 1}]}
        body = {"input": asked, "s3Config": config, "webhook": url}
        answers = [queue("POST", "/run", body)]
        job_id = answers[0][1]["id"]
        job = queue.endpoint.queue.get(job_id)
        assert take(queue)["s3Config"] == config
        answers.append(queue("GET", f"/status/{job_id}"))
        if end == "cancelled":
            answers.append(queue("POST", f"/cancel/{job_id}"))
        else:
            done(queue, job_id, {"output": 1} if end == "completed" else {"error": "no"})
        answers += [queue("GET", f"/{each}/{job_id}") for each in ("status-sync", "stream")]
        answers.append(queue("POST", f"/retry/{job_id}"))
        while not told:
            time.sleep(0.01)
    assert json.loads(told[0])["input"] == {"prompt": "x", "inner": [{"kept": 1}]}
    assert "of-the-job" not in f"{answers} {told} {caplog.text} {job}"
    queue("POST", "/purge-queue")
