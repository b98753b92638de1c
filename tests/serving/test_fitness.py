"""A worker that can't do its work says so when it starts, and takes no job."""

import asyncio
import subprocess
import sys

import pytest
import torch
from conftest import ROOT, counting_calls

from flux_worker.delivery.storage import Storage
from flux_worker.errors import CannotStart
from flux_worker.serving import fitness
from flux_worker.settings import Settings
from flux_worker.telemetry.start import Start
from local_platform.processes.surroundings import demo_environment

NOWHERE = "http://127.0.0.1:9/$ID?x"


@pytest.fixture
def checks(gpu, bucket_settings):
    """Run the checks with the given changes to the settings."""

    def run(**changes):
        settings = Settings(
            **{"flux_model": "schnell", "warmup_sizes": "256x256", **bucket_settings, **changes}
        )
        parts = gpu(settings.model), Storage(settings), fitness.warm_ups(settings), Start()
        for check in fitness.checks(*parts):
            if waiting := check():
                asyncio.run(waiting)

    return run


def test_a_sound_worker_passes_and_leaves_nothing_behind(checks, s3):
    checks(bucket_prefix="checked/")
    listed = s3.client().list_objects_v2(Bucket="flux", Prefix="checked/")
    assert listed["KeyCount"] == 0


def test_a_model_that_needs_a_picture_is_warmed_up_with_a_blank_one(checks, pipe):
    with counting_calls(pipe.vae.encoder) as encoded:
        checks(flux_model="kontext")
    assert len(encoded) == 1


def test_a_worker_without_a_bucket_passes(checks):
    none = ("endpoint_url", "access_key_id", "secret_access_key", "name")
    checks(**{f"bucket_{name}": None for name in none})


def test_a_bucket_that_cant_be_written_is_named(checks):
    with pytest.raises(CannotStart) as caught:
        checks(bucket_secret_access_key="wrong")
    assert str(caught.value) == (
        "The bucket flux can't be written (403 SignatureDoesNotMatch): set "
        "BUCKET_SECRET_ACCESS_KEY to the secret that belongs to BUCKET_ACCESS_KEY_ID; if it does, "
        "the server signs for another BUCKET_REGION."
    )


def test_weights_that_make_no_finite_image_are_named(checks, pipe):
    hook = pipe.vae.decoder.register_forward_hook(lambda _, __, image: image * torch.nan)
    try:
        with pytest.raises(Exception, match="isn't finite"):
            checks()
    finally:
        hook.remove()


def test_every_warm_up_size_is_generated(checks, pipe):
    with counting_calls(pipe.transformer) as calls:
        checks(warmup_sizes="256x256, 512x256")
    assert [call["hidden_states"].shape[1] for call in calls] == [64, 128]


@pytest.mark.parametrize("sizes", ["huge", "1024", "2000x512", "512x512,"])
def test_a_warm_up_size_that_nobody_could_ask_for_is_named(checks, sizes):
    with pytest.raises(CannotStart, match=r"WARMUP_SIZES must list sizes"):
        checks(warmup_sizes=sizes)


def test_an_unfit_worker_ends_with_its_reason(s3):
    environment = demo_environment(
        {
            **s3.environment,
            "BUCKET_SECRET_ACCESS_KEY": "wrong",
            "RUNPOD_ENDPOINT_ID": "e",
            "RUNPOD_POD_ID": "p",
            "RUNPOD_WEBHOOK_GET_JOB": NOWHERE,
            "RUNPOD_WEBHOOK_POST_OUTPUT": NOWHERE,
            "RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true",
        }
    )
    done = subprocess.run(
        [sys.executable, str(ROOT / "handler.py")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert "The bucket flux can't be written (403 Sign" in done.stdout + done.stderr
