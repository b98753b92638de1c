"""Where the layers are that diffusers knows by name, in a pipeline that runs as planned.

Query, key and value are rows of one layer there, and the blocks' modulation layers are no longer in
the blocks.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from diffusers import FluxPipeline, FluxTransformer2DModel
from torch import nn

from flux_worker.engine.fusion import PROJECTIONS
from flux_worker.engine.modulation import Conditioning


@dataclass(frozen=True, eq=False)
class Layer:
    """A linear layer, which computes one of diffusers' layers or several, one below the other."""

    module: nn.Linear
    names: tuple[str, ...]
    """Of diffusers' layers, in the order of their rows, with the component before each. All have as
    many rows."""

    @property
    def rows(self) -> int:
        """Rows of each of diffusers' layers."""
        return self.module.out_features // len(self.names)

    def begin(self, name: str) -> int:
        """Return the first row of one of diffusers' layers."""
        return self.names.index(name) * self.rows


def of(pipe: FluxPipeline) -> list[Layer]:
    """Return the linear layers of the text encoder CLIP and of the transformer."""
    return [
        *_linear(pipe.text_encoder, "text_encoder", {}),
        *_linear(pipe.transformer, "transformer", _hoisted(pipe.transformer)),
    ]


def _hoisted(transformer: FluxTransformer2DModel) -> dict[str, nn.Linear]:
    conditioning = transformer.time_text_embed
    return conditioning.layers if isinstance(conditioning, Conditioning) else {}


def _linear(model: nn.Module, component: str, hoisted: dict[str, nn.Linear]) -> Iterator[Layer]:
    for name, module in hoisted.items():
        yield Layer(module, (f"{component}.{name}",))
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and module not in hoisted.values():
            yield Layer(module, _names(f"{component}.{name}"))


def _names(name: str) -> tuple[str, ...]:
    parent, _, last = name.rpartition(".")
    if last in PROJECTIONS:
        return tuple(f"{parent}.{each}" for each in PROJECTIONS[last])
    return (name.replace(".time_text_embed.embed.", ".time_text_embed."),)
