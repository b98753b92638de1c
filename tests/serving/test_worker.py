import asyncio
import io
import json
import logging
import time
from threading import Event
from urllib.request import urlopen

import lora_files
import numpy as np
import pytest
import torch
from conftest import SMALL, before_each_pass, counting_calls, failing, run
from pictures import png, view, white_box
from PIL import Image

from flux_worker.contract.catalog import DEV
from flux_worker.delivery.images import read_parameters
from flux_worker.delivery.storage import Storage
from flux_worker.generation.inputs import Inputs
from flux_worker.serving.gpu import Gpu
from flux_worker.settings import Settings


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
    assert parameters["model"] == "demo"
    again = {k: v for k, v in parameters.items() if k not in ("model", "worker")}
    assert file_of(run(worker, again)) == first


def test_metadata_can_be_left_out(make_worker):
    assert read_parameters(file_of(run(make_worker(embed_metadata=False), SMALL))) is None


def job_lines(caplog):
    return [record.fields for record in caplog.records if record.message.startswith("job ")]


def levels(caplog):
    return [record.levelno for record in caplog.records if record.message.startswith("job ")]


def test_one_log_line_a_job_with_its_stages_and_no_prompt(make_worker, bucket_settings, caplog):
    caplog.set_level("INFO", "flux_worker")
    worker = make_worker(**bucket_settings)
    begin = time.perf_counter()
    answer = run(worker, {**SMALL, "prompt": "purple " * 100, "mood": "x"})
    elapsed = time.perf_counter() - begin
    [line] = job_lines(caplog)
    stages = (
        "parse fetch wait_for_gpu text_encoding denoising per_step decoding encode upload total"
    )
    assert set(line["seconds"]) == set(stages.split())
    assert all(0 <= value <= line["seconds"]["total"] for value in line["seconds"].values())
    assert line["seconds"]["total"] <= elapsed
    assert (line["job"], line["status"], line["seed"]) == ("test", "completed", 7)
    assert (line["width"], line["height"], line["steps"]) == (256, 256, 1)
    assert line["dropped_tokens"] == 101 - 64
    ours = [r for r in caplog.records if r.name.startswith("flux_worker")]
    written = json.dumps(line) + "".join(str(vars(record)) for record in ours)
    assert "purple" not in written
    assert "Signature" in answer["image_url"]
    assert "Signature" not in written
    assert "Ignored unknown parameters" in caplog.text


def test_only_names_of_parameters_and_jobs_reach_the_log(make_worker, caplog):
    caplog.set_level("INFO", "flux_worker")
    odd = ["purple cat", "purple\ncat", "purple,cat", "紫色", "purple" * 40, "{purple}"]
    given = {**SMALL, "style_strength": 1, "x.y-z": 1, **dict.fromkeys(odd, 1)}
    answer = asyncio.run(make_worker().handle({"id": "pur\nple", "input": given}))
    assert "image_url" in answer
    [line] = [r.fields for r in caplog.records if r.message.startswith("Ignored")]
    assert line == {"parameters": ["style_strength", "x.y-z"], "others": len(odd)}
    assert [line["job"] for line in job_lines(caplog)] == ["?"]
    assert "pur" not in "".join(str(vars(record)) for record in caplog.records)


def test_a_refused_job_has_its_line_too(make_worker, caplog):
    caplog.set_level("INFO", "flux_worker")
    run(make_worker(), {**SMALL, "width": 1})
    [line] = job_lines(caplog)
    assert line["status"] == "refused"


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (torch.AcceleratorError("CUDA error: bad\nCompile with x."), "CUDA error: bad"),
        (torch.OutOfMemoryError("x"), "The GPU ran out of memory while generating 256x256: "),
        (RuntimeError("cannot draw 'a red circle'"), "RuntimeError"),
    ],
)
def test_a_failed_jobs_line_is_an_error_and_says_what_failed(
    make_worker, pipe, caplog, error, failure
):
    caplog.set_level("INFO", "flux_worker")
    worker = make_worker({"gpu": Gpu(lambda: pipe, DEV)})
    with failing(pipe.transformer, error):
        answer = run(worker, SMALL)
    assert set(answer) == {"error"}
    [line] = job_lines(caplog)
    assert line["status"] == "failed"
    assert line["failure"].startswith(failure)
    assert "\n" not in line["failure"]
    assert ("at" in line) == (failure == "RuntimeError")
    assert {"parse", "fetch", "wait_for_gpu", "denoising", "total"} <= set(line["seconds"])
    assert levels(caplog) == [logging.ERROR]


def test_a_job_that_is_made_or_refused_is_no_error_in_the_log(make_worker, caplog):
    caplog.set_level("INFO", "flux_worker")
    run(make_worker(), SMALL)
    run(make_worker(), {})
    assert levels(caplog) == [logging.INFO, logging.INFO]


class SlowStorage(Storage):
    """Uploads an image only when the next generation has begun, and notes whether it has."""

    def __init__(self, settings):
        super().__init__(settings)
        self.began, self.next_generation, self.overlapped = Event(), Event(), []

    async def publish(self, image, job_bucket=None):
        self.began.set()
        self.overlapped.append(await asyncio.to_thread(self.next_generation.wait, 30))
        return await super().publish(image, job_bucket)


def test_encoding_and_upload_overlap_the_next_generation(make_worker, pipe):
    storage, seen = SlowStorage(Settings()), []

    def note_the_second(*_):
        seen.append(1)
        if len(seen) == 2:
            storage.next_generation.set()

    async def two_jobs():
        worker = make_worker({"storage": storage})
        first = asyncio.create_task(worker.handle({"id": "first", "input": SMALL}))
        while not storage.began.is_set():
            await asyncio.sleep(0.01)
        await worker.handle({"id": "second", "input": SMALL})
        await first

    with before_each_pass(pipe.transformer, note_the_second):
        asyncio.run(two_jobs())
    assert storage.overlapped == [True, True]


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

    with counting_calls(pipe.transformer) as calls:
        assert "image_url" in asyncio.run(cancel_one())
    assert [line["status"] for line in job_lines(caplog)] == ["stopped", "completed"]


# -- turns


@pytest.mark.parametrize("given", [{}, {"width": 1}], ids=["made", "refused"])
def test_a_job_leaves_its_turn_when_it_ends(make_worker, given):
    async def main():
        worker = make_worker()
        worker.turns.join("test")
        await worker.handle({"id": "test", "input": {**SMALL, **given}})
        await asyncio.wait_for(worker.turns.nearly_free(), 1)

    asyncio.run(main())


def test_the_next_job_is_wanted_while_an_image_is_still_uploaded(make_worker, bucket_settings):
    class Hangs(Storage):
        async def publish(self, image, bucket=None):
            await asyncio.Event().wait()

    async def main():
        storage = Hangs(Settings(**bucket_settings, allow_private_addresses=True))
        worker = make_worker({"storage": storage})
        worker.turns.join("test")
        job = asyncio.create_task(worker.handle({"id": "test", "input": SMALL}))
        await asyncio.wait_for(worker.turns.nearly_free(), 60)
        assert not job.done()
        job.cancel()

    asyncio.run(main())


def test_a_cancelled_job_leaves_its_turn(make_worker, pipe):
    begun = Event()

    async def main():
        worker = make_worker()
        worker.turns.join("test")
        job = asyncio.create_task(
            worker.handle({"id": "test", "input": {**SMALL, "num_inference_steps": 50}})
        )
        await asyncio.to_thread(begun.wait)
        job.cancel()
        await asyncio.wait_for(worker.turns.nearly_free(), 60)
        await worker.handle({"id": "next", "input": SMALL})  # and that step is over

    with before_each_pass(pipe.transformer, begun.set):
        asyncio.run(main())


# -- LoRAs


@pytest.fixture(scope="module")
def loras(tmp_path_factory, pipe):
    """A LORA_DIR with two LoRAs of every layer, one of them with a trigger word."""
    folder, layers = tmp_path_factory.mktemp("loras"), pipe.loras.layers
    of = {name.removeprefix("transformer."): shape for name, shape in layers.items()}
    for name, seed, said in (("one", 1, {"trigger_word": "moon"}), ("two", 2, {})):
        made = lora_files.factors(of, seed, strength=0.2)
        keys = lora_files.diffusers_keys(lora_files.in_diffusers(of, made))
        lora_files.save(keys, folder / f"{name}.safetensors", **said)
    of_sdxl = lora_files.kohya_keys({"down_blocks_0": (torch.ones(1, 2), torch.ones(2, 1))}, 1)
    lora_files.save(of_sdxl, folder / "sdxl.safetensors")
    return {"lora_dir": str(folder)}


PNG = {**SMALL, "image_format": "png"}
SETS = (
    [],
    [{"path": "one"}],
    [{"path": "two", "scale": -1}],
    [{"path": "one", "scale": 0.5}, {"path": "two"}],
    [{"path": "one", "scale": 0.51}, {"path": "two"}],
    [{"path": "one", "scale": 0}],
)


def test_jobs_with_loras_are_each_what_they_are_alone(make_worker, loras):
    """Whatever runs before, beside or after them, and however they end."""
    worker = make_worker(**loras, embed_metadata=False)

    async def made(number):
        asked = {**PNG, "loras": SETS[number]}
        return (await worker.handle({"id": str(number), "input": asked}))["image_url"]

    async def cancelled(number, after):
        job = asyncio.create_task(made(number))
        await asyncio.sleep(after)
        job.cancel()
        await asyncio.gather(job, return_exceptions=True)

    async def main():
        alone = [await made(number) for number in range(len(SETS))]
        assert alone[0] == alone[5]
        assert len(set(alone)) == len(SETS) - 1
        order = [0, 1, 0, 3, 2, 0, 4, 3, 1, 5, 0]
        stops = [cancelled(number, after) for number, after in ((1, 0.05), (3, 0.2), (2, 0.4))]
        together = await asyncio.gather(*map(made, order), *stops)
        assert together[: len(order)] == [alone[number] for number in order]
        assert await made(0) == alone[0]

    asyncio.run(main())


def test_a_failure_with_a_lora_leaves_nothing_of_it(make_worker, loras, pipe):
    worker = make_worker(**loras)
    before = run(worker, PNG)["image_url"]
    with failing(pipe.transformer, torch.OutOfMemoryError("CUDA out of memory")):
        assert "error" in run(worker, {**PNG, "loras": [{"path": "one"}]})
    assert run(worker, PNG)["image_url"] == before


def test_everything_wrong_with_loras_is_said_at_once_before_the_gpu(make_worker, loras, pipe):
    paths = ("sdxl", "absent", "one")
    with counting_calls(pipe.transformer) as steps:
        answer = run(make_worker(**loras), {**SMALL, "loras": [{"path": path} for path in paths]})
    assert answer["error"].startswith("Invalid parameter: loras[0].path is for SDXL")
    assert "; loras[1].path " in answer["error"]
    assert "LORA_DIR" in answer["error"]
    assert "loras[2]" not in answer["error"]
    assert not steps


def test_what_is_wrong_with_loras_and_with_pictures_is_said_at_once(make_worker, loras):
    asked = {**SMALL, "loras": [{"path": "absent"}], "image": "data:image/png,x"}
    said = run(make_worker(**loras), asked)["error"]
    assert said.startswith("Invalid parameter: loras[0].path names no file")
    assert "; image is no picture" in said


def test_the_log_line_tells_how_many_and_their_trigger_words_but_no_path(
    make_worker, loras, caplog
):
    caplog.set_level("INFO", "flux_worker")
    asked = {**SMALL, "loras": [{"path": "one"}, {"path": "two"}]}
    answer = run(make_worker(**loras), asked)
    (line,) = job_lines(caplog)
    assert line["loras"] == 2
    assert line["lora_triggers"] == ["moon"]
    assert line["seconds"]["lora"] > 0
    assert "safetensors" not in caplog.text
    assert set(answer) == {"image_url", "cost"}


def test_the_file_names_its_loras(make_worker, loras):
    asked = {**PNG, "loras": [{"path": "one", "scale": 0.5}]}
    said = read_parameters(file_of(run(make_worker(**loras), asked)))
    assert said["loras"] == [{"path": "one", "scale": 0.5}]


def test_a_job_whose_files_take_long_keeps_none_waiting(make_worker):
    arrived = asyncio.Event()

    async def fetch(asked):
        await arrived.wait()
        return asked, Inputs()

    async def main():
        worker = make_worker({"fetch": fetch})
        worker.turns.join("test")
        job = asyncio.create_task(worker.handle({"id": "test", "input": SMALL}))
        await asyncio.wait_for(worker.turns.nearly_free(), 60)
        assert not job.done()
        arrived.set()
        assert "image_url" in await job

    asyncio.run(main())


def test_an_image_of_a_picture_has_its_size_and_price_and_tells_nothing_of_it(
    make_worker, bucket_settings, caplog
):
    caplog.set_level("INFO", "flux_worker")
    picture = png(view(300, 260))
    asked = {"prompt": "a red circle", "num_inference_steps": 4, "image": picture, "strength": 0.5}
    answer = run(make_worker(**bucket_settings), asked)
    file = file_of(answer)
    assert Image.open(io.BytesIO(file)).size == (300, 260)
    assert answer["cost"] == 300 * 260 / 1e6 * 0.02
    [line] = job_lines(caplog)
    said = {name: line[name] for name in ("task", "steps", "width", "height")}
    assert said == {"task": "image-to-image", "steps": 2, "width": 300, "height": 260}
    assert picture[30:60] not in "".join(str(vars(record)) for record in caplog.records)
    assert read_parameters(file)["strength"] == 0.5
    assert picture[30:60].encode() not in file


def test_kontext_has_a_price_for_an_image(make_worker):
    asked = {"prompt": "make it blue", "image": png(view(64, 64)), "num_inference_steps": 1}
    answer = run(make_worker(flux_model="kontext"), {**asked, "size": "512*256"})
    assert answer["cost"] == 0.025
    image = Image.open(io.BytesIO(file_of(answer)))
    assert (image.format, image.size) == ("PNG", (512, 256))


@pytest.mark.parametrize(
    ("pictures", "says"),
    [
        ({"image": "data:image/png;base64,iVBORw0KGgo="}, "Invalid parameter: image "),
        ({"mask_image": png(view(64, 64))}, "mask_image needs image"),
        ({"image": png(view(900, 90))}, "image is 900x90, and in that shape"),
        (
            {"image": png(view(64, 64)), "mask_image": png(white_box(64, 60, 0, 0, 9, 9))},
            "mask_image must have the shape of image (got 64x60 for 64x64)",
        ),
        (
            {"image": png(view(64, 64)), "mask_image": png(white_box(64, 64, 0, 0, 0, 0))},
            "mask_image has no white, which",
        ),
        (
            {"image": png(view(64, 64)), "mask_image": png(white_box(64, 64, 0, 0, 64, 9))}
            | {"width": 768, "height": 256},
            "mask_image has no white left at 768x256",
        ),
        (
            {"image": png(view(64, 64)), "mask_image": png(white_box(1024, 1024, 5, 5, 6, 6))}
            | {"width": 256, "height": 256},
            "mask_image has no white left at 256x256",
        ),
        (
            {"image": png(view(64, 64)), "mask_image": png(np.zeros((64, 64, 4), np.uint8))},
            "mask_image must not be transparent",
        ),
    ],
)
def test_a_picture_that_wont_do_is_refused_before_the_model_is_touched(
    make_worker, pipe, pictures, says
):
    with counting_calls(pipe.transformer) as passes:
        answer = run(make_worker(), {"prompt": "x", "num_inference_steps": 1, **pictures})
    assert says in answer["error"]
    assert set(answer) == {"error"}
    assert not passes


def test_polls_and_pings_go_on_while_a_large_input_is_checked(make_worker):
    async def rounds_meanwhile():
        asked = {"prompt": "x", "width": 1, "image": "data:image/png," + "%89" * 300_000}
        job = asyncio.create_task(make_worker().handle({"id": "j", "input": asked}))
        rounds = 0
        while not job.done():
            rounds += 1
            await asyncio.sleep(0)
        assert "width must be" in job.result()["error"]
        return rounds

    assert asyncio.run(rounds_meanwhile()) > 10


def test_at_a_strength_of_0_the_picture_is_delivered_as_any_image(make_worker):
    asked = {**SMALL, "image": png(view(256, 256)), "strength": 0, "image_format": "png"}
    answer = run(make_worker(), asked)
    delivered = np.asarray(Image.open(io.BytesIO(file_of(answer))))
    np.testing.assert_array_equal(delivered, view(256, 256))
    assert answer["cost"] == 256 * 256 / 1e6 * 0.02
