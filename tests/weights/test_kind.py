"""What the small files tell of weights; `test_fit.py` has what is refused by them."""

import json
import shutil

import pytest
from conftest import DEMO

from flux_worker.contract.catalog import DEV, SCHNELL
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
