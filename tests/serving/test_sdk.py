"""What the SDK is handed."""

import asyncio

import pytest
import runpod
from runpod.serverless.modules import rp_fitness, rp_http, rp_ping, rp_scale

from flux_worker.serving import sdk, sdk_ping
from flux_worker.serving.sdk_loop import Loop
from flux_worker.serving.sdk_posts import post_result


@pytest.fixture
def handed(monkeypatch):
    """Hand a worker over; return what the SDK is started with."""
    for module, name in ((rp_http, "_transmit"), (rp_scale, "JobScaler"), (rp_ping, "Process")):
        monkeypatch.setattr(module, name, getattr(module, name))
    configs = []
    monkeypatch.setattr(runpod.serverless, "start", configs.append)
    rp_fitness.clear_fitness_checks()

    def serve(worker, checks=(), ceiling=1):
        sdk.serve(worker, checks, ceiling)
        return configs[-1]

    yield serve
    rp_fitness.clear_fitness_checks()


def test_the_sdk_runs_our_handler_on_our_loop(handed, make_worker):
    worker = make_worker()
    config = handed(worker, ceiling=3)
    assert config["handler"] == worker.handle
    assert isinstance(rp_scale.JobScaler(config), Loop)
    assert rp_scale.JobScaler.keywords["turns"] is worker.turns
    assert rp_scale.JobScaler.keywords["ceiling"] == 3
    assert rp_http._transmit.func is post_result
    assert rp_http._transmit.keywords["shutdown"] is rp_scale.JobScaler.keywords["shutdown"]
    assert rp_ping.Process().name == sdk_ping.NAME


def test_the_sdk_runs_our_checks_before_it_takes_a_job(handed, make_worker):
    ran = []
    handed(make_worker(), [lambda: ran.append("image"), lambda: ran.append("bucket")])
    asyncio.run(rp_fitness.run_fitness_checks())
    assert ran == ["image", "bucket"]
