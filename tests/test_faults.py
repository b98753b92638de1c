"""What goes wrong around a worker loses no job, charges none twice and leaves none in progress.

Everything is real, the platform, the worker processes and the S3 server; between them stand proxies
in which a test makes something go wrong.
"""

import http.client
import json
import os
import random
import signal
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
from conftest import ROOT, SMALL
from fault_proxy import DROP, FaultProxy
from running_platform import serving

from local_platform.processes.s3_server import S3Server
from local_platform.processes.surroundings import demo_environment

pytestmark = pytest.mark.real

COST = 0.00131072
LONG = 3000  # seconds: longer than any queue here takes
UPLOAD_PATIENCE = 15  # seconds: more than any bucket here takes that takes an image at all
FINAL = ("COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT")


def uploads(method, path, body):
    """Uploads of images, not of the text with which a worker tries the bucket out."""
    return method == "PUT" and body.startswith(b"\xff\xd8")


def results(method, path, body):
    return "/job-done/" in path and b'"IN_PROGRESS"' not in body


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    """A platform with a worker, a proxy before its S3 server and one before the platform."""
    folder = tmp_path_factory.mktemp("faults")
    fault, log = folder / "fault", folder / "worker.log"
    with S3Server() as s3, FaultProxy(s3.endpoint_url) as bucket, FaultProxy() as queue:
        settings = demo_environment(
            {
                **s3.environment,
                "BUCKET_ENDPOINT_URL": bucket.url,
                "FAULT_FILE": str(fault),
                "UPLOAD_PATIENCE": str(UPLOAD_PATIENCE),
                "JOBS_IN_FLIGHT": "2",
                "OMP_NUM_THREADS": "1",
            }
        )
        program = ROOT / "tests" / "faulty_handler.py"
        with serving(1, settings, log_file=log, program=program, worker_url=queue.url) as platform:
            queue.target = platform.url
            yield SimpleNamespace(platform=platform, s3=s3, bucket=bucket, queue=queue, fault=fault)


@pytest.fixture(autouse=True)
def _sound_again(stage):
    yield
    for proxy in (stage.bucket, stage.queue):
        proxy.fail(when=uploads)
    jobs = stage.platform("GET", "/health")[1]["jobs"]
    assert (jobs["inProgress"], jobs["inQueue"]) == (0, 0)


def generate(stage, **given):
    return stage.platform("POST", "/runsync", {"input": {**SMALL, **given}})[1]


def objects(stage):
    return stage.s3.client().list_objects_v2(Bucket="flux")["KeyCount"]


# -- the bucket


def test_an_upload_that_fails_at_first_is_tried_again(stage):
    stage.bucket.fail(500, DROP, when=uploads)
    report = generate(stage)
    assert stage.bucket.faults == 2
    assert report["output"]["cost"] == COST
    urlopen(report["output"]["image_url"]).close()


def test_an_image_whose_key_is_refused_travels_in_the_answer(stage):
    stage.bucket.fail(*[403] * 9, when=uploads)
    report = generate(stage)
    assert report["output"]["image_url"].startswith("data:image/jpeg;base64,")
    assert report["output"]["cost"] == COST


@pytest.mark.parametrize("seconds", [1, pytest.param(10, marks=pytest.mark.soak)])
def test_a_slow_bucket_loses_nothing(stage, seconds):
    def slow(*request):
        if uploads(*request):
            time.sleep(seconds)

    stage.bucket.fault = slow
    assert generate(stage)["output"]["image_url"].startswith(stage.bucket.url)


def test_a_bucket_that_is_killed_during_the_upload_loses_nothing(stage):
    with S3Server() as mortal:

        def die(*request):
            if uploads(*request):
                stage.bucket.target = mortal.endpoint_url
                mortal.stop()

        stage.bucket.fault = die
        report = generate(stage)
        stage.bucket.fail(when=uploads)
        stage.bucket.target = stage.s3.endpoint_url
    assert report["output"]["image_url"].startswith("data:image/jpeg;base64,")
    while generate(stage)["output"]["image_url"].startswith("data:"):
        time.sleep(0.5)  # the bucket is left alone for a while, then used again


def test_a_worker_that_is_told_to_end_during_an_upload_that_hangs_answers_and_ends(stage):
    uploading, hang = threading.Event(), threading.Event()

    def silent(*request):
        if uploads(*request):
            uploading.set()
            hang.wait()
            return DROP
        return None

    stage.bucket.fault = silent
    job_id = stage.platform("POST", "/run", {"input": SMALL})[1]["id"]
    assert uploading.wait(60)
    (worker_id,) = stage.platform.endpoint.fleet.running
    process = stage.platform.endpoint.fleet.running[worker_id]
    process.send_signal(signal.SIGTERM)
    report = stage.platform.wait(job_id, *FINAL, seconds=2 * UPLOAD_PATIENCE)
    while worker_id in stage.platform.endpoint.fleet.running:
        time.sleep(0.05)
    hang.set()
    assert process.returncode == 0
    assert report["workerId"] == worker_id
    assert report["output"]["image_url"].startswith("data:image/jpeg;base64,")
    assert report["output"]["cost"] == COST


def test_a_worker_that_is_killed_during_the_upload_costs_one_image_not_two(stage):
    before = objects(stage)
    vanished = []

    def kill(*request):
        if uploads(*request) and not vanished:
            (worker_id,) = stage.platform.endpoint.fleet.running
            vanished.append(worker_id)
            stage.platform.kill_worker(worker_id)
            return DROP
        return None

    stage.bucket.fault = kill
    report = generate(stage)
    assert report["output"]["cost"] == COST
    assert report["workerId"] not in vanished
    assert objects(stage) == before + 1


# -- the platform


@pytest.mark.parametrize("trouble", [500, 429, 403, 302, DROP])
def test_a_result_that_is_not_taken_at_first_arrives(stage, trouble):
    stage.queue.fail(trouble, trouble, when=results)
    report = generate(stage)
    assert stage.queue.faults == 2
    assert report["output"]["cost"] == COST


def test_a_result_that_arrives_twice_counts_once(stage):
    completed = stage.platform.endpoint.health()["jobs"]["completed"]
    answered = []

    def answer_is_lost(method, path, body):
        if not results(method, path, body) or answered:
            return None
        (worker_id,) = stage.platform.endpoint.fleet.running
        operation, rest = "job-done", path.partition(worker_id)[2]
        # Taken, but the worker hears nothing.
        answered.append(stage.platform.as_worker(worker_id, "POST", operation, rest, body))
        return DROP

    stage.queue.fault = answer_is_lost
    assert generate(stage)["status"] == "COMPLETED"
    assert generate(stage)["status"] == "COMPLETED"
    assert stage.platform.endpoint.health()["jobs"]["completed"] == completed + 2


def test_a_result_that_is_too_large_for_the_platform_becomes_a_sentence(stage):
    stage.bucket.fail(*[403] * 9, when=uploads)
    stage.queue.fail(413, when=lambda *request: results(*request) and b"data:image" in request[2])
    report = generate(stage)
    assert stage.queue.faults == 1
    assert report["status"] == "FAILED"
    assert "no cost is reported. Ask for a JPEG" in report["error"]
    assert "output" not in report


def test_a_worker_whose_polls_fail_works_again_when_the_platform_does(stage):
    stage.queue.fail(*[500, DROP, 429] * 2, when=lambda method, path, body: "/job-take" in path)
    assert [generate(stage)["status"] for _ in range(3)] == ["COMPLETED"] * 3
    assert stage.queue.faults == 6


def test_a_worker_whose_process_for_pings_is_killed_pings_on(stage):
    generate(stage)  # the worker is there
    (worker_id,) = stage.platform.endpoint.fleet.running
    worker = stage.platform.worker_process(worker_id)
    (pinging,) = Path(f"/proc/{worker}/task/{worker}/children").read_text().split()
    os.kill(int(pinging), signal.SIGKILL)
    heard = threading.Event()
    stage.queue.fault = lambda method, path, body: heard.set() if "/ping/" in path else None
    assert heard.wait(60)
    assert generate(stage)["workerId"] == worker_id


# -- the GPU


def test_a_worker_with_a_broken_gpu_is_replaced(stage):
    first = generate(stage)["workerId"]
    stage.fault.touch()
    report = generate(stage)
    assert report["status"] == "FAILED"
    assert "this worker is being replaced: send the job again" in report["error"]
    assert "output" not in report
    again = generate(stage)
    assert again["status"] == "COMPLETED"
    assert again["workerId"] != first


# -- the client


def test_a_client_that_leaves_finds_its_result_later(stage):
    told = []

    def note(method, path, body):
        if "/job-done/" in path:
            told.append(path.partition("?")[0].rpartition("/")[2])

    stage.queue.fault = note
    connection = http.client.HTTPConnection(urlsplit(stage.platform.url).netloc)
    body = json.dumps({"input": {**SMALL, "num_inference_steps": 20}})
    connection.request("POST", "/runsync", body)
    while not told:
        time.sleep(0.02)
    connection.close()
    assert stage.platform.wait(told[0], *FINAL)["output"]["cost"] == COST


# -- all at once


@pytest.mark.parametrize("count", [40, pytest.param(1000, marks=pytest.mark.soak)])
def test_every_one_of_many_jobs_ends_once(stage, count):
    """Five in a hundred are invalid, five are cancelled, and the worker's memory doesn't grow."""
    kinds = ("valid", "invalid", "cancelled", "stopped")
    overrides = random.Random(count).choices(kinds, (90, 5, 3, 2), k=count)
    before = stage.platform.endpoint.health()["jobs"]
    memory, seen = [], Counter()

    def submit(wish):
        size = 255 if wish == "invalid" else 256
        steps = 20 if wish == "stopped" else 1
        body = {"input": {**SMALL, "width": size, "seed": -1, "num_inference_steps": steps}}
        job_id = stage.platform("POST", "/run", body)[1]["id"]
        if wish == "stopped":
            stage.platform.wait(job_id, "IN_PROGRESS", *FINAL, seconds=LONG)
        if wish in ("cancelled", "stopped"):
            stage.platform("POST", f"/cancel/{job_id}")
        return job_id

    with ThreadPoolExecutor(8) as clients:
        ids = list(clients.map(submit, overrides))
    for number, (job_id, wish) in enumerate(zip(ids, overrides, strict=True), start=1):
        status = stage.platform.wait(job_id, *FINAL, seconds=LONG)["status"]
        seen[status] += 1
        # A cancellation may come too late.
        too_late = {"COMPLETED", "CANCELLED"}
        ends = {"valid": {"COMPLETED"}, "invalid": {"FAILED"}}
        assert status in ends.get(wish, too_late)
        if number % 100 == 0:
            memory.append(resident_bytes(stage.platform))
    after = stage.platform.endpoint.health()["jobs"]
    assert after["completed"] - before["completed"] == seen["COMPLETED"]
    assert after["failed"] - before["failed"] == seen["FAILED"]
    assert sum(seen.values()) == count
    if len(memory) > 1:
        assert memory[-1] <= 1.05 * memory[0]


def resident_bytes(platform):
    (worker_id,) = platform.endpoint.fleet.running
    lines = Path(f"/proc/{platform.worker_process(worker_id)}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
