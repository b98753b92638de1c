"""Save a training with all it needs to go on, and load it again."""

from pathlib import Path
from typing import Any, Protocol

import torch


class Stateful(Protocol):
    """A module or an optimiser."""

    def state_dict(self) -> dict[str, Any]:
        """Return everything that has to be saved."""
        ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any:
        """Go on from what `state_dict` returned."""
        ...


def save(path: Path, step: int, **parts: Stateful) -> None:
    """Write the parts after `step` steps, replacing the file only once the new one is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    torch.save({"step": step, **{name: part.state_dict() for name, part in parts.items()}}, draft)
    draft.replace(path)


def load(path: Path, **parts: Stateful) -> int:
    """Load the parts in place and return the steps done: 0, and nothing changed, without a file."""
    if not path.exists():
        return 0
    state = torch.load(path, map_location="cpu", weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(state[name])
    return int(state["step"])
