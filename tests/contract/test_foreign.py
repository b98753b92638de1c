"""What clients of other image APIs send: honoured, refused, or without effect."""

import pytest

from flux_worker.contract.catalog import DEV
from flux_worker.contract.request import ImageRequest
from flux_worker.errors import InvalidRequest


def parse(**given):
    return ImageRequest.parse({"prompt": "a fox", "seed": 1, **given}, DEV)


@pytest.mark.parametrize(
    ("key", "value", "name"),
    [
        ("steps", 9, "num_inference_steps"),
        ("num_steps", 9, "num_inference_steps"),
        ("guidance_scale", 3, "guidance"),
        ("output_format", "png", "image_format"),
    ],
)
def test_other_names_are_honoured(key, value, name):
    request, unread = parse(**{key: value})
    assert getattr(request, name) == value
    assert unread == []


@pytest.mark.parametrize(
    ("key", "value", "instead"),
    [
        ("num_outputs", 4, "send one request for each image"),
        ("num_images", 2, "send one request for each image"),
        ("num_images_per_prompt", 2, "send one request for each image"),
        ("n", 2, "send one request for each image"),
        ("batch_size", 8, "send one request for each image"),
        ("prompts", ["a", "b"], "send one request for each prompt"),
        ("prompt_2", "a dog", "one prompt goes to both text encoders"),
        ("negative_prompt_2", "a dog", "one prompt goes to both text encoders"),
        ("image", "https://example.com/x.png", "images are made from text alone"),
        ("image_url", "https://example.com/x.png", "images are made from text alone"),
        ("init_image", "data:image/png;base64,AA", "images are made from text alone"),
        ("input_image", "x", "images are made from text alone"),
        ("imageUrls", ["x"], "images are made from text alone"),
        ("mask_image", "x", "images are made from text alone"),
        ("mask", "x", "images are made from text alone"),
        ("control_image", "x", "images are made from text alone"),
        ("controlnet_conditioning", 1, "images are made from text alone"),
        ("ip_adapter_image", "x", "images are made from text alone"),
        ("lora", "a/b", "send loras"),
        ("lora_weights", "x", "send loras"),
        ("lora_scale", 0.8, "send loras"),
        ("hf_lora", "x/y", "send loras"),
        ("adapters", ["a/b"], "send loras"),
        ("cfg_scale", 7, "send guidance, or true_cfg_scale"),
        ("scheduler", "DDIM", "the model's own scheduler is used"),
        ("megapixels", "0.25", "send width and height, or aspect_ratio"),
        ("prompt_upsampling", True, "the prompt is used as it is"),
        ("upscale", 2, "images are delivered as the model makes them"),
        ("s3Config", {"accessId": "x"}, "send s3Config beside input"),
        ("bucketName", "x", "send s3Config beside input"),
        ("webhook", "https://example.com/x", "send webhook beside input"),
        ("parameters", {"width": 512}, "send each parameter by itself"),
        ("override_settings", {"CLIP_stop_at_last_layers": 2}, "send each parameter by itself"),
        ("image_base64", "x", "images are made from text alone"),
        ("image_prompt_url", "x", "images are made from text alone"),
        ("input_image_2", "x", "images are made from text alone"),
        ("reference_images", ["x"], "images are made from text alone"),
        ("image_loras", [{"path": "x"}], "send loras"),
        ("finetune_id", "x", "merge it into weights"),
        ("text_prompts", [{"text": "a"}], "send one request for each prompt"),
        ("negative", "a dog", "send negative_prompt"),
        ("distilled_cfg_scale", 3.5, "send guidance, or true_cfg_scale"),
        ("max_shift", 1.5, "the model's own scheduler is used"),
        ("resolution", "512x512", "send width and height, or aspect_ratio"),
        ("image_width", 512, "send width and height, or aspect_ratio"),
        ("w", 512, "send width and height, or aspect_ratio"),
        ("inference_steps", 9, "send num_inference_steps"),
        ("random_seed", 0.5, "send seed"),
        ("format", "png", "send image_format"),
        ("enhance_prompt", True, "the prompt is used as it is"),
        ("style_preset", "anime", "describe the style in the prompt"),
        ("background", "transparent", "images are delivered as the model makes them"),
        ("restore_faces", True, "images are delivered as the model makes them"),
    ],
)
def test_what_would_change_the_picture_the_bill_or_the_bucket_is_refused(key, value, instead):
    with pytest.raises(InvalidRequest) as refusal:
        parse(**{key: value})
    assert str(refusal.value).startswith(f"Invalid parameter: {key} is not supported: ")
    assert instead in str(refusal.value)
    assert "example.com" not in str(refusal.value)


@pytest.mark.parametrize(
    "key", ["numOutputs", "NumOutputs", "num-outputs", "NUM_OUTPUTS", "numoutputs", "num.outputs"]
)
def test_the_spelling_of_another_apis_key_is_its_clients_own(key):
    with pytest.raises(InvalidRequest, match=f"{key} is not supported: send one request for each"):
        parse(**{key: 4})


@pytest.mark.parametrize("key", ["img" + "1" * 10**5 + "x", "img" * 10**5, "image" + "url" * 10**5])
def test_a_long_key_is_judged_at_once(key):
    parse(**{key: ""})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("num_outputs", 1),
        ("n", 1.0),
        ("loras", []),
        ("image", ""),
        ("mask_image", None),
        ("prompt_2", "a fox"),
        ("prompt_2", " "),
        ("scheduler", "FlowMatchEulerDiscreteScheduler"),
        ("megapixels", "1"),
        ("prompt_upsampling", False),
        ("upscale", 1),
        ("s3Config", {}),
        ("strength", 0.8),
        ("save_images", True),
        ("image_prompt_strength", 0.1),
        ("format", "jpeg"),
        ("random_seed", -1),
        ("background", "auto"),
        ("style", "none"),
        ("response_format", "b64_json"),
        ("webhook", ""),
        ("enable_safety_checker", True),
        ("output_quality", 80),
        ("go_fast", True),
    ],
)
def test_what_asks_for_nothing_else_changes_nothing(key, value):
    request, _ = parse(**{key: value})
    assert request == parse()[0]


def test_several_are_refused_in_one_sentence_with_everything_else_that_is_wrong():
    with pytest.raises(InvalidRequest) as refusal:
        parse(width=1, num_outputs=2, image="x")
    assert [fault.partition(" ")[0] for fault in refusal.value.faults] == [
        *("width", "num_outputs", "image"),
    ]
