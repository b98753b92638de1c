"""Which of a served model's tasks a request is for: the pictures in it tell."""

from collections.abc import Mapping

from flux_worker.contract.catalog import PICTURES, ServedModel, Task

NAMES = ("image", "mask_image")
"""The parameters that are pictures."""


def is_no_picture(key: str, value: object) -> bool:
    """Whether this is a picture's parameter that some clients send without one."""
    return key in NAMES and not (value.strip() if isinstance(value, str) else value)


def taken(model: ServedModel) -> frozenset[str]:
    """Return the pictures that the model's tasks begin with, by their parameters."""
    return frozenset[str]().union(*(PICTURES[task] for task in model.tasks))


def choose(given: Mapping[str, object], model: ServedModel) -> tuple[Task, list[str]]:
    """Return the task that begins with just these pictures, and what is wrong where none does."""
    pictures = {name for name in NAMES if name in given}
    for task in model.tasks:
        if PICTURES[task] == pictures:
            return task, []
    faults = [
        f"{name} is no parameter of {model.title}"
        for name in NAMES
        if name in pictures - taken(model)
    ]
    if "image" not in pictures:
        faults.append(
            "mask_image needs image, the picture of which it says what is painted anew"
            if "mask_image" in taken(model) & pictures
            else "image is required"
        )
    return model.tasks[0], faults
