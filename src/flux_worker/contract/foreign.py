"""Keys of other image APIs, sent by clients that were written for those.

What would change the picture or the bill is honoured under its own name, or refused with what to
send instead; all else is ignored.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from flux_worker.contract import spelling
from flux_worker.contract.values import shown

ALIASES = {
    "output_format": "image_format",
    "guidance_scale": "guidance",
    "steps": "num_inference_steps",
    "num_steps": "num_inference_steps",
}
"""Other names for a parameter, which wins where both are given."""
HARMLESS = frozenset(
    # Without effect on the picture, and near a parameter's name or not.
    "enable_safety_checker maxPollAttempts pollIntervalMillis strength prompt_strength".split()
)


@dataclass(frozen=True)
class Unsupported:
    """Keys that ask for what isn't done here."""

    keys: re.Pattern[str]
    """Of their bare names."""
    advice: str
    is_default: Callable[[object], bool] = lambda value: not value
    """Whether a value asks for nothing else than what is done anyway."""


def _keys(pattern: str) -> re.Pattern[str]:
    """Match names in any capitals and with any separators, as spelt here with underscores."""
    return re.compile(pattern.replace("_", ""))


def _asks_nothing(*same: str) -> Callable[[object], bool]:
    """Judge values of which these words, too, ask for nothing else than what is done anyway."""
    return lambda value: not value or (isinstance(value, str) and value.strip().lower() in same)


def _is_one(value: object) -> bool:
    return value == 1 and not isinstance(value, bool)


UNSUPPORTED = (
    Unsupported(
        _keys(
            r"n|n_iter|num|count|samples|max_images|batch_(size|count)"
            r"|(num|number|number_of)_(outputs?|images?|samples?|results?|batch(es)?|variations?)"
            r"(_per_prompt)?|(image|sample|candidate|output)_count"
        ),
        "send one request for each image",
        _is_one,
    ),
    Unsupported(_keys(r"(text_)?prompts"), "send one request for each prompt"),
    Unsupported(
        _keys(r"(negative_)?prompt_[2-9]"),
        "one prompt goes to both text encoders",
        lambda value: not (isinstance(value, str) and value.strip()),
    ),
    Unsupported(_keys(r"neg(ative)?(_text)?|neg_prompt"), "send negative_prompt"),
    Unsupported(
        _keys(
            r"(.*_)?(image|img)s?(_(urls?|prompt|b64|base64|data|input|\d))*|base64_image"
            r"|(image_)?mask(_(image|url))?|control_nets?.*|control_(mode|type)"
            r"|ip_adapters?.*|easy_controls?"
        ),
        "images are made from text alone",
        # What is `save_images`, say, or `image_to_image` says yes or no, and brings no picture.
        lambda value: not value or value is True,
    ),
    Unsupported(
        _keys(
            r"(.*_)?loras?(_(weights|urls?|paths?|names?|ids?|strengths?|scales?))?"
            r"|adapters?(_(ids?|names?|weights?|scales?))?"
        ),
        'send loras, such as [{"path": "owner/name", "scale": 1.0}]',
    ),
    Unsupported(
        _keys(r"embeddings|textual_inversions?|fine_tune(_id)?"),
        "merge it into weights and serve these by MODEL_PATH",
    ),
    Unsupported(
        _keys(r"cfg|true_cfg|((distilled|real)_)?cfg_scale"),
        "send guidance, or true_cfg_scale with a negative_prompt",
    ),
    Unsupported(
        _keys(r"(sampler|scheduler)(_(name|type|index))?|sigmas|timesteps|(base_|max_)?shift"),
        "the model's own scheduler is used, flow-matching Euler",
        lambda value: not value or (isinstance(value, str) and "euler" in value.lower()),
    ),
    Unsupported(
        _keys(r"((n|num)_)?(sample|sampling|diffusion)_steps|inference_steps"),
        "send num_inference_steps",
    ),
    Unsupported(
        _keys(r"(random|noise|manual|fixed)_seed|seed_value|subseed(_strength)?"),
        "send seed",
        lambda value: not value or value == -1,
    ),
    Unsupported(
        _keys(
            r"megapixels|resolution|dimensions?|ratio|aspect|orientation|w|h"
            r"|(image|img|output|target|max)_(width|height)"
        ),
        "send width and height, or aspect_ratio",
        lambda value: not value or str(value) == "1",
    ),
    Unsupported(
        _keys(r"format|file_(format|type|extension)|((output|response|image)_)?mime_type"),
        "send image_format",
        _asks_nothing("jpeg", "jpg", "image/jpeg"),
    ),
    Unsupported(
        _keys(r"s3.*|bucket(_name)?|endpoint_url|access_(id|secret)|upload_(url|endpoint)"),
        "send s3Config beside input, not inside it",
    ),
    Unsupported(_keys(r"webhook(_url)?"), "send webhook beside input, not inside it"),
    Unsupported(
        _keys(
            r"parameters|params|options|((image|generation)_)?config|extra_body|workflow"
            r"|override_settings|alwayson_scripts"
        ),
        "send each parameter by itself, directly in input",
    ),
    Unsupported(
        _keys(
            r"(enable_)?prompt_(upsampling|expansion|extend|enhance(r|ment)?|optimi[sz]er)"
            r"|(enhance|expand|upsample|extend|magic)_prompt(_option)?|raw"
        ),
        "the prompt is used as it is",
        _asks_nothing("off", "none"),
    ),
    Unsupported(
        _keys(r"styles?(_(preset|type|id|name))?"),
        "describe the style in the prompt",
        _asks_nothing("none", "auto", "default"),
    ),
    Unsupported(
        _keys(
            r"upscaler?(_(factor|by))?|hires_fix|enable_hr|refiner?|tiling|restore_faces"
            r"|face_(restore|fix|enhance)|(remove_)?background|transparent(_(bg|background))?"
        ),
        "images are delivered as the model makes them",
        lambda value: _is_one(value) or _asks_nothing("auto", "opaque", "none")(value),
    ),
)


def refusal(key: str, value: object, given: Mapping[str, object]) -> str | None:
    """Say why a key of another API can't be honoured, or None where it asks for nothing more.

    Args:
        key: as it was sent.
        value: of that key.
        given: the whole input: repeating a prompt under another name asks for nothing more.
    """
    kind = _kind(key)
    repeats = value in (given.get("prompt"), given.get("negative_prompt"))
    if kind is None or repeats or kind.is_default(value):
        return None
    return f"{shown(key)[1:-1]} is not supported: {kind.advice}"


def is_known(key: str) -> bool:
    """Whether a key belongs to another API, however near it is to a parameter's name."""
    return key in HARMLESS or _kind(key) is not None


def _kind(key: str) -> Unsupported | None:
    name = spelling.bare(key)
    return next((kind for kind in UNSUPPORTED if kind.keys.fullmatch(name)), None)
