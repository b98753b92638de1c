"""Adds LoRAs to the model's weights for a picture, and takes them out without a trace.

In place: compiled blocks and packages see what is added, and a step costs nothing more. What a
layer gets is always computed from its original weights, and these are copied back: to subtract what
was added would leave a rounding each time.
"""

from collections.abc import Sequence
from threading import Event

import torch
from diffusers import FluxPipeline
from torch import Tensor

from flux_worker.adapters.deltas import Delta, Identity, Layers, Part, Weighed, effective, identity
from flux_worker.engine import layers, offloading
from flux_worker.engine.layers import Layer
from flux_worker.engine.originals import Originals
from flux_worker.engine.plan import Plan
from flux_worker.engine.quantization import is_quantized, quantized
from flux_worker.errors import GenerationStopped
from flux_worker.weights.checkpoint import Checkpoint


class Merger:
    """What the weights of one pipeline hold beside their own."""

    def __init__(
        self, pipe: FluxPipeline, checkpoint: Checkpoint, plan: Plan, device: torch.device
    ) -> None:
        """Take over the weights of a pipeline that was made to run as planned, on this device."""
        self._pipe = pipe
        self._plan = plan
        self._device = device
        self._originals = Originals(checkpoint, plan, device)
        self._layers = {name: layer for layer in layers.of(pipe) for name in layer.names}
        self._merged: Identity | None = ()
        """None while it isn't known."""

    @property
    def layers(self) -> Layers:
        """The layers that can be changed, as diffusers has them."""
        return {
            name: (layer.rows, layer.module.in_features) for name, layer in self._layers.items()
        }

    def holds(self, adapters: Sequence[Weighed]) -> bool:
        """Whether the weights hold these LoRAs and no others."""
        return self._merged == identity(adapters)

    @torch.no_grad()
    def merge(self, adapters: Sequence[Weighed], stop: Event) -> None:
        """Have the weights hold these LoRAs and no others.

        Raises:
            GenerationStopped: `stop` was set. The weights may be of several kinds then, until this
                is called again; so after any other error.
        """
        self._merged = None
        offloading.settle(self._pipe.transformer)
        added = self._by_layer(adapters)
        for layer in dict.fromkeys((*self._originals.changed(), *added)):
            if stop.is_set():
                raise GenerationStopped
            self._write(layer, self._sum(layer, added.get(layer, ())))
            if layer not in added:
                self._originals.forget(layer)
        self._merged = identity(adapters)

    def _by_layer(
        self, adapters: Sequence[Weighed]
    ) -> dict[Layer, list[tuple[Delta, Part, float]]]:
        found: dict[Layer, list[tuple[Delta, Part, float]]] = {}
        for adapter, scale in effective(adapters):
            for delta in adapter.deltas:
                for part in delta.parts:
                    found.setdefault(self._layers[part.layer], []).append((delta, part, scale))
        return found

    def _sum(self, layer: Layer, added: Sequence[tuple[Delta, Part, float]]) -> Tensor:
        """Return what a layer is to hold: its original weights, and all that is added to them."""
        original = self._originals.of(layer)
        if not added:
            return original
        weights = original.to(self._device, torch.float32, copy=True)
        for delta, part, scale in added:
            begin = layer.begin(part.layer) + part.at
            length = part.rows.stop - part.rows.start
            delta.add_to(weights[begin : begin + length], part.rows, scale)
        return weights

    def _write(self, layer: Layer, weights: Tensor) -> None:
        """Replace a layer's weights in place, quantized where these are."""
        into = layer.module.weight
        if is_quantized(into):
            weights = quantized(weights.to(self._device, into.dtype), self._plan)
        into.copy_(weights)
