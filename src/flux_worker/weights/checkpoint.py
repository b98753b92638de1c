"""What a checkpoint holds, read from the headers of its files.

Eight bytes of length, then names, types and places in JSON: https://huggingface.co/docs/safetensors.
Whether a header is true to its file is for the safetensors library to say: it holds names, types,
shapes and offsets against each other and against the file's length, and headers to 100 MB.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from safetensors import SafetensorError, safe_open

from flux_worker.weights.layout import WEIGHTS, Unusable, weight_files

DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
}
"""The types that can be loaded: safetensors' names, and torch's."""
LINEAR_IN_BLOCK = re.compile(r"((?:single_)?transformer_blocks\.\d+)\.(.+)\.weight")
T5_EMBEDDING = ("shared.weight", "encoder.embed_tokens.weight")
"""Two names of one tensor."""
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
    text_embedding: int
    """Of those in T5's table of tokens, which is no linear layer."""
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
    road: str = "MODEL_PATH"
    """By which it was found: MODEL_PATH, image, Runpod's model cache, Hugging Face cache or
    download."""

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the headers of all files.

        Raises:
            Unusable: a file is missing or damaged, or two of them hold a tensor of the same name.
        """
        return cls(folder, {component: _tensors(folder, component) for component in WEIGHTS})

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
            text_embedding=sum(
                tensor.count
                for tensor in self.tensors["text_encoder_2"]
                if tensor.name in T5_EMBEDDING
            ),
            small_components=self._total("text_encoder") + self._total("vae"),
        )

    def _total(self, component: str) -> int:
        return sum(tensor.count for tensor in self.tensors[component])


def _tensors(folder: Path, component: str) -> tuple[StoredTensor, ...]:
    tensors: dict[str, StoredTensor] = {}
    for file in weight_files(folder, component):
        for tensor in _header(file):
            if tensors.setdefault(tensor.name, tensor) is not tensor:
                raise Unusable(f"{component} holds {tensor.name} twice, in {file.name}, too")
    return tuple(tensors.values())


def _header(file: Path) -> Iterator[StoredTensor]:
    try:
        with safe_open(file, "np"):  # reads and checks the header, and nothing else
            pass
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            header = json.loads(opened.read(length))
    except (OSError, SafetensorError) as error:
        raise Unusable(f"{file.parent.name}/{file.name} can't be read ({error})") from None
    header.pop("__metadata__", None)
    for name, entry in header.items():
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        yield StoredTensor(name, entry["dtype"], tuple(entry["shape"]), file, begin, end)
