import contextlib
from dataclasses import replace
from threading import Event
from types import SimpleNamespace

import lora_files
import numpy as np
import pytest
import torch
from conftest import SMALL, counting_calls, failing, request, run

from flux_worker.adapters import reading
from flux_worker.contract.catalog import DEV, SCHNELL
from flux_worker.errors import DeviceUnusable, GenerationFailed, GenerationStopped
from flux_worker.generation.generator import Generator
from flux_worker.generation.inputs import Inputs


@pytest.fixture
def pixels(generate):
    return lambda **given: generate(**given).pixels


@pytest.mark.parametrize(
    ("width", "height"),
    [(256, 256), (257, 256), (1000, 300), (1140, 1472), (1472, 1140), (1536, 1536)],
)
def test_every_size_is_delivered_exactly(pixels, width, height):
    assert pixels(width=width, height=height).shape == (height, width, 3)


def test_the_crop_is_centred(pixels):
    whole = pixels(width=288, height=320)
    cropped = pixels(width=270, height=300)
    np.testing.assert_array_equal(cropped, whole[10:310, 9:279])


def test_flux_itself_is_generated_at_multiples_of_16():
    """With FLUX's own four-level VAE, a side of 257 is generated as 272, not as 288."""
    sizes = []

    class Tokenizer:
        model_max_length = 512

        def __call__(self, text):
            return SimpleNamespace(input_ids=[1])

    class FourLevels:
        vae_scale_factor = 8
        tokenizer_2 = Tokenizer()
        loras = SimpleNamespace(holds=lambda loras: True)
        _execution_device = "cpu"

        def encode_prompt(self, **_):
            return torch.zeros(1, 4, 8), torch.zeros(1, 8), None

        def __call__(self, width, height, **_):
            sizes.append((width, height))
            raise GenerationStopped

    with pytest.raises(GenerationStopped):
        Generator(FourLevels(), DEV).generate(request(width=257, height=1530), Inputs(), Event())
    assert sizes == [(272, 1536)]


def test_the_same_seed_gives_the_same_pixels_and_another_seed_others(pixels):
    np.testing.assert_array_equal(pixels(seed=0), pixels(seed=0))
    assert (pixels(seed=0) != pixels(seed=1)).any()
    assert (pixels(seed=-1) != pixels(seed=-1)).any()


@pytest.fixture
def flux_latent_scale(pipe):
    """FLUX's own scale and shift of latents, which the weights at hand may not have."""
    before = {name: pipe.vae.config[name] for name in ("scaling_factor", "shift_factor")}
    pipe.vae.register_to_config(scaling_factor=0.3611, shift_factor=0.1159)
    yield
    pipe.vae.register_to_config(**before)


@pytest.mark.usefixtures("flux_latent_scale")
def test_the_pixels_are_those_of_the_plain_pipeline(pipe, pixels):
    plain = pipe(
        "a red circle",
        width=256,
        height=256,
        num_inference_steps=2,
        guidance_scale=3.0,
        generator=torch.Generator("cpu").manual_seed(7),
        max_sequence_length=64,
    ).images[0]
    ours = pixels(num_inference_steps=2, guidance=3.0)
    np.testing.assert_array_equal(ours, np.asarray(plain))


def test_guidance_reaches_the_transformer(pipe, pixels):
    with counting_calls(pipe.transformer) as calls:
        pixels(guidance=0)
        pixels(guidance=10)
    assert [float(call["guidance"]) for call in calls] == [0.0, 10.0]


def test_a_negative_prompt_changes_the_image(pixels):
    plain = pixels(num_inference_steps=4)
    steered = pixels(num_inference_steps=4, negative_prompt="red")
    other = pixels(num_inference_steps=4, negative_prompt="blue square")
    stronger = pixels(num_inference_steps=4, negative_prompt="red", true_cfg_scale=5)
    for one, another in ((plain, steered), (steered, other), (steered, stronger)):
        assert (one != another).any()


@pytest.mark.parametrize("model", [DEV, SCHNELL])
def test_only_a_negative_prompt_doubles_the_work(pipe, generate, model):
    for given, expected in (
        ({}, 3),
        ({"negative_prompt": " "}, 3),
        ({"negative_prompt": "red", "true_cfg_scale": 1.0}, 3),
        ({"negative_prompt": "red"}, 6),
    ):
        with counting_calls(pipe.transformer) as calls:
            generate(model, num_inference_steps=3, **given)
        assert len(calls) == expected, given


@pytest.mark.parametrize(("model", "limit"), [(DEV, 512), (SCHNELL, 256)])
def test_the_text_is_as_long_as_the_model_was_trained_with(
    pipe, generate, model, limit, monkeypatch
):
    monkeypatch.setattr(pipe.tokenizer_2, "model_max_length", 10_000)
    with counting_calls(pipe.transformer) as calls:
        generate(model)
    assert calls[0]["encoder_hidden_states"].shape[1] == limit


def test_the_text_is_never_longer_than_the_tokenizer_allows(pipe, generate):
    with counting_calls(pipe.transformer) as calls:
        generate()
    assert calls[0]["encoder_hidden_states"].shape[1] == pipe.tokenizer_2.model_max_length == 64


@pytest.fixture
def of_clip(tmp_path, pipe):
    """A LoRA of CLIP alone."""
    name = next(name for name in pipe.loras.layers if name.startswith("text_encoder."))
    outputs, inputs = pipe.loras.layers[name]
    factors = {name: (torch.ones(1, inputs), torch.ones(outputs, 1))}
    file = lora_files.save(lora_files.diffusers_keys(factors, ""), tmp_path / "clip.safetensors")
    return reading.read(file, pipe.loras.layers, 256)


def test_a_lora_that_is_too_strong_is_named_and_leaves_nothing(pipe, of_clip):
    generator, asked = Generator(pipe, DEV), {"loras": [{"path": "clip", "scale": 1.0}]}
    before = generator.generate(request(), Inputs(), Event()).pixels
    (delta,) = of_clip.deltas
    strong = replace(of_clip, deltas=(replace(delta, scale=1e38),), digest="strong")
    with pytest.raises(GenerationFailed, match="Lower the scales of its loras"):
        generator.generate(request(**asked), Inputs(((strong, 1.0),)), Event())
    after = generator.generate(request(), Inputs(), Event()).pixels
    np.testing.assert_array_equal(before, after)


def test_a_text_is_encoded_anew_for_every_other_change_of_clip(pipe, of_clip):
    sets = [(), (0.5,), (0.5, 0.5), (0.5, 0.0), (1.0,), (-1.0,), (-0.0,)]
    generator = Generator(pipe, DEV)
    asked = request(width=256, height=256, num_inference_steps=1, negative_prompt="grey")

    def drawn(generator, scales):
        weighed = tuple((of_clip, scale) for scale in scales)
        return generator.generate(asked, Inputs(weighed), Event()).pixels

    for scales in sets:
        np.testing.assert_array_equal(drawn(generator, scales), drawn(Generator(pipe, DEV), scales))


def test_a_prompt_is_encoded_once(pipe):
    generator = Generator(pipe, DEV)
    with counting_calls(pipe.text_encoder_2) as calls:
        first, again = (
            generator.generate(request(negative_prompt="blue"), Inputs(), Event()).pixels
            for _ in range(2)
        )
        generator.generate(request(prompt="blue"), Inputs(), Event())
    assert len(calls) == 2
    np.testing.assert_array_equal(first, again)


def test_dropped_tokens_are_counted(generate):
    long = {"prompt": "red " * 100, "negative_prompt": "blue " * 70}
    assert generate(**long).dropped_tokens == (101 - 64) + (71 - 64)
    assert generate().dropped_tokens == 0


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
        (lambda image: image[..., :-1], "of shape (1, 3, 256, 255) in place of (1, 3, 256, 256)"),
        (lambda image: image[:, :1], "of shape"),
    ],
)
def test_a_broken_image_is_an_error_that_costs_nothing(pipe, make_worker, change, says):
    with decoding(pipe.vae, change):
        answer = run(make_worker(), SMALL)
    assert set(answer) == {"error"}
    assert says in answer["error"]
    assert "no cost is reported" in answer["error"]
    assert "image_url" in run(make_worker(), SMALL)


def test_out_of_memory_names_the_size_and_the_worker_goes_on(pipe, make_worker):
    with failing(pipe.transformer, torch.OutOfMemoryError("tried to allocate")):
        answer = run(make_worker(), {**SMALL, "width": 300})
    assert "out of memory while generating 300x256" in answer["error"]
    assert "image_url" in run(make_worker(), SMALL)


def test_another_error_is_answered_without_the_prompt(pipe, make_worker, caplog):
    caplog.set_level("INFO", "flux_worker")
    worker = make_worker()
    with failing(pipe.transformer, RuntimeError("cannot draw 'a red circle'")):
        answer = run(worker, SMALL)
    assert "failed unexpectedly (RuntimeError)" in answer["error"]
    assert not worker.unusable.is_set()
    logged = "".join(str(vars(record)) for record in caplog.records)
    assert "RuntimeError" in logged
    assert "_generate" in logged
    assert "cannot draw" not in logged + answer["error"]


def test_the_stages_are_timed(pipe):
    seconds = {}
    generator = Generator(pipe, DEV)
    generator.generate(request(num_inference_steps=2), Inputs(), Event(), seconds=seconds)
    assert set(seconds) == {"text_encoding", "denoising", "per_step", "decoding"}
    assert all(value > 0 for value in seconds.values())
    assert seconds["per_step"] < seconds["denoising"]


def test_an_error_of_the_device_is_the_end_of_it(pipe):
    broken = torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
    with failing(pipe.transformer, broken), pytest.raises(DeviceUnusable) as caught:
        Generator(pipe, DEV).generate(request(), Inputs(), Event())
    assert caught.value.__cause__ is broken


@pytest.fixture
def on_cuda(pipe, monkeypatch):
    """A generator that takes its device for a GPU, which `synchronize` asks for its health."""

    def make(synchronize):
        generator = Generator(pipe, DEV)
        monkeypatch.setattr(generator, "_device", torch.device("cuda"))
        monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
        return generator

    return make


def test_after_an_error_the_gpu_is_asked_whether_it_still_works(pipe, on_cuda):
    def gone(device):
        raise RuntimeError(f"{device} is gone")

    error = RuntimeError("out of luck")
    for synchronize, raised in ((gone, DeviceUnusable), (lambda device: None, RuntimeError)):
        with failing(pipe.text_encoder_2, error), pytest.raises(raised) as caught:
            on_cuda(synchronize).generate(request(), Inputs(), Event())
        assert error in (caught.value, caught.value.__cause__)


def test_a_stage_on_a_gpu_ends_when_the_gpu_has_ended_it(on_cuda, monkeypatch):
    asked, stop = [], Event()
    stop.set()
    monkeypatch.setattr(torch.cuda, "Event", lambda enable_timing: SimpleNamespace(record=str))
    with pytest.raises(GenerationStopped):
        on_cuda(asked.append).generate(request(), Inputs(), stop)
    assert asked == [torch.device("cuda")]
