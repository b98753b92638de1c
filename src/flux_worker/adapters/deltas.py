"""A LoRA that has been read: what it adds to which of the model's layers."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

Layers = Mapping[str, tuple[int, int]]
"""The model's linear layers: (outputs, inputs) of each by its name in diffusers, with the component
before it, such as `transformer.transformer_blocks.0.attn.to_q`."""


class Unfit(ValueError):
    """A file is no LoRA for this model. The message is a clause that says why."""


class Part(NamedTuple):
    """Where some of a delta's rows belong."""

    layer: str
    rows: slice
    """Of the delta."""
    at: int = 0
    """The row of the layer's weights that the first of them is added to."""


class Delta(Protocol):
    """What is added to the weights of one layer or of several, at a scale of 1."""

    @property
    def parts(self) -> tuple[Part, ...]:
        """Where its rows belong."""

    @property
    def shape(self) -> tuple[int, int]:
        """Its outputs and inputs."""

    @property
    def rank(self) -> int:
        """The rank that it was trained with, 0 for none."""

    def add_to(self, weights: Tensor, rows: slice, scale: float) -> None:
        """Add these of its rows, so much of them, to weights (rows, inputs) in float32."""


@dataclass(frozen=True, eq=False)
class LowRank:
    """The product of two narrow matrices: LoRA, https://arxiv.org/abs/2106.09685."""

    parts: tuple[Part, ...]
    up: Tensor
    """(outputs, rank)."""
    down: Tensor
    """(rank, inputs)."""
    scale: float = 1.0
    """Alpha by rank."""

    @property
    def shape(self) -> tuple[int, int]:
        """Its outputs and inputs."""
        return len(self.up), self.down.shape[1]

    @property
    def rank(self) -> int:
        """The rank that it was trained with."""
        return len(self.down)

    def add_to(self, weights: Tensor, rows: slice, scale: float) -> None:
        """Add these of its rows, so much of them, to weights (rows, inputs) in float32."""
        up, down = (_near(each, weights) for each in (self.up[rows], self.down))
        weights.addmm_(up, down, alpha=scale * self.scale)


Factor = tuple[Tensor, ...]
"""A matrix, or the two whose product it is: that can be as large as the layer."""


@dataclass(frozen=True, eq=False)
class Kronecker:
    """The Kronecker product of two matrices: LoKr, https://arxiv.org/abs/2309.14859."""

    parts: tuple[Part, ...]
    left: Factor
    right: Factor
    """Of both the numbers of rows multiply to the outputs, those of columns to the inputs."""
    scale: float = 1.0

    @property
    def rank(self) -> int:
        """Of the factor that is a product itself, 0 where both are whole."""
        return next((len(each[1]) for each in (self.right, self.left) if len(each) > 1), 0)

    @property
    def shape(self) -> tuple[int, int]:
        """Its outputs and inputs."""
        return (
            len(self.left[0]) * len(self.right[0]),
            self.left[-1].shape[1] * self.right[-1].shape[1],
        )

    def add_to(self, weights: Tensor, rows: slice, scale: float) -> None:
        """Add these of its rows, so much of them, to weights (rows, inputs) in float32."""
        left, right = (
            reduce(torch.matmul, (_near(each, weights) for each in factor))
            for factor in (self.left, self.right)
        )
        weights.add_(torch.kron(left, right)[rows], alpha=scale * self.scale)


def _near(factor: Tensor, weights: Tensor) -> Tensor:
    return factor.to(weights.device, non_blocking=True).float()


@dataclass(frozen=True, eq=False)
class Adapter:
    """A LoRA, in host memory."""

    digest: str
    """SHA-256 of the file's content, in hexadecimal."""
    deltas: tuple[Delta, ...] = field(repr=False)
    triggers: tuple[str, ...] = ()
    """Words that its file says a prompt must have."""
    size: int = 0
    """Bytes of host memory."""

    @property
    def changes_clip(self) -> bool:
        """Whether texts are encoded otherwise with it."""
        return any(p.layer.startswith("text_encoder.") for d in self.deltas for p in d.parts)


Weighed = tuple[Adapter, float]
"""A LoRA and its scale."""
Identity = tuple[tuple[str, float], ...]
"""Digests of LoRAs and their scales, which tell what they do from what others do."""


def effective(loras: Iterable[Weighed]) -> list[Weighed]:
    """Return those that change anything, always in the same order.

    A sum depends on it in its last bits. One that is named twice counts twice.
    """
    return sorted(
        ((adapter, scale) for adapter, scale in loras if scale),
        key=lambda each: (each[0].digest, each[1]),
    )


def identity(loras: Iterable[Weighed]) -> Identity:
    """Return what tells these from others, whatever their order."""
    return tuple((adapter.digest, scale) for adapter, scale in effective(loras))
