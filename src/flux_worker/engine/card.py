"""The card at hand: what it can do, and what is installed for it."""

import importlib.util
import os
import shutil
from dataclasses import dataclass
from typing import Self

import torch

from flux_worker.engine.plan import Attention, Precision

FLASH: dict[Attention, str] = {
    "flash3": "flash_attn_interface",
    "flash4": "flash_attn.cute.interface",
}
"""The flash-attention packages, by the module that each installs."""


@dataclass(frozen=True)
class Card:
    """A CUDA device, and what is installed for it."""

    name: str
    capability: tuple[int, int]
    """Compute capability, such as (9, 0) for Hopper."""
    memory: int
    """Bytes that can be had, as the driver reports them."""
    flash: frozenset[Attention] = frozenset()
    """The flash-attention packages that are installed: flash3, flash4."""
    compiler: bool = True
    """Whether a C compiler is installed, which Triton needs."""

    @property
    def computes_fp8(self) -> bool:
        """Whether it multiplies fp8 matrices: Ada, Hopper and newer."""
        return self.capability >= (8, 9)

    @property
    def small_precision(self) -> Precision:
        """The eight bits that it multiplies best: older cards have units for int8 alone."""
        return "fp8" if self.computes_fp8 else "int8"

    @property
    def best_attention(self) -> Attention:
        """What it does best with what is installed.

        Else torch's choice, which on Hopper and datacentre Blackwell is cuDNN's kernel. Asked for
        by name, diffusers copies its inputs first.
        """
        flash: dict[int, tuple[Attention, ...]] = {9: ("flash3", "flash4"), 10: ("flash4",)}
        installed = (name for name in flash.get(self.capability[0], ()) if name in self.flash)
        return next(installed, "native")

    @classmethod
    def of(cls, device: torch.device) -> Self:
        """Describe a CUDA device."""
        properties = torch.cuda.get_device_properties(device)
        free, _ = torch.cuda.mem_get_info(device)
        return cls(
            name=properties.name,
            capability=(properties.major, properties.minor),
            memory=free,
            flash=frozenset(name for name, module in FLASH.items() if _is_installed(module)),
            compiler=shutil.which(os.environ.get("CC", "cc")) is not None,
        )


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
