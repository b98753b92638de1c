"""Weights in an image: by whole parts, of one commit, with their licence, and found again."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from baking import PARTS
from conftest import DEMO, ROOT
from hub_server import COMMIT, hub

from builder.bake import __main__ as program
from flux_worker.settings import Settings
from flux_worker.weights.layout import require_complete

pytestmark = pytest.mark.real

DEV = "black-forest-labs/FLUX.1-dev"
SCHNELL = "black-forest-labs/FLUX.1-schnell"
LATER = "f" * 40


@pytest.fixture
def repository(tmp_path):
    """A folder as the Hub's repositories have them."""
    folder = shutil.copytree(DEMO, tmp_path / "repository")
    (folder / "LICENSE.md").write_text("The licence.")
    (folder / "flux1-dev.safetensors").write_bytes(b"the transformer once more")
    return folder


def snapshot(tmp_path, repository=DEV, commit=COMMIT) -> Path:
    return tmp_path / f"baked/models--{repository.replace('/', '--')}/snapshots/{commit}"


def test_each_part_brings_its_own_files_and_together_they_are_complete(bake, tmp_path, repository):
    here = set()
    with hub({DEV: repository}) as server:
        for part in PARTS:
            reason, log = bake(server.url, "dev", part)
            assert reason == ""
            served, server.served = set(server.served), []
            assert not served & here
            here |= served
            component = part.split()[0]
            if component != "rest":
                assert {Path(name).parent.name for name in served} <= {component}
                assert all(name.endswith(".safetensors") for name in served)
    require_complete(snapshot(tmp_path))
    assert "flux1-dev.safetensors" not in here
    assert log.count("Downloaded") == 0  # the transformer's second layer is empty


def test_nothing_is_left_of_the_library_or_of_the_time(bake, tmp_path, repository):
    with hub({DEV: repository}) as server:
        bake(server.url, "dev")
    everything = [tmp_path / "baked", *(tmp_path / "baked").rglob("*")]
    assert not [each for each in everything if each.name.startswith(".")]
    assert {each.stat().st_mtime for each in everything} == {program.TIME}


def test_files_of_earlier_layers_are_not_touched(bake, tmp_path, repository):
    with hub({DEV: repository}) as server:
        bake(server.url, "dev", "rest", "vae")
        before = {each: each.stat() for each in snapshot(tmp_path).rglob("*.*") if each.is_file()}
        bake(server.url, "dev", "transformer")
    for file, status in before.items():
        after = file.stat()
        assert (after.st_ino, after.st_ctime_ns) == (status.st_ino, status.st_ctime_ns)


def test_all_parts_are_of_the_commit_that_the_first_saw(bake, tmp_path, repository):
    newer = shutil.copytree(repository, tmp_path / "newer")
    with hub({DEV: repository}) as server:
        bake(server.url, "dev", "rest")
        server.repositories = {f"{DEV}@{COMMIT}": repository, f"{DEV}@{LATER}": newer}
        assert bake(server.url, "dev", *PARTS[1:])[0] == ""
    require_complete(snapshot(tmp_path))
    assert not snapshot(tmp_path, commit=LATER).exists()


@pytest.mark.parametrize(
    "said",
    [{"bake": "dev@v1"}, {"bake": "dev", "BAKE_REVISION": "v1"}, {"bake": f"{DEV.lower()}@v1"}],
)
def test_a_revision_is_baked_and_found_by_it_alone(bake, search, tmp_path, repository, said):
    with hub({DEV: DEMO, f"{DEV}@v1": repository}) as server:
        assert bake(server.url, **said)[0] == ""
    (commit,) = (each.name for each in snapshot(tmp_path).parent.iterdir())
    baked = str(snapshot(tmp_path, commit=commit))
    for asked in ("", f"{DEV}@v1", f"{DEV.upper()}@{commit}", f"{DEV}@{commit[:7]}"):
        found, log = search(MODEL_PATH=asked)
        assert found == baked
        assert "found (image)" in log
    for other in (f"{DEV}@main", f"{DEV}@v2", f"{DEV}@{LATER}"):
        assert search(MODEL_PATH=other)[0].startswith(f"The weights of {other} are not on this")


def test_a_renamed_repository_is_baked_by_its_new_name_and_served(bake, search, tmp_path):
    with hub({"somebody/new": DEMO}) as server:
        server.renamed = {"somebody/old": "somebody/new"}
        assert bake(server.url, "somebody/old")[0] == ""
    require_complete(snapshot(tmp_path, "somebody/new"))
    assert search()[0] == str(snapshot(tmp_path, "somebody/new"))


def test_two_revisions_are_one_too_many(bake):
    reason, _ = bake("http://127.0.0.1:9", "dev@v1", BAKE_REVISION="v2")
    assert reason == "BAKE=dev@v1 and BAKE_REVISION=v2 are two revisions: set one."


def test_without_weights_to_bake_every_part_does_nothing(bake, tmp_path):
    assert bake("http://127.0.0.1:9", "") == ("", "")
    assert bake("http://127.0.0.1:9", " ") == ("", "")
    assert not (tmp_path / "baked").exists()


@pytest.mark.parametrize("part", ["", "unet", "vae 0", "vae 1-2", "vae +"])
def test_a_part_that_is_none_is_refused(bake, part):
    reason, _ = bake("http://127.0.0.1:9", "dev", part)
    assert reason.startswith("Bake one of these: rest, transformer, ")


def test_what_comes_first_must_come_first(bake, repository):
    with hub({DEV: repository}) as server:
        reason, _ = bake(server.url, "dev", "vae")
    assert "bake its `rest` first" in reason


def test_files_fill_layers_in_their_order():
    gigabytes = {"a": 9.98, "b": 9.95, "c": 3.87}
    assert layers(gigabytes) == [["a"], ["b"], ["c"]]
    assert layers(dict.fromkeys("abcde", 4.99)) == [["a", "b"], ["c", "d"], ["e"]]
    assert layers({"a": 23.8}) == [["a"]]
    assert layers({"a": 1.0, "b": 23.8, "c": 1.0}) == [["a"], ["b"], ["c"]]


def layers(gigabytes):
    sizes = {name: round(size * 1e9) for name, size in gigabytes.items()}
    return program._layers(sizes)


def test_an_image_serves_the_official_weights_that_are_in_it(bake, search, tmp_path, repository):
    with hub({SCHNELL: repository}) as server:
        assert bake(server.url, "schnell")[0] == ""
    found, log = search()
    assert found == str(snapshot(tmp_path, SCHNELL))
    assert f"Weights of {SCHNELL} found (image)" in log


@pytest.mark.parametrize(
    ("takes_guidance", "settings", "model"),
    [(True, {}, "dev"), (False, {}, "schnell"), (False, {"BAKE_MODEL": "krea-dev"}, "krea-dev")],
)
def test_an_image_serves_the_fine_tune_that_is_in_it(
    bake, search, tmp_path, repository, takes_guidance, settings, model
):
    config = repository / "transformer/config.json"
    content = json.loads(config.read_text())
    config.write_text(json.dumps({**content, "guidance_embeds": takes_guidance}))
    with hub({"somebody/tuned": repository}) as server:
        assert bake(server.url, "somebody/tuned", **settings)[0] == ""
    read = Settings.from_environment(tmp_path / "baked")
    assert (read.flux_model, read.model_path) == (model, f"somebody/tuned@{COMMIT}")
    assert search()[0] == str(snapshot(tmp_path, "somebody/tuned"))


def test_an_image_serves_a_fine_tune_that_edits_as_kontext(bake, tmp_path, repository):
    index = repository / "model_index.json"
    index.write_text(index.read_text().replace("FluxPipeline", "FluxKontextPipeline"))
    with hub({"somebody/tuned": repository}) as server:
        assert bake(server.url, "somebody/tuned")[0] == ""
    read = Settings.from_environment(tmp_path / "baked")
    assert (read.flux_model, read.model_path) == ("kontext", f"somebody/tuned@{COMMIT}")


def test_a_model_that_is_none_is_refused(bake):
    reason, _ = bake("http://127.0.0.1:9", "somebody/tuned", BAKE_MODEL="sdxl")
    assert reason == "BAKE_MODEL must be one of dev, schnell, krea-dev, kontext."


def test_a_gated_repository_names_the_secret_by_what_is_wrong_with_it(bake, tmp_path, repository):
    secret = tmp_path / "secret"
    with hub({DEV: repository}, gated={DEV: "hf_good"}) as server:
        reason, _ = bake(server.url, "dev")
        assert reason == (
            f"{DEV} is gated and the build was given no secret of the id hf_token: accept the "
            f"licence on {server.url}/{DEV}, then build with --secret id=hf_token,src=FILE, where "
            "FILE holds a read token of that account."
        )
        secret.write_text("\n")
        assert "is gated and the secret hf_token is empty: accept" in bake(server.url, "dev")[0]
        secret.write_text("hf_other")
        reason, log = bake(server.url, "dev")
        assert "its licence isn't accepted by the account of the secret hf_token" in reason
        assert "hf_other" not in reason + log
        secret.write_text("hf_good\r\n", "utf-8-sig")
        assert bake(server.url, "dev")[0] == ""
    assert not [
        each
        for each in (tmp_path / "baked").rglob("*")
        if each.is_file() and b"hf_good" in each.read_bytes()
    ]


def test_what_is_no_flux_model_is_refused(bake, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text("{}")
    with hub({"somebody/llm": other}) as server:
        reason, _ = bake(server.url, "somebody/llm")
    assert reason == (
        "somebody/llm isn't a FLUX model in diffusers' format with safetensors: "
        "model_index.json is missing."
    )


def test_a_file_that_the_repository_lacks_ends_the_build(bake, repository):
    (repository / "vae/diffusion_pytorch_model.safetensors").unlink()
    with hub({DEV: repository}) as server:
        reason, _ = bake(server.url, "dev")
    assert reason.endswith("vae/diffusion_pytorch_model.safetensors is missing.")


def test_a_builder_whose_disk_is_too_small_is_told_before_the_download(bake, repository):
    with hub({DEV: repository}) as server:
        server.sizes = {"vae/diffusion_pytorch_model.safetensors": 10**18}
        reason, _ = bake(server.url, "dev")
    assert reason.endswith("GB free: give the builder a larger disk.")


def test_without_network_the_build_says_so(bake):
    reason, _ = bake("http://127.0.0.1:9", "dev")
    assert reason.endswith("give the build a network, or set HF_ENDPOINT to a mirror it reaches.")


CLOSURE = """
import sys
# What an image's other layers bring: a bake must not wait for them.
for name in ("numpy", "pydantic", "pydantic_settings", "safetensors", "torch"):
    sys.modules[name] = None
import builder.bake.__main__
print(*(module.__file__ for module in sys.modules.values() if getattr(module, "__file__", None)))
"""


def closure():
    """The project's files that a bake imports.

    Not the package's first one, whose version changes with each release: without it, the package
    is a namespace.
    """
    command = [sys.executable, "-c", CLOSURE]
    imported = subprocess.check_output(command, cwd=ROOT, text=True).split()
    return {
        str(Path(file).relative_to(ROOT))
        for file in imported
        if Path(file).is_relative_to(ROOT) and ".venv" not in file
    } - {"src/flux_worker/__init__.py"}


def test_a_bake_needs_no_settings_and_no_prices():
    """A change of what it imports bakes 34 GB again."""
    assert len(closure()) <= 20
    assert not {name for name in closure() if "settings" in name or "pricing" in name}


def copied_into(stage):
    """The project's files that a stage of the Dockerfile takes, but for lists of packages."""
    lines = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    inside, found = False, set()
    for line in lines:
        word, *rest = line.split() or [""]
        if word == "FROM":
            inside = rest[1:] == ["AS", stage]
        elif inside and word == "COPY":
            for source in map(ROOT.joinpath, rest[:-1]):
                found |= {source} if source.suffix == ".py" else set(source.glob("*.py"))
    return {str(file.relative_to(ROOT)) for file in found}


def test_the_dockerfile_copies_what_a_bake_imports_and_nothing_else():
    """One file more, and each change of it bakes 34 GB again; one less, and none are baked."""
    assert copied_into("tools") == closure()
