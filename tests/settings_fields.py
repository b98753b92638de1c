"""What a setting may be, read from its declaration."""

from typing import Literal, get_args, get_origin

from annotated_types import Ge, Le

from flux_worker.contract.catalog import MODELS
from flux_worker.settings import Settings


def choices(name):
    """The words that a setting may be, or nothing where it isn't a choice of words."""
    kind = Settings.model_fields[name].annotation
    if name == "flux_model":
        return tuple(MODELS)
    return get_args(kind) if get_origin(kind) is Literal else ()


def limits(name):
    """The least and the most that a number may be, or None where it has no limits."""
    rules = {type(rule): rule for rule in Settings.model_fields[name].metadata}
    return (rules[Ge].ge, rules[Le].le) if {Ge, Le} <= set(rules) else None
