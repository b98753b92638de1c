"""Which of a served model's tasks a request is for: the pictures in it tell."""

from collections.abc import Mapping

from flux_worker.contract.catalog import PICTURES, ServedModel, Task

NAMES = ("image", "mask_image")
"""The parameters that are pictures."""


def is_no_picture(key: str, value: object) -> bool:
    """Whether this is a picture's parameter that some clients send without one."""
    return key in NAMES and isinstance(value, str) and not value.strip()


def choose(given: Mapping[str, object], model: ServedModel) -> tuple[Task, list[str]]:
    """Return the task that begins with just these pictures, and what is wrong where none does."""
    pictures = {name for name in NAMES if name in given}
    for task in model.tasks:
        if PICTURES[task] == pictures:
            return task, []
    first = model.tasks[0]
    taken = frozenset[str]().union(*(PICTURES[task] for task in model.tasks))
    faults = [
        f"{name} is no parameter of {model.title}" for name in NAMES if name in pictures - taken
    ]
    if "image" not in pictures:
        faults.append(
            "mask_image needs image, the picture of which it says what is painted anew"
            if "mask_image" in taken & pictures
            else "image is required"
        )
    return first, faults
