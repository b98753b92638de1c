"""What diffusers' group offloading keeps to itself."""

from typing import Any

from torch import nn

GROUP_OFFLOADING = "group_offloading"


def settle(model: nn.Module) -> None:
    """Bring all that is streamed back to host memory, where what is written to it stays.

    A forward pass that fails leaves blocks on the card, which are dropped when they are next used.
    """
    for module in model.modules():
        registry: Any = getattr(module, "_diffusers_hook", None)
        if hook := registry and registry.get_hook(GROUP_OFFLOADING):
            hook.group.offload_()
