"""The VAE decodes as planned."""

from itertools import accumulate

import pytest
import torch
from conftest import DEMO
from diffusers import AutoencoderKL
from torch._dynamo.utils import counters
from torch.profiler import ProfilerActivity, profile

from flux_worker.engine import block_packages, compile_cache, vae
from flux_worker.engine.memory import DECODING_BYTES_PER_PIXEL
from flux_worker.engine.plan import Plan

pytestmark = pytest.mark.real


def load(cache=None, **planned):
    model = AutoencoderKL.from_pretrained(DEMO / "vae").eval()
    vae.prepare(model, Plan("fp32", **planned), cache)
    return model


@pytest.fixture(scope="module")
def plain():
    return AutoencoderKL.from_pretrained(DEMO / "vae").eval()


@pytest.fixture(scope="module")
def tiled():
    return load(vae_tiling=True)


@pytest.fixture(scope="module")
def latents(plain):
    """Latents (1, channels, height, width) of an image of these sides: discs on white, in rows."""
    across = torch.linspace(-1, 1, 256)
    disc = across**2 + across[:, None] ** 2 < 0.4
    picture = torch.where(disc, torch.tensor([1.0, -1.0, -1.0]).view(1, 3, 1, 1), 1.0)
    with torch.no_grad():
        one = plain.encode(picture).latent_dist.mean

    def of(width, height):
        many = one.repeat(1, 1, -(-height // 256), -(-width // 256))
        return many[..., : height // 16, : width // 16]

    return of


@torch.no_grad()
def levels(model, latents):
    """A picture's levels, 0 to 255."""
    return (model.decode(latents).sample + 1) * 127.5


def test_up_to_the_default_size_a_tiled_vae_decodes_the_same(plain, tiled, latents):
    given = latents(640, 512)
    assert torch.equal(levels(tiled, given), levels(plain, given))


def test_a_larger_picture_is_nearly_the_same_in_tiles(plain, tiled, latents):
    given = latents(1088, 1024)
    difference = (levels(tiled, given) - levels(plain, given)).abs().mean()
    assert 0 < difference < 1


@torch.no_grad()
def test_a_larger_picture_is_encoded_nearly_the_same_in_tiles(plain, tiled):
    across, down = torch.meshgrid(*(torch.linspace(-1, 1, side) for side in (1024, 1088)))
    picture = torch.stack((across, down, across * down)).unsqueeze(0)
    small, large = picture[..., :960], picture
    means = [
        [each.encode(given).latent_dist.mean for each in (plain, tiled)] for given in (small, large)
    ]
    assert torch.equal(*means[0])
    assert 0 < (means[1][0] - means[1][1]).abs().mean() < 0.05


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """What a first worker compiles and keeps."""
    cache = tmp_path_factory.mktemp("compiled")
    return load(cache=cache, compile=True), cache


SIZES = [(256 + 64 * number, 832 - 64 * number) for number in range(10)]


def test_a_compiled_vae_decodes_the_same_at_every_size(plain, compiled, latents):
    model, _ = compiled
    graphs = counters["stats"]["unique_graphs"]
    for width, height in SIZES:
        given = latents(width, height)
        torch.testing.assert_close(levels(model, given), levels(plain, given), atol=0.01, rtol=0)
    assert counters["stats"]["unique_graphs"] == graphs


def allocated_at_once(run):
    """The most bytes that a run allocates at once, whoever allocates them."""
    with torch.no_grad(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as told:
        run()
    events = [e for e in told.profiler.kineto_results.events() if e.name() == "[memory]"]
    events.sort(key=lambda event: event.start_ns())
    return max(accumulate(event.nbytes() for event in events))


def test_a_compiled_decode_takes_less_memory_than_is_planned(plain, compiled, latents):
    """Uncompiled, a CPU's convolutions copy their input: 1,920 bytes a pixel of FLUX's own VAE."""
    given, (model, _) = latents(640, 512), compiled
    taken = allocated_at_once(lambda: model.decode(given))
    uncompiled = allocated_at_once(lambda: plain.decode(given))
    assert taken < uncompiled * DECODING_BYTES_PER_PIXEL / 1920


def test_another_vae_runs_the_same_code_on_its_own_weights(compiled, latents, caplog):
    """One whose last convolution's bias, three numbers, is another, too."""
    _, cache = compiled
    tuned = AutoencoderKL.from_pretrained(DEMO / "vae").eval()
    with torch.no_grad():
        for parameter in tuned.decoder.parameters():
            parameter.mul_(1.01)
        tuned.decoder.conv_out.bias.add_(0.1)
    given = latents(320, 256)
    expected = levels(tuned, given)
    caplog.set_level("INFO", "flux_worker")
    vae.prepare(tuned, Plan("fp32", compile=True), cache)
    assert "Compiling" not in caplog.text
    torch.testing.assert_close(levels(tuned, given), expected, atol=0.01, rtol=0)


def test_a_compiled_vae_decodes_tiles(plain, compiled, latents):
    model = load(compiled[1], compile=True, vae_tiling=True)
    given = latents(1088, 1024)
    assert (levels(model, given) - levels(plain, given)).abs().mean() < 1


def test_where_the_cache_cannot_be_written_it_decodes_uncompiled(plain, latents, tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    model = load(tmp_path / "file", compile=True)
    assert "The VAE's decoder can't be compiled into" in caplog.text
    given = latents(320, 256)
    assert torch.equal(levels(model, given), levels(plain, given))


def test_without_a_cache_it_is_not_compiled(plain, latents, monkeypatch):
    monkeypatch.setattr(compile_cache, "install_decoder", None)  # which would fail
    given = latents(320, 256)
    assert torch.equal(levels(load(compile=True), given), levels(plain, given))


def test_a_vae_that_cannot_be_compiled_decodes_uncompiled(
    plain, latents, tmp_path, monkeypatch, caplog
):
    def fail(*_, **__):
        raise RuntimeError("no compiler")

    monkeypatch.setattr(block_packages, "aoti_compile_and_package", fail)
    model = load(tmp_path, compile=True)
    assert "RuntimeError: no compiler" in caplog.text
    given = latents(320, 256)
    assert torch.equal(levels(model, given), levels(plain, given))
