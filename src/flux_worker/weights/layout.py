"""Which files a folder in diffusers' format holds, and which of them are read.

Needs none of the large libraries, so that weights can be found while these are imported.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

INDEX = "model_index.json"
WEIGHTS = {
    "transformer": "diffusion_pytorch_model",
    "text_encoder": "model",
    "text_encoder_2": "model",
    "vae": "diffusion_pytorch_model",
}
"""The parts of FLUX that have weights, and what diffusers and transformers call the file of each.
Files with more in their names, such as `model.fp16.safetensors`, are the same in another
precision, and aren't read."""
LARGE = ("transformer", "text_encoder_2")
"""Nearly all of the bytes, in the order in which they are loaded."""
TOKENIZERS = {
    "tokenizer": ("tokenizer.json", "vocab.json"),
    "tokenizer_2": ("tokenizer.json", "spiece.model"),
}
"""Either file holds the vocabulary; without one, transformers makes up an empty tokenizer."""
SMALL_FILES = [
    INDEX,
    "scheduler/*",
    "tokenizer/*",
    "tokenizer_2/*",
    *(f"{component}/*.json" for component in WEIGHTS),
]
"""Patterns of all that isn't weights, and tells which files are."""


class Unusable(ValueError):
    """Files are missing or damaged. The message is a clause that says which."""


def split(wanted: str) -> tuple[str, str | None]:
    """Split `owner/name@revision`; without a revision it is None, the repository's newest."""
    pinned = re.fullmatch(r"([^@]+)@(.+)", wanted)
    return (pinned[1], pinned[2]) if pinned else (wanted, None)


def require_complete(folder: Path) -> None:
    """Make sure that a folder has every file that FLUX is loaded from.

    Raises:
        Unusable: the first that is missing, empty or can't be read.
    """
    _require_no_single_file(folder)
    _require(folder, INDEX)
    if pipeline_class(folder) is None:
        raise Unusable(f"{INDEX} names no pipeline")
    _require(folder, "scheduler/scheduler_config.json")
    for tokenizer, vocabularies in TOKENIZERS.items():
        _require(folder, *(f"{tokenizer}/{name}" for name in vocabularies))
    for component in WEIGHTS:
        _require(folder, f"{component}/config.json")
        for file in weight_files(folder, component):
            _require(folder, f"{component}/{file.name}")


def weight_files(folder: Path, component: str) -> list[Path]:
    """Return the files of a component's weights, whether they are there or not, by their names.

    Those that its index names, or the single file where there is no index, as diffusers does.

    Raises:
        Unusable: the index can't be read.
    """
    single = folder / component / f"{WEIGHTS[component]}.safetensors"
    index = single.with_name(f"{single.name}.index.json")
    try:
        if not index.is_file():
            return [single]
        names = set(read_object(index)["weight_map"].values())
        if not names or not all(_is_weights(name) for name in names):
            raise ValueError
        return sorted(single.with_name(name) for name in names)
    except OSError as error:
        raise Unusable(f"{component}/{index.name} can't be read ({error.strerror})") from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise Unusable(f"{component}/{index.name} is damaged") from None


def weight_names(folder: Path, components: Iterable[str] = WEIGHTS) -> list[str]:
    """Return the weights' files by their names in the folder, whether they are there or not.

    Raises:
        Unusable: an index can't be read.
    """
    files = (file for component in components for file in weight_files(folder, component))
    return [file.relative_to(folder).as_posix() for file in files]


def pipeline_class(folder: Path) -> str | None:
    """Return the class that a folder's `model_index.json` names, or None where it names none."""
    name = _value(folder / INDEX, "_class_name")
    return name if isinstance(name, str) else None


def configured(folder: Path, component: str, name: str) -> object:
    """Return a value of a component's `config.json`, or None where it has none."""
    return _value(folder / component / "config.json", name)


def read_object(file: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        OSError: the file can't be read.
        ValueError: it holds something else.
    """
    try:
        content = json.loads(file.read_bytes())
    except RecursionError:
        raise ValueError(f"{file.name} is nested too deeply") from None
    if not isinstance(content, dict):
        raise ValueError(f"{file.name} is no JSON object")
    return content


def _is_weights(name: str) -> bool:
    return name.isprintable() and name.endswith(".safetensors")


def _value(file: Path, name: str) -> object:
    try:
        return read_object(file).get(name)
    except (OSError, ValueError):
        return None


def _require_no_single_file(path: Path) -> None:
    try:
        at_the_top = [path] if path.is_file() else sorted(path.glob("*.safetensors"))
        if not at_the_top or (path / INDEX).is_file():
            return
    except OSError:
        return
    raise Unusable(
        f"{at_the_top[0].name} is a checkpoint in a single file, which must be converted to "
        "diffusers' format first: from_single_file and save_pretrained do that, as "
        "docs/deployment.md shows"
    )


def _require(folder: Path, *names: str) -> None:
    """Make sure that one of these files has content, which is an object where it is JSON."""
    for name in names:
        try:
            with (folder / name).open("rb") as opened:
                is_empty = not opened.read(1)
            if not is_empty and name.endswith(".json"):
                read_object(folder / name)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise Unusable(f"{name} can't be read ({error.strerror})") from None
        except ValueError:
            raise Unusable(f"{name} is damaged") from None
        if is_empty:
            raise Unusable(f"{name} is empty")
        return
    raise Unusable(f"{names[0]} is missing")
