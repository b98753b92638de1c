"""The modulation of all denoising steps at once.

What shifts, scales and gates a block depends on the time, the guidance and the pooled text alone,
which are known before the first step. Step by step, each of its layers multiplies one row by its
weights, 6.5 GB in all; here each multiplies a row for every step, once.
"""

import re
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import FluxPipeline, FluxTransformer2DModel, SchedulerMixin
from torch import Tensor, nn
from torch.nn import functional

from flux_worker.engine.plan import Plan


def hoist(pipe: FluxPipeline, device: torch.device, plan: Plan) -> None:
    """Take the blocks' modulation layers out of them, in place and for good.

    What the blocks need is on the device then; the layers stay where they are, to be moved with the
    transformer unless the plan has them offloaded. From now on the transformer makes one image at a
    time, and of a pipeline's loop only with this scheduler.
    """
    transformer = pipe.transformer
    layers, rows = dict[str, nn.Linear](), list[Tensor]()
    for name, norm in _modulated(transformer):
        layer = norm.linear
        if plan.modulation == "offloaded" and device.type == "cuda":
            for parameter in layer.parameters():
                parameter.data = parameter.data.pin_memory()
        row = torch.zeros(1, len(layer.bias), device=device, dtype=layer.bias.dtype)
        norm.silu, norm.linear = nn.Identity(), Row(row)
        layers[f"{name}.linear"] = layer
        rows.append(row)
    conditioning = Conditioning(transformer.time_text_embed, layers, rows, pipe.scheduler)
    if plan.modulation == "resident":
        conditioning.add_module("resident", nn.ModuleList(layers.values()))
    transformer.time_text_embed = conditioning


class Row(nn.Module):
    """Gives what a block's modulation layer would, for the step that is computed."""

    row: Tensor

    def __init__(self, row: Tensor) -> None:
        """Give this row, (1, the layer's width), whatever it holds at the time."""
        super().__init__()
        self.register_buffer("row", row)

    def forward(self, _: Tensor) -> Tensor:
        """Give the row."""
        return self.row


@dataclass(frozen=True)
class Table:
    """What all steps of one generation need, for one prompt."""

    timesteps: Tensor
    """The scheduler's own; each generation has another."""
    pooled: Tensor
    time: Tensor
    """(steps, the transformer's width)."""
    rows: list[Tensor]
    """For each layer, (steps, the layer's width)."""


class Conditioning(nn.Module):
    """Embeds time, guidance and pooled text, and puts each block's row in its place."""

    def __init__(
        self,
        embed: nn.Module,
        layers: dict[str, nn.Linear],
        rows: list[Tensor],
        scheduler: SchedulerMixin,
    ) -> None:
        """Stand before the blocks.

        Args:
            embed: the transformer's own embedding of time, guidance and pooled text.
            layers: the blocks' modulation layers by their names in the transformer, on the device
                or in host memory.
            rows: where the blocks look for what these give.
            scheduler: tells the steps, and which of them is computed.
        """
        super().__init__()
        self.embed = embed
        self.layers = layers
        self._rows = rows
        self._scheduler = scheduler
        self._tables: list[Table] = []
        """Of one generation: the prompt's and the negative prompt's take turns in a step."""

    def forward(self, timestep: Tensor, *others: Tensor) -> Tensor:
        """Return the step's embedding, (1, width), and have the rows ready.

        Args:
            timestep: (1,), 0 to 1000.
            others: guidance, (1,), where the model takes it; and the pooled text, (1, its width).
        """
        step = self._step()
        if step is None:  # no pipeline's loop
            step = 0
            time, rows = self._compute(timestep, *others)
        else:
            table = self._table(timestep.dtype, *others)
            time, rows = table.time, table.rows
        torch._foreach_copy_(self._rows, [row[step : step + 1] for row in rows])
        return time[step : step + 1]

    def _step(self) -> int | None:
        begin, step = self._scheduler.begin_index, self._scheduler.step_index
        now: int | None = begin if step is None else step
        return None if now is None or now >= len(self._scheduler.timesteps) else now

    def _table(self, dtype: torch.dtype, *others: Tensor) -> Table:
        timesteps, pooled = self._scheduler.timesteps, others[-1]
        if self._tables and self._tables[0].timesteps is not timesteps:
            # Before the next ones are computed: a table of 50 steps has 105 MB at FLUX's width.
            self._tables.clear()
        for table in self._tables:
            if table.pooled is pooled:
                return table
        # As the pipeline and the transformer round them on the way here.
        times = timesteps.to(pooled.device, dtype) / 1000 * 1000
        time, rows = self._compute(times, *others)
        self._tables.append(Table(timesteps, pooled, time, rows))
        return self._tables[-1]

    def _compute(self, times: Tensor, *others: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Embed these times, (steps,), and compute each one's rows."""
        steps = len(times)
        time = self.embed(times, *(each.expand(steps, *each.shape[1:]) for each in others))
        active = functional.silu(time)
        return time, [_product(layer, active) for layer in self.layers.values()]


def _product(layer: nn.Linear, rows: Tensor) -> Tensor:
    weight, bias = (each.to(rows.device, non_blocking=True) for each in (layer.weight, layer.bias))
    return functional.linear(rows, weight, bias)


def _modulated(transformer: FluxTransformer2DModel) -> list[tuple[str, Any]]:
    """Return what is modulated in the blocks, each with its name."""
    blocks = re.compile(r"(single_)?transformer_blocks\.\d+\.norm(1|1_context)?")
    return [pair for pair in transformer.named_modules() if blocks.fullmatch(pair[0])]
