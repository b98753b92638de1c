"""The values that a request's parameters may have, each as a type that checks and normalises.

Every violation ends as a sentence in the form of the public endpoint's: `width must be between 256
and 1536 (got 2000)`. Booleans and numeric strings are no numbers, whatever Python thinks of them.
"""

import json
import secrets
from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, ValidationInfo
from pydantic_core import PydanticCustomError

from flux_worker.catalog import ServedModel

MAX_PROMPT_CHARACTERS = 10_000
MAX_SEED = 2**63 - 1
RANDOM_SEED = -1
DRAWN_SEEDS = 2**32


def shown(value: object) -> str:
    """Write a value as the caller wrote it, in JSON, short enough for an error message."""
    try:
        text = json.dumps(value, default=repr)
    except (ValueError, RecursionError):  # integers of thousands of digits, endless nesting
        return f"an unprintable {type(value).__name__}"
    return text if len(text) <= 40 else text[:37] + "..."


def _fault(rule: str, value: object) -> PydanticCustomError:
    return PydanticCustomError("rule", "{rule} (got {got})", {"rule": rule, "got": shown(value)})


def _integer(low: int, high: int) -> Callable[[object], int]:
    def check(value: object) -> int:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise _fault(f"must be an integer between {low} and {high}", value)
        if not low <= value <= high:
            raise _fault(f"must be between {low} and {high}", value)
        return value

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
    assert info.context is not None
    model: ServedModel = info.context["model"]
    return _integer(1, model.max_steps)(value)


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


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise _fault("must be true or false", value)
    return value


def _image_format(value: object) -> str:
    name = value.lower() if isinstance(value, str) else value
    if name not in ("jpeg", "jpg", "png"):
        raise _fault('must be "jpeg" or "png"', value)
    return "png" if name == "png" else "jpeg"


Prompt = Annotated[str, BeforeValidator(_prompt), Field(repr=False)]
NegativePrompt = Annotated[str | None, BeforeValidator(_negative_prompt), Field(repr=False)]
Side = Annotated[int, BeforeValidator(_integer(256, 1536))]
Steps = Annotated[int, BeforeValidator(_steps)]
Guidance = Annotated[float, BeforeValidator(_number(0.0, 10.0))]
TrueCfgScale = Annotated[float, BeforeValidator(_number(1.0, 10.0))]
Seed = Annotated[int, BeforeValidator(_seed)]
"""The seed that is used: one is drawn where the caller left it open."""
ImageFormat = Annotated[Literal["jpeg", "png"], BeforeValidator(_image_format)]
Flag = Annotated[bool, BeforeValidator(_flag)]
