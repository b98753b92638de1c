"""How fast weights are loaded: the worker, plain diffusers, and the best that reading alone can do.

    python -m benchmarks.loading [--rounds 3] [--folder build/benchmark]

The checkpoint is made here, 4 GB: FLUX.1's transformer and T5 at their real width with few layers.
Every page is touched before the clock stops, since mapped files are read only then. Cold means that
the system was told to forget the files. The second table is of whole processes, imports included.
"""

import argparse
import os
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import local

import torch
from diffusers import FluxPipeline, FluxTransformer2DModel
from torch import Tensor, nn
from transformers import AutoConfig, T5EncoderModel

from benchmarks.programs import seconds_until
from benchmarks.table import markdown
from flux_worker.weights import loading
from flux_worker.weights.checkpoint import Checkpoint
from flux_worker.weights.prefetch import PIECE, THREADS
from local_platform.processes.surroundings import DEMO_WEIGHTS

PAGE = 4096
CPU = torch.device("cpu")
IMPORTS = (
    "import runpod, torch; from diffusers import FluxPipeline; "
    "from flux_worker.weights import loading; from flux_worker.weights.checkpoint import Checkpoint"
)
IMPORTS += "; from benchmarks.loading import load_plainly, parameters, touch"
LOAD = (
    "touch(parameters(loading.load(Checkpoint.read(folder), torch.device('cpu'), torch.bfloat16)))"
)
STARTS = {
    "plain": f"{IMPORTS}; touch(load_plainly(folder))",
    "worker, reading after the imports": f"{IMPORTS}; {LOAD}",
    "worker": f"with prefetch.reading(folder): {IMPORTS}\n{LOAD}",
}
LOADED = b"loaded"


def main() -> None:
    """Print a Markdown table."""
    options = _options()
    if not (options.folder / "model_index.json").exists():
        make_checkpoint(options.folder)
    files = sorted(options.folder.glob("*/*.safetensors"))
    size = sum(file.stat().st_size for file in files)
    ways: dict[str, Callable[[], Iterable[Tensor]]] = {
        "raw reading, 8 threads": lambda: read_raw(files),
        "worker": lambda: parameters(
            loading.load(Checkpoint.read(options.folder), CPU, torch.bfloat16)
        ),
        "plain from_pretrained": lambda: load_plainly(options.folder),
    }
    rows = []
    for state in ("cold", "warm"):
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(options.rounds):
            for name, way in ways.items():
                (warm_up if state == "warm" else forget)(files)
                seconds[name].append(timed(way))
        best = statistics.median(seconds["raw reading, 8 threads"])
        for name, times in seconds.items():
            median = statistics.median(times)
            figures = (f"{median:.2f}", f"{size / median / 1e9:.2f}", f"{best / median:.0%}")
            rows.append((f"{state}: {name}", *figures))
    print(f"{size / 1e9:.1f} GB in {len(files)} files, median of {options.rounds} rounds.")
    print("Bars: the worker at 80 % of raw reading or more, and never slower than plain.\n")
    print(markdown(("way", "s", "GB/s", "of raw reading"), rows), end="\n\n")
    starts: dict[str, list[float]] = {name: [] for name in STARTS}
    for _ in range(options.rounds):
        for name, program in STARTS.items():
            forget(files)
            starts[name].append(start(program, options.folder))
    medians = [(name, statistics.median(times)) for name, times in starts.items()]
    plain = medians[0][1]
    rows = [(name, f"{median:.1f}", f"{median / plain:.0%}") for name, median in medians]
    print(markdown(("cold start, imports and loading", "s", "of plain"), rows))


def start(program: str, folder: Path) -> float:
    """Return the seconds from a process's start until it has loaded the checkpoint."""
    lines = (
        "from pathlib import Path; from flux_worker.weights import prefetch",
        f"folder = Path({str(folder)!r})",
        program,
        f"print({LOADED.decode()!r}, flush=True)",
    )
    return seconds_until([sys.executable, "-c", "\n".join(lines)], LOADED, dict(os.environ))


def forget(files: list[Path]) -> None:
    """Have the system drop the files from memory."""
    for file in files:
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def warm_up(files: list[Path]) -> None:
    """Have the system hold the files in memory."""
    for file in files:
        with file.open("rb") as opened:
            while opened.read(PIECE):
                pass


def timed(way: Callable[[], Iterable[Tensor]]) -> float:
    """Load once and touch every page; return the seconds."""
    begin = time.perf_counter()
    touch(way())
    return time.perf_counter() - begin


def touch(tensors: Iterable[Tensor]) -> None:
    """Use a byte of every page."""
    for tensor in tensors:
        tensor.view(-1).view(torch.uint8)[::PAGE].sum()


def load_plainly(folder: Path) -> list[Tensor]:
    """Load as diffusers does by itself."""
    return parameters(FluxPipeline.from_pretrained(folder, dtype=torch.bfloat16))


def read_raw(files: list[Path]) -> list[Tensor]:
    """Read all files at once, over and over into the same few buffers, and do nothing else."""
    pieces = [(file, at) for file in files for at in range(0, file.stat().st_size, PIECE)]
    buffers = local()

    def read(file: Path, begin: int) -> None:
        if not hasattr(buffers, "mine"):
            buffers.mine = bytearray(PIECE)
        with file.open("rb", buffering=0) as opened:
            os.preadv(opened.fileno(), [buffers.mine], begin)

    with ThreadPoolExecutor(THREADS) as pool:
        for done in [pool.submit(read, *piece) for piece in pieces]:
            done.result()
    return []


def parameters(pipe: FluxPipeline) -> list[Tensor]:
    """Return all parameters of a pipeline."""
    models = (part for part in pipe.components.values() if isinstance(part, nn.Module))
    return [parameter.data for model in models for parameter in model.parameters()]


def make_checkpoint(folder: Path) -> None:
    """Write a checkpoint of random numbers, so that no file has holes.

    The tokenizers, CLIP and the VAE are the demo's: they are small.
    """
    shutil.copytree(DEMO_WEIGHTS, folder, dirs_exist_ok=True)
    config = AutoConfig.from_pretrained(DEMO_WEIGHTS / "text_encoder_2")
    config.update({"d_model": 4096, "d_ff": 10240, "num_heads": 64, "d_kv": 64, "num_layers": 4})
    config.vocab_size = 32128
    for name, make in (
        ("transformer", lambda: FluxTransformer2DModel(num_layers=2, num_single_layers=3)),
        ("text_encoder_2", lambda: T5EncoderModel(config)),
    ):
        shutil.rmtree(folder / name)
        with torch.device("meta"):
            model = make()
        model = model.to(torch.bfloat16).to_empty(device="cpu")
        for parameter in model.parameters():
            parameter.data.normal_(0, 0.02)
        model.save_pretrained(folder / name, max_shard_size="1GB")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("build/benchmark"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
