"""What the weights hold, read from the headers of their files.

Eight bytes of length, then names, types and shapes in JSON: https://huggingface.co/docs/safetensors.
"""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LINEAR_IN_BLOCK = re.compile(r"((?:single_)?transformer_blocks\.\d+)\.(.+)\.weight")
MODULATION = re.compile(r"norm\w*\.linear$")


@dataclass(frozen=True)
class Parameters:
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


def count(folder: Path) -> Parameters:
    """Count the parameters of a checkpoint in diffusers' format."""
    layers = modulation = whole = 0
    blocks: dict[str, int] = {}
    for name, size in _tensors(folder / "transformer"):
        whole += size
        if not (found := LINEAR_IN_BLOCK.fullmatch(name)):
            continue
        block, layer = found.groups()
        blocks[block] = blocks.get(block, 0) + size
        if MODULATION.search(layer):
            modulation += size
        elif "norm" not in layer:
            layers += size
    return Parameters(
        block_layers=layers,
        modulation=modulation,
        transformer_rest=whole - layers - modulation,
        largest_block=max(blocks.values(), default=0),
        text_encoder=_total(folder / "text_encoder_2"),
        small_components=_total(folder / "text_encoder") + _total(folder / "vae"),
    )


def read(file: Path) -> dict[str, dict[str, Any]]:
    """Return the header of a safetensors file, by tensor name, without the metadata."""
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        header: dict[str, dict[str, Any]] = json.loads(opened.read(length))
    header.pop("__metadata__", None)
    return header


def _tensors(component: Path) -> Iterator[tuple[str, int]]:
    for file in sorted(component.glob("*.safetensors")):
        for name, entry in read(file).items():
            yield name, math.prod(entry["shape"])


def _total(component: Path) -> int:
    return sum(size for _, size in _tensors(component))
