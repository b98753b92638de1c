"""The values that a request's parameters may have, each as a type that checks and normalises.

Limits are the served model's, which the validation's context holds. Every violation ends as a
sentence in the form of the public endpoint's: `width must be between 256 and 1536 (got 2000)`.
Booleans and numeric strings are no numbers, whatever Python thinks of them.
"""

import json
import re
import secrets
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationInfo
from pydantic_core import PydanticCustomError

from flux_worker.contract import formats
from flux_worker.contract.catalog import Bounds, ServedModel

MAX_PROMPT_CHARACTERS = 10_000
DRAWN_SEEDS = 2**32
HALF_PAIR = re.compile("[\ud800-\udfff]")
"""Of surrogates, which JSON can hold and no encoding of text can write."""
NO_UNICODE = "must be valid Unicode (got half a surrogate pair)"


def context(model: ServedModel) -> dict[str, Any]:
    """Return the context in which the types here check values."""
    return {"model": model}


def shown(value: object) -> str:
    """Write a value as the caller wrote it, in JSON, short enough for an error message."""
    try:
        text = json.dumps(value, default=repr)
    except (ValueError, RecursionError):  # integers of thousands of digits, endless nesting
        return f"an unprintable {type(value).__name__}"
    return text if len(text) <= 40 else text[:37] + "..."


def fault(rule: str, value: object) -> PydanticCustomError:
    """Return a violation of the rule, which is the end of a sentence, by the value."""
    return PydanticCustomError("rule", "{rule} (got {got})", {"rule": rule, "got": shown(value)})


def _bounds(info: ValidationInfo) -> Bounds[int] | Bounds[float]:
    model: ServedModel = (info.context or {})["model"]
    bounds: Bounds[int] | Bounds[float] = getattr(model.parameters, info.field_name or "")
    return bounds


def _integer(value: object, info: ValidationInfo) -> int:
    low, high = _bounds(info).low, _bounds(info).high
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise fault(f"must be an integer between {low} and {high}", value)
    if not low <= value <= high:
        raise fault(f"must be between {low} and {high}", value)
    return value


def number(value: object, bounds: Bounds[int] | Bounds[float]) -> float:
    """Return a number within the bounds, as a float; any other value is a violation."""
    low, high = bounds.low, bounds.high
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise fault(f"must be a number between {low} and {high}", value)
    if not low <= value <= high:  # NaN fails it too
        raise fault(f"must be between {low} and {high}", value)
    return float(value)


def _number(value: object, info: ValidationInfo) -> float:
    return number(value, _bounds(info))


def _optional_number(value: object, info: ValidationInfo) -> float | None:
    model: ServedModel = (info.context or {})["model"]
    if getattr(model.parameters, info.field_name or "") is not None:
        return _number(value, info)
    if value is not None:
        raise PydanticCustomError(
            "rule", "is no parameter of {title}: leave it out", {"title": model.title}
        )
    return None


def draw_seed() -> int:
    """Choose one of the seeds that are drawn."""
    return secrets.randbelow(DRAWN_SEEDS)


def _seed(value: object, info: ValidationInfo) -> int:
    seed = _integer(value, info)
    return draw_seed() if seed == _bounds(info).default else seed


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise fault("must be a string", value)
    if len(value) > MAX_PROMPT_CHARACTERS:
        raise fault(f"must be at most {MAX_PROMPT_CHARACTERS} characters", len(value))
    if HALF_PAIR.search(value):
        raise PydanticCustomError("rule", NO_UNICODE)
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


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise fault("must be true or false", value)
    return value


def _image_format(value: object) -> str:
    if found := formats.named(value):
        return found.name
    raise fault(f"must be {' or '.join(map(json.dumps, formats.FORMATS))}", value)


Prompt = Annotated[str, BeforeValidator(_prompt), Field(repr=False)]
NegativePrompt = Annotated[str | None, BeforeValidator(_negative_prompt), Field(repr=False)]
Integer = Annotated[int, BeforeValidator(_integer)]
"""A whole number within the served model's bounds for the parameter of the field's name."""
Number = Annotated[float, BeforeValidator(_number)]
"""A number within them."""
OptionalNumber = Annotated[float | None, BeforeValidator(_optional_number)]
"""A number within them; None where the served model has no such parameter."""
Seed = Annotated[int, BeforeValidator(_seed)]
"""The seed that is used: one is drawn where the caller left it open."""
ImageFormat = Annotated[str, BeforeValidator(_image_format)]
"""A name out of `formats.FORMATS`."""
Flag = Annotated[bool, BeforeValidator(_flag)]
