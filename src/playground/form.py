"""What is typed on the page, held against the worker's own contract."""

import re
from collections.abc import Mapping, Sequence
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
    """Read the form.

    Args:
        typed: what is in each of `FIELDS`, None or blank where nothing is; of loras, the rows. One
            without a path isn't sent, and faults name the rows by where they stand.
        model: whose limits hold.
    """
    filled, rows = {}, typed.get("loras")
    if isinstance(rows, list):
        filled = {number: row for number, row in enumerate(rows) if not _is_blank(row)}
        typed = {**typed, "loras": list(filled.values()) or None}
    given = {name: read for name in FIELDS if (read := _read(name, typed.get(name))) is not None}
    try:
        request, _ = ImageRequest.parse(given, model)
    except InvalidRequest as error:
        return Checked(None, {_field(fault, list(filled)): fault for fault in error.faults}, given)
    same = request.model_dump(mode="json", include=given.keys() - {"seed"})
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
