"""What clients of other image APIs send: honoured, refused, or without effect."""

import pytest

from flux_worker.contract.catalog import DEV, KONTEXT
from flux_worker.contract.request import ImageRequest
from flux_worker.errors import InvalidRequest

FOX = "https://example.com/fox.png"
REFERENCE = "send image, which FLUX.1-Kontext-dev edits"
ALONE = "the model runs alone, without ControlNet, IP-Adapter or Redux"


def parse(model=DEV, **given):
    return ImageRequest.parse({"prompt": "a fox", "seed": 1, **given}, model)


def faults_of(model=DEV, **given):
    with pytest.raises(InvalidRequest) as refusal:
        parse(model, **given)
    return list(refusal.value.faults)


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
        ("image_url", FOX, "send image"),
        ("init_image", "data:image/png;base64,AA", "send image"),
        ("input_image", "x", "send image"),
        ("seedImage", FOX, "send image"),
        ("image_path", "fox.png", "send image"),
        ("image_1", FOX, "send image"),
        ("photo", FOX, "send image"),
        ("images", [FOX], "send image, a single picture"),
        ("imageUrls", ["x"], "send image, a single picture"),
        ("init_images", ["x"], "send image, a single picture"),
        ("files", ["x"], "send image, a single picture"),
        ("mask", "x", "send mask_image, white where the picture is painted anew"),
        ("mask_url", FOX, "send mask_image, white"),
        ("mask_image_url", FOX, "send mask_image, white"),
        ("inpaint_mask", "x", "send mask_image, white"),
        ("control_image", "x", ALONE),
        ("controlnet_conditioning", 1, ALONE),
        ("ip_adapter_image", "x", ALONE),
        ("redux_image", "x", ALONE),
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
        ("image_base64", "x", "send image"),
        ("image_prompt_url", "x", REFERENCE),
        ("input_image_2", "x", "send image, a single picture"),
        ("reference_images", ["x"], REFERENCE),
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
        ("style_image", FOX, "describe the style in the prompt"),
        ("inputs", {"prompt": "x"}, "send each parameter by itself, directly in input"),
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
        ("prompt_strength", 0.8),
        ("denoising_strength", 0.75),
        ("mask_blur", 4),
        ("image", []),
        ("images", []),
        ("save_images", True),
        ("save_image_path", "fox.png"),
        ("return_base64", True),
        ("num_images", 1),
        ("inputs", "a fox"),
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
    faults = faults_of(width=1, num_outputs=2, image_url="x", prompt_strength=0.5)
    assert [fault.partition(" ")[0] for fault in faults] == [
        *("width", "num_outputs", "image_url", "prompt_strength"),
    ]


@pytest.mark.parametrize(
    "key",
    ["prompt_strength", "denoising_strength", "denoise", "img2imgStrength", "inpainting_strength"],
)
@pytest.mark.parametrize("value", [0, 0.5, 1, "0.5"])
def test_with_a_picture_its_strength_must_go_by_its_name(key, value):
    assert faults_of(image=FOX, **{key: value}) == [f"{key} is not supported: send strength"]


@pytest.mark.parametrize("key", ["image_strength", "init_strength", "image_prompt_strength"])
def test_a_strength_that_says_how_much_is_kept_is_not_taken_for_the_other(key):
    (fault,) = faults_of(image=FOX, **{key: 0.3})
    assert "send strength, which counts the other way: 0 keeps all of the picture" in fault


@pytest.mark.parametrize("key", ["mask_blur", "padding_mask_crop", "invert_mask", "maskPadding"])
def test_with_a_picture_what_would_change_its_mask_is_refused(key):
    (fault,) = faults_of(image=FOX, mask_image=FOX, **{key: 8})
    assert fault == f"{key} is not supported: mask_image is used as it is: white is painted anew"


@pytest.mark.parametrize(
    ("key", "value", "missing"),
    [
        ("mask", FOX, "mask_image"),
        ("mask_blur", 4, "mask_image"),
        ("denoising_strength", 0.5, "strength"),
        ("image_strength", 0.5, "strength"),
    ],
)
def test_no_model_is_said_to_have_what_it_has_not(key, value, missing):
    assert faults_of(KONTEXT, image=FOX, **{key: value}) == [
        f"{key} is not supported: FLUX.1-Kontext-dev has no {missing}"
    ]


def test_kontext_says_where_its_picture_goes():
    assert "input_image is not supported: send image" in faults_of(KONTEXT, input_image=FOX)
    assert faults_of(KONTEXT, image=FOX, images=[FOX]) == [
        "images is not supported: send image, a single picture"
    ]


def test_a_picture_under_a_second_name_asks_for_nothing_more():
    assert parse(image=FOX, image_url=FOX)[0] == parse(image=FOX)[0]
    assert faults_of(image=FOX, image_url=FOX + "?other")


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        *(("imge", "image"), ("Image", "image"), ("IMAGE", "image"), ("imaeg", "image")),
        *(("maskImage", "mask_image"), ("mask-image", "mask_image"), ("mask_imgae", "mask_image")),
        *(("strenght", "strength"), ("Strength", "strength")),
    ],
)
def test_a_misspelt_picture_is_no_other_apis(key, meant):
    assert faults_of(**{key: FOX}) == [f"'{key}' is not a parameter; did you mean '{meant}'?"]
