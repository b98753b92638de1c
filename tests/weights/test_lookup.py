"""Where weights are found, and what is passed over on the way."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from conftest import DEMO
from hub_server import COMMIT, hub
from rights import forbidden

from flux_worker.errors import CannotStart
from flux_worker.settings import Settings
from flux_worker.weights import lookup

DEV = "black-forest-labs/FLUX.1-dev"
FOLDER = f"models--{DEV.replace('/', '--')}"
OTHER = "f" * 40


def hub_layout(
    cache: Path, repository: str, commit: str = COMMIT, ref: str | None = "main"
) -> Path:
    """Put the demo weights into a cache, as the Hub's library does."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    snapshot = shutil.copytree(DEMO, folder / "snapshots" / commit)
    (folder / "refs").mkdir(exist_ok=True)
    if ref:
        (folder / "refs" / ref).parent.mkdir(parents=True, exist_ok=True)
        (folder / "refs" / ref).write_text(commit)
    return snapshot


def vae(folder: Path) -> Path:
    return folder / "vae/diffusion_pytorch_model.safetensors"


def test_a_folder_wins():
    found = lookup.find(Settings(model_path=str(DEMO)))
    assert (found.folder, found.road) == (DEMO, "MODEL_PATH")


def test_an_incomplete_folder_is_refused_by_what_it_lacks(tmp_path):
    shutil.copytree(DEMO, tmp_path / "w")
    vae(tmp_path / "w").unlink()
    with pytest.raises(CannotStart) as caught:
        lookup.find(Settings(model_path=str(tmp_path / "w")))
    assert str(caught.value) == (
        f"MODEL_PATH {tmp_path}/w can't be loaded: "
        "vae/diffusion_pytorch_model.safetensors is missing."
    )


def test_a_single_file_is_refused_with_what_to_do(search, tmp_path):
    single = tmp_path / "tuned.safetensors"
    single.write_bytes(b"all in one")
    for path in (single, tmp_path):
        reason, _ = search(MODEL_PATH=str(path))
        assert reason.startswith(f"MODEL_PATH {path} can't be loaded: tuned.safetensors is a")
        assert "from_single_file and save_pretrained" in reason


def test_weights_at_hand_are_taken_in_their_order(search, tmp_path):
    in_cache = hub_layout(tmp_path / "hf/hub", DEV)
    assert search()[0] == str(in_cache)
    in_runpod = hub_layout(tmp_path / "runpod", DEV)
    assert search()[0] == str(in_runpod)
    baked = hub_layout(tmp_path / "baked", DEV)
    assert search()[0] == str(baked)
    (baked / "model_index.json").unlink()
    found, log = search()
    assert found == str(in_runpod)
    assert f"{baked} (image) is passed over: model_index.json is missing" in log


def test_weights_are_the_same_by_every_road(bake, tmp_path):
    with hub({"somebody/flux": DEMO}) as server:
        environment = {
            **os.environ,
            "HF_ENDPOINT": server.url,
            "HF_HOME": str(tmp_path / "hf"),
        }
        assert bake(server.url, "somebody/flux")[0] == ""
        hub_layout(tmp_path / "runpod", "Somebody/FLUX")
        command = [sys.executable, "-c", ROADS, tmp_path, DEMO]
        told = json.loads(subprocess.check_output(command, env=environment))
    assert [road for road, _ in told] == [
        "image",
        "Runpod's model cache",
        "download",
        "Hugging Face cache",
        "MODEL_PATH",
    ]
    first = told[0][1]
    assert all(content == first for _, content in told)
    assert len(first) > 100


ROADS = """
import json, sys
from pathlib import Path
from flux_worker.settings import Settings
from flux_worker.weights import lookup
here, demo, nowhere = *map(Path, sys.argv[1:]), Path("/nowhere")
told = []
for baked, cached, path in [
    (here / "baked", nowhere, "somebody/flux"),
    (nowhere, here / "runpod", "somebody/flux"),
    (nowhere, nowhere, "somebody/flux"),
    (nowhere, nowhere, "somebody/flux"),
    (nowhere, nowhere, str(demo)),
]:
    found = lookup.find(Settings(model_path=path), baked, cached)
    tensors = [
        (str(each.file.relative_to(found.folder)), each.name, each.dtype, each.shape, each.begin)
        for component in found.tensors.values() for each in component
    ]
    told.append((found.road, tensors))
print(json.dumps(told))
"""


def test_a_fine_tune_is_looked_for_in_the_same_places(search, tmp_path):
    found = hub_layout(tmp_path / "runpod", "somebody/flux-tuned")
    assert search(MODEL_PATH="somebody/flux-tuned")[0] == str(found)


def test_a_cache_may_spell_the_repository_in_any_case(search, tmp_path):
    found = hub_layout(tmp_path / "runpod", DEV.lower())
    assert search()[0] == str(found)
    exact = hub_layout(tmp_path / "runpod", DEV)
    assert search()[0] == str(exact)
    shutil.rmtree(found)
    assert search(MODEL_PATH=DEV.upper())[0] == str(exact)


def test_what_was_cached_at_a_revision_serves_where_none_is_asked_for(search, tmp_path):
    older = hub_layout(tmp_path / "runpod", DEV, COMMIT, ref=None)
    newer = hub_layout(tmp_path / "runpod", DEV, OTHER, ref=None)
    os.utime(older, (1, 1))
    found, log = search()
    assert found == str(newer)
    assert f"found (Runpod's model cache): {newer}" in log
    vae(newer).unlink()
    assert search()[0] == str(older)


def test_the_newest_of_the_repository_is_what_the_cache_says_it_is(search, tmp_path):
    main = hub_layout(tmp_path / "runpod", DEV, COMMIT)
    os.utime(main, (1, 1))
    hub_layout(tmp_path / "runpod", DEV, OTHER, ref="v2")
    assert search()[0] == str(main)


@pytest.mark.parametrize("revision", ["v1.0", "refs/pr/3", OTHER, OTHER.upper(), OTHER[:7]])
def test_a_pinned_revision_is_found_and_no_other(search, tmp_path, revision):
    hub_layout(tmp_path / "runpod", DEV, COMMIT)
    ref = None if OTHER.startswith(revision.lower()) else revision
    pinned = hub_layout(tmp_path / "hf/hub", DEV, OTHER, ref)
    assert search(MODEL_PATH=f"{DEV}@{revision}")[0] == str(pinned)
    assert "not on this machine" in search(MODEL_PATH=f"{DEV}@v9")[0]


def test_a_folder_with_an_at_sign_is_a_folder(search, tmp_path):
    folder = shutil.copytree(DEMO, tmp_path / "flux@v1")
    assert search(MODEL_PATH=str(folder))[0] == str(folder)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"", b" \n"])
def test_a_reference_that_can_not_be_read_is_as_good_as_none(search, tmp_path, content):
    found = hub_layout(tmp_path / "runpod", DEV)
    (found.parents[1] / "refs/main").write_bytes(content)
    assert search()[0] == str(found)


@pytest.mark.parametrize("content", [b"\0", b"../..", b"x" * 300, OTHER.encode()])
def test_a_reference_that_leads_nowhere_is_passed_over(search, tmp_path, content):
    broken = hub_layout(tmp_path / "runpod", DEV)
    (broken.parents[1] / "refs/main").write_bytes(content)
    found = hub_layout(tmp_path / "hf/hub", DEV)
    assert search()[0] == str(found)


def damage(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def dangle(file: Path) -> None:
    file.unlink()
    file.symlink_to("../../../blobs/gone")


def loop(file: Path) -> None:
    file.unlink()
    file.symlink_to(file.name)


def number_shards(file: Path) -> None:
    index = file.with_name(f"{file.name}.index.json")
    index.write_text(json.dumps({"weight_map": {"a": 1, "b": "c"}}))


@pytest.mark.parametrize("break_it", [damage, dangle, loop, number_shards])
def test_broken_weights_are_passed_over(search, tmp_path, break_it):
    broken = hub_layout(tmp_path / "runpod", DEV)
    break_it(vae(broken))
    found = hub_layout(tmp_path / "hf/hub", DEV)
    outcome, log = search()
    assert outcome == str(found)
    assert f"{broken} (Runpod's model cache) is passed over: vae/" in log


@pytest.mark.parametrize("name", ["runpod", f"runpod/{FOLDER}"])
def test_a_looping_cache_is_passed_over(search, tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).symlink_to(tmp_path / name)
    found = hub_layout(tmp_path / "hf/hub", DEV)
    assert search()[0] == str(found)


@pytest.fixture
def open_to_all():
    """A folder that everybody may enter."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.parametrize("locked", ["", FOLDER, f"{FOLDER}/snapshots/{COMMIT}/vae"])
def test_what_may_not_be_read_is_passed_over(open_to_all, monkeypatch, locked):
    hub_layout(open_to_all / "runpod", DEV)
    found = hub_layout(open_to_all / "hf", DEV)
    monkeypatch.setattr(lookup.constants, "HF_HUB_CACHE", str(open_to_all / "hf"))
    with forbidden(open_to_all / "runpod" / locked):
        weights = lookup.find(Settings(), open_to_all / "baked", open_to_all / "runpod")
        assert weights.folder == found


@pytest.mark.parametrize("below", ["", "inside"])
def test_a_folder_that_may_not_be_read_says_so(tmp_path, below):
    shutil.copytree(DEMO, tmp_path / "w")
    path = tmp_path / "w" / below
    with forbidden(tmp_path / "w"), pytest.raises(CannotStart, match=r"\(Permission denied\)"):
        lookup.find(Settings(model_path=str(path)))
    with forbidden(tmp_path / "w"):
        assert lookup.nearest(Settings(model_path=str(path))) == path


def test_a_folder_of_another_pipeline_is_refused(search, tmp_path):
    folder = shutil.copytree(DEMO, tmp_path / "w")
    shutil.rmtree(folder / "text_encoder_2")
    (folder / "model_index.json").write_text('{"_class_name": "StableDiffusionXLPipeline"}')
    reason, _ = search(MODEL_PATH=str(folder))
    assert reason.startswith(
        f"{folder} holds weights for StableDiffusionXLPipeline, and FLUX.1-dev"
    )


def test_the_nearest_weights_are_those_that_are_looked_at_first(tmp_path):
    assert lookup.nearest(Settings(model_path=str(DEMO))) == DEMO
    assert lookup.nearest(Settings(model_path=str(tmp_path / "none"))) is None
