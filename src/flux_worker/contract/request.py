"""A job's `input`, checked against the served model's documented limits.

What is checked and what is forgiven follows what real clients send: null stands for the default,
some send an empty negative prompt, other names for a key, or keys of other models.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from flux_worker.contract import spelling
from flux_worker.contract.catalog import ServedModel
from flux_worker.contract.values import (
    Flag,
    ImageFormat,
    Integer,
    NegativePrompt,
    Number,
    Prompt,
    Seed,
    context,
    shown,
)
from flux_worker.errors import InvalidRequest

MAX_KEYS = 100
"""Far more than any client sends; each unknown key costs a comparison with every known one."""
SIZE = "size"
"""Both sides in one, as other endpoints have it: `"768*512"`."""
ALIASES = {"output_format": "image_format", "guidance_scale": "guidance"}
HARMLESS = frozenset(
    # Sent along by clients of other models and by the AI SDK, near a documented name or not.
    "prompt_2 prompt2 negative_prompt_2 negative_prompt2 enable_safety_checker "
    "maxPollAttempts pollIntervalMillis".split()
)


class ImageRequest(BaseModel):
    """One image to make, within the documented limits, every default filled in.

    The seed is the one that is used, drawn here when the caller left it open.
    """

    model_config = ConfigDict(frozen=True)

    prompt: Prompt
    negative_prompt: NegativePrompt = None
    true_cfg_scale: Number
    width: Integer
    height: Integer
    num_inference_steps: Integer
    guidance: Number
    seed: Seed
    image_format: ImageFormat
    preview: Flag = False

    @classmethod
    def parse(cls, job_input: object, model: ServedModel) -> tuple[Self, list[str]]:
        """Check a job's `input` and name the keys in it that nobody reads.

        Raises:
            InvalidRequest: one sentence that lists every violation.
        """
        if not isinstance(job_input, Mapping):
            raise InvalidRequest(f"input must be an object with a prompt (got {shown(job_input)})")
        if len(job_input) > MAX_KEYS:
            raise InvalidRequest(f"input must have at most {MAX_KEYS} keys (got {len(job_input)})")
        given = {str(key): value for key, value in job_input.items() if value is not None}
        faults, unread = _judge_unknown_keys(given)
        sent_as: dict[str, str] = {}
        for alias, name in ALIASES.items():
            if alias in given and name not in given:
                given[name], sent_as[name] = given[alias], alias
        faults += _expand_size(given)
        try:
            request = cls.model_validate(
                {**model.parameters.defaults(), **given}, context=context(model)
            )
        except ValidationError as error:
            faults = [*_sentences(error, sent_as), *faults]
        if faults:
            raise InvalidRequest(*faults)
        return request, unread


def _sentences(error: ValidationError, sent_as: Mapping[str, str]) -> Iterable[str]:
    for fault in error.errors(include_url=False, include_input=False):
        name = str(fault["loc"][0])
        rule = "is required" if fault["type"] == "missing" else fault["msg"]
        yield f"{sent_as.get(name, name)} {rule}"


def _judge_unknown_keys(given: Mapping[str, object]) -> tuple[list[str], list[str]]:
    names = [*ImageRequest.model_fields, *ALIASES, SIZE]
    faults, unread = [], []
    for key in given:
        if key in names:
            continue
        meant = None if key in HARMLESS else spelling.meant(key, names)
        if meant:
            faults.append(f"'{shown(key)[1:-1]}' is not a parameter; did you mean '{meant}'?")
        else:
            unread.append(key)
    return faults, unread


def _expand_size(given: dict[str, Any]) -> list[str]:
    """Turn `size: "W*H"` into the sides that are not given themselves."""
    if SIZE not in given or ("width" in given and "height" in given):
        return []
    size = given[SIZE]
    sides = size.lower().replace("x", "*").split("*") if isinstance(size, str) else []
    if len(sides) != 2 or not all(re.fullmatch(r"\s*[0-9]{1,9}\s*", side) for side in sides):
        return [f'size must be "width*height", such as "1024*768" (got {shown(size)})']
    width, height = map(int, sides)
    given.setdefault("width", width)
    given.setdefault("height", height)
    return []
