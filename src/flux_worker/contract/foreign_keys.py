"""The keys of other image APIs that ask for what isn't done here, and what to send instead."""

import re
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Unsupported:
    """Keys that ask for what isn't done here."""

    keys: re.Pattern[str]
    """Of their bare names."""
    advice: str
    is_default: Callable[[object], bool] = lambda value: not value
    """Whether a value asks for nothing else than what is done anyway."""
    parameter: str | None = None
    """The one in the advice that means the same, where not every model has it or the value is a
    picture."""
    of_picture: bool = False
    """Whether it says what becomes of a picture, and so nothing where there is none."""


def keys(pattern: str) -> re.Pattern[str]:
    """Match names in any capitals and with any separators, as spelt here with underscores."""
    return re.compile(pattern.replace("_", ""))


def _asks_nothing(*same: str) -> Callable[[object], bool]:
    """Judge values of which these words, too, ask for nothing else than what is done anyway."""
    return lambda value: not value or (isinstance(value, str) and value.strip().lower() in same)


def _is_one(value: object) -> bool:
    return value == 1 and not isinstance(value, bool)


def _is_no_picture(value: object) -> bool:
    # `save_images`, say, or `image_to_image` says yes or no, or how many.
    return not value or value == 1


def _is_no_strength(value: object) -> bool:
    return isinstance(value, bool) or value in ("", [], {})


FILE = r"(_(url|uri|path|file|b64|base64|bytes|data|input)s?)*"
"""What else stands in the name of a picture that is a file or its address."""
PICTURE = r"(image|img|photo|picture)"
OURS = r"(?!(mask_)?image$|(output|out|save|return|result|upload|preview)_)"
"""Not: the parameters in other capitals, and what says where the made image goes."""

UNSUPPORTED = (
    Unsupported(
        keys(
            r"n|n_iter|num|count|samples|max_images|batch_(size|count)"
            r"|(n|num|number|number_of)_(outputs?|images?|samples?|results?|batch(es)?|variations?)"
            r"(_per_prompt)?|(image|sample|candidate|output)_count"
        ),
        "send one request for each image",
        _is_one,
    ),
    Unsupported(keys(r"(text_)?prompts"), "send one request for each prompt"),
    Unsupported(
        keys(r"(negative_)?prompt_[2-9]"),
        "one prompt goes to both text encoders",
        lambda value: not (isinstance(value, str) and value.strip()),
    ),
    Unsupported(keys(r"neg(ative)?(_text)?|neg_prompt"), "send negative_prompt"),
    Unsupported(
        keys(
            r"control_(nets?.*|loras?.*|mode|type|(images?|img).*)"
            r"|(.*_)?(canny|depth|pose|scribble)_(image|img|map|control).*"
            r"|ip_adapters?.*|easy_controls?|redux.*|pulid.*"
            rf"|(face|id)_(image|img|photo)s?{FILE}"
        ),
        "the model runs alone, without ControlNet, IP-Adapter or Redux",
        lambda value: not value or value is True,
    ),
    Unsupported(
        keys(
            r"(image|img)_((prompt|reference)_)?(strength|weight|influence|fidelity)"
            r"|(init|initial|source|input|reference)_((image|img)_)?(strength|weight)"
        ),
        "send strength, which counts the other way: 0 keeps all of the picture, 1 nothing",
        _is_no_strength,
        parameter="strength",
        of_picture=True,
    ),
    Unsupported(
        keys(
            r"(prompt|img2img|image_to_image|i2i|inpaint(ing)?|transformation|variation|denoise"
            r"|denoising)_strength|denois(e|ing)"
        ),
        "send strength",
        _is_no_strength,
        parameter="strength",
        of_picture=True,
    ),
    Unsupported(
        keys(
            r"(mask|inpaint(ing)?)_(blur|padding|crop|margin|dilat(e|ion)|expand|expansion|grow"
            r"|feather(ing)?|invert(ed)?|mask_invert|fill|content|full_res(_padding)?|area)"
            r"|(invert|inverse|blur|feather|grow|dilate|expand)_mask|padding_mask_crop"
        ),
        "mask_image is used as it is: white is painted anew",
        parameter="mask_image",
        of_picture=True,
    ),
    Unsupported(
        keys(rf"(?!mask_image$)(.*_)?masks?_((image|img)s?|prompt)?{FILE}"),
        "send mask_image, white where the picture is painted anew",
        _is_no_picture,
        parameter="mask_image",
    ),
    Unsupported(
        keys(rf"style_(image|img|reference|ref)s?{FILE}"),
        "describe the style in the prompt",
        _is_no_picture,
    ),
    Unsupported(
        keys(rf"(image|img)_(prompt|reference)s?{FILE}|(.*_)?ref(erence)?s?_{PICTURE}s?{FILE}"),
        "send image, which FLUX.1-Kontext-dev edits and the other models begin with",
        _is_no_picture,
        parameter="image",
    ),
    Unsupported(
        keys(rf"{OURS}(.*_)?{PICTURE}(s|_list|_urls|_files|_paths|[2-9]|1\d){FILE}|files"),
        "send image, a single picture",
        _is_no_picture,
        parameter="image",
    ),
    Unsupported(
        keys(rf"{OURS}(.*_)?{PICTURE}{FILE}[01]?|base64_{PICTURE}"),
        "send image",
        _is_no_picture,
        parameter="image",
    ),
    Unsupported(
        keys(
            r"(.*_)?loras?(_(weights|urls?|paths?|names?|ids?|strengths?|scales?))?"
            r"|adapters?(_(ids?|names?|weights?|scales?))?"
        ),
        'send loras, such as [{"path": "owner/name", "scale": 1.0}]',
    ),
    Unsupported(
        keys(r"embeddings|textual_inversions?|fine_tune(_id)?"),
        "merge it into weights and serve these by MODEL_PATH",
    ),
    Unsupported(
        keys(r"cfg|true_cfg|((distilled|real)_)?cfg_scale"),
        "send guidance, or true_cfg_scale with a negative_prompt",
    ),
    Unsupported(
        keys(r"(sampler|scheduler)(_(name|type|index))?|sigmas|timesteps|(base_|max_)?shift"),
        "the model's own scheduler is used, flow-matching Euler",
        lambda value: not value or (isinstance(value, str) and "euler" in value.lower()),
    ),
    Unsupported(
        keys(r"((n|num)_)?(sample|sampling|diffusion)_steps|inference_steps"),
        "send num_inference_steps",
    ),
    Unsupported(
        keys(r"(random|noise|manual|fixed)_seed|seed_value|subseed(_strength)?"),
        "send seed",
        lambda value: not value or value == -1,
    ),
    Unsupported(
        keys(
            r"megapixels|resolution|dimensions?|ratio|aspect|orientation|w|h"
            r"|(image|img|output|target|max)_(width|height)"
        ),
        "send width and height, or aspect_ratio",
        lambda value: not value or str(value) == "1",
    ),
    Unsupported(
        keys(r"format|file_(format|type|extension)|((output|response|image)_)?mime_type"),
        "send image_format",
        _asks_nothing("jpeg", "jpg", "image/jpeg"),
    ),
    Unsupported(
        keys(r"s3.*|bucket(_name)?|endpoint_url|access_(id|secret)|upload_(url|endpoint)"),
        "send s3Config beside input, not inside it",
    ),
    Unsupported(keys(r"webhook(_url)?"), "send webhook beside input, not inside it"),
    Unsupported(
        keys(
            r"inputs?|parameters|params|options|((image|generation)_)?config|extra_body|workflow"
            r"|override_settings|alwayson_scripts"
        ),
        "send each parameter by itself, directly in input",
    ),
    Unsupported(
        keys(
            r"(enable_)?prompt_(upsampling|expansion|extend|enhance(r|ment)?|optimi[sz]er)"
            r"|(enhance|expand|upsample|extend|magic)_prompt(_option)?|raw"
        ),
        "the prompt is used as it is",
        _asks_nothing("off", "none"),
    ),
    Unsupported(
        keys(r"styles?(_(preset|type|id|name))?"),
        "describe the style in the prompt",
        _asks_nothing("none", "auto", "default"),
    ),
    Unsupported(
        keys(
            r"upscaler?(_(factor|by))?|hires_fix|enable_hr|refiner?|tiling|restore_faces"
            r"|face_(restore|fix|enhance)|(remove_)?background|transparent(_(bg|background))?"
        ),
        "images are delivered as the model makes them",
        lambda value: _is_one(value) or _asks_nothing("auto", "opaque", "none")(value),
    ),
)
