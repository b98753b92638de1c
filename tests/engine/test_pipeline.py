import errno
import os
import shutil

import pytest
import torch
from cards import card
from conftest import DEMO

from flux_worker.engine import acceleration, pipeline
from flux_worker.engine.card import Card
from flux_worker.errors import CannotStart
from flux_worker.settings import Settings
from flux_worker.weights import loading

pytestmark = pytest.mark.real


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_cuda_the_worker_refuses_to_start():
    with pytest.raises(CannotStart, match=r"no CUDA device.*ALLOW_CPU=1"):
        pipeline.load(Settings(model_path=str(DEMO)))


def test_the_demo_weights_serve_both_models_with_a_warning_for_schnell(caplog):
    pipeline.load(Settings(model_path=str(DEMO), allow_cpu=True))
    assert "belong together" not in caplog.text
    pipeline.load(Settings(model_path=str(DEMO), allow_cpu=True, flux_model="schnell"))
    assert "FLUX_MODEL is schnell, but the loaded weights take guidance" in caplog.text


def test_pickled_weights_are_not_loaded(tmp_path):
    folder = shutil.copytree(DEMO, tmp_path / "w")
    weights = folder / "vae" / "diffusion_pytorch_model.safetensors"
    torch.save({}, weights.with_suffix(".bin"))
    weights.unlink()
    with pytest.raises(CannotStart, match="safetensors is missing"):
        pipeline.load(Settings(model_path=str(folder), allow_cpu=True))


def test_damaged_weights_are_named(tmp_path):
    folder = shutil.copytree(DEMO, tmp_path / "w")
    weights = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(CannotStart, match="can't be loaded as a FLUX pipeline"):
        pipeline.load(Settings(model_path=str(folder), allow_cpu=True))


def test_what_cant_be_made_to_run_is_not_blamed_on_the_weights(monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(acceleration, "apply", full)
    with pytest.raises(CannotStart) as caught:
        pipeline.load(Settings(model_path=str(DEMO), allow_cpu=True))
    assert str(caught.value) == (
        "The weights were read, but can't be made to run as planned (transformer fp32, resident, "
        "T5 resident, VAE whole, attention native, not compiled): OSError: [Errno 28] No space "
        "left on device"
    )


def test_a_gpu_is_planned_for_as_wished(monkeypatch):
    """What only a GPU can follow is no reason not to start on one."""

    def load(checkpoint, device, dtype):
        raise RuntimeError("far enough")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(Card, "of", classmethod(lambda cls, device: card("H100")))
    monkeypatch.setattr(loading, "load", load)
    with pytest.raises(CannotStart, match="far enough"):
        pipeline.load(
            Settings(model_path=str(DEMO), precision="bf16", attention="cudnn", offload="none")
        )


def test_the_demo_weights_are_flux_in_small(pipe):
    assert type(pipe.tokenizer).__name__ == "CLIPTokenizer"
    assert type(pipe.tokenizer_2).__name__ == "T5Tokenizer"
    assert pipe.transformer.config.in_channels == 4 * pipe.vae.config.latent_channels
    assert pipe.transformer.config.guidance_embeds
    assert pipe.scheduler.config.use_dynamic_shifting
    assert len(pipe.transformer.transformer_blocks) > 0
    assert len(pipe.transformer.single_transformer_blocks) > 0
    assert sum(file.stat().st_size for file in DEMO.rglob("*")) < 12e6
