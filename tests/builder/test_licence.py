"""What goes with weights that are handed on."""

import shutil

import pytest
from conftest import DEMO
from hub_server import hub

DEV = "black-forest-labs/FLUX.1-dev"
NOTICE = (
    "The FLUX.1 [dev] Model is licensed by Black Forest Labs. Inc. under the FLUX.1 [dev] "
    "Non-Commercial License. Copyright Black Forest Labs. Inc.\nIN NO EVENT SHALL BLACK FOREST"
)


@pytest.fixture
def baked(bake, tmp_path):
    """Bake a repository with these files besides; return its folder in the image, and the log."""

    def run(name, **files):
        repository = shutil.copytree(DEMO, tmp_path / "repository")
        for file, text in files.items():
            (repository / file.replace("_", ".")).write_text(text)
        with hub({name: repository}) as server:
            reason, log = bake(server.url, name, "rest")
        assert reason == ""
        (folder,) = (tmp_path / "baked").glob("models--*/snapshots/*")
        return folder, log

    return run


@pytest.mark.real
def test_the_licence_and_the_notice_go_with_dev(baked):
    folder, log = baked(DEV, LICENSE_md="The licence.", README_md="The card.")
    assert (folder / "LICENSE.md").read_text() == "The licence."
    assert (folder / "README.md").read_text() == "The card."
    notice = (folder / "NOTICE").read_text()
    assert notice.startswith(NOTICE)
    assert "granted to you by Black Forest Labs under that licence" in notice
    assert "modified" not in notice
    assert "licence file" not in log


@pytest.mark.real
def test_what_was_made_from_dev_is_said_to_be_changed(baked):
    folder, log = baked("somebody/tuned")
    notice = (folder / "NOTICE").read_text()
    assert notice.startswith(NOTICE)
    assert "https://huggingface.co/somebody/tuned, a modified version of it." in notice
    assert "somebody/tuned has no licence file." in log
    assert "FLUX.1 [dev] Non-Commercial License" in log


@pytest.mark.real
def test_a_notice_that_the_repository_brings_is_kept(baked):
    folder, _ = baked(DEV, NOTICE_txt="Its own.", LICENSE="The licence.")
    assert not (folder / "NOTICE").exists()
    assert (folder / "NOTICE.txt").read_text() == "Its own."


@pytest.mark.real
def test_schnells_licence_asks_for_no_notice(baked):
    folder, log = baked("black-forest-labs/FLUX.1-schnell", license_txt="Apache")
    assert (folder / "license.txt").exists()
    assert not (folder / "NOTICE").exists()
    assert "licence file" not in log
