"""What a checkpoint holds, read once from its index and from the headers of its files.

Eight bytes of length, then names, types and places in JSON: https://huggingface.co/docs/safetensors.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

COMPONENTS = ("transformer", "text_encoder", "text_encoder_2", "vae")
"""The parts of FLUX that have weights."""
LARGE = ("transformer", "text_encoder_2")
"""Nearly all of its bytes, in the order in which they are loaded."""
INDEX = "model_index.json"

LINEAR_IN_BLOCK = re.compile(r"((?:single_)?transformer_blocks\.\d+)\.(.+)\.weight")
MODULATION = re.compile(r"norm\w*\.linear$")


@dataclass(frozen=True)
class StoredTensor:
    """A tensor and where it is."""

    name: str
    dtype: str
    """As safetensors writes it, such as BF16."""
    shape: tuple[int, ...]
    file: Path
    begin: int
    end: int
    """Bytes of the file."""

    @property
    def count(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class ParameterCounts:
    """How many numbers a checkpoint has, by what can be done with them."""

    block_layers: int
    """In the linear layers of the transformer's blocks, modulation aside."""
    modulation: int
    """In the linear layers that turn the time and the guidance into scales and shifts."""
    transformer_rest: int
    largest_block: int
    """Of the transformer's blocks, with everything in it."""
    text_encoder: int
    """T5's."""
    small_components: int
    """CLIP's and the VAE's."""

    @property
    def transformer(self) -> int:
        """All of the transformer's."""
        return self.block_layers + self.modulation + self.transformer_rest


@dataclass(frozen=True)
class Checkpoint:
    """A folder in diffusers' layout."""

    folder: Path
    tensors: Mapping[str, tuple[StoredTensor, ...]]
    """By component, in the order of the files and of their headers."""

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the headers of all files.

        Raises:
            OSError, ValueError, KeyError, TypeError: a file is damaged.
        """
        return cls(
            folder,
            {
                component: tuple(
                    tensor
                    for file in sorted((folder / component).glob("*.safetensors"))
                    for tensor in _header(file)
                )
                for component in COMPONENTS
            },
        )

    def count(self) -> ParameterCounts:
        """Count the parameters."""
        layers = modulation = 0
        blocks: dict[str, int] = {}
        for tensor in self.tensors["transformer"]:
            if not (found := LINEAR_IN_BLOCK.fullmatch(tensor.name)):
                continue
            block, layer = found.groups()
            blocks[block] = blocks.get(block, 0) + tensor.count
            if MODULATION.search(layer):
                modulation += tensor.count
            elif "norm" not in layer:
                layers += tensor.count
        return ParameterCounts(
            block_layers=layers,
            modulation=modulation,
            transformer_rest=self._total("transformer") - layers - modulation,
            largest_block=max(blocks.values(), default=0),
            text_encoder=self._total("text_encoder_2"),
            small_components=self._total("text_encoder") + self._total("vae"),
        )

    def _total(self, component: str) -> int:
        return sum(tensor.count for tensor in self.tensors[component])


def pipeline_class(folder: Path) -> str | None:
    """Return the class that a folder's `model_index.json` names, or None where it names none."""
    try:
        name = json.loads((folder / INDEX).read_text())["_class_name"]
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return name if isinstance(name, str) else None


def _header(file: Path) -> Iterator[StoredTensor]:
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        header = json.loads(opened.read(length))
    header.pop("__metadata__", None)
    for name, entry in header.items():
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        yield StoredTensor(name, entry["dtype"], tuple(entry["shape"]), file, begin, end)
