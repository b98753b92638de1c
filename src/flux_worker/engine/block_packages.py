"""Compiles a kind of module ahead of time, into a package without weights.

The package has its lengths left open, and every module of the kind, such as the transformer's
single blocks or a VAE's decoder, runs it on weights of its own.
"""

import inspect
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from diffusers import FluxTransformer2DModel
from torch import Tensor, nn
from torch._inductor import aoti_compile_and_package
from torch.export import Dim, export
from torch.export.pt2_archive._package import AOTICompiledModel
from torch.nn.attention import SDPBackend, sdpa_kernel

from flux_worker.engine.plan import Attention

TOLERANCE = 0.02
"""Of a packaged block's output, relative to its norm: bfloat16 rounds to 2⁻⁸."""

Calls = dict[str, dict[str, Any]]
"""The arguments that each kind of module is called with, by the name of its class."""


def blocks(transformer: FluxTransformer2DModel) -> Iterator[nn.Module]:
    """Yield the blocks in their order."""
    yield from transformer.transformer_blocks
    yield from transformer.single_transformer_blocks


def example_calls(transformer: FluxTransformer2DModel, shorter: int = 0) -> Calls:
    """Run the transformer once, and see what its blocks get; with that many tokens fewer.

    The sizes are usual ones, since kernels are tuned for them.
    """
    config, device, dtype = transformer.config, transformer.device, transformer.dtype
    text, image = (512, 4096) if device.type == "cuda" else (64, 256)
    text, image = text - shorter, image - 2 * shorter
    calls: Calls = {}

    def keep(block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = inspect.signature(type(block).forward).bind(block, *args, **kwargs).arguments
        calls.setdefault(type(block).__name__, {k: v for k, v in given.items() if k != "self"})

    def noise(*shape: int) -> Tensor:
        return torch.randn(*shape, device=device, dtype=dtype)

    hooks = [
        block.register_forward_pre_hook(keep, with_kwargs=True) for block in blocks(transformer)
    ]
    try:
        with torch.no_grad():
            transformer(
                hidden_states=noise(1, image, config.in_channels),
                encoder_hidden_states=noise(1, text, config.joint_attention_dim),
                pooled_projections=noise(1, config.pooled_projection_dim),
                timestep=torch.ones(1, device=device, dtype=dtype),
                guidance=torch.ones(1, device=device) if config.guidance_embeds else None,
                img_ids=torch.zeros(image, 3, device=device, dtype=dtype),
                txt_ids=torch.zeros(text, 3, device=device, dtype=dtype),
                joint_attention_kwargs={},
            )
    finally:
        for hook in hooks:
            hook.remove()
    return calls


def build(module: nn.Module, call: dict[str, Any], attention: Attention, path: Path) -> None:
    """Compile a module for calls like this one, of any length, and write it to `path`."""
    with torch.no_grad(), _attending(attention):
        program = export(module, (), call, dynamic_shapes=_open_lengths(call))
        aoti_compile_and_package(
            program,
            package_path=os.fspath(path),
            inductor_configs={
                "aot_inductor.package_constants_in_so": False,
                # Else a bias of up to 8 numbers, such as the decoder's last, is part of the code.
                "always_keep_tensor_constants": True,
            },
        )


def load(module: nn.Module, path: Path) -> Callable[..., Any]:
    """Return what computes the module, with its weights where they are."""
    # Not by `aoti_load_package`: it compiles programs first, to see what the CPU can do.
    loader = torch._C._aoti.AOTIModelPackageLoader(os.fspath(path), "model", True, 1, -1)
    package = AOTICompiledModel(loader)
    weights = {name: parameter.data for name, parameter in module.named_parameters()}
    weights |= dict(module.named_buffers())
    package.load_constants(weights, check_full_update=True, user_managed=True)
    run: Callable[..., Any] = package.__call__
    return run


def compare(module: nn.Module, path: Path, call: dict[str, Any]) -> None:
    """Make sure that a package computes what its module does, for a call of other lengths.

    Raises:
        ArithmeticError: it doesn't.
    """
    with torch.no_grad():
        pairs = zip(load(module, path)(**call), module(**call), strict=True)
    for one, another in pairs:
        difference = (one - another).float().norm() / another.float().norm()
        if not difference < TOLERANCE:
            raise ArithmeticError(f"the package of {type(module).__name__} is {difference:.0%} off")


def _attending(attention: Attention) -> AbstractContextManager[object]:
    """The attention is chosen for a package when it is compiled."""
    return sdpa_kernel(SDPBackend.CUDNN_ATTENTION) if attention == "cudnn" else nullcontext()


def _open_lengths(given: Any) -> Any:
    """Leave open how large an image is.

    States are (1, tokens, width), rotations (tokens, width), latents (1, channels, height, width).
    """
    if isinstance(given, torch.Tensor):
        if given.dim() == 4:
            return {2: Dim.DYNAMIC, 3: Dim.DYNAMIC}
        tokens = given.dim() - 2
        return {tokens: Dim.DYNAMIC} if given.shape[tokens] > 1 else None
    if isinstance(given, dict):
        return {name: _open_lengths(value) for name, value in given.items()}
    if isinstance(given, tuple | list):
        return type(given)(map(_open_lengths, given))
    return None
