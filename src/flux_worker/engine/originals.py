"""Keeps the weights of the layers that LoRAs are merged into, as they were.

On the card where the plan leaves room for them, else pinned in host memory, else nowhere: then they
are read again from the checkpoint's files.
"""

import torch
from torch import Tensor

from flux_worker.engine.layers import Layer
from flux_worker.engine.plan import Plan
from flux_worker.engine.quantization import is_quantized
from flux_worker.weights import loading
from flux_worker.weights.checkpoint import Checkpoint

HOST = torch.device("cpu")


class Originals:
    """The original weights of layers that may hold others, in the model's dtype."""

    def __init__(self, checkpoint: Checkpoint, plan: Plan, device: torch.device) -> None:
        """Keep none yet.

        Args:
            checkpoint: what was loaded.
            plan: says how much room there is.
            device: where the model runs.
        """
        self._stored = {
            f"{component}.{tensor.name}": tensor
            for component, tensors in checkpoint.tensors.items()
            for tensor in tensors
        }
        # On a CPU these are one, and the host's counts.
        self._room = {device: plan.room, HOST: plan.host_room}
        self._kept: dict[Layer, tuple[Tensor, torch.device] | None] = {}
        """None: in the files alone."""

    def of(self, layer: Layer) -> Tensor:
        """Return a layer's original weights, (outputs, inputs), wherever they are.

        It has them itself when this is called for the first time, and may be changed from then on.
        """
        if layer not in self._kept:
            self._kept[layer] = self._keep(layer)
        kept = self._kept[layer]
        return self._from_files(layer) if kept is None else kept[0]

    def changed(self) -> list[Layer]:
        """Return the layers that may hold others."""
        return list(self._kept)

    def forget(self, layer: Layer) -> None:
        """Keep nothing for a layer, which has its original weights again."""
        if kept := self._kept.pop(layer):
            tensor, place = kept
            self._room[place] += tensor.nbytes

    def _keep(self, layer: Layer) -> tuple[Tensor, torch.device] | None:
        weights = layer.module.weight
        size = weights.numel() * weights.dtype.itemsize
        place = next((place for place, room in self._room.items() if size <= room), None)
        if place is None:
            if self._is_stored(layer):
                return None
            place = HOST
        pinned = place == HOST and torch.cuda.is_available()
        copy = torch.empty(weights.shape, dtype=weights.dtype, device=place, pin_memory=pinned)
        # What is quantized isn't what was loaded.
        copy.copy_(self._from_files(layer) if is_quantized(weights) else weights)
        self._room[place] -= size
        return copy, place

    def _is_stored(self, layer: Layer) -> bool:
        return all(f"{name}.weight" in self._stored for name in layer.names)

    def _from_files(self, layer: Layer) -> Tensor:
        parts = [loading.read(self._stored[f"{name}.weight"]) for name in layer.names]
        return torch.cat(parts).to(layer.module.weight.dtype)
