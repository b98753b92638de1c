"""What LoRAs cost: nothing in a step, and how much to change them or to bring them.

    python -m benchmarks.lora [--model dev] [--rank 32] [--rounds 15]

The model has random weights; on a GPU it is FLUX.1-dev at its full size, planned as at a cold
start, on a CPU a narrower one. Steps with and without LoRAs of every layer in the blocks take turns
in one run. A change of the weights is timed until the device has ended. A file is one for
FLUX.1-dev at its full size, whatever the model; it is downloaded from a server on this machine, so
that is no network's time. Cached: the worker has started anew. Held: it has not.
"""

import argparse
import asyncio
import http.server
import os
import statistics
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Event

import torch
from huggingface_hub import constants
from safetensors.torch import save_file
from torch import nn

from benchmarks import full_size
from benchmarks.clock import Clock, versions
from benchmarks.full_size import Architecture
from benchmarks.table import markdown
from flux_worker.adapters import reading
from flux_worker.adapters.deltas import Adapter, Layers, Weighed
from flux_worker.adapters.lora_library import Library
from flux_worker.contract.catalog import DEV
from flux_worker.contract.loras import Lora
from flux_worker.engine import acceleration, pipeline
from flux_worker.engine.memory import Workload
from flux_worker.engine.merging import Merger
from flux_worker.engine.planner import Overrides
from flux_worker.settings import Settings
from flux_worker.weights.checkpoint import Checkpoint

NARROW = Architecture(
    text_tokens=128,
    transformer={
        "num_layers": 2,
        "num_single_layers": 4,
        "attention_head_dim": 64,
        "num_attention_heads": 16,
        "axes_dims_rope": (8, 28, 28),
        "joint_attention_dim": 1024,
    },
    vae_widths=(32, 32, 32, 32),
)
"""Wide enough that a CPU's step is one of matrix products: 110 million numbers in the blocks."""
MODELS = {"dev": full_size.DEV, "narrow": NARROW, "tiny": full_size.TINY}
STEPS = 4
"""In a round; the first is left out."""
SPREAD = 0.01


def main() -> None:
    """Measure, and print the tables."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    options = parse(device)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(MODELS[options.model], device, options.rank, Path(folder))
        print(f"{options.model}, rank {options.rank}, {versions(device)}, {bench.plan}\n")
        print(steps(bench, options.side, options.rounds), "\n")
        print(merges(bench, options.rounds), "\n")
        print(asyncio.run(files(MODELS[options.files], options.rank, Path(folder), options.rounds)))


class Bench:
    """A model with random weights, and two LoRAs for it."""

    def __init__(
        self, architecture: Architecture, device: torch.device, rank: int, folder: Path
    ) -> None:
        dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
        self.clock = Clock(device)
        self.plan = pipeline.plan_for(device, architecture.count(), Workload.of(DEV), Overrides())
        self._pipe = full_size.build(architecture, device, dtype)
        self._inputs = full_size.embeddings(architecture, device, dtype)
        acceleration.apply(self._pipe, self.plan, device)
        # Without files: where there is no room for the originals, they are kept nevertheless.
        nothing = Checkpoint(Path(), {})
        self._merger = Merger(self._pipe, nothing, self.plan, device)
        self.loras = [self._read(folder / f"{seed}.safetensors", rank, seed) for seed in (1, 2)]

    def step(self, side: int) -> list[float]:
        """Return the seconds of some denoising steps."""
        marks = self.clock.marks()
        with torch.inference_mode():
            self._pipe(
                **self._inputs,
                width=side,
                height=side,
                num_inference_steps=STEPS,
                output_type="latent",
                callback_on_step_end=marks.at_step,
            )
        return marks.between()

    def merge(self, *loras: Weighed) -> float:
        """Return the seconds until the weights hold these LoRAs and no others."""
        return self.clock.timed(partial(self._merge, loras))[0]

    def _merge(self, loras: Sequence[Weighed]) -> None:
        if not self._merger.holds(loras):
            self._merger.merge(loras, Event())

    def _read(self, file: Path, rank: int, seed: int) -> Adapter:
        write(file, self._merger.layers, rank, seed)
        return reading.read(file, self._merger.layers, rank)


def steps(bench: Bench, side: int, rounds: int) -> str:
    """Compare steps with and without a LoRA."""
    kinds: list[tuple[str, tuple[Weighed, ...]]] = [
        ("no LoRA", ()),
        ("one LoRA", ((bench.loras[0], 1.0),)),
        ("two LoRAs", ((bench.loras[0], 1.0), (bench.loras[1], 0.5))),
    ]
    taken: dict[str, list[float]] = {name: [] for name, _ in kinds}
    for number in range(rounds + 1):
        for name, loras in kinds:
            bench.merge(*loras)
            measured = bench.step(side)
            if number:
                taken[name] += measured
    median = {name: statistics.median(seconds) for name, seconds in taken.items()}
    bench.merge()
    rows = [
        (name, f"{value * 1e3:.2f}", f"{value / median['no LoRA']:.3f}")
        for name, value in median.items()
    ]
    return markdown((f"a step at {side}×{side}", "ms", "× no LoRA"), rows)


def merges(bench: Bench, rounds: int) -> str:
    """Measure every change of what the weights hold."""
    one, other = ((lora, 1.0) for lora in bench.loras)
    weaker = (bench.loras[0], 0.5)
    changes: list[tuple[str, Callable[[], float]]] = [
        ("the first LoRA", lambda: bench.merge(one)),
        ("the same one again", lambda: bench.merge(one)),
        ("another scale", lambda: bench.merge(weaker)),
        ("another LoRA", lambda: bench.merge(other)),
        ("two", lambda: bench.merge(one, other)),
        ("none again", lambda: bench.merge()),
    ]
    taken: dict[str, list[float]] = {name: [] for name, _ in changes}
    for _ in range(rounds):
        for name, change in changes:
            taken[name].append(change())
    return markdown(("the weights hold", "ms"), _medians(taken))


async def files(architecture: Architecture, rank: int, folder: Path, rounds: int) -> str:
    """Measure how long a file takes to be brought, from ever nearer."""
    layers = _layers(architecture)
    write(folder / "served.safetensors", layers, rank, seed=0)
    size = (folder / "served.safetensors").stat().st_size
    taken: dict[str, list[float]] = {"downloaded": [], "cached on disk": [], "held in memory": []}
    with _serving(folder / "served.safetensors") as address:
        constants.ENDPOINT = address  # a mirror of the operator's, which may be on loopback
        wanted = [Lora(path="owner/name/file.safetensors")]
        for number in range(max(1, rounds // 3)):
            settings = Settings(lora_cache_dir=folder / f"cache{number}")
            for names in (("downloaded",), ("cached on disk", "held in memory")):
                library = Library(settings, layers)
                for name in names:
                    begin = asyncio.get_running_loop().time()
                    await library.bring(wanted)
                    taken[name].append(asyncio.get_running_loop().time() - begin)
    return markdown((f"a file of {size / 1e6:.0f} MB", "ms"), _medians(taken))


def write(file: Path, layers: Layers, rank: int, seed: int) -> None:
    """Write a LoRA of random numbers for every layer in the transformer's blocks, in bfloat16."""
    draw = torch.Generator().manual_seed(seed)

    def numbers(*shape: int) -> torch.Tensor:
        return (torch.randn(*shape, generator=draw) * SPREAD).bfloat16()

    tensors = {}
    for name, (outputs, inputs) in layers.items():
        if "transformer_blocks" in name:
            tensors[f"{name}.lora_A.weight"] = numbers(rank, inputs)
            tensors[f"{name}.lora_B.weight"] = numbers(outputs, rank)
    save_file(tensors, file)


def _layers(architecture: Architecture) -> Layers:
    transformer, _ = architecture.empty()
    return {
        f"transformer.{name}": (module.out_features, module.in_features)
        for name, module in transformer.named_modules()
        if isinstance(module, nn.Linear)
    }


def _medians(taken: dict[str, list[float]]) -> list[tuple[str, str]]:
    return [(name, f"{statistics.median(each) * 1e3:.1f}") for name, each in taken.items()]


@contextmanager
def _serving(file: Path) -> Iterator[str]:
    """Serve one file under every name, as the Hub does."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            tag = '"benchmark"'
            is_known = self.headers.get("If-None-Match") == tag
            self.send_response(304 if is_known else 200)
            self.send_header("ETag", tag)
            self.send_header("Content-Length", "0" if is_known else str(file.stat().st_size))
            self.end_headers()
            if not is_known:
                with file.open("rb") as content:
                    os.sendfile(self.wfile.fileno(), content.fileno(), 0, file.stat().st_size)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def parse(device: torch.device, arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the options, from the command line by default."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    is_cpu = device.type == "cpu"
    parser.add_argument("--model", choices=MODELS, default="narrow" if is_cpu else "dev")
    parser.add_argument("--files", choices=MODELS, default="dev", help="the model of the file")
    parser.add_argument("--rank", type=int, default=32)
    parser.add_argument("--side", type=int, default=256 if is_cpu else 1024, help="pixels")
    parser.add_argument("--rounds", type=int, default=15)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
