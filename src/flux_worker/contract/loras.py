"""The LoRAs that a request asks for: small files that change the model for one picture.

The form is that of Runpod's and fal's LoRA endpoints: `[{"path": …, "scale": 1.0}]`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import unquote

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from flux_worker.contract import urls
from flux_worker.contract.catalog import Bounds
from flux_worker.contract.urls import Url
from flux_worker.contract.values import HALF_PAIR, NO_UNICODE, fault, number

MAX_LORAS = 5
SCALE = Bounds(-4.0, 4.0, 1.0)
"""0 means the base model; a negative scale turns the effect round."""
MAX_KEYS = 10
"""Of an entry."""
MAX_PATH_CHARACTERS = 2048
EXTENSION = ".safetensors"
PICKLES = (".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth")
PATH_FORM = (
    "must be an https URL of a .safetensors file, a Hugging Face repository as "
    "owner/name[@revision][/file], or the name of a file in the worker's LORA_DIR"
)
NO_PICKLE = "must name a .safetensors file: a pickle can run code, so none is opened here"
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
REPOSITORY = re.compile(rf"({NAME}/{NAME})(?:@([^@/]+))?(?:/([^@]+))?(?:@([^@]+))?")


@dataclass(frozen=True)
class HubFile:
    """A file in a repository of the Hugging Face Hub."""

    repository: str
    revision: str | None = None
    """A branch, a tag or a commit; None for the newest."""
    file: str | None = None
    """None for the only one that there is."""


@dataclass(frozen=True)
class LocalFile:
    """A file in the operator's folder."""

    name: str


Source = Url | HubFile | LocalFile


def source(path: str) -> Source:
    """Return where a path leads to.

    Raises:
        ValueError: nowhere; the message is the end of a sentence.
    """
    if len(path) > MAX_PATH_CHARACTERS:
        raise ValueError(f"must be at most {MAX_PATH_CHARACTERS} characters")
    if HALF_PAIR.search(path):
        raise ValueError(NO_UNICODE)
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", path):
        return _url(path)
    if path.lower().endswith(PICKLES):
        raise ValueError(NO_PICKLE)
    if re.fullmatch(r"[^\\/\0]+", path) and not path.startswith("."):
        return LocalFile(path if path.lower().endswith(EXTENSION) else path + EXTENSION)
    found = REPOSITORY.fullmatch(path)
    if found is None or ".." in path or (found[2] and found[4]):
        raise ValueError(PATH_FORM)
    if found[3] and not found[3].lower().endswith(EXTENSION):
        raise ValueError(f"must name a {EXTENSION} file after the repository")
    return HubFile(found[1], found[2] or found[4], found[3])


def _url(text: str) -> Url:
    url, parts = urls.of_file(text, PATH_FORM)
    if unquote(parts.path).lower().endswith(PICKLES):
        raise ValueError(NO_PICKLE)
    return url


def _path(value: object) -> str:
    path = value.strip() if isinstance(value, str) else ""
    if not path:
        raise fault(PATH_FORM, value)
    try:
        source(path)
    except ValueError as rule:
        # Without the value: a URL may hold a key.
        raise PydanticCustomError("rule", "{rule}", {"rule": str(rule)}) from None
    return path


def _scale(value: object) -> float:
    return number(value, SCALE)


def _entry(value: object) -> object:
    if isinstance(value, Lora):
        return value
    # Each key that is unknown gets a clause of its own.
    if not isinstance(value, Mapping) or len(value) > MAX_KEYS:
        raise fault('must be {"path": …, "scale": …}', value)
    return {str(key): each for key, each in value.items() if each is not None}


def _list(value: object) -> object:
    if not isinstance(value, list | tuple):
        raise fault('must be a list such as [{"path": "owner/name", "scale": 1.0}]', value)
    if len(value) > MAX_LORAS:
        raise fault(f"must have at most {MAX_LORAS} entries", len(value))
    return value


class Lora(BaseModel):
    """A LoRA and how much of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Annotated[str, BeforeValidator(_path)] = Field(repr=False)
    """As `source` reads it. Never logged: it may hold a key."""
    scale: Annotated[float, BeforeValidator(_scale)] = SCALE.default


Loras = Annotated[tuple[Annotated[Lora, BeforeValidator(_entry)], ...], BeforeValidator(_list)]
"""Those of a request; all are merged at once."""
