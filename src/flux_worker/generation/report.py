"""What is told of a generation while it runs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Progress:
    """How far a generation is."""

    step: int
    """Steps done, from 1 on."""
    steps: int
    eta_seconds: float | None = None
    """What the steps that are left will take, as soon as one was timed."""
    preview: str | None = None
    """The newest preview so far, as a JPEG `data:` URL."""

    def body(self) -> dict[str, Any]:
        """Write it as clients see it, in the `output` of a running job's `/status`."""
        percent = round(100 * self.step / self.steps)
        body: dict[str, Any] = {"step": self.step, "steps": self.steps, "percent": percent}
        if self.eta_seconds is not None:
            body["eta_seconds"] = round(self.eta_seconds, 2)
        if self.preview:
            body["preview"] = self.preview
        return body


Report = Callable[[Progress], None]
"""Takes the newest state, on the thread that generates; it must not block."""
