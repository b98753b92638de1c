"""The worker's own container, in production mode: jobs, its end at any time, users and read-only
roots, and what its layers hold."""

import io
import shutil
import time
from urllib.request import urlopen

import pytest
from conftest import ROOT, SMALL
from PIL import Image as Picture

pytestmark = [pytest.mark.image, pytest.mark.real]

CACHES = "/var/cache/flux-worker"
LOCKED = ["--read-only", "--tmpfs=/tmp", f"--tmpfs={CACHES}:mode=1777"]
SURROUNDINGS = {
    "root": [],
    "another user": ["--user=1234:1234", "--cap-drop=ALL"],
    "read-only": LOCKED,
    "another user, read-only": ["--user=1234:1234", "--cap-drop=ALL", *LOCKED],
}
LONG = {**SMALL, "width": 512, "height": 512, "num_inference_steps": 50}
ENDED_BY_SIGTERM = 128 + 15


def submit(platform, job_input):
    return platform("POST", "/run", {"input": job_input})[1]["id"]


@pytest.mark.parametrize("options", SURROUNDINGS.values(), ids=SURROUNDINGS)
def test_jobs_are_answered_and_the_last_is_finished_after_sigterm(platform, start, options, say):
    first = submit(platform, {**SMALL, "width": 300, "height": 400})
    begin = time.perf_counter()
    with start(options=options) as container:
        platform.wait(first, "IN_PROGRESS", "COMPLETED")
        taken = time.perf_counter() - begin
        answer = platform.wait(first, "COMPLETED", "FAILED")
        assert answer["output"]["cost"] == 0.0024
        with urlopen(answer["output"]["image_url"]) as response:
            picture = Picture.open(io.BytesIO(response.read()))
        assert (picture.format, picture.size) == ("JPEG", (300, 400))
        last = submit(platform, LONG)
        platform.wait(last, "IN_PROGRESS")
        waiting = submit(platform, SMALL)
        assert container.stop() == 0
    report = platform("GET", f"/status/{last}")[1]
    assert report["status"] == "COMPLETED", report
    with urlopen(report["output"]["image_url"]) as response:
        assert Picture.open(io.BytesIO(response.read())).size == (512, 512)
    assert platform("GET", f"/status/{waiting}")[1]["status"] in ("IN_QUEUE", "COMPLETED")
    say(f"{taken:9.1f} s   from the start to the first job")


FIRST_PROCESS = {
    "the image's own": ([], []),
    "Python": (["--entrypoint=python"], ["handler.py"]),
}
STAGES = {  # the first two are in no log, so Python is asked to tell of its imports
    "at once": "import 'flux_worker.first_process'",
    "while it imports": "import 'torch'",
    "while it loads": '"stage": "imports"',
    "while it warms up": '"stage": "compile"',
}


@pytest.mark.parametrize("first", FIRST_PROCESS.values(), ids=FIRST_PROCESS)
@pytest.mark.parametrize("stage", STAGES)
def test_a_start_ends_at_sigterm_and_takes_no_job(platform, start, first, stage, say):
    options, command = first
    settings = {"PYTHONVERBOSE": "1", "WARMUP_SIZES": "1536x1536"}
    with start(*command, options=options, **settings) as container:
        job = submit(platform, SMALL)
        container.wait_for(STAGES[stage])
        begin = time.perf_counter()
        assert container.stop() == ENDED_BY_SIGTERM
        say(f"{time.perf_counter() - begin:9.1f} s   from SIGTERM to the end, {stage}")
    assert platform("GET", f"/status/{job}")[1]["status"] == "IN_QUEUE"


def test_without_a_writable_folder_a_sentence_says_so(image, start):
    # Podman mounts some by itself.
    really = ["--read-only-tmpfs=false"] if image.engine.name == "podman" else []
    with start(options=["--read-only", *really]) as container:
        assert container.process.wait(60) == 1
        said = container.log.read_text()
    assert "Traceback" not in said
    assert "mount a tmpfs at /tmp" in said.splitlines()[-1]


def test_the_packages_are_whole(image):
    said, status = image.once("python", "-m", "builder.check_libraries")
    assert status == 0, said
    assert "cubins: ok" in said
    said, status = image.once("pip", "check")
    assert status == 0, said


def test_a_change_in_the_source_reuses_every_layer_below(image, tmp_path, say):
    copy = shutil.copytree(
        ROOT, tmp_path / "copy", ignore=shutil.ignore_patterns(".*", "out", "docs", "tests")
    )
    shutil.copy(ROOT / ".dockerignore", copy)
    image.build(f"{image.tag}:same", context=copy)
    changed = copy / "src/flux_worker/contract/pricing.py"
    changed.write_text(changed.read_text() + "# A comment.\n")
    begin = time.perf_counter()
    image.build(f"{image.tag}:changed", context=copy)
    say(f"{time.perf_counter() - begin:9.1f} s   to build it again after a change in the source")
    before = image.engine.digests(f"{image.tag}:same")
    after = image.engine.digests(f"{image.tag}:changed")
    kept = [ours for ours, theirs in zip(before, after, strict=True) if ours == theirs]
    layers = [size for size, _ in image.engine.layers(f"{image.tag}:changed") if size]
    assert sum(layers[len(kept) :]) < 5e6
    assert before[: len(kept)] == kept
