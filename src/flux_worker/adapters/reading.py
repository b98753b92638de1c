"""Reads a LoRA's file and finds the place of each of its tensors in the model.

Every tensor must have one, or be without effect: a LoRA that is merged in part makes a weaker
picture, and nobody would know why. That is why this isn't diffusers' converter, which drops what it
doesn't know, forgets alphas of the final layer, and takes FLUX's own sizes alone.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from flux_worker.adapters import layer_names, suspects, trainers
from flux_worker.adapters.deltas import (
    Adapter,
    Delta,
    Factor,
    Kronecker,
    Layers,
    LowRank,
    Part,
    Unfit,
)
from flux_worker.adapters.trainers import DIFFUSERS_METADATA, Scales

Factors = dict[str, Tensor]
"""A layer's tensors by what they are: down, up, alpha, lokr_w1…"""
Parts = tuple[Part, ...]

LOW_RANK = frozenset({"down", "up", "alpha"})
LOKR = frozenset(
    {"lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b", "alpha"}
)
MAX_HEADER = 16 << 20
"""Bytes: what a LoRA of every layer takes and much metadata, but not minutes to look through."""
COMPONENTS = ("transformer", "text_encoder")
"""Those that can be changed."""
UNUSED = re.compile(
    r"text_encoder_text_projection"
    r"|transformer_(time_text_embed_guidance_embedder|guidance_in)_.*"
)
"""FLUX takes CLIP's pooled output as it is before this layer; and schnell takes no guidance."""


def read(file: Path, layers: Layers, max_rank: int) -> Adapter:
    """Read a LoRA for a model with these layers.

    Raises:
        Unfit: it is none, its rank is above `max_rank`, or there is something in it that would be
            left out.
        OSError: the file can't be read.
    """
    # Read, not mapped: a mapped file that is overwritten changes the picture, or ends the process.
    content = file.read_bytes()
    try:
        if int.from_bytes(content[:8], "little") > MAX_HEADER:
            raise ValueError
        tensors = {name: _ready(tensor) for name, tensor in load(content).items()}
        metadata = trainers.metadata(content)
    except (SafetensorError, KeyError, ValueError, TypeError, AttributeError, RecursionError):
        raise Unfit("is no sound safetensors file of a LoRA") from None
    try:
        scales = {name: trainers.scales(metadata, name) for name in COMPONENTS}
    except ValueError:
        raise Unfit(
            f"has metadata that can't be followed: the alphas of its {DIFFUSERS_METADATA} must be "
            "finite numbers, for names of layers without wildcards"
        ) from None
    index, found = layer_names.index(layers), dict[tuple[str, int], str]()
    deltas = list[Delta]()
    modules = _modules(tensors)
    for module, factors in modules.items():
        name = layer_names.resolve(module)
        parts = index.get(name)
        if not _has_effect(factors) or (parts is None and UNUSED.fullmatch(name)):
            continue
        if parts is None or not (factors.keys() <= LOW_RANK or factors.keys() <= LOKR):
            raise Unfit(suspects.clause(module, modules, metadata))
        for part in parts:
            other = found.setdefault((part.layer, part.at), module)
            if other != module:
                raise _ambiguous(module, other)
        deltas.append(_delta(module, factors, parts, scales))
        _check(module, deltas[-1], layers, max_rank)
    if not deltas:
        raise Unfit("is no LoRA: it has no weights that change this model")
    digest = hashlib.sha256(content).hexdigest()
    return Adapter(digest, tuple(deltas), trainers.triggers(metadata), len(content))


def _ready(tensor: Tensor) -> Tensor:
    """Pin a tensor where there is a GPU, which gets it in a fraction of the time then."""
    return tensor.pin_memory() if torch.cuda.is_available() else tensor


def _ambiguous(one: str, other: str) -> Unfit:
    return Unfit(
        f"has two sets of weights for one layer, {suspects.shown(one)} and "
        f"{suspects.shown(other)}: it isn't known which of them is meant"
    )


def _modules(tensors: Mapping[str, Tensor]) -> dict[str, Factors]:
    modules: dict[str, Factors] = {}
    for name, tensor in tensors.items():
        module, factor = trainers.split(name)
        factors = modules.setdefault(module, {})
        if factor in factors:
            raise _ambiguous(module, name)
        factors[factor] = tensor
    return modules


def _has_effect(factors: Factors) -> bool:
    """Whether a layer's factors change anything: some trainers save layers that they left alone."""
    weights = [tensor for name, tensor in factors.items() if name != "alpha"]
    is_product = factors.keys() <= LOW_RANK or factors.keys() <= LOKR
    together = all if is_product else any
    return bool(weights) and together(bool(tensor.any()) for tensor in weights)


def _delta(module: str, factors: Factors, parts: Parts, scales: Mapping[str, Scales]) -> Delta:
    """Build a layer's delta, in whatever shape it comes."""
    alpha = _number(module, factors.get("alpha"))
    for factor, tensor in factors.items():
        # kohya's and LyCORIS' alphas are integers where they were left to be the rank.
        is_number = tensor.is_floating_point() or factor == "alpha"
        if not is_number or not torch.isfinite(tensor.float()).all():
            raise Unfit(f"is damaged: {suspects.shown(module)} isn't of finite numbers")
    component, _, name = parts[0].layer.partition(".")
    said = scales[component]
    try:
        if factors.keys() & (LOKR - {"alpha"}):
            left, right = (_lokr_factor(factors, each) for each in ("lokr_w1", "lokr_w2"))
            delta = Kronecker(parts, left, right)
            if alpha is None:
                return replace(delta, scale=said.of(name, delta.rank or said.rank, None))
            # LyCORIS scales where there is a rank, and not where both factors are whole.
            return replace(delta, scale=alpha / delta.rank if delta.rank else 1.0)
        up, down = factors["up"], factors["down"]
        if up.ndim != 2 or down.ndim != 2 or up.shape[1] != down.shape[0]:
            raise ValueError
        return LowRank(parts, up, down, said.of(name, len(down), alpha))
    except KeyError as missing:
        raise Unfit(
            f"is incomplete: {suspects.shown(module)} has no {missing.args[0]} matrix"
        ) from None
    except (ValueError, RuntimeError):
        raise Unfit(f"is damaged: the factors of {suspects.shown(module)} don't match") from None


def _lokr_factor(factors: Factors, name: str) -> Factor:
    """Return one of the two factors, of which there is the whole or the halves, but not both."""
    halves = f"{name}_a", f"{name}_b"
    if name not in factors:
        factor: Factor = tuple(factors[half] for half in halves)
    elif factors.keys().isdisjoint(halves):
        factor = (factors[name],)
    else:
        raise ValueError
    if any(each.ndim != 2 for each in factor):
        raise ValueError
    if len(factor) > 1 and factor[0].shape[1] != len(factor[1]):
        raise ValueError
    return factor


def _check(module: str, delta: Delta, layers: Layers, max_rank: int) -> None:
    """Make sure that a delta has the layer's shape, and no higher rank than is allowed."""
    theirs = delta.shape
    ours = max(part.rows.stop for part in delta.parts), layers[delta.parts[0].layer][1]
    if theirs != ours:
        raise Unfit(suspects.of_shape(module, theirs, ours))
    if delta.rank > max_rank:
        raise Unfit(f"has rank {delta.rank}, and this worker's MAX_LORA_RANK is {max_rank}")


def _number(module: str, alpha: Tensor | None) -> float | None:
    if alpha is None:
        return None
    if alpha.numel() != 1 or alpha.is_complex():
        raise Unfit(f"is damaged: the alpha of {suspects.shown(module)} isn't one number")
    return float(alpha)
