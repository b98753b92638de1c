"""What is said of weights that aren't those of the components that they are for."""

import shutil

import pytest
import torch
from conftest import DEMO
from safetensors.torch import load_file, save_file

from flux_worker.engine import pipeline
from flux_worker.errors import CannotStart
from flux_worker.settings import Settings
from flux_worker.weights import loading
from flux_worker.weights.checkpoint import Checkpoint
from flux_worker.weights.components import TIED
from flux_worker.weights.layout import WEIGHTS

pytestmark = pytest.mark.real

CPU = torch.device("cpu")


def without(tensors, name):
    del tensors[name]


def under_another_name(tensors, name):
    tensors[f"model.{name}"] = tensors.pop(name)


def in_another_shape(tensors, name):
    tensors[name] = tensors[name][:-1].contiguous()


@pytest.mark.parametrize("component", WEIGHTS)
@pytest.mark.parametrize("change", [without, under_another_name, in_another_shape])
def test_a_tensor_that_is_not_the_components_stops_the_start(tmp_path, component, change):
    """The libraries make up at random what is missing of CLIP, and images follow no prompt then."""
    folder = shutil.copytree(DEMO, tmp_path / "w")
    (file,) = (folder / component).glob("*.safetensors")
    tensors = load_file(file)
    name = max(name for name in tensors if name.endswith("weight"))
    change(tensors, name)
    save_file(tensors, file)
    with pytest.raises(CannotStart, match="can't be loaded as a FLUX pipeline: ") as refusal:
        pipeline.load(Settings(model_path=str(folder), allow_cpu=True))
    assert name.removeprefix("text_model.") in str(refusal.value)


def test_t5s_embedding_may_be_stored_under_both_of_its_names(tmp_path):
    folder = shutil.copytree(DEMO, tmp_path / "w")
    (file,) = (folder / "text_encoder_2").glob("*.safetensors")
    embedding = load_file(file)["shared.weight"]
    save_file({**load_file(file), TIED: embedding.clone()}, file)
    t5 = loading.load(Checkpoint.read(folder), CPU, torch.bfloat16).text_encoder_2
    assert torch.equal(t5.get_input_embeddings().weight, embedding)
