import errno
import os
import shutil

import pytest
import torch
from cards import card
from conftest import DEMO
from diffusers import FluxPipeline
from safetensors.torch import load_file, save_file

from flux_worker.engine import acceleration, pipeline
from flux_worker.engine.card import Card
from flux_worker.errors import CannotStart
from flux_worker.settings import Settings
from flux_worker.weights import loading
from flux_worker.weights.checkpoint import Checkpoint

pytestmark = pytest.mark.real


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_cuda_the_worker_refuses_to_start():
    with pytest.raises(CannotStart, match=r"no CUDA device.*ALLOW_CPU=1"):
        pipeline.load(Settings(model_path=str(DEMO)))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize(
    "module",
    [
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.195.03  Sat Sep 20 00:30:44 UTC 2025",
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.195.03  Release Build  (x@y)",
    ],
)
def test_an_old_driver_is_named_with_what_is_needed(tmp_path, monkeypatch, caplog, module):
    said = tmp_path / "version"
    said.write_text(f"{module}\nGCC version:  gcc version 12.3.0\n")
    monkeypatch.setattr(pipeline, "DRIVER_VERSION", said)
    with pytest.raises(CannotStart) as caught:
        pipeline.load(Settings(model_path=str(DEMO)))
    assert str(caught.value) == (
        "The host's NVIDIA driver, 570.195.03, is too old for CUDA 13, which needs 580 or newer: "
        "on Runpod set allowedCudaVersions to 13.0, elsewhere update the driver. "
        "ALLOW_CPU=1 tries the worker on a CPU."
    )
    pipeline.load(Settings(model_path=str(DEMO), allow_cpu=True))
    assert "570.195.03, is too old for CUDA 13" in caplog.text


TOO_OLD = "The NVIDIA driver on your system is too old (found version 12080). Please update it."
UNKNOWN = "CUDA unknown error - this may be due to an incorrectly set up environment. Good luck."


def refusal(monkeypatch, tmp_path, driver, torch_says):
    """What is said where CUDA can't be used, with this driver, for torch's reason."""

    def init():
        raise RuntimeError(torch_says)

    monkeypatch.setattr(torch.cuda, "init", init)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(pipeline, "DRIVER_VERSION", tmp_path / "version")
    if driver:
        (tmp_path / "version").write_text(f"NVIDIA UNIX x86_64 Kernel Module  {driver}  Wed")
    with pytest.raises(CannotStart) as caught:
        pipeline.load(Settings(model_path=str(DEMO)))
    return str(caught.value)


@pytest.mark.parametrize(
    ("driver", "names"), [(None, "for CUDA 12.8"), ("570.195.03", "570.195.03, for CUDA 12.8")]
)
def test_what_torch_knows_of_an_old_driver_is_said(monkeypatch, tmp_path, driver, names):
    said = refusal(monkeypatch, tmp_path, driver, TOO_OLD)
    assert said.startswith(f"The host's NVIDIA driver, {names}, is too old for CUDA 13,")


def test_a_driver_that_would_do_but_does_not_is_said_with_torchs_reason(monkeypatch, tmp_path):
    said = refusal(monkeypatch, tmp_path, "580.65.06", UNKNOWN)
    assert said.startswith(
        "The host has an NVIDIA driver, 580.65.06, but CUDA can't be used (CUDA unknown error - "
        "this may be due to an incorrectly set up environment): give the container the GPU"
    )
    assert "There is no CUDA device" in refusal(monkeypatch, tmp_path / "none", None, UNKNOWN)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize("said", ["Kernel Module  580.65.06  Wed", "Kernel Module", "", "\xff"])
def test_a_driver_that_will_do_is_not_blamed(tmp_path, monkeypatch, said):
    (tmp_path / "version").write_text(said, encoding="latin-1")
    monkeypatch.setattr(pipeline, "DRIVER_VERSION", tmp_path / "version")
    with pytest.raises(CannotStart, match="There is no CUDA device"):
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
    with pytest.raises(CannotStart, match=f"transformer/{weights.name} can't be read"):
        pipeline.load(Settings(model_path=str(folder), allow_cpu=True))


@pytest.mark.parametrize("name", ["FluxImg2ImgPipeline", "FluxInpaintPipeline"])
def test_weights_saved_from_a_kindred_pipeline_are_loaded_for_text_alone(tmp_path, name):
    folder = shutil.copytree(DEMO, tmp_path / "w")
    index = folder / "model_index.json"
    index.write_text(index.read_text().replace("FluxPipeline", name))
    assert name in index.read_text()
    assert type(pipeline.load(Settings(model_path=str(folder), allow_cpu=True))) is FluxPipeline


def test_a_second_precision_beside_the_default_one_is_not_loaded(tmp_path, pipe):
    folder = shutil.copytree(DEMO, tmp_path / "w")
    for file in folder.glob("*/*.safetensors"):
        zeros = {name: torch.zeros_like(value) for name, value in load_file(file).items()}
        save_file(zeros, file.with_suffix(".fp16.safetensors"))
    loaded = pipeline.load(Settings(model_path=str(folder), allow_cpu=True))
    for part in ("transformer", "text_encoder", "text_encoder_2", "vae"):
        for one, other in zip(
            getattr(loaded, part).parameters(), getattr(pipe, part).parameters(), strict=True
        ):
            assert torch.equal(one, other)


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

    monkeypatch.setattr(torch.cuda, "init", lambda: None)
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


def test_the_headers_are_read_once(monkeypatch):
    read, folders = Checkpoint.read.__func__, []

    def counted(cls, folder):
        folders.append(folder)
        return read(cls, folder)

    monkeypatch.setattr(Checkpoint, "read", classmethod(counted))
    pipeline.load(Settings(model_path=str(DEMO), allow_cpu=True))
    assert folders == [DEMO]
