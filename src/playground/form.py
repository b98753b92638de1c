"""What is typed on the page, held against the worker's own contract."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flux_worker.contract import sizes, task_choice
from flux_worker.contract.catalog import ServedModel
from flux_worker.contract.request import ImageRequest
from flux_worker.errors import InvalidRequest

FIELDS = tuple(name for name in ImageRequest.model_fields if name != "preview")
"""The parameters that the page asks for. Previews are always asked for."""
Sides = tuple[int, int]
"""Width and height."""
ADVICE = {"image is required": "image is required: drop, paste or choose a picture"}
"""What is said here instead of some of the worker's words."""
ASPECT_RATIOS = ("1:1", "4:3", "3:4", "16:9", "9:16")


@dataclass(frozen=True)
class Checked:
    """A form that was read: a request, or what is wrong with it."""

    request: ImageRequest | None
    """With its size, which its picture may have decided."""
    faults: Mapping[str, str]
    """A sentence for each field that is wrong, in the worker's words."""
    given: Mapping[str, Any]
    """The parameters as they would be sent: no blank ones, the seed still open where it is."""


def check(typed: Mapping[str, Any], model: ServedModel, picture: Sides | None = None) -> Checked:
    """Read the form. What the model has no parameter for isn't sent.

    Args:
        typed: what is in each of `FIELDS`, None or blank where nothing is; of loras, the rows. One
            without a path isn't sent, and faults name the rows by where they stand.
        model: whose limits hold.
        picture: the width and height of the one that is the image, if there is one.
    """
    filled, rows = {}, typed.get("loras")
    if isinstance(rows, list):
        filled = {number: row for number, row in enumerate(rows) if not _is_blank(row)}
        typed = {**typed, "loras": list(filled.values()) or None}
    given = {name: read for name in FIELDS if (read := _read(name, typed.get(name))) is not None}
    unused = _unused(given, model)
    given = {name: value for name, value in given.items() if name not in unused}
    try:
        request, _ = ImageRequest.parse(given, model)
        request = request.sized_by(*picture, model) if picture else request
    except InvalidRequest as error:
        faults = [ADVICE.get(fault, fault) for fault in error.faults]
        return Checked(None, {_field(fault, list(filled)): fault for fault in faults}, given)
    same = request.model_dump(mode="json", include=given.keys() - {"seed"})
    return Checked(request, {}, {**given, **same})


def differing(given: Mapping[str, Any], model: ServedModel) -> dict[str, Any]:
    """Return the parameters that aren't what they are by default anyway, in the page's order."""
    usual = defaults(given, model)
    return {name: value for name, value in given.items() if value != usual.get(name)}


def complete(given: Mapping[str, Any], model: ServedModel) -> dict[str, Any]:
    """Return all parameters, the defaults of those that aren't given included."""
    values = {**defaults(given, model), **given}
    return {name: values[name] for name in FIELDS if name in values}


def size(given: Mapping[str, Any], model: ServedModel, picture: Sides | None) -> Sides | str:
    """Return the width and height that will be delivered, or what is wrong, to be told."""
    if picture and model.parameters.strength is not None:
        chosen = {side: given[side] for side in sizes.SIDES if side in given}
        if len(chosen) < len(sizes.SIDES):
            return sizes.of_picture(picture, chosen, model)
    values = {**model.parameters.defaults(), **given}
    return values["width"], values["height"]


def sides(aspect_ratio: str, model: ServedModel) -> tuple[int, int]:
    """Return the width and height that the worker makes of an aspect ratio."""
    given: dict[str, Any] = {sizes.ASPECT_RATIO: aspect_ratio}
    sizes.expand(given, model)
    return given["width"], given["height"]


def takes_mask(model: ServedModel) -> bool:
    """Whether the model paints a part of a picture anew."""
    return "mask_image" in task_choice.taken(model)


def _unused(given: Mapping[str, Any], model: ServedModel) -> set[str]:
    """Return the parameters that mean nothing to the model, or nothing without a picture."""
    unused = set(task_choice.NAMES) - task_choice.taken(model)
    if "image" not in given or model.parameters.strength is None:
        unused.add("strength")
    return unused


def defaults(given: Mapping[str, Any], model: ServedModel) -> dict[str, Any]:
    """Return what is used where nothing is given. A picture's size is no default."""
    begins_with_picture = "image" in given and model.parameters.strength is not None
    unused = _unused(given, model) | (set(sizes.SIDES) if begins_with_picture else set())
    return {k: v for k, v in model.parameters.defaults().items() if k not in unused}


def _is_blank(row: object) -> bool:
    return isinstance(row, Mapping) and _read("path", row.get("path")) is None


def _field(fault: str, rows: Sequence[int]) -> str:
    """Return the field that a sentence begins with; `rows` says which row an entry was in."""
    name = fault.partition(" ")[0]
    return re.sub(r"(?<=^loras\[)\d+", lambda entry: str(rows[int(entry[0])]), name)


def _read(name: str, typed: object) -> Any:
    """Read a field; what can't be read stays as it is, for the contract to refuse."""
    if isinstance(typed, str) and name not in ("prompt", "negative_prompt"):
        # Seeds are typed as text: a browser's numbers are exact up to 2**53 only.
        typed = typed.strip()
        if re.fullmatch(r"[+-]?[0-9]{1,30}", typed):
            return int(typed)
    if isinstance(typed, float) and typed.is_integer():
        return int(typed)
    return None if typed == "" else typed
