"""Compiled blocks are kept and found again, and a cache that can't be used is no harm."""

import shutil

import lora_files
import pytest
import torch
from drawing import differ, draw, draw_on_white, load
from torch._dynamo.utils import counters

from flux_worker.engine import compile_cache

pytestmark = pytest.mark.real

COMPILING = "Compiling "


@pytest.fixture(scope="module", autouse=True)
def _inductors_cache():
    """The worker names its folder in the environment, which is put back here."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TORCHINDUCTOR_CACHE_DIR", "")  # else nothing would be put back
        environment.delenv("TORCHINDUCTOR_CACHE_DIR")
        yield


@pytest.fixture(scope="module")
def cache(tmp_path_factory, _inductors_cache):
    """What a first worker has left."""
    folder = tmp_path_factory.mktemp("compiled")
    load(compile=True, compile_cache_dir=folder)
    return folder


@pytest.fixture(autouse=True)
def _logged(caplog):
    caplog.set_level("INFO", "flux_worker")


def packages(folder):
    return {path.name: path for path in folder.glob("*/*.pt2")}


def origins(caplog):
    """What the newest line of the stage says of the code."""
    lines = [record.fields for record in caplog.records if record.message == "start-up stage"]
    newest = [line for line in lines if line["stage"] == "compile"][-1]
    return {part: newest[part] for part in ("blocks", "decoder")}


def test_a_later_worker_draws_the_same_without_compiling(cache, pipe, caplog, tmp_path):
    kinds = ("FluxTransformerBlock", "FluxSingleTransformerBlock", "Decoder")
    assert set(packages(cache)) == {f"{kind}.pt2" for kind in kinds}
    compiled = counters["stats"]["unique_graphs"]
    later = load(compile=True, compile_cache_dir=cache)
    sides = range(256, 896, 128)
    for width, height in zip(sides, reversed(sides), strict=True):
        given = {"width": width, "height": height, "num_inference_steps": 4}
        assert differ(draw(later, **given), draw(pipe, **given)) < 0.05
    assert differ(draw_on_white(later), draw_on_white(pipe)) < 0.05
    loras = [(lora_files.adapter(tmp_path, pipe.loras.layers), 4.0)]
    assert differ(draw(later, loras), draw(pipe, loras)) < 0.05
    assert differ(draw(later, loras), draw(later)) > 1
    assert counters["stats"]["unique_graphs"] == compiled
    assert COMPILING not in caplog.text
    assert origins(caplog) == {"blocks": "cached", "decoder": "cached"}


def test_a_damaged_package_is_compiled_anew(cache, tmp_path, pipe, caplog):
    shutil.copytree(cache, tmp_path, dirs_exist_ok=True)
    package = packages(tmp_path)["FluxTransformerBlock.pt2"]
    data = bytearray(package.read_bytes())
    data[len(data) // 2] ^= 0xFF
    package.write_bytes(data)
    later = load(compile=True, compile_cache_dir=tmp_path)
    assert f"{package} is damaged" in caplog.text
    assert COMPILING in caplog.text
    assert origins(caplog) == {"blocks": "compiled", "decoder": "cached"}
    assert differ(draw(later), draw(pipe)) < 0.05


@pytest.mark.parametrize("content", [b"", b"no archive"])
def test_what_is_no_package_counts_as_damaged(tmp_path, content):
    package = tmp_path / "FluxTransformerBlock.pt2"
    package.write_bytes(content)
    assert not compile_cache.is_sound(package)


def test_another_machine_finds_nothing_of_this_one(pipe, monkeypatch):
    keys = {compile_cache.key(pipe.transformer, "native"), compile_cache.key(pipe.vae, "native")}
    keys.add(compile_cache.key(pipe.transformer, "cudnn"))
    monkeypatch.setattr(torch.version, "cuda", "99.0")
    keys.add(compile_cache.key(pipe.transformer, "native"))
    monkeypatch.setattr(compile_cache, "_cpu_features", lambda: ["another"])
    keys.add(compile_cache.key(pipe.transformer, "native"))
    assert len(keys) == 5


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(compile_cache, "install_decoder", lambda *_: None)
    (tmp_path / "file").write_text("in the way")
    later = load(compile=True, compile_cache_dir=tmp_path / "file")
    assert "COMPILE_CACHE_DIR is of no use to this worker" in caplog.text
    assert all(block._compiled_call_impl for block in later.transformer.transformer_blocks)


def test_what_cannot_be_packaged_is_kept_by_inductor(cache, tmp_path, caplog):
    """Not so the decoder, whose package is the same in every plan."""
    decoder = packages(cache)["Decoder.pt2"].parent
    shutil.copytree(decoder, tmp_path / decoder.name)
    later = load(precision="fp8", compile=True, compile_cache_dir=tmp_path)
    draw(later, num_inference_steps=1)
    assert set(packages(tmp_path)) == {"Decoder.pt2"}
    assert origins(caplog) == {"blocks": "just-in-time", "decoder": "cached"}
    assert COMPILING not in caplog.text
    assert list(tmp_path.glob("*/inductor/**/*.py"))
