"""The modulation of all steps at once gives what each step would compute for itself."""

import weakref

import pytest
import torch
from conftest import DEMO, counting_calls
from diffusers import FluxPipeline
from drawing import differ, draw
from torch import nn

from flux_worker.engine import modulation
from flux_worker.engine.plan import Plan
from flux_worker.weights.checkpoint import MODULATION

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def plain():
    return FluxPipeline.from_pretrained(DEMO, dtype=torch.float32)


def hoist(dtype=torch.float32, where="resident"):
    pipe = FluxPipeline.from_pretrained(DEMO, dtype=dtype)
    modulation.hoist(pipe, torch.device("cpu"), Plan("fp32", modulation=where))
    return pipe


@pytest.fixture(scope="module", params=["resident", "offloaded"])
def hoisted(request):
    return hoist(where=request.param)


@pytest.mark.parametrize(
    "given", [{}, {"negative_prompt": "blue"}, {"guidance": 1.0, "num_inference_steps": 3}]
)
def test_the_picture_is_the_same(plain, hoisted, given):
    assert differ(draw(hoisted, **given), draw(plain, **given)) < 0.01


def test_one_generation_after_the_other_has_its_own(plain, hoisted):
    for steps in (4, 4, 7):
        given = {"num_inference_steps": steps, "prompt": f"a blue star {steps}"}
        assert differ(draw(hoisted, **given), draw(plain, **given)) < 0.01


@pytest.mark.parametrize(("given", "products"), [({}, 1), ({"negative_prompt": "blue"}, 2)])
def test_all_steps_are_computed_at_once(hoisted, given, products):
    with counting_calls(hoisted.transformer.time_text_embed.embed) as calls:
        draw(hoisted, num_inference_steps=6, **given)
    assert len(calls) == products


def test_what_one_generation_needed_is_free_before_the_next_needs_its_own(hoisted):
    rows, living = [], []
    embed = hoisted.transformer.time_text_embed.embed

    def keep(_, __, row):
        living.append(sum(each() is not None for each in rows))
        rows.append(weakref.ref(row.untyped_storage()))

    hook = embed.register_forward_hook(keep)
    for _ in range(2):
        draw(hoisted, num_inference_steps=2, negative_prompt="blue")
    hook.remove()
    assert living == [0, 1, 0, 1]  # the prompt's beside the negative prompt's


def test_in_bfloat16_each_step_gets_the_time_that_the_pipeline_rounds():
    pipe = hoist(torch.bfloat16)
    conditioning, asked = pipe.transformer.time_text_embed, []
    conditioning.register_forward_pre_hook(lambda _, given: asked.append(given[0]))
    with counting_calls(conditioning.embed), torch.inference_mode():
        embedded = []
        conditioning.embed.register_forward_pre_hook(lambda _, given: embedded.append(given[0]))
        draw(pipe, num_inference_steps=7)
    assert torch.equal(torch.cat(asked), embedded[0])


def test_outside_a_pipelines_loop_the_time_that_is_given_counts(plain):
    pipe = hoist()
    given = {
        "hidden_states": torch.randn(1, 16, plain.transformer.config.in_channels),
        "encoder_hidden_states": torch.randn(1, 8, plain.transformer.config.joint_attention_dim),
        "pooled_projections": torch.randn(1, plain.transformer.config.pooled_projection_dim),
        "timestep": torch.tensor([0.3]),
        "guidance": torch.tensor([4.0]),
        "img_ids": torch.zeros(16, 3),
        "txt_ids": torch.zeros(8, 3),
    }
    with torch.inference_mode():
        one, other = (each.transformer(**given).sample for each in (plain, pipe))
    assert torch.allclose(one, other, atol=1e-5)


@pytest.mark.parametrize(("where", "moved"), [("resident", True), ("offloaded", False)])
def test_the_layers_move_with_the_transformer_unless_they_are_offloaded(where, moved):
    transformer = hoist(where=where).transformer
    layers = [name for name, each in transformer.named_modules() if isinstance(each, nn.Linear)]
    assert not [name for name in layers if "blocks" in name and MODULATION.search(name)]
    widths = [row.shape[1] for name, row in transformer.named_buffers() if name.endswith("row")]
    transformer.to(torch.float64)
    weights = [p for p in transformer.time_text_embed.parameters() if p.shape[0] in widths]
    assert bool(weights) == moved
