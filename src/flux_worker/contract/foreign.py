"""Keys of other image APIs, sent by clients that were written for those.

What would change the picture or the bill is honoured under its own name, or refused with what to
send instead; all else is ignored.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

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
    advice: str
    is_default: Callable[[object], bool] = lambda value: not value
    """Whether a value asks for nothing else than what is done anyway."""


def _keys(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


UNSUPPORTED = (
    Unsupported(
        _keys(r"n|num_(outputs|images|images_per_prompt|samples)|batch_size|samples"),
        "send one request for each image",
        lambda value: value == 1 and not isinstance(value, bool),
    ),
    Unsupported(_keys(r"prompts"), "send one request for each prompt"),
    Unsupported(
        _keys(r"(negative_)?prompt_?2"),
        "one prompt goes to both text encoders",
        lambda value: not (isinstance(value, str) and value.strip()),
    ),
    Unsupported(
        _keys(
            r"((init|input|control|reference|source|start)_?)?(image|img)(s|_?urls?|_?prompt|_?b64)?"
            r"|(image_)?mask(_?(image|url))?|image_(input|data)|control_?net.*|control_(mode|type)"
            r"|ip_?adapter.*"
        ),
        "images are made from text alone",
    ),
    Unsupported(
        _keys(r"(extra_|hf_)?loras?(_(weights|urls?|paths?|names?))?"),
        "to use an adapter, merge it into weights and serve these by MODEL_PATH",
    ),
    Unsupported(
        _keys(r"cfg(_scale)?"),
        "send guidance, or true_cfg_scale with a negative_prompt",
    ),
    Unsupported(
        _keys(r"(sampler|scheduler)(_(name|type|index))?"),
        "the model's own scheduler is used, flow-matching Euler",
        lambda value: not value or (isinstance(value, str) and "euler" in value.lower()),
    ),
    Unsupported(
        _keys(r"megapixels"),
        "send width and height, or aspect_ratio",
        lambda value: str(value) == "1",
    ),
    Unsupported(_keys(r"s3_?config"), "send s3Config beside input, not inside it"),
    Unsupported(_keys(r"prompt_upsampling|raw"), "the prompt is used as it is"),
    Unsupported(
        _keys(r"upscale(_factor|r)?|hires_fix|enable_hr|refiner"),
        "images are delivered as the model makes them",
        lambda value: not value or (value == 1 and not isinstance(value, bool)),
    ),
)


def refusal(key: str, value: object, given: Mapping[str, object]) -> str | None:
    """Say why a key of another API can't be honoured, or None where it asks for nothing more.

    Args:
        key: as it was sent.
        value: of that key.
        given: the whole input: repeating a prompt under another name asks for nothing more.
    """
    for kind in UNSUPPORTED:
        if kind.keys.fullmatch(key):
            repeats = value in (given.get("prompt"), given.get("negative_prompt"))
            asks_nothing = repeats or kind.is_default(value)
            return None if asks_nothing else f"{key} is not supported: {kind.advice}"
    return None


def is_known(key: str) -> bool:
    """Whether a key belongs to another API, however near it is to a parameter's name."""
    return key in HARMLESS or any(kind.keys.fullmatch(key) for kind in UNSUPPORTED)
