"""What a plan says: how the model is held and run on a card."""

from dataclasses import dataclass, field
from typing import Literal

GIB = 2**30

Precision = Literal["fp32", "bf16", "fp8", "int8"]
Attention = Literal["native", "cudnn", "flash3", "flash4"]


@dataclass(frozen=True)
class Plan:
    """How the model is held and run."""

    precision: Precision
    """Of the linear layers in the transformer's blocks; everything else is bf16, or fp32."""
    modulation: Literal["resident", "offloaded"] = "resident"
    """Offloaded: its layers, in bf16, wait in host memory and are copied to the card in turn, once
    for an image."""
    text_encoder: Literal["resident", "fp8", "offloaded"] = "resident"
    """T5: in bf16, in fp8, or in bf16 in host memory, its layers copied to the card in turn."""
    transformer: Literal["resident", "streamed"] = "resident"
    """Streamed: its blocks wait in host memory and are copied to the card in turn."""
    vae_tiling: bool = False
    attention: Attention = "native"
    compile: bool = False
    quantized_activations: bool = False
    """Whether fp8 or int8 is multiplied as such; else only the weights are held in it."""
    peak: int = 0
    """Predicted bytes of the card's memory at the largest size."""
    host: int = 0
    """Predicted bytes of host memory for what waits there."""
    room: int = field(default=0, compare=False)
    """Bytes that are left on the card beside all that."""
    host_room: int = field(default=0, compare=False)
    """Bytes that are left of host memory."""

    @property
    def is_quantized(self) -> bool:
        """Whether the layers are held in eight bits, which is lossy."""
        return self.precision in ("fp8", "int8")

    def __str__(self) -> str:
        precision: str = self.precision
        if self.is_quantized:
            held = "activations and weights" if self.quantized_activations else "weights only"
            precision += f" ({held})"
        parts = [
            f"transformer {precision}, {self.transformer}",
            *(["modulation offloaded"] if self.modulation == "offloaded" else []),
            f"T5 {self.text_encoder}",
            "VAE tiled" if self.vae_tiling else "VAE whole",
            f"attention {self.attention}",
            "compiled" if self.compile else "not compiled",
        ]
        peak = f"; peak about {self.peak / GIB:.1f} GiB" if self.peak else ""
        host = f", and {self.host / GIB:.1f} GiB of host memory" if self.host else ""
        return ", ".join(parts) + peak + host
