"""Weights that are put into the image: a layer a component, no token, and served by default."""

import gzip
import shutil
import subprocess
import tarfile

import pytest
from conftest import DEMO, SMALL
from hub_server import COMMIT, hub

pytestmark = [pytest.mark.image, pytest.mark.real]

SCHNELL = "black-forest-labs/FLUX.1-schnell"
TOKEN = "hf_planted_in_the_secret_alone"
SCHNELLS_PRICE = 0.0001572864
FOLDER = "/opt/flux-worker"
STAGE = ("--target=weights", "--network=host", "--no-cache")
"""Podman keeps what an instruction made whatever was mounted for it, and a port can be another
run's again."""


@pytest.fixture(scope="module")
def baked(image, tmp_path_factory):
    """The image's stage with weights in it, from a gated repository."""
    folder = tmp_path_factory.mktemp("baked")
    repository = shutil.copytree(DEMO, folder / "repository")
    (repository / "LICENSE.md").write_text("The licence.")
    secret = folder / "token.txt"
    secret.write_text(TOKEN)
    tag = f"{image.tag}:baked"
    with hub({SCHNELL: repository}, gated={SCHNELL: TOKEN}) as server:
        secrets = f"--secret=id=hf_token,src={secret}"
        image.build(tag, *STAGE, secrets, BAKE="schnell", HF_ENDPOINT=server.url)
    return tag


def test_each_component_is_a_layer(image, baked):
    told = image.engine.layers(baked)
    layers = {made_by.partition("builder.bake ")[2]: size for size, made_by in told}
    for component in ("vae", "text_encoder", "text_encoder_2", "transformer 1"):
        stored = sum(each.stat().st_size for each in (DEMO / component.split()[0]).glob("*.safe*"))
        assert layers[component] == pytest.approx(stored, rel=0.05, abs=20_000), component
    assert layers["transformer 2"] < 10_000


def test_the_token_is_in_no_layer(image, baked, tmp_path):
    saved = tmp_path / "saved.tar"
    subprocess.run([image.engine.name, "save", "--output", saved, baked], check=True)
    found = {"models--black-forest-labs--FLUX.1-schnell": False, TOKEN: False}
    with tarfile.open(saved) as archive:
        for member in archive:
            if member.isfile():
                data = archive.extractfile(member).read()
                data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
                found = {text: seen or text.encode() in data for text, seen in found.items()}
    assert found == {"models--black-forest-labs--FLUX.1-schnell": True, TOKEN: False}


def test_they_are_served_by_default_without_a_network_and_have_their_licence(
    image, baked, platform, start, tmp_path
):
    out = tmp_path / "out"
    out.mkdir()
    copy = ["cp", "-r", FOLDER, "/out"]
    subprocess.run(image.engine.run(baked, *copy, options=[f"--volume={out}:/out"]), check=True)
    (licence,) = out.rglob(f"snapshots/{COMMIT}/LICENSE.md")
    assert licence.read_text() == "The licence."
    job = platform("POST", "/run", {"input": SMALL})[1]["id"]
    mounted = f"--volume={out}/flux-worker:{FOLDER}:ro"
    with start(options=[mounted], MODEL_PATH="", FLUX_MODEL="", HF_HUB_OFFLINE="1") as container:
        container.wait_for("found (image)")
        assert platform.wait(job, "COMPLETED", "FAILED")["output"]["cost"] == SCHNELLS_PRICE


def test_a_misspelled_secret_is_said(image, tmp_path, capfd):
    (tmp_path / "token.txt").write_text(TOKEN)
    secrets = f"--secret=id=hf_tokne,src={tmp_path}/token.txt"
    with (
        hub({SCHNELL: DEMO}, gated={SCHNELL: TOKEN}) as server,
        pytest.raises(subprocess.CalledProcessError),
    ):
        image.build("never", *STAGE, secrets, BAKE="schnell", HF_ENDPOINT=server.url)
    said = capfd.readouterr()
    assert "was given no secret of the id hf_token" in said.out + said.err
