"""What is taken for granted of each card. Nothing of it was measured on this worker."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Card:
    """A card as Runpod rents it out."""

    seconds: float
    """For an image of FLUX.1-dev at 1024×1024 in 28 steps: predicted or published, see `source`."""
    price: float
    """Dollars a second as a flex worker, August 2026 (https://www.runpod.io/pricing)."""
    source: str


CARDS = {
    "H200": Card(3.7, 0.00155, "predicted from FLUX's arithmetic and published rates of its parts"),
    "H100": Card(4.2, 0.00116, "published, diffusers compiled: sayakpaul/diffusers-torchao"),
    "A100": Card(10.0, 0.00076, "published, diffusers compiled: chengzeyi/ParaAttention"),
    "RTX 4090": Card(8.0, 0.00031, "published, fp8 compiled: aredden/flux-fp8-api, 3.51 steps a s"),
}
"""Those whose seconds are known for the precision that the worker chooses there, compiled: fp8 on
the RTX 4090, exact on the others."""

COLD_START = 30.0
"""Seconds, an assumption: no cold start with FLUX's own weights was measured on a GPU."""
