"""What the small files tell of weights; `test_fit.py` has what is refused by them."""

import json
import shutil

import pytest
from conftest import DEMO

from flux_worker.contract.catalog import DEV, KONTEXT, SCHNELL
from flux_worker.errors import CannotStart
from flux_worker.weights import kind


@pytest.fixture
def weights(tmp_path):
    return shutil.copytree(DEMO, tmp_path / "w")


@pytest.mark.parametrize("content", ["", "[]", "null", "{", "[" * 10**5])
def test_a_config_that_says_nothing_is_no_reason_to_refuse(weights, content):
    (weights / "transformer/config.json").write_text(content)
    kind.refuse_others(weights, "w", DEV)


@pytest.mark.parametrize(
    ("takes_guidance", "model"), [(True, DEV), (False, SCHNELL), (None, SCHNELL)]
)
def test_a_fine_tune_is_told_by_whether_it_takes_guidance(weights, takes_guidance, model):
    file = weights / "transformer/config.json"
    config = {**json.loads(file.read_text()), "guidance_embeds": takes_guidance}
    if takes_guidance is None:
        del config["guidance_embeds"]
    file.write_text(json.dumps(config))
    assert kind.likely(weights) is model


@pytest.mark.parametrize("takes_guidance", [True, False])
def test_a_fine_tune_that_edits_is_kontext(weights, takes_guidance):
    for name, changed in (
        ("model_index.json", {"_class_name": "FluxKontextPipeline"}),
        ("transformer/config.json", {"guidance_embeds": takes_guidance}),
    ):
        content = json.loads((weights / name).read_text())
        (weights / name).write_text(json.dumps(content | changed))
    assert kind.likely(weights) is KONTEXT
    kind.refuse_others(weights, "w", KONTEXT)


def test_text_to_image_and_editing_have_each_their_own_weights(weights):
    with pytest.raises(
        CannotStart, match=r"FLUX\.1-Kontext-dev needs those for FluxKontextPipeline"
    ):
        kind.refuse_others(weights, "w", KONTEXT)
    index = weights / "model_index.json"
    index.write_text(index.read_text().replace("FluxPipeline", "FluxKontextPipeline"))
    with pytest.raises(
        CannotStart, match=r"holds weights for FluxKontextPipeline, and FLUX\.1-dev"
    ):
        kind.refuse_others(weights, "w", DEV)
