"""The ways to ask for a size without naming both sides."""

import math
import re
from collections.abc import Mapping
from typing import Any

from flux_worker.contract.catalog import ServedModel
from flux_worker.contract.values import shown

SIZE = "size"
IMAGE_SIZE = "image_size"
ASPECT_RATIO = "aspect_ratio"
KEYS = (SIZE, IMAGE_SIZE, ASPECT_RATIO)
SIDES = ("width", "height")

MULTIPLE = 16
"""FLUX's own: a side between two multiples would be generated larger and cropped."""
NAMED_SIZES = {
    "square": (512, 512),
    "square_hd": (1024, 1024),
    "portrait_4_3": (768, 1024),
    "portrait_16_9": (576, 1024),
    "landscape_4_3": (1024, 768),
    "landscape_16_9": (1024, 576),
}
"""https://docs.fal.ai, whose clients send these as `image_size`."""


def expand(given: dict[str, Any], model: ServedModel) -> list[str]:
    """Set the sides that aren't given themselves, from the first of `KEYS` that is given.

    Returns what is wrong with it, to be told.
    """
    if "width" in given and "height" in given:
        return []
    for key, read in ((SIZE, _size), (IMAGE_SIZE, _image_size)):
        if key in given:
            sides = read(given[key])
            if isinstance(sides, str):
                return [f"{key} {sides} (got {shown(given[key])})"]
            given.setdefault("width", sides[0])
            given.setdefault("height", sides[1])
            return []
    return _shape(given, model) if ASPECT_RATIO in given else []


def _size(value: object) -> tuple[int, int] | str:
    sides = value.lower().replace("x", "*").split("*") if isinstance(value, str) else []
    if len(sides) != 2 or not all(re.fullmatch(r"\s*[0-9]{1,9}\s*", side) for side in sides):
        return 'must be "width*height", such as "1024*768"'
    return int(sides[0]), int(sides[1])


def _image_size(value: object) -> tuple[Any, Any] | str:
    if isinstance(value, Mapping) and {"width", "height"} == set(value):
        return value["width"], value["height"]
    if isinstance(value, str) and value in NAMED_SIZES:
        return NAMED_SIZES[value]
    sides = _size(value)
    if isinstance(sides, str):
        return 'must be {"width": …, "height": …}, "1024*768" or one of ' + ", ".join(NAMED_SIZES)
    return sides


def _shape(given: dict[str, Any], model: ServedModel) -> list[str]:
    """Set the sides in this shape: as long as the one that is given allows, or of usual area."""
    value = given[ASPECT_RATIO]
    found = re.fullmatch(r"([1-9][0-9]{0,3}):([1-9][0-9]{0,3})", str(value))
    if found is None:
        return [f'{ASPECT_RATIO} must be "width:height", such as "16:9" (got {shown(value)})']
    parts = dict(zip(SIDES, map(int, found.groups()), strict=True))
    for name, part in parts.items():
        if isinstance(side := given.get(name), int | float):
            (other,) = parts.keys() - {name}
            given[other] = round(side * parts[other] / part)
            return []
    bounds = {name: getattr(model.parameters, name) for name in parts}
    area = math.prod(each.default for each in bounds.values())
    scale = math.sqrt(area / math.prod(parts.values()))
    scale = min(scale, *(bounds[name].high / part for name, part in parts.items()))
    for name, part in parts.items():
        given[name] = round(scale * part / MULTIPLE) * MULTIPLE
        if given[name] < bounds[name].low:
            return [f"{ASPECT_RATIO} makes the {name} too short (got {shown(value)})"]
    return []


def of_picture(
    picture: tuple[int, int], given: Mapping[str, int], model: ServedModel
) -> tuple[int, int] | str:
    """Return the sides of an image in the picture's shape: its own, as far as these are allowed.

    Args:
        picture: its width and height.
        given: the side that the caller has named, or none.
        model: whose limits count.

    Returns:
        Width and height; or what is wrong, to be told.
    """
    bounds = [getattr(model.parameters, side) for side in SIDES]
    if given:
        scale = next(given[side] / picture[SIDES.index(side)] for side in given)
    else:
        # Within the limits as it is, or as little away from it as they allow.
        least = max(each.low / side for each, side in zip(bounds, picture, strict=True))
        most = min(each.high / side for each, side in zip(bounds, picture, strict=True))
        scale = min(max(1.0, least), most)
    sides = [
        given.get(name, round(scale * side)) for name, side in zip(SIDES, picture, strict=True)
    ]
    for each, side in zip(bounds, sides, strict=True):
        if not each.low <= side <= each.high:
            shape = f"{picture[0]}x{picture[1]}"
            return (
                f"image is {shape}, and in that shape it would be made {sides[0]}x{sides[1]}: send "
                f"a width and a height between {each.low} and {each.high}, to which it is cropped"
            )
    return sides[0], sides[1]
