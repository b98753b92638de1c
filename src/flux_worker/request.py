"""A job's `input`, checked against the served model's documented limits.

What is checked and what is forgiven follows what real clients send: null stands for the default,
some send an empty negative prompt, other names for a key, or keys of other models.
"""

import json
import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo
from pydantic_core import PydanticCustomError

from flux_worker import spelling
from flux_worker.catalog import ServedModel
from flux_worker.errors import InvalidRequest

MAX_PROMPT_CHARACTERS = 10_000
MIN_SIDE, MAX_SIDE, DEFAULT_SIDE = 256, 1536, 1024
MAX_GUIDANCE, DEFAULT_GUIDANCE = 10.0, 7.5
MAX_SEED = 2**63 - 1
RANDOM_SEED = -1
DRAWN_SEEDS = 2**32
DEFAULT_TRUE_CFG_SCALE = 2.0
"""Between the 1.5 of diffusers' first FLUX example with negative prompts (huggingface/diffusers
pull request 9445) and the 4.0 that PuLID-FLUX uses: steers clearly, oversaturates little."""

ALIASES = {"output_format": "image_format", "guidance_scale": "guidance"}
HARMLESS = frozenset(
    # Sent along by clients of other models and by the AI SDK, near a documented name or not.
    "prompt_2 prompt2 negative_prompt_2 negative_prompt2 enable_safety_checker "
    "maxPollAttempts pollIntervalMillis num_images num_images_per_prompt n aspect_ratio "
    "scheduler strength lora loras image images".split()
)


def _fault(rule: str, value: object) -> PydanticCustomError:
    return PydanticCustomError("rule", "{rule} (got {got})", {"rule": rule, "got": _shown(value)})


def _shown(value: object) -> str:
    """Write a value as the caller wrote it, in JSON, short enough for an error message."""
    try:
        text = json.dumps(value, default=repr)
    except (ValueError, RecursionError):  # integers of thousands of digits, endless nesting
        return f"an unprintable {type(value).__name__}"
    return text if len(text) <= 40 else text[:37] + "..."


def _whole(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) else None


def _integer(low: int, high: int) -> Callable[[object], int]:
    def check(value: object) -> int:
        number = _whole(value)
        if number is None:
            raise _fault(f"must be an integer between {low} and {high}", value)
        if not low <= number <= high:
            raise _fault(f"must be between {low} and {high}", value)
        return number

    return check


def _number(low: float, high: float) -> Callable[[object], float]:
    def check(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _fault(f"must be a number between {low} and {high}", value)
        if not low <= value <= high:  # NaN fails it too
            raise _fault(f"must be between {low} and {high}", value)
        return float(value)

    return check


def _steps(value: object, info: ValidationInfo) -> int:
    return _integer(1, _model(info).max_steps)(value)


def _model(info: ValidationInfo) -> ServedModel:
    assert info.context is not None
    model: ServedModel = info.context["model"]
    return model


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise _fault("must be a string", value)
    if len(value) > MAX_PROMPT_CHARACTERS:
        raise PydanticCustomError(
            "rule",
            "must be at most {limit} characters (got {got})",
            {"limit": MAX_PROMPT_CHARACTERS, "got": len(value)},
        )
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise PydanticCustomError("rule", "must be valid Unicode (got half a surrogate pair)")
    return value


def _prompt(value: object) -> str:
    text = _text(value)
    if not text.strip():
        raise PydanticCustomError("rule", "must not be blank")
    return text


def _negative_prompt(value: object) -> str | None:
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    return _text(value)


def _seed(value: object) -> int:
    seed = _integer(RANDOM_SEED, MAX_SEED)(value)
    return secrets.randbelow(DRAWN_SEEDS) if seed == RANDOM_SEED else seed


def _image_format(value: object) -> str:
    name = value.lower() if isinstance(value, str) else value
    if name not in ("jpeg", "jpg", "png"):
        raise _fault('must be "jpeg" or "png"', value)
    return "png" if name == "png" else "jpeg"


Side = Annotated[int, BeforeValidator(_integer(MIN_SIDE, MAX_SIDE))]


class ImageRequest(BaseModel):
    """One image to make, within the documented limits, every default filled in.

    The seed is the one that is used, drawn here when the caller left it open.
    """

    model_config = ConfigDict(frozen=True, validate_default=True)

    prompt: Annotated[str, BeforeValidator(_prompt), Field(repr=False)]
    negative_prompt: Annotated[str | None, BeforeValidator(_negative_prompt), Field(repr=False)] = (
        None
    )
    true_cfg_scale: Annotated[float, BeforeValidator(_number(1.0, 10.0))] = DEFAULT_TRUE_CFG_SCALE
    width: Side = DEFAULT_SIDE
    height: Side = DEFAULT_SIDE
    num_inference_steps: Annotated[int, BeforeValidator(_steps)]
    guidance: Annotated[float, BeforeValidator(_number(0.0, MAX_GUIDANCE))] = DEFAULT_GUIDANCE
    seed: Annotated[int, BeforeValidator(_seed)] = RANDOM_SEED
    image_format: Annotated[Literal["jpeg", "png"], BeforeValidator(_image_format)] = "jpeg"

    @classmethod
    def parse(cls, job_input: object, model: ServedModel) -> tuple[Self, list[str]]:
        """Check a job's `input` and name the keys in it that nobody reads.

        Raises:
            InvalidRequest: one sentence that lists every violation.
        """
        if not isinstance(job_input, Mapping):
            got = _shown(job_input)
            raise InvalidRequest(
                f"Invalid parameter: input must be an object with a prompt (got {got})"
            )
        given = {str(key): value for key, value in job_input.items() if value is not None}
        faults, unread = _judge_unknown_keys(given)
        sent_as: dict[str, str] = {}
        for alias, name in ALIASES.items():
            if alias in given and name not in given:
                given[name], sent_as[name] = given[alias], alias
        faults += _expand_size(given)
        given.setdefault("num_inference_steps", model.default_steps)
        try:
            request = cls.model_validate(given, context={"model": model})
        except ValidationError as error:
            faults = [*_sentences(error, sent_as), *faults]
        if faults:
            raise InvalidRequest("Invalid parameter: " + "; ".join(faults))
        return request, unread


def _sentences(error: ValidationError, sent_as: Mapping[str, str]) -> Iterable[str]:
    for fault in error.errors(include_url=False, include_input=False):
        name = str(fault["loc"][0])
        rule = "is required" if fault["type"] == "missing" else fault["msg"]
        yield f"{sent_as.get(name, name)} {rule}"


def _judge_unknown_keys(given: Mapping[str, object]) -> tuple[list[str], list[str]]:
    names = [*ImageRequest.model_fields, *ALIASES]
    faults, unread = [], []
    for key in given:
        if key in names or key == "size":
            continue
        meant = None if key in HARMLESS else spelling.meant(key, names)
        if meant:
            faults.append(f"'{key[:40]}' is not a parameter; did you mean '{meant}'?")
        else:
            unread.append(key[:40])
    return faults, unread


def _expand_size(given: dict[str, Any]) -> list[str]:
    """Turn `size: "W*H"` into the sides that are not given themselves."""
    if "size" not in given or ("width" in given and "height" in given):
        return []
    size = given["size"]
    sides = size.lower().replace("x", "*").split("*") if isinstance(size, str) else []
    if len(sides) != 2 or not all(s.strip().isascii() and s.strip().isdigit() for s in sides):
        return [f'size must be "width*height", such as "1024*768" (got {_shown(size)})']
    width, height = (int(side.strip()[:9]) for side in sides)
    given.setdefault("width", width)
    given.setdefault("height", height)
    return []
