"""The worker as a process: cold start, the SDK's development API, and a single local run."""

import io
import json
import subprocess
import sys
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from conftest import ROOT, SMALL
from PIL import Image

from local_platform.processes.api_worker import ApiWorker
from local_platform.processes.surroundings import demo_environment

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def api(s3, tmp_path_factory):
    log = tmp_path_factory.mktemp("api") / "worker.log"
    with ApiWorker(s3.environment, log=log) as worker:
        worker.log = log
        yield worker


def test_runsync_answers_the_documented_envelope(api):
    answer = api.post("/runsync", {"input": {**SMALL, "width": 300, "height": 400}})
    assert answer["status"] == "COMPLETED"
    assert set(answer["output"]) == {"image_url", "cost"}
    assert answer["output"]["cost"] == 0.0024
    with urlopen(answer["output"]["image_url"]) as response:
        image = Image.open(io.BytesIO(response.read()))
    assert (image.format, image.size) == ("JPEG", (300, 400))


def test_runsync_answers_the_documented_curl(api):
    """Of docs.runpod.io, "Make API requests", but for the host and fewer steps and pixels."""
    body = {
        "input": {
            "prompt": "A serene mountain landscape at sunset",
            "width": 256,
            "height": 256,
            "num_inference_steps": 2,
            "guidance": 7.5,
        }
    }
    headers = {
        "Authorization": "Bearer RUNPOD_API_KEY",
        "Content-Type": "application/json",
        "User-Agent": "curl/8.0",
    }
    request = Request(f"{api.url}/runsync", json.dumps(body).encode(), headers)
    with urlopen(request) as response:
        answer = json.load(response)
    assert answer["status"] == "COMPLETED"
    assert answer["output"]["image_url"].startswith("http://127.0.0.1")


def test_a_bad_request_fails_with_the_documented_string(api):
    answer = api.post("/runsync", {"input": {**SMALL, "width": 2000}})
    assert answer["status"] == "FAILED"
    assert answer["error"] == "Invalid parameter: width must be between 256 and 1536 (got 2000)"
    assert "output" not in answer


def test_an_input_that_is_no_object_never_reaches_a_traceback(api):
    request = Request(
        f"{api.url}/runsync", b'{"input": 5}', headers={"Content-Type": "application/json"}
    )
    with pytest.raises(HTTPError) as refusal:
        urlopen(request)
    assert refusal.value.code == 422


def test_a_queued_job_runs_when_its_status_is_asked_for(api):
    queued = api.post("/run", {"input": SMALL})
    answer = api.post(f"/status/{queued['id']}", None)
    assert answer["status"] == "COMPLETED"
    assert "image_url" in answer["output"]


def test_the_log_holds_neither_prompts_nor_secrets(api, s3):
    api.post("/runsync", {"input": {**SMALL, "prompt": "unspeakable " * 60}})
    log = api.log.read_text()
    assert '"message": "job completed"' in log
    assert "unspeakable" not in log
    assert s3.secret_access_key not in log
    assert "X-Amz-Signature" not in log


def handler(*arguments, cwd=ROOT, **settings):
    environment = demo_environment(settings)
    return subprocess.run(
        [sys.executable, str(ROOT / "handler.py"), *arguments],
        env=environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_local_run_of_the_test_input(tmp_path):
    (tmp_path / "test_input.json").write_text(json.dumps({"input": SMALL}))
    done = handler(cwd=tmp_path, AWS_PROFILE="nope")
    assert done.returncode == 0, done.stderr
    assert "completed successfully" in done.stdout
    assert "No bucket is configured" in done.stderr


def test_a_local_run_of_a_bad_request_fails():
    done = handler("--test_input", json.dumps({"input": {**SMALL, "widht": 300}}))
    assert done.returncode == 1
    assert "'widht' is not a parameter; did you mean 'width'?" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"ALLOW_CPU": ""}, "There is no CUDA device."),
        ({"BUCKET_ENDPOINT_URL": "https://x.s3.eu-west-1.amazonaws.com"}, "half configured: set"),
        (
            {
                "BUCKET_ENDPOINT_URL": "https://s3.eu-west-1.amazonaws.com",
                "BUCKET_ACCESS_KEY_ID": "i",
                "BUCKET_SECRET_ACCESS_KEY": "k",
                "BUCKET_NAME": "s3://photos",
            },
            "BUCKET_NAME must be the bucket's name alone",
        ),
        ({"FLUX_MODEL": "pro"}, "Correct these environment variables: FLUX_MODEL"),
        ({"MODEL_PATH": "/nowhere"}, "/nowhere is neither a folder here"),
        ({"HF_ENDPOINT": "mirror.example"}, "HF_ENDPOINT must be a URL"),
    ],
)
def test_what_prevents_a_start_is_said_in_one_sentence(settings, says):
    done = handler(HF_HUB_OFFLINE="1", **settings)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("The worker can't start. ")
    assert says in last
    assert "Traceback" not in done.stderr


def test_the_sdks_debug_log_is_off_unless_asked_for():
    quiet = handler("--test_input", json.dumps({"input": {**SMALL, "width": 1}}))
    assert "DEBUG" not in quiet.stdout
    loud = handler(
        "--test_input", json.dumps({"input": {**SMALL, "width": 1}}), RUNPOD_LOG_LEVEL="debug"
    )
    assert "DEBUG" in loud.stdout
