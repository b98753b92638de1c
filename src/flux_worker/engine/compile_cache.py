"""Keeps what is compiled, so that only the first worker waits for the compiler.

Each kind of block, and the VAE's decoder, is compiled ahead of time into a package, with its
lengths left open and without weights: every block of the kind runs the same code on weights of its
own. Blocks that can't be packaged (fp8, int8, FlashAttention 3 and 4) are compiled when they are
first run, and what inductor caches of that is kept instead.
"""

import hashlib
import json
import logging
import os
import platform
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import torch
from diffusers import AutoencoderKL, FluxTransformer2DModel, ModelMixin
from torch import nn
from torch.utils import cpp_extension

from flux_worker import __version__
from flux_worker.engine import block_packages
from flux_worker.engine.block_packages import Calls
from flux_worker.engine.plan import Attention, Plan

log = logging.getLogger(__name__)

Code = Literal["cached", "compiled"]
"""Whether a package was there, or had to be built."""
SHORTER = 13
"""Tokens, or latents of a side: by how much the calls differ that a new package is tried with."""


def install(transformer: FluxTransformer2DModel, plan: Plan, root: Path) -> Code | None:
    """Run the transformer's blocks from packages in the cache, built first if there are none.

    Returns where these come from; None where they don't run so, and are still to be compiled.
    Inductor's own cache is among these files from now on where such blocks can't be packaged.
    """
    choices = (plan.precision, plan.quantized_activations, plan.attention)
    with _done_without("COMPILE_CACHE_DIR is of no use to this worker, which compiles for itself"):
        folder = root / key(transformer, *choices)
        folder.mkdir(parents=True, exist_ok=True)
        if _can_be_packaged(plan) and _can_package_for(transformer.device):
            modules = list(block_packages.blocks(transformer))
            examples = partial(block_packages.example_calls, transformer)
            return _install(modules, examples, plan.attention, folder)
        with tempfile.TemporaryFile(dir=folder):  # inductor fails where it can't write
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder / "inductor")
    return None


def install_decoder(
    vae: AutoencoderKL, examples: Callable[[int], Calls], root: Path
) -> Code | None:
    """Run the VAE's decoder from a package in the cache, built first if there is none.

    Args:
        vae: on its device.
        examples: makes calls of the decoder, with that many rows and columns fewer.
        root: the cache.

    Returns where that comes from; None where it doesn't, and is as it was.
    """
    with _done_without(f"The VAE's decoder can't be compiled into {root}"):
        folder = root / key(vae)
        folder.mkdir(parents=True, exist_ok=True)
        # Its heads are too wide for cuDNN's attention: torch finds the kernel.
        if _can_package_for(vae.device):
            return _install([vae.decoder], examples, "native", folder)
    return None


def key(model: ModelMixin, *choices: object) -> str:
    """Return what the compiled code depends on, as a name for its folder.

    The CPU is part of it even beside a GPU: the code that calls the kernels is compiled for it.
    """
    device = model.device
    major, minor = torch.cuda.get_device_capability(device) if device.type == "cuda" else (0, 0)
    facts = {
        "model": {k: v for k, v in model.config.items() if not k.startswith("_")},
        "dtype": str(model.dtype),
        "choices": choices,
        "gpu": f"sm_{major}{minor}",
        "cpu": [platform.machine(), *_cpu_features()],
        "cuda": torch.version.cuda,
        "libc": platform.libc_ver(),
        "packages": {name: _version(name) for name in ("torch", "triton", "diffusers", "torchao")},
        "worker": __version__,
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
    return f"{device.type}-{facts['gpu']}-torch-{torch.__version__}-{digest[:16]}"


@contextmanager
def _done_without(failure: str) -> Iterator[None]:
    """Whatever is wrong with a cache, it is no reason not to serve."""
    try:
        yield
    except Exception as error:
        log.warning("%s: %s: %s", failure, type(error).__name__, error)


def _can_package_for(device: torch.device) -> bool:
    if device.type == "cuda" and cpp_extension.CUDA_HOME is None:
        log.info("Without CUDA's headers (CUDA_HOME) only inductor's files are kept.")
        return False
    return True


def _can_be_packaged(plan: Plan) -> bool:
    # FlashAttention 3 and 4 replace an operator in torch's dispatcher, past which a package calls
    # the original.
    return not plan.is_quantized and plan.attention not in ("flash3", "flash4")


def _install(
    modules: list[nn.Module], examples: Callable[[int], Calls], attention: Attention, folder: Path
) -> Code | None:
    calls = examples(0)
    missing = [kind for kind in calls if not is_sound(_package(folder, kind))]
    if not (missing or _run_packaged(modules, calls, folder)):
        missing = list(calls)
    if missing:
        wanted = {kind: calls[kind] for kind in missing}
        _build(modules, wanted, examples(SHORTER), attention, folder)
        return "compiled" if _run_packaged(modules, calls, folder) else None
    return "cached"


def _build(
    modules: list[nn.Module], calls: Calls, others: Calls, attention: Attention, folder: Path
) -> None:
    log.info("Compiling %s into %s.", " and ".join(calls), folder)
    first = {type(module).__name__: module for module in modules}
    # Other workers may build at the same time: a package appears under its name only when whole.
    with (
        tempfile.TemporaryDirectory(dir=folder) as finished,
        tempfile.TemporaryDirectory() as building,
    ):
        for kind, call in calls.items():
            built = Path(building, f"{kind}.pt2")
            block_packages.build(first[kind], call, attention, built)
            block_packages.compare(first[kind], built, others[kind])
            os.replace(shutil.copy(built, finished), _package(folder, kind))


def _run_packaged(modules: list[nn.Module], calls: Calls, folder: Path) -> bool:
    """Have every module run from its package, or leave all as they were if one can't."""
    loaded = []
    try:
        for module in modules:
            kind = type(module).__name__
            loaded.append((module, block_packages.load(module, _package(folder, kind))))
            loaded[-1][1](**calls[kind])
    except Exception as error:
        log.warning("The packages in %s can't be run: %s", folder, error)
        return False
    for module, package in loaded:
        module.forward = package
    return True


def _package(folder: Path, kind: str) -> Path:
    return folder / f"{kind}.pt2"


def is_sound(package: Path) -> bool:
    """Whether the package is there and every file in it has its checksum."""
    if not package.exists():
        return False
    try:
        with zipfile.ZipFile(package) as archive:
            sound = archive.testzip() is None
    except (zipfile.BadZipFile, EOFError, OSError):
        sound = False
    if not sound:
        log.warning("%s is damaged, so it is compiled anew.", package)
    return sound


def _cpu_features() -> list[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return [platform.processor()]
    return next((line.split() for line in lines if line.startswith(("flags", "Features"))), [])


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
