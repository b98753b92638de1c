import asyncio
import contextlib
from threading import Event

import numpy as np
import pytest
import torch
from conftest import SMALL, counting_calls, request, run

from flux_worker.catalog import DEV, SCHNELL
from flux_worker.errors import GenerationStopped
from flux_worker.generator import Generator


@pytest.fixture
def generate(pipe):
    generator = Generator(pipe, DEV)
    return lambda **given: generator.generate(request(**given), Event()).pixels


@pytest.mark.parametrize(
    ("width", "height"),
    [(256, 256), (257, 256), (1000, 300), (1140, 1472), (1472, 1140), (1536, 1536)],
)
def test_every_size_is_delivered_exactly(generate, width, height):
    assert generate(width=width, height=height).shape == (height, width, 3)


def test_the_crop_is_centred(generate):
    whole = generate(width=288, height=320)
    cropped = generate(width=270, height=300)
    np.testing.assert_array_equal(cropped, whole[10:310, 9:279])


def test_flux_itself_is_generated_at_multiples_of_16():
    """With FLUX's own four-level VAE, a side of 257 is generated as 272, not as 288."""
    sizes = []

    class FourLevels:
        vae_scale_factor = 8
        tokenizer_2 = type("Tokenizer", (), {"model_max_length": 512})
        _execution_device = "cpu"

        def encode_prompt(self, **_):
            return torch.zeros(1, 4, 8), torch.zeros(1, 8), None

        def __call__(self, width, height, **_):
            sizes.append((width, height))
            raise GenerationStopped

    with pytest.raises(GenerationStopped):
        Generator(FourLevels(), DEV).generate(request(width=257, height=1530), Event())
    assert sizes == [(272, 1536)]


def test_the_same_seed_gives_the_same_pixels_and_another_seed_others(generate):
    np.testing.assert_array_equal(generate(seed=0), generate(seed=0))
    assert (generate(seed=0) != generate(seed=1)).any()
    assert (generate(seed=-1) != generate(seed=-1)).any()


@pytest.fixture
def flux_latent_scale(pipe):
    """FLUX's own scale and shift of latents, which the weights at hand may not have."""
    before = {name: pipe.vae.config[name] for name in ("scaling_factor", "shift_factor")}
    pipe.vae.register_to_config(scaling_factor=0.3611, shift_factor=0.1159)
    yield
    pipe.vae.register_to_config(**before)


@pytest.mark.usefixtures("flux_latent_scale")
def test_the_pixels_are_those_of_the_plain_pipeline(pipe, generate):
    plain = pipe(
        "a red circle",
        width=256,
        height=256,
        num_inference_steps=2,
        guidance_scale=3.0,
        generator=torch.Generator("cpu").manual_seed(7),
        max_sequence_length=64,
    ).images[0]
    ours = generate(num_inference_steps=2, guidance=3.0)
    np.testing.assert_array_equal(ours, np.asarray(plain))


def test_the_noise_is_drawn_on_the_cpu_whatever_the_device(pipe, monkeypatch):
    generators = []
    call = type(pipe).__call__

    def watched(self, *, generator, **inputs):
        generators.append(generator)
        return call(self, generator=generator, **inputs)

    monkeypatch.setattr(type(pipe), "__call__", watched)
    on_another_device = Generator(pipe, DEV)
    on_another_device._device = torch.device("meta")
    on_another_device.generate(request(seed=5), Event())
    assert (generators[0].device.type, generators[0].initial_seed()) == ("cpu", 5)


def test_guidance_reaches_the_transformer(pipe, generate):
    with counting_calls(pipe.transformer) as calls:
        generate(guidance=0)
        generate(guidance=10)
    assert [float(call["guidance"]) for call in calls] == [0.0, 10.0]


def test_a_negative_prompt_changes_the_image(generate):
    plain = generate(num_inference_steps=4)
    steered = generate(num_inference_steps=4, negative_prompt="red")
    other = generate(num_inference_steps=4, negative_prompt="blue square")
    stronger = generate(num_inference_steps=4, negative_prompt="red", true_cfg_scale=5)
    for one, another in ((plain, steered), (steered, other), (steered, stronger)):
        assert (one != another).any()


@pytest.mark.parametrize("model", [DEV, SCHNELL])
def test_only_a_negative_prompt_doubles_the_work(pipe, model):
    generator = Generator(pipe, model)
    for given, expected in (
        ({}, 3),
        ({"negative_prompt": " "}, 3),
        ({"negative_prompt": "red", "true_cfg_scale": 1.0}, 3),
        ({"negative_prompt": "red"}, 6),
    ):
        with counting_calls(pipe.transformer) as calls:
            generator.generate(request(model, num_inference_steps=3, **given), Event())
        assert len(calls) == expected, given


@pytest.mark.parametrize(("model", "limit"), [(DEV, 512), (SCHNELL, 256)])
def test_the_text_is_as_long_as_the_model_was_trained_with(pipe, model, limit, monkeypatch):
    monkeypatch.setattr(pipe.tokenizer_2, "model_max_length", 10_000)
    with counting_calls(pipe.transformer) as calls:
        Generator(pipe, model).generate(request(model), Event())
    assert calls[0]["encoder_hidden_states"].shape[1] == limit


def test_the_text_is_never_longer_than_the_tokenizer_allows(pipe):
    with counting_calls(pipe.transformer) as calls:
        Generator(pipe, DEV).generate(request(), Event())
    assert calls[0]["encoder_hidden_states"].shape[1] == pipe.tokenizer_2.model_max_length == 64


def test_a_prompt_is_encoded_once(pipe):
    generator = Generator(pipe, DEV)
    with counting_calls(pipe.text_encoder_2) as calls:
        first = generator.generate(request(negative_prompt="blue"), Event()).pixels
        again = generator.generate(request(negative_prompt="blue"), Event()).pixels
        generator.generate(request(prompt="blue"), Event())
    assert len(calls) == 2
    np.testing.assert_array_equal(first, again)


def test_dropped_tokens_are_counted(pipe):
    generator = Generator(pipe, DEV)
    long = request(prompt="red " * 100, negative_prompt="blue " * 70)
    assert generator.generate(long, Event()).dropped_tokens == (101 - 64) + (71 - 64)
    assert generator.generate(request(), Event()).dropped_tokens == 0


@contextlib.contextmanager
def decoding(vae, change):
    hook = vae.decoder.register_forward_hook(lambda _, __, image: change(image))
    try:
        yield
    finally:
        hook.remove()


def nan_in_a_corner(image):
    image[0, 0, 0, 0] = torch.nan
    return image


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (nan_in_a_corner, "isn't finite"),
        (lambda image: image * torch.inf, "isn't finite"),
        (lambda image: image[..., :-1], "of shape"),
        (lambda image: image[:, :1], "of shape"),
    ],
)
def test_a_broken_image_is_an_error_that_costs_nothing(pipe, make_worker, change, says):
    with decoding(pipe.vae, change):
        answer = run(make_worker(), SMALL)
    assert set(answer) == {"error"}
    assert says in answer["error"]
    assert "nothing is charged" in answer["error"]
    assert "image_url" in run(make_worker(), SMALL)


@contextlib.contextmanager
def failing(module, error):
    def fail(*_):
        raise error

    hook = module.register_forward_pre_hook(fail)
    try:
        yield
    finally:
        hook.remove()


def test_out_of_memory_names_the_size_and_the_worker_goes_on(pipe, make_worker):
    with failing(pipe.transformer, torch.OutOfMemoryError("tried to allocate")):
        answer = run(make_worker(), {**SMALL, "width": 300})
    assert "out of memory while generating 300x256" in answer["error"]
    assert "refresh_worker" not in answer
    assert "image_url" in run(make_worker(), SMALL)


def test_a_broken_gpu_asks_for_another_worker(pipe, make_worker):
    worker = make_worker()
    broken = torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
    with failing(pipe.transformer, broken):
        answer = run(worker, SMALL)
    assert answer["refresh_worker"] is True
    assert "this worker is being replaced" in answer["error"]
    assert worker.sdk_config["refresh_worker"] is True


def test_a_gpu_that_breaks_under_a_cancelled_job_is_noticed(pipe, make_worker):
    worker, begun, cancelled = make_worker(), Event(), Event()

    async def cancel():
        job = asyncio.create_task(worker.handle({"id": "j", "input": SMALL}))
        await asyncio.to_thread(begun.wait)
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job
        cancelled.set()

    def fail(*_):
        begun.set()
        cancelled.wait()
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    hook = pipe.transformer.register_forward_pre_hook(fail)
    try:
        asyncio.run(cancel())
        worker._gpu.shutdown()
    finally:
        hook.remove()
    assert worker.sdk_config["refresh_worker"] is True


def test_another_error_is_answered_without_the_prompt(pipe, make_worker, caplog):
    caplog.set_level("INFO", "flux_worker")
    worker = make_worker()
    with failing(pipe.transformer, RuntimeError("cannot draw 'a red circle'")):
        answer = run(worker, SMALL)
    assert "failed unexpectedly (RuntimeError)" in answer["error"]
    assert "refresh_worker" not in worker.sdk_config
    logged = "".join(str(vars(record)) for record in caplog.records)
    assert "RuntimeError" in logged
    assert "_generate" in logged
    assert "cannot draw" not in logged + answer["error"]
