"""FLUX.1 at its full size on this card, with random weights: plain diffusers, and quicker ways.

    python -m benchmarks.gpu [--model dev] [--sides 512,1024,1536] [--rows "bf16 best,fp8 best"]

Each row runs on its own weights, which are the same in all of them. A step is the median over
denoising steps after a warm-up, by CUDA events; so is a decoding. An image is as many steps as the
model takes by default, and one decoding. The limit is the arithmetic of the steps alone, at the
rate of a large matrix product in bfloat16, measured on the same card. The difference is
that of the transformer's output in the first step, relative to plain diffusers'.
"""

import argparse
import json
import statistics
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from diffusers import FluxPipeline
from torch import Tensor

from benchmarks import full_size
from benchmarks.clock import WARM_UP, Clock, matmul_rate, versions
from benchmarks.full_size import Architecture
from benchmarks.table import markdown
from flux_worker.engine import acceleration
from flux_worker.engine.block_packages import blocks
from flux_worker.engine.card import Card
from flux_worker.engine.fusion import fuse_projections
from flux_worker.engine.plan import Attention, Plan
from flux_worker.engine.quantization import quantize_block
from flux_worker.generation import decoding

MODELS = {"dev": full_size.DEV, "schnell": full_size.SCHNELL, "tiny": full_size.TINY}
RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Row:
    """One way to run the model."""

    name: str
    fused: bool = True
    attention: bool = True
    compiled: bool = True
    fp8: bool = False
    channels_last: bool = True


PLAIN = Row("plain diffusers", fused=False, attention=False, compiled=False, channels_last=False)
ROWS = (
    PLAIN,
    Row("+ compile", fused=False, attention=False, channels_last=False),
    Row("+ attention", fused=False, channels_last=False),
    Row("bf16 best"),
    Row("fp8 best", fp8=True),
)


@dataclass
class Measured:
    """What a row took at one size; seconds, bytes, and the relative difference to plain."""

    row: str
    side: int
    step: float
    decoding: float
    image: float
    limit: float
    peak: int
    compilation: float
    difference: float = 0.0


def main() -> None:
    """Measure, print a table, and write it with its numbers as JSON."""
    options = _options()
    architecture = MODELS[options.model]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    sides = [int(side) for side in options.sides.split(",")]
    wanted = options.rows.split(",") if options.rows else [row.name for row in ROWS]
    rows = [row for row in ROWS if row is PLAIN or row.name in wanted]
    attention = Card.of(device).best_attention if device.type == "cuda" else "native"
    bench = Bench(architecture, device, dtype, attention, options.runs)
    measured = [result for row in rows for result in bench.measure(row, sides)]
    title = f"{options.model}, {versions(device)}, attention {attention}, {options.runs} runs"
    text = f"{title}\n\n{report(measured)}\n"
    print(text)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        name = f"{options.model}-{versions(device).split(',')[0].replace(' ', '-')}"
        (options.out / f"{name}.md").write_text(text)
        rows_as_json = {"title": title, "rows": [asdict(result) for result in measured]}
        (options.out / f"{name}.json").write_text(json.dumps(rows_as_json, indent=2) + "\n")


class Bench:
    """Measures rows one after the other, each at all sizes."""

    def __init__(
        self,
        architecture: Architecture,
        device: torch.device,
        dtype: torch.dtype,
        attention: Attention,
        runs: int,
    ) -> None:
        self._architecture, self._device, self._dtype = architecture, device, dtype
        self._attention, self._runs = attention, runs
        self._clock = Clock(device)
        self._inputs = full_size.embeddings(architecture, device, dtype)
        self._rate = matmul_rate(device, dtype)
        self._plain: dict[int, Tensor] = {}

    def measure(self, row: Row, sides: list[int]) -> list[Measured]:
        """Build the row's model and measure it at each size."""
        pipe = full_size.build(self._architecture, self._device, self._dtype)
        self._prepare(pipe, row)
        results = []
        with torch.no_grad():
            for side in sides:
                print(f"{row.name}, {side}×{side} …", flush=True)
                results.append(self._measure_at(pipe, row, side))
        del pipe
        self._clock.free()
        return results

    def _prepare(self, pipe: FluxPipeline, row: Row) -> None:
        torch.compiler.reset()
        if row.fused:
            fuse_projections(pipe.transformer)
        if row.fp8:
            plan = Plan("fp8", quantized_activations=self._device.type == "cuda")
            for block in blocks(pipe.transformer):
                quantize_block(block, plan)
        if row.attention:
            acceleration.attend(pipe.transformer, self._attention)
        if row.channels_last:
            pipe.vae.to(memory_format=torch.channels_last)
        if row.compiled:
            acceleration.compile_blocks(pipe.transformer)

    def _measure_at(self, pipe: FluxPipeline, row: Row, side: int) -> Measured:
        self._clock.reset_peak()
        velocities: list[Tensor] = []
        watch = pipe.transformer.register_forward_hook(lambda _, __, out: velocities.append(out[0]))
        compilation, latents = self._clock.timed(lambda: self._denoise(pipe, side, 1))
        watch.remove()
        steps = self._step_seconds(pipe, side)
        unpacked = decoding.unpack(pipe, latents, side, side)
        decodings = self._clock.each(lambda: decoding.decode(pipe, unpacked), self._runs)
        step, decode = statistics.median(steps), statistics.median(decodings)
        if row is PLAIN:
            self._plain[side] = velocities[0]
        return Measured(
            row=row.name,
            side=side,
            step=step,
            decoding=decode,
            image=self._architecture.steps * step + decode,
            limit=self._architecture.steps * self._flops(pipe, side) / self._rate,
            peak=self._clock.peak(),
            compilation=max(0.0, compilation - step),
            difference=_relative(velocities[0], self._plain[side]),
        )

    def _denoise(self, pipe: FluxPipeline, side: int, steps: int, at_step: object = None) -> Tensor:
        latents: Tensor = pipe(
            **self._inputs,
            width=side,
            height=side,
            num_inference_steps=steps,
            generator=torch.Generator("cpu").manual_seed(0),
            output_type="latent",
            return_dict=False,
            callback_on_step_end=at_step,
        )[0]
        return latents

    def _step_seconds(self, pipe: FluxPipeline, side: int) -> list[float]:
        marks = self._clock.marks()

        def at_step(_: object, __: int, ___: object, kept: dict[str, Tensor]) -> dict[str, Tensor]:
            marks.mark()
            return kept

        self._denoise(pipe, side, WARM_UP + self._runs + 1, at_step)
        return marks.between()[WARM_UP:]

    def _flops(self, pipe: FluxPipeline, side: int) -> float:
        """Of a step's matrix products: 24·S·d² in a block's layers, 4·S²·d in its attention."""
        config = pipe.transformer.config
        width = config.num_attention_heads * config.attention_head_dim
        tokens = (side // 16) ** 2 + self._architecture.text_tokens
        blocks = config.num_layers + config.num_single_layers
        return float(blocks * (24 * tokens * width**2 + 4 * tokens**2 * width))


def report(measured: list[Measured]) -> str:
    """Write the table."""
    plain = {result.side: result for result in measured if result.row == PLAIN.name}
    heads = ("side: row", "step, ms", "decoding, ms", "image, s", "× plain", "limit, s", "of limit")
    heads += ("peak, GiB", "compilation, s", "difference")
    rows = []
    for result in sorted(measured, key=lambda each: each.side):
        times = plain[result.side].image / result.image
        rows.append(
            (
                f"{result.side}: {result.row}",
                f"{result.step * 1e3:.1f}",
                f"{result.decoding * 1e3:.1f}",
                f"{result.image:.2f}",
                f"{times:.2f}",
                f"{result.limit:.2f}",
                f"{result.limit / result.image:.0%}",
                f"{result.peak / 2**30:.1f}",
                f"{result.compilation:.1f}",
                f"{result.difference:.1e}",
            )
        )
    return markdown(heads, rows)


def _relative(values: Tensor, reference: Tensor) -> float:
    distance = (values.float() - reference.float()).norm() / reference.float().norm()
    return float(distance)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", choices=MODELS, default="dev")
    parser.add_argument("--sides", default="512,1024,1536", help="pixels")
    parser.add_argument("--rows", default="", help="names, separated by commas; plain always runs")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the table and JSON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
