"""Ways to run FLUX.1 at its full size on this card, measured one after the other."""

import statistics
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from diffusers import FluxPipeline
from torch import Tensor

from benchmarks import full_size, kernels
from benchmarks.clock import WARM_UP, Clock, matmul_rates
from benchmarks.full_size import Architecture
from flux_worker.contract.catalog import MODELS
from flux_worker.engine import acceleration, planner
from flux_worker.engine.card import Card
from flux_worker.engine.memory import MARGIN, Workload
from flux_worker.engine.plan import GIB, Plan
from flux_worker.engine.planner import Overrides
from flux_worker.errors import CannotStart
from flux_worker.generation import decoding
from flux_worker.generation.failures import is_out_of_memory
from flux_worker.weights import prefetch


@dataclass(frozen=True)
class Row:
    """One way to run the model: the worker's, or diffusers' with one thing more."""

    name: str
    compiled: bool = False
    attention: str = "native"
    """As diffusers names it."""
    planned: Literal["auto", "fp8"] | None = None
    """As the worker plans it with this PRECISION."""
    cached: bool = False
    """As with a COMPILE_CACHE_DIR: blocks and decoder run from packages."""


PLAIN = Row("plain diffusers")
ROWS = (
    PLAIN,
    Row("+ compile", compiled=True),
    Row("+ flash attention", compiled=True, attention="_native_flash"),
    Row("+ cuDNN attention", compiled=True, attention="_native_cudnn"),
    Row("worker", planned="auto"),
    Row("worker + compile cache", planned="auto", cached=True),
    Row("worker fp8", planned="fp8"),
)


@dataclass(frozen=True)
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
    attention: str
    """The kernel that ran."""
    difference: float | None
    """None where plain diffusers could not be run."""


@dataclass(frozen=True)
class Failed:
    """Why there is nothing to tell of a row at one size."""

    row: str
    side: int
    reason: str


class Bench:
    """Measures rows one after the other, each at all sizes."""

    def __init__(
        self, architecture: Architecture, device: torch.device, dtype: torch.dtype, runs: int
    ) -> None:
        self._architecture, self._device, self._dtype = architecture, device, dtype
        self._runs = runs
        self._clock = Clock(device)
        self._counts = architecture.count()
        self._card = Card.of(device) if device.type == "cuda" else None
        self._inputs = full_size.embeddings(architecture, device, dtype)
        self._plain: dict[int, Tensor] = {}
        self.rates = matmul_rates(device, dtype)
        self.plans: dict[str, Plan] = {}
        """Of the worker's rows, by their names."""

    def measure(self, row: Row, sides: list[int]) -> list[Measured | Failed]:
        """Build the row's model and measure it at each size, as far as it can be."""
        results: list[Measured | Failed] = []
        reason = ""
        try:
            with tempfile.TemporaryDirectory() as folder:
                pipe = self._prepared(row, Path(folder) if row.cached else None)
            with torch.inference_mode():
                for side in sides:
                    print(f"{row.name}, {side}×{side} …", flush=True)
                    results.append(self._measure_at(pipe, row, side))
        except Exception as error:  # whatever it is, the other rows are worth having
            reason = _reason(error)
        pipe = None
        self._clock.free()
        return results + [Failed(row.name, side, reason) for side in sides[len(results) :]]

    def _prepared(self, row: Row, cache: Path | None) -> FluxPipeline:
        torch.compiler.reset()
        fits = self._card is None or 2 * self._counts.transformer + MARGIN <= self._card.memory
        plan = self._plan(row.planned) if row.planned else None
        if plan is None and not fits:
            raise CannotStart(f"its weights take {2 * self._counts.transformer / GIB:.1f} GiB")
        if plan in self.plans.values() and not row.cached:
            raise CannotStart("that is the worker's own plan for this card")
        if plan is not None:
            self.plans[row.name] = plan
        home = self._device if fits else torch.device("cpu")
        pipe = full_size.build(self._architecture, self._device, self._dtype, home)
        # For every row: diffusers holds it for all models, until it is set again.
        pipe.transformer.set_attention_backend(row.attention)
        if plan is not None:
            # T5 isn't run: where it would be is of no account.
            acceleration.apply(pipe, replace(plan, text_encoder="resident"), self._device, cache)
        elif row.compiled:
            acceleration.compile_blocks(pipe.transformer)
        return pipe

    def _plan(self, precision: Literal["auto", "fp8"]) -> Plan:
        if self._card is None:
            return planner.for_cpu(Overrides(precision, compile=True), prefetch.memory())
        workload = Workload.of(MODELS["dev" if self._architecture.guidance else "schnell"])
        return planner.choose(
            self._card, prefetch.memory(), self._counts, workload, Overrides(precision)
        )

    def _measure_at(self, pipe: FluxPipeline, row: Row, side: int) -> Measured:
        self._clock.reset_peak()
        velocities: list[Tensor] = []
        watch = pipe.transformer.register_forward_hook(lambda _, __, out: velocities.append(out[0]))
        compilation, latents = self._clock.timed(lambda: self._denoise(pipe, side, 1))
        watch.remove()
        first, steps = self._step_seconds(pipe, side)
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
            image=max(0.0, first - step) + self._architecture.steps * step + decode,
            limit=self._architecture.steps * self._flops(pipe, side) / self.rates.sustained,
            peak=self._clock.peak(),
            compilation=max(0.0, compilation - step),
            attention=kernels.attention(lambda: self._denoise(pipe, side, 1), self._device),
            difference=_relative(velocities[0], self._plain.get(side)),
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

    def _step_seconds(self, pipe: FluxPipeline, side: int) -> tuple[float, list[float]]:
        """Return what the first step takes with all that comes before it, and what others take."""
        marks = self._clock.marks()
        marks.mark()
        self._denoise(pipe, side, WARM_UP + self._runs + 1, marks.at_step)
        first, *others = marks.between()
        return first, others[WARM_UP:]

    def _flops(self, pipe: FluxPipeline, side: int) -> float:
        """Of a step's matrix products: 24·S·d² in a block's layers, 4·S²·d in its attention."""
        config = pipe.transformer.config
        width = config.num_attention_heads * config.attention_head_dim
        tokens = (side // 16) ** 2 + self._architecture.text_tokens
        blocks = config.num_layers + config.num_single_layers
        return float(blocks * (24 * tokens * width**2 + 4 * tokens**2 * width))


def _relative(values: Tensor, reference: Tensor | None) -> float | None:
    if reference is None:
        return None
    distance = (values.float() - reference.float()).norm() / reference.float().norm()
    return float(distance)


def _reason(error: Exception) -> str:
    if isinstance(error, RuntimeError) and is_out_of_memory(error):
        return "out of memory"
    if isinstance(error, CannotStart):
        return str(error)
    cause: BaseException = error
    while inner := cause.__cause__ or cause.__context__:  # what the compiler says of it is long
        cause = inner
    first, *_ = str(cause).partition("\n")
    return f"{type(cause).__name__}: {first}"
