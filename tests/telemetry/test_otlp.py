"""What a collector gets of a worker: of its start, of its jobs, and never a caller's text."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import loopback
import pytest
from conftest import ROOT, SMALL, before_each_pass, failing, run
from job_server import HOLD, JobServer
from waiting import until

from flux_worker import __version__
from flux_worker.telemetry.exporter import exporting
from flux_worker.telemetry.otlp import sending
from flux_worker.telemetry.spans import Span
from local_platform.processes.surroundings import demo_environment

SPAN = Span("job", 1.0, 2.0, {"job": "j"})
PLANTED = "unspeakable"
JOB_STAGES = [
    *("parse", "fetch", "wait_for_gpu", "text_encoding", "denoising", "decoding"),
    *("encode", "upload"),
]


def test_the_sdks_own_variables_are_followed(collector, monkeypatch):
    monkeypatch.setenv("RUNPOD_POD_ID", "pod")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=k")
    with sending() as send:
        send(SPAN)
    [(path, headers)] = collector.requests
    assert (path, headers["x-key"]) == ("/v1/traces", "k")
    [resource] = collector.resources
    ours = {"service.name": "flux-worker", "service.version": __version__}
    theirs = {"service.instance.id": "pod", "deployment.environment": "test"}
    assert resource.items() >= {**ours, **theirs}.items()
    monkeypatch.setenv("OTEL_SERVICE_NAME", "pictures")
    with sending() as send:
        send(SPAN)
    assert collector.resources[1]["service.name"] == "pictures"


def test_spans_keep_their_times_and_their_places(collector):
    inner = Span("denoising", 1.5, 0.25, {}, failure="ValueError")
    with sending() as send:
        send(Span("job", 1.0, 2.0, {"width": 256, "x": 0.5}, (inner,), "ValueError"))
    [job], [denoising] = collector.named("job"), collector.named("denoising")
    assert (job.begin, job.end, job.parent) == (1.0, 3.0, None)
    assert (denoising.begin, denoising.end, denoising.parent) == (1.5, 1.75, "job")
    assert job.attributes == {"width": 256, "x": 0.5}
    assert job.failure == denoising.failure == "ValueError"


@pytest.fixture
def ours(caplog):
    """Our lines; pytest looks into loggers that go nowhere, too."""
    caplog.set_level("INFO")
    return lambda: [each for each in caplog.records if each.name.startswith("flux_worker")]


def test_a_sick_collector_is_said_once_and_so_is_its_recovery(collector, monkeypatch, ours):
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    collector.statuses = [401, 400, 404]
    with sending() as send:
        for number in range(1, 6):
            send(SPAN)
            until(lambda number=number: len(collector.requests) == number)
    assert [record.message.partition(";")[0] for record in ours()] == [
        "The spans can't be sent to the collector",
        "The spans reach the collector again.",
    ]
    assert "401" in ours()[0].fields["failure"]
    assert len(collector.bodies) == 2


def test_a_collector_that_isnt_there_is_said_without_its_address(monkeypatch, ours, capfd):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9/secret")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "secret")  # which is no header
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "3")
    with sending() as send:
        send(SPAN)
    [record] = ours()
    assert "ConnectionError" in record.fields["failure"]
    assert "secret" not in str(vars(record)) + "".join(capfd.readouterr())


def test_each_job_is_a_span_with_its_stages_however_it_ends(collector, make_worker, pipe):
    given = {**SMALL, "prompt": PLANTED, "negative_prompt": PLANTED}
    with exporting() as exporter:
        worker = make_worker({"tell": exporter.tell})
        run(worker, given, id="made")
        run(worker, {**given, "width": 1, PLANTED: 1}, id="refused")
        run(worker, {**given, "loras": [{"path": f"https://{PLANTED}.example/x"}]}, id="lora")
        with failing(pipe.vae.decoder, ValueError(PLANTED)):
            run(worker, given, id="failed")
        asyncio.run(stopped(worker, pipe, given))
    jobs = {span.attributes["job"]: span for span in collector.named("job")}
    assert {name: span.attributes["status"] for name, span in jobs.items()} == {
        "made": "completed",
        "refused": "refused",
        "lora": "refused",
        "failed": "failed",
        "stopped": "stopped",
    }
    asked = {"width": 256, "height": 256, "steps": 1, "seed": 7, "format": "jpeg", "model": "dev"}
    assert jobs["made"].attributes.items() >= asked.items()
    assert jobs["made"].attributes["bytes"] > 1000
    assert collector.within(jobs["made"]) == JOB_STAGES
    assert collector.within(jobs["refused"]) == ["parse"]
    assert collector.within(jobs["failed"]) == JOB_STAGES[:6]
    failures = {name: span.failure for name, span in jobs.items() if span.failure}
    assert failures == {"failed": "ValueError"}
    assert PLANTED.encode() not in b"".join(collector.bodies)


async def stopped(worker, pipe, given):
    """Cancel a job in its first step."""
    began, loop = asyncio.Event(), asyncio.get_running_loop()
    with before_each_pass(pipe.transformer, lambda: loop.call_soon_threadsafe(began.set)):
        task = asyncio.create_task(worker.handle({"id": "stopped", "input": given}))
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@contextmanager
def started(*jobs, **settings):
    """Start handler.py as the platform does, with these jobs in the queue."""
    server, pings = JobServer(jobs=[[each] for each in jobs] + [HOLD]), []

    def handle(request):
        if request.path.startswith("/ping"):
            pings.append(request.path)
            return request.answer(200)
        return server.handle(request)

    with loopback.serving(handle) as url:
        environment = demo_environment(
            {
                "WARMUP_SIZES": "256x256",
                "RUNPOD_ENDPOINT_ID": "e",
                "RUNPOD_POD_ID": "pod",
                "RUNPOD_AI_API_KEY": "k",
                "RUNPOD_PING_INTERVAL": "1000",  # milliseconds
                "RUNPOD_WEBHOOK_PING": f"{url}/ping",
                "RUNPOD_WEBHOOK_GET_JOB": f"{url}/job-take/w?gpu=x",
                "RUNPOD_WEBHOOK_POST_OUTPUT": f"{url}/job-done/w/$ID?gpu=x",
                "RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true",
                **settings,
            }
        )
        command = [sys.executable, str(ROOT / "handler.py")]
        process = subprocess.Popen(
            command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        try:
            yield SimpleNamespace(process=process, server=server, pings=pings)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # with its ping, which has its stderr, too
            process.communicate()
            server._end.set()


@pytest.mark.real
def test_a_worker_sends_its_start_and_its_last_job_before_it_ends(collector):
    before = time.time()
    with started({"id": "one", "input": {**SMALL, "prompt": PLANTED}}) as worker:
        until(lambda: "one" in worker.server.answered())
        until(lambda: len(worker.pings) > 1)
        assert threads_of_children(worker.process.pid) == [1], "the ping's process is as ever"
        worker.process.send_signal(signal.SIGTERM)
        assert worker.process.wait(60) == 0
    [start], [job] = collector.named("start-up"), collector.named("job")
    assert collector.within(start) == [
        *("image", "imports", "weights", "device", "compile", "warm-up", "bucket", "ready"),
    ]
    assert before - 0.1 < start.begin < start.end < job.begin < job.end < time.time()
    [weights] = collector.named("weights")
    assert weights.attributes["road"] == "MODEL_PATH"
    assert job.attributes["job"] == "one"
    assert collector.within(job) == JOB_STAGES
    assert PLANTED.encode() not in b"".join(collector.bodies)


def threads_of_children(process):
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [len(list(Path(f"/proc/{child}/task").iterdir())) for child in children]


@pytest.mark.real
def test_a_start_that_fails_is_sent_with_its_stage(collector):
    with started(HF_HUB_OFFLINE="1", MODEL_PATH="/nowhere") as worker:
        said = worker.process.communicate(timeout=60)[1]
        assert worker.process.returncode == 1
    assert said.splitlines()[-1].startswith("The worker can't start. ")
    [start] = collector.named("start-up")
    assert start.failure == "CannotStart"
    assert collector.within(start) == ["image", "imports", "weights"]
    assert collector.named("weights")[0].failure == "CannotStart"


@pytest.mark.real
def test_so_is_one_whose_check_fails_after_which_the_sdk_ends_at_once(collector, s3):
    with started(**{**s3.environment, "BUCKET_SECRET_ACCESS_KEY": "wrong"}) as worker:
        assert worker.process.wait(60) == 1
    [start] = collector.named("start-up")
    assert start.failure == "CannotStart"
    assert collector.within(start)[-1] == "bucket"
