"""What trainers write beside the numbers."""

import json
import math

import pytest

from flux_worker.adapters import trainers
from flux_worker.adapters.trainers import Scales


@pytest.mark.parametrize(
    ("name", "module", "factor"),
    [
        ("a.b.lora_A.weight", "a.b", "down"),
        ("a.b.lora_B.weight", "a.b", "up"),
        ("a.b.lora_A.default.weight", "a.b", "down"),
        ("a.b.lora_B.my-adapter_0.weight", "a.b", "up"),
        ("a_b.lora_down.weight", "a_b", "down"),
        ("a_b.lora_up.weight", "a_b", "up"),
        ("a.lora.down.weight", "a", "down"),
        ("a.lora_linear_layer.up.weight", "a", "up"),
        ("x.processor.qkv_lora1.down.weight", "x.processor.qkv_lora1", "down"),
        ("a_b.alpha", "a_b", "alpha"),
        ("a.lokr_w1", "a", "lokr_w1"),
        ("a.lokr_w2_b", "a", "lokr_w2_b"),
        ("a.dora_scale", "a", "dora_scale"),
        ("a.lora_magnitude_vector.weight", "a", "lora_magnitude_vector.weight"),
        ("a.lora_B.bias", "a", "lora_B.bias"),
        ("a.hada_w1_a", "a", "hada_w1_a"),
        ("a.diff_b", "a", "diff_b"),
        ("a.norm_q.weight", "a.norm_q.weight", ""),
        ("img_norm.query_norm.scale", "img_norm.query_norm.scale", ""),
        (f"{'a.lora_' * 100_000}.lora_A.weight", f"{'a.lora_' * 100_000}.lora_A.weight", ""),
    ],
)
def test_a_tensors_name_says_what_it_is(name, module, factor):
    assert trainers.split(name) == (module, factor)


def test_without_an_alpha_nothing_is_scaled():
    assert Scales().of("x", 4, None) == 1
    assert Scales().of("x", 4, 2.0) == 0.5


def test_diffusers_metadata_has_the_alphas():
    config = {
        "transformer.lora_alpha": 8,
        "transformer.r": 4,
        "transformer.alpha_pattern": {"attn.to_q": 2},
        "text_encoder.lora_alpha": 1,
    }
    scales = trainers.scales({"lora_adapter_metadata": json.dumps(config)}, "transformer")
    assert scales.of("transformer_blocks.0.attn.to_k", 4, None) == 2
    assert scales.of("transformer_blocks.0.attn.to_q", 4, None) == 0.5
    assert scales.of("transformer_blocks.0.xattn.to_q", 4, None) == 2
    assert scales.of("transformer_blocks.0.attn.to_q", 4, 4.0) == 1
    of_clip = trainers.scales({"lora_adapter_metadata": json.dumps(config)}, "text_encoder")
    assert of_clip.of("encoder.layers.0.self_attn.q_proj", 4, None) == 0.25
    assert trainers.scales({}, "transformer").of("x", 4, None) == 1


def test_rank_stabilised_ones_are_divided_by_the_root():
    config = {"transformer.lora_alpha": 8, "transformer.use_rslora": True}
    scales = trainers.scales({"lora_adapter_metadata": json.dumps(config)}, "transformer")
    assert scales.of("x", 4, None) == 8 / math.sqrt(4)


@pytest.mark.parametrize(
    "config",
    [
        '{"transformer.alpha_pattern": {"(a+)+$": 1}}',
        '{"transformer.alpha_pattern": {"a": NaN}}',
        '{"transformer.alpha_pattern": [1]}',
        '{"transformer.lora_alpha": "x"}',
        '{"transformer.r": 0}',
        '{"transformer.lora_alpha": 1e999}',
        '{"transformer.lora_alpha": 1%s}' % ("0" * 400),
        "[" * 100_000,
        "3",
        "[",
    ],
    ids=lambda config: config[:40],
)
def test_what_cant_be_followed_is_no_metadata(config):
    with pytest.raises(ValueError):  # noqa: PT011
        trainers.scales({"lora_adapter_metadata": config}, "transformer")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({}, ()),
        ({"modelspec.trigger_phrase": " a moon "}, ("a moon",)),
        ({"trigger_word": "moon", "trigger_words": "moon"}, ("moon",)),
        ({"ss_tag_frequency": '{"1_moon": {"moon": 1}}'}, ("moon",)),
        ({"ss_tag_frequency": '{"10_x": {"a girl at night": 3, "a boy": 2}}'}, ()),
        ({"ss_tag_frequency": "[1]"}, ()),
        ({"ss_tag_frequency": "{"}, ()),
        ({"trigger_word": "x" * 101}, ()),
        ({"trigger_word": "a\nb"}, ()),
    ],
)
def test_trigger_words_are_told(said, words):
    assert trainers.triggers(said) == words
