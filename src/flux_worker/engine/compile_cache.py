"""Keeps the transformer's compiled blocks, so that only the first worker waits for the compiler.

Each kind of block is compiled ahead of time into a package, with its lengths left open and without
weights: every block of the kind runs the same code on weights of its own. What can't be packaged
(fp8, int8, FlashAttention 3 and 4) is compiled when it is first run, and what inductor caches of
that is kept instead.
"""

import hashlib
import json
import logging
import os
import platform
import shutil
import tempfile
import time
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from diffusers import FluxTransformer2DModel
from torch.utils import cpp_extension

from flux_worker import __version__
from flux_worker.engine import block_packages
from flux_worker.engine.block_packages import Calls
from flux_worker.engine.plan import Plan

log = logging.getLogger(__name__)


def install(transformer: FluxTransformer2DModel, plan: Plan, root: Path) -> bool:
    """Run the transformer's blocks from packages in the cache, built first if there are none.

    Returns whether they do; if not, they are still to be compiled. Inductor's own cache is among
    these files from now on where blocks that run so can't be packaged.
    """
    folder = root / key(transformer, plan)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not _can_be_packaged(transformer, plan):
            with tempfile.TemporaryFile(dir=folder):  # inductor fails where it can't write
                os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder / "inductor")
            return False
        calls = block_packages.example_calls(transformer)
        missing = [kind for kind in calls if not is_sound(_package(folder, kind))]
        if not (missing or _run_packaged(transformer, calls, folder)):
            missing = list(calls)
        if missing:
            _build(transformer, {kind: calls[kind] for kind in missing}, plan, folder)
            if not _run_packaged(transformer, calls, folder):
                return False
    except Exception as error:
        # Whatever is wrong with a cache, it is no reason not to serve.
        log.warning(
            "COMPILE_CACHE_DIR is of no use to this worker, which compiles for itself: %s: %s",
            type(error).__name__,
            error,
        )
        return False
    log.info("The compiled blocks were loaded from %s.", folder)
    return True


def key(transformer: FluxTransformer2DModel, plan: Plan) -> str:
    """Return what the compiled code depends on, as a name for its folder.

    The CPU is part of it even beside a GPU: the code that calls the kernels is compiled for it.
    """
    device = transformer.device
    major, minor = torch.cuda.get_device_capability(device) if device.type == "cuda" else (0, 0)
    facts = {
        "transformer": {k: v for k, v in transformer.config.items() if not k.startswith("_")},
        "dtype": str(transformer.dtype),
        "plan": [
            plan.precision,
            plan.quantized_modulation,
            plan.quantized_activations,
            plan.attention,
        ],
        "gpu": f"sm_{major}{minor}",
        "cpu": [platform.machine(), *_cpu_features()],
        "cuda": torch.version.cuda,
        "libc": platform.libc_ver(),
        "packages": {name: _version(name) for name in ("torch", "triton", "diffusers", "torchao")},
        "worker": __version__,
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
    return f"{device.type}-{facts['gpu']}-torch-{torch.__version__}-{digest[:16]}"


def _can_be_packaged(transformer: FluxTransformer2DModel, plan: Plan) -> bool:
    if transformer.device.type == "cuda" and cpp_extension.CUDA_HOME is None:
        log.info("Without CUDA's headers (CUDA_HOME) only inductor's files are kept.")
        return False
    # FlashAttention 3 and 4 replace an operator in torch's dispatcher, past which a package calls
    # the original.
    return not plan.is_quantized and plan.attention not in ("flash3", "flash4")


def _build(transformer: FluxTransformer2DModel, calls: Calls, plan: Plan, folder: Path) -> None:
    begin = time.perf_counter()
    log.info("The transformer's blocks are compiled, once, into %s.", folder)
    examples = {type(block).__name__: block for block in block_packages.blocks(transformer)}
    others = block_packages.example_calls(transformer, shorter=13)
    # Other workers may build at the same time: a package appears under its name only when whole.
    with (
        tempfile.TemporaryDirectory(dir=folder) as finished,
        tempfile.TemporaryDirectory() as building,
    ):
        for kind, call in calls.items():
            built = Path(building, f"{kind}.pt2")
            block_packages.build(examples[kind], call, plan, built)
            block_packages.compare(examples[kind], built, others[kind])
            os.replace(shutil.copy(built, finished), _package(folder, kind))
    log.info("The blocks are compiled, in %.0f s.", time.perf_counter() - begin)


def _run_packaged(transformer: FluxTransformer2DModel, calls: Calls, folder: Path) -> bool:
    """Have every block run from its package, or leave all as they were if one can't."""
    loaded = []
    try:
        for block in block_packages.blocks(transformer):
            kind = type(block).__name__
            loaded.append((block, block_packages.load(block, _package(folder, kind))))
            loaded[-1][1](**calls[kind])
    except Exception as error:
        log.warning("The packages in %s can't be run: %s", folder, error)
        return False
    for block, package in loaded:
        block.forward = package
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
