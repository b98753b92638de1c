"""What is typed on the page, held against the worker's own contract."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flux_worker.contract import sizes
from flux_worker.contract.catalog import ServedModel
from flux_worker.contract.request import ImageRequest
from flux_worker.errors import InvalidRequest

FIELDS = tuple(name for name in ImageRequest.model_fields if name != "preview")
"""The parameters that the page has a field for. Previews are always asked for."""
ASPECT_RATIOS = ("1:1", "4:3", "3:4", "16:9", "9:16")


@dataclass(frozen=True)
class Checked:
    """A form that was read: a request, or what is wrong with it."""

    request: ImageRequest | None
    faults: Mapping[str, str]
    """A sentence for each field that is wrong, in the worker's words."""
    given: Mapping[str, Any]
    """The parameters as they would be sent: no blank ones, the seed still open where it is."""


def check(typed: Mapping[str, Any], model: ServedModel) -> Checked:
    """Read the form: `typed` has what is in each of `FIELDS`, None or blank where nothing is."""
    given = {name: read for name in FIELDS if (read := _read(name, typed.get(name))) is not None}
    try:
        request, _ = ImageRequest.parse(given, model)
    except InvalidRequest as error:
        return Checked(None, {fault.partition(" ")[0]: fault for fault in error.faults}, given)
    same = {name: getattr(request, name) for name in given if name != "seed"}
    return Checked(request, {}, {**given, **same})


def differing(given: Mapping[str, Any], model: ServedModel) -> dict[str, Any]:
    """Return the parameters that aren't what they are by default anyway, in the page's order."""
    defaults = model.parameters.defaults()
    return {name: value for name, value in given.items() if value != defaults.get(name)}


def complete(given: Mapping[str, Any], model: ServedModel) -> dict[str, Any]:
    """Return all parameters, the defaults of those that aren't given included."""
    values = {**model.parameters.defaults(), **given}
    return {name: values[name] for name in FIELDS if name in values}


def sides(aspect_ratio: str, model: ServedModel) -> tuple[int, int]:
    """Return the width and height that the worker makes of an aspect ratio."""
    given: dict[str, Any] = {sizes.ASPECT_RATIO: aspect_ratio}
    sizes.expand(given, model)
    return given["width"], given["height"]


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
