"""What a folder must hold to be the served model in diffusers' format."""

import json
from pathlib import Path

from flux_worker.contract.catalog import ServedModel
from flux_worker.errors import CannotStart
from flux_worker.weights.checkpoint import COMPONENTS, INDEX, pipeline_class

TOKENIZERS = {
    "tokenizer": ("tokenizer.json", "vocab.json"),
    "tokenizer_2": ("tokenizer.json", "spiece.model"),
}
"""Either file holds the vocabulary; without one, transformers makes up an empty tokenizer."""
FILES = [
    INDEX,
    "scheduler/*",
    "tokenizer/*",
    "tokenizer_2/*",
    *(f"{component}/*.{kind}" for component in COMPONENTS for kind in ("json", "safetensors")),
]
"""FLUX's repositories hold the transformer and the VAE a second time, in single files of 24 GB."""


def missing(folder: Path) -> str | None:
    """Name the first file that a folder lacks to be FLUX in diffusers' format, or None."""
    for name in (INDEX, "scheduler/scheduler_config.json"):
        if not (folder / name).is_file():
            return name
    if pipeline_class(folder) is None:
        return f"a readable {INDEX}"
    for tokenizer, vocabularies in TOKENIZERS.items():
        if not any((folder / tokenizer / name).is_file() for name in vocabularies):
            return f"{tokenizer}/{vocabularies[0]}"
    for component in COMPONENTS:
        if not (folder / component / "config.json").is_file():
            return f"{component}/config.json"
        if lacking := _missing_weights(folder / component):
            return f"{component}/{lacking}"
    return None


def _missing_weights(component: Path) -> str | None:
    shards: set[str] = set()
    for index in sorted(component.glob("*.safetensors.index.json")):
        try:
            shards.update(json.loads(index.read_text())["weight_map"].values())
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return index.name
    present = {file.name for file in component.glob("*.safetensors") if file.stat().st_size}
    if lacking := sorted(shards - present):
        return lacking[0]
    return None if present else "*.safetensors"


def require_class(folder: Path, wanted: str, model: ServedModel) -> None:
    """Make sure that a folder's index, if it has one, names the served model's kind of pipeline.

    Raises:
        CannotStart: it names another.
    """
    found = pipeline_class(folder)
    if found not in (None, model.pipeline_class):
        raise CannotStart(
            f"{wanted} holds weights for {found}, and {model.title} needs those for "
            f"{model.pipeline_class}: set FLUX_MODEL and MODEL_PATH so that they belong together."
        )
