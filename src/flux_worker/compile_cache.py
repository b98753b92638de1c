"""Keeps the transformer's compiled blocks, so that only the first worker waits for the compiler.

Each kind of block is compiled ahead of time into a package, with its lengths left open and without
weights: every block of the kind runs the same code on weights of its own. What can't be packaged
(fp8, FlashAttention 3 and 4) is compiled when it is first run, and what inductor caches of that is
kept instead.
"""

import hashlib
import inspect
import json
import logging
import os
import platform
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from diffusers import FluxTransformer2DModel
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from flux_worker.plan import Plan

log = logging.getLogger(__name__)

Calls = dict[str, dict[str, Any]]
"""The arguments that each kind of block is called with, by the name of its class."""


def install(transformer: FluxTransformer2DModel, plan: Plan, root: Path) -> bool:
    """Run the transformer's blocks from packages in the cache, built first if there are none.

    Returns whether they do; if not, they are still to be compiled, and inductor's own cache is
    among these files from now on.
    """
    folder = root / key(transformer, plan)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder / "inductor")
        # FlashAttention 3 and 4 replace an operator in torch's dispatcher, past which a package
        # calls the original.
        if plan.precision == "fp8" or plan.attention in ("flash3", "flash4"):
            return False
        calls = example_calls(transformer)
        missing = [kind for kind in calls if not is_sound(_package(folder, kind))]
        if missing:
            _build(transformer, {kind: calls[kind] for kind in missing}, plan, folder)
        _run_packaged(transformer, calls, folder)
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
        "plan": [plan.precision, plan.fp8_modulation, plan.fp8_activations, plan.attention],
        "gpu": f"sm_{major}{minor}",
        "cpu": [platform.machine(), *_cpu_features()],
        "cuda": torch.version.cuda,
        "packages": {name: _version(name) for name in ("torch", "triton", "diffusers", "torchao")},
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
    return f"{device.type}-{facts['gpu']}-torch-{torch.__version__}-{digest[:16]}"


def example_calls(transformer: FluxTransformer2DModel) -> Calls:
    """Run the transformer once, on 64 text tokens and an image of 192, and see what blocks get."""
    config, device, dtype = transformer.config, transformer.device, transformer.dtype
    calls: Calls = {}

    def keep(block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = inspect.signature(type(block).forward).bind(block, *args, **kwargs).arguments
        calls.setdefault(type(block).__name__, {k: v for k, v in given.items() if k != "self"})

    hooks = [
        block.register_forward_pre_hook(keep, with_kwargs=True) for block in _blocks(transformer)
    ]
    with torch.no_grad():
        transformer(
            hidden_states=torch.randn(1, 192, config.in_channels, device=device, dtype=dtype),
            encoder_hidden_states=torch.randn(
                1, 64, config.joint_attention_dim, device=device, dtype=dtype
            ),
            pooled_projections=torch.randn(
                1, config.pooled_projection_dim, device=device, dtype=dtype
            ),
            timestep=torch.ones(1, device=device, dtype=dtype),
            guidance=torch.ones(1, device=device) if config.guidance_embeds else None,
            img_ids=torch.zeros(192, 3, device=device, dtype=dtype),
            txt_ids=torch.zeros(64, 3, device=device, dtype=dtype),
            joint_attention_kwargs={},
        )
    for hook in hooks:
        hook.remove()
    return calls


def _build(transformer: FluxTransformer2DModel, calls: Calls, plan: Plan, folder: Path) -> None:
    begin = time.perf_counter()
    log.info("The transformer's blocks are compiled, once, into %s.", folder)
    # Not above: the imports take seconds, and a worker that finds its packages needs none of it.
    from torch._inductor import aoti_compile_and_package
    from torch.export import export

    examples = {type(block).__name__: block for block in _blocks(transformer)}
    # Other workers may build at the same time: a package appears under its name only when whole.
    with tempfile.TemporaryDirectory(dir=folder) as building:
        for kind, call in calls.items():
            with torch.no_grad(), _attending(plan):
                lengths = _open_lengths(call)
                program = export(examples[kind], (), call, dynamic_shapes=lengths)
                package = aoti_compile_and_package(
                    program,
                    package_path=f"{building}/{kind}.pt2",
                    inductor_configs={"aot_inductor.package_constants_in_so": False},
                )
            os.replace(package, _package(folder, kind))
    log.info("The blocks are compiled, in %.0f s.", time.perf_counter() - begin)


def _attending(plan: Plan) -> AbstractContextManager[object]:
    """The attention is chosen for a package when it is compiled."""
    return sdpa_kernel(SDPBackend.CUDNN_ATTENTION) if plan.attention == "cudnn" else nullcontext()


def _open_lengths(given: Any) -> Any:
    """Leave open how many tokens: states are (1, tokens, width), rotations (tokens, width)."""
    if isinstance(given, torch.Tensor):
        tokens = given.dim() - 2
        return {tokens: torch.export.Dim.AUTO} if given.shape[tokens] > 1 else None
    if isinstance(given, dict):
        return {name: _open_lengths(value) for name, value in given.items()}
    if isinstance(given, tuple | list):
        return type(given)(map(_open_lengths, given))
    return None


def _run_packaged(transformer: FluxTransformer2DModel, calls: Calls, folder: Path) -> None:
    loaded = []
    for block in _blocks(transformer):
        kind = type(block).__name__
        package = torch._inductor.aoti_load_package(
            str(_package(folder, kind)), run_single_threaded=True
        )
        weights = {name: parameter.data for name, parameter in block.named_parameters()}
        package.load_constants(weights, check_full_update=True, user_managed=True)
        package(**calls[kind])
        loaded.append((block, package))
    # Only now, so that a package that can't be used leaves every block as it was.
    for block, package in loaded:
        block.forward = package.__call__


def _blocks(transformer: FluxTransformer2DModel) -> Iterator[nn.Module]:
    yield from transformer.transformer_blocks
    yield from transformer.single_transformer_blocks


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
