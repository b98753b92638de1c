"""The transformer's optimiser: Muon for the blocks' matrices, AdamW for all else.

Muon, https://kellerjordan.github.io/posts/muon/, gets further in the same number of steps. Here
matrices of one shape are stacked and made orthogonal together, which torch.optim.Muon doesn't do
and which takes a third of its time with matrices as small as these.
"""

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor, nn

from builder.demo_model.schedule import cosine

ADAM_SHARE = 0.5  # of Muon's learning rate
MOMENTUM = 0.95
WEIGHT_DECAY = 0.01
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # Muon's coefficients
NEWTON_SCHULZ_STEPS = 5
ADAM_UPDATE = 0.2  # root mean square of a usual update of Adam, which Muon's is scaled to


class BlockOptimiser:
    """Both optimisers, stepped as one."""

    def __init__(self, model: nn.Module, learning_rate: float) -> None:
        self._learning_rate = learning_rate
        self._weights = list(model.parameters())
        self._stacks: dict[torch.Size, list[nn.Parameter]] = defaultdict(list)
        others = []
        for name, weight in model.named_parameters():
            # The modulations' matrices are vectors side by side: each row works alone.
            if weight.ndim == 2 and "blocks" in name and ".norm" not in name:
                self._stacks[weight.shape].append(weight)
            else:
                others.append(weight)
        self._momenta = {
            shape: torch.zeros(len(stack), *shape, device=stack[0].device)
            for shape, stack in self._stacks.items()
        }
        self._adam = torch.optim.AdamW(others, betas=(0.9, 0.98), weight_decay=WEIGHT_DECAY)

    def step(self, loss: Tensor, progress: tuple[int, int], warm_up: int) -> None:
        """Take one step down the loss; progress is the steps done and the steps in all."""
        learning_rate = self._learning_rate * cosine(*progress, warm_up)
        for weight in self._weights:
            weight.grad = None
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self._weights, 1.0)
        self._adam.param_groups[0]["lr"] = learning_rate * ADAM_SHARE
        self._adam.step()
        for shape, stack in self._stacks.items():
            self._step_stack(stack, self._momenta[shape], learning_rate)

    @torch.no_grad()
    def _step_stack(
        self, stack: list[nn.Parameter], momentum: Tensor, learning_rate: float
    ) -> None:
        gradient = torch.stack([torch.zeros_like(w) if w.grad is None else w.grad for w in stack])
        momentum.lerp_(gradient, 1 - MOMENTUM)
        update = orthogonal(gradient.lerp(momentum, MOMENTUM))
        scale = ADAM_UPDATE * max(update.shape[1:]) ** 0.5
        for weight, change in zip(stack, update, strict=True):
            weight.mul_(1 - learning_rate * WEIGHT_DECAY)
            weight.sub_(change, alpha=learning_rate * scale)

    def state_dict(self) -> dict[str, Any]:
        """Return all that a later stretch of training needs."""
        return {"adam": self._adam.state_dict(), "momenta": list(self._momenta.values())}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self._adam.load_state_dict(state_dict["adam"])
        for momentum, saved in zip(self._momenta.values(), state_dict["momenta"], strict=True):
            momentum.copy_(saved)


def orthogonal(matrices: Tensor) -> Tensor:
    """Set all singular values of matrices (stack, rows, columns) to about 1."""
    tall = matrices.shape[1] > matrices.shape[2]
    x: Tensor = matrices.mT if tall else matrices
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    a, b, c = NEWTON_SCHULZ
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x
