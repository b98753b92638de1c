"""How fast weights are loaded: the worker, plain diffusers, and the best that reading alone can do.

    python -m benchmarks.loading [--rounds 3] [--folder build/benchmark]

The checkpoint is made here, 4 GB: FLUX.1's transformer and T5 at their real width with few layers.
Every page is touched before the clock stops, since mapped files are read only then. Cold means that
the system was told to forget the files.
"""

import argparse
import os
import shutil
import statistics
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from diffusers import FluxPipeline, FluxTransformer2DModel
from torch import Tensor, nn
from transformers import AutoConfig, T5EncoderModel

from benchmarks.table import markdown
from flux_worker import loading
from flux_worker.loading import PIECE
from local_platform.surroundings import DEMO_WEIGHTS

PAGE = 4096
CPU = torch.device("cpu")


def main() -> None:
    """Print a Markdown table."""
    options = _options()
    if not (options.folder / "model_index.json").exists():
        make_checkpoint(options.folder)
    files = sorted(options.folder.glob("*/*.safetensors"))
    size = sum(file.stat().st_size for file in files)
    ways: dict[str, Callable[[], Iterable[Tensor]]] = {
        "raw reading, 8 threads": lambda: read_raw(files),
        "worker": lambda: parameters(loading.load(options.folder, CPU, torch.bfloat16)),
        "plain from_pretrained": lambda: parameters(
            FluxPipeline.from_pretrained(options.folder, dtype=torch.bfloat16)
        ),
    }
    rows = []
    for state in ("cold", "warm"):
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(options.rounds):
            for name, way in ways.items():
                seconds[name].append(timed(way, files, state == "warm"))
        best = statistics.median(seconds["raw reading, 8 threads"])
        for name, times in seconds.items():
            median = statistics.median(times)
            figures = (f"{median:.2f}", f"{size / median / 1e9:.2f}", f"{best / median:.0%}")
            rows.append((f"{state}: {name}", *figures))
    print(f"{size / 1e9:.1f} GB in {len(files)} files, median of {options.rounds} rounds:\n")
    print(markdown(("way", "s", "GB/s", "of raw reading"), rows))


def timed(way: Callable[[], Iterable[Tensor]], files: list[Path], warm: bool) -> float:
    """Load once and touch every page; return the seconds."""
    for file in files:
        with file.open("rb") as opened:
            if warm:
                while opened.read(PIECE):
                    pass
            else:
                os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    begin = time.perf_counter()
    for tensor in way():
        tensor.view(-1).view(torch.uint8)[::PAGE].sum()
    return time.perf_counter() - begin


def read_raw(files: list[Path]) -> list[Tensor]:
    """Read all files at once into memory, and do nothing else."""

    def read(file: Path, into: Tensor, begin: int) -> None:
        with file.open("rb", buffering=0) as opened:
            opened.seek(begin)
            opened.readinto(memoryview(into.numpy()))

    data, reads = [], []
    with ThreadPoolExecutor(loading.THREADS) as pool:
        for file in files:
            whole = torch.empty(file.stat().st_size, dtype=torch.uint8)
            data.append(whole)
            reads += [
                pool.submit(read, file, whole[begin : begin + PIECE], begin)
                for begin in range(0, len(whole), PIECE)
            ]
        for done in reads:
            done.result()
    return data


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
