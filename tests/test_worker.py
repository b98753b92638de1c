import asyncio
import io
import json
import time
from urllib.request import urlopen

from conftest import SMALL, run
from PIL import Image

from flux_worker.images import read_parameters
from flux_worker.storage import Storage


def test_the_answer_is_the_documented_one(make_worker, bucket_settings):
    answer = run(make_worker(**bucket_settings), {**SMALL, "width": 300, "image_format": "png"})
    assert set(answer) == {"image_url", "cost"}
    assert isinstance(answer["cost"], float)
    with urlopen(answer["image_url"]) as response:
        image = Image.open(io.BytesIO(response.read()))
    assert (image.format, image.size) == ("PNG", (300, 256))


def test_schnells_limits_and_price(make_worker):
    worker = make_worker(flux_model="schnell")
    answer = run(worker, {**SMALL, "num_inference_steps": 8})
    assert answer["cost"] == 0.0001572864
    assert "between 1 and 8 (got 28)" in run(worker, {**SMALL, "num_inference_steps": 28})["error"]


def file_of(answer):
    with urlopen(answer["image_url"]) as response:
        return response.read()


def test_the_same_seed_gives_the_same_bytes(make_worker):
    worker = make_worker()
    zero = {**SMALL, "seed": 0}
    assert file_of(run(worker, zero)) == file_of(run(worker, zero))
    drawn = {**SMALL, "seed": -1}
    assert file_of(run(worker, drawn)) != file_of(run(worker, drawn))


def test_a_drawn_seed_is_in_the_file_and_makes_the_same_image_again(make_worker):
    worker = make_worker()
    first = file_of(run(worker, {**SMALL, "seed": -1, "negative_prompt": "blue"}))
    parameters = read_parameters(first)
    assert parameters["prompt"] == "a red circle"
    assert parameters["negative_prompt"] == "blue"
    assert parameters["model"] == "FLUX.1-dev"
    again = {k: v for k, v in parameters.items() if k not in ("model", "worker")}
    assert file_of(run(worker, again)) == first


def test_metadata_can_be_left_out(make_worker):
    assert read_parameters(file_of(run(make_worker(embed_metadata=False), SMALL))) is None


def job_lines(caplog):
    return [record.fields for record in caplog.records if record.message.startswith("job ")]


def test_one_log_line_a_job_with_its_stages_and_no_prompt(make_worker, bucket_settings, caplog):
    caplog.set_level("INFO", "flux_worker")
    answer = run(make_worker(**bucket_settings), {**SMALL, "prompt": "purple " * 100, "style": "x"})
    [line] = job_lines(caplog)
    stages = {"parse", "text_encoding", "denoising", "per_step", "decoding", "encode", "upload"}
    assert stages <= set(line["seconds"])
    assert all(value >= 0 for value in line["seconds"].values())
    assert (line["job"], line["status"], line["seed"]) == ("test", "completed", 7)
    assert (line["width"], line["height"], line["steps"]) == (256, 256, 1)
    assert line["dropped_tokens"] == 101 - 64
    ours = [r for r in caplog.records if r.name.startswith("flux_worker")]
    written = json.dumps(line) + "".join(str(vars(record)) for record in ours)
    assert "purple" not in written
    assert "Signature" in answer["image_url"]
    assert "Signature" not in written
    assert "Ignored unknown parameters" in caplog.text


def test_a_refused_job_has_its_line_too(make_worker, caplog):
    caplog.set_level("INFO", "flux_worker")
    run(make_worker(), {**SMALL, "width": 1})
    [line] = job_lines(caplog)
    assert line["status"] == "refused"


def test_the_loop_stays_free_and_one_job_is_generated_at_a_time(make_worker):
    worker = make_worker()
    running, most = 0, 0
    generate = worker._generator.generate

    def watched(request, *others):
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            return generate(request, *others)
        finally:
            running -= 1

    worker._generator.generate = watched

    async def three_jobs() -> int:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.005)
                ticks += 1

        ticking = asyncio.create_task(tick())
        jobs = [{"id": str(i), "input": {**SMALL, "num_inference_steps": 8}} for i in range(3)]
        answers = await asyncio.gather(*(worker.handle(job) for job in jobs))
        ticking.cancel()
        assert all("image_url" in answer for answer in answers)
        return ticks

    assert asyncio.run(three_jobs()) > 3
    assert most == 1


def test_encoding_and_upload_overlap_the_next_generation(make_worker, monkeypatch):
    worker = make_worker()
    spans = {}

    def slow_publish(self, image, job_bucket):
        begin = time.monotonic()
        time.sleep(1)
        spans.setdefault("upload", (begin, time.monotonic()))
        return "https://example.com/x.jpg"

    monkeypatch.setattr(Storage, "publish", slow_publish)
    generate = worker._generator.generate

    def watched(request, *others):
        begin = time.monotonic()
        result = generate(request, *others)
        spans[f"generation of {request.seed}"] = (begin, time.monotonic())
        return result

    worker._generator.generate = watched

    async def two_jobs() -> None:
        jobs = [{"id": str(seed), "input": {**SMALL, "seed": seed}} for seed in (1, 2)]
        await asyncio.gather(*(worker.handle(job) for job in jobs))

    asyncio.run(two_jobs())
    assert spans["generation of 2"][0] < spans["upload"][1]


def test_the_sdk_is_told_how_many_jobs_to_take(make_worker):
    for model, expected in (("dev", 1), ("schnell", 2)):
        modifier = make_worker(flux_model=model).sdk_config["concurrency_modifier"]
        assert modifier(1) == modifier(7) == expected


def test_a_cancelled_job_stops_before_the_next_begins(make_worker, pipe, caplog):
    caplog.set_level("INFO", "flux_worker")
    worker = make_worker()

    async def cancel_one() -> dict[str, object]:
        long = {**SMALL, "width": 512, "height": 512, "num_inference_steps": 50}
        task = asyncio.create_task(worker.handle({"id": "long", "input": long}))
        while len(calls) < 3:
            await asyncio.sleep(0.01)
        before = len(calls)
        task.cancel()
        answer = await worker.handle({"id": "next", "input": SMALL})
        assert task.cancelled()
        # One step may have been under way, one may have begun meanwhile, and one is the next job's.
        assert len(calls) <= before + 3
        return answer

    calls: list[object] = []
    hook = pipe.transformer.register_forward_pre_hook(lambda *_: calls.append(1))
    try:
        assert "image_url" in asyncio.run(cancel_one())
    finally:
        hook.remove()
    assert [line["status"] for line in job_lines(caplog)] == ["stopped", "completed"]
