"""A stage of the training: its steps, progress bar and checkpoint, and when to stop."""

import time
from collections.abc import Iterator
from pathlib import Path

import torch
from tqdm import tqdm

from builder.demo_model.checkpoints import Stateful, load, save

SAVE_EVERY = 250  # steps


class Deadline:
    """So many minutes from now."""

    def __init__(self, minutes: float) -> None:
        self._end = time.monotonic() + 60 * minutes

    @property
    def passed(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() > self._end


class Stage:
    """Counts steps up to a number in all, over as many stretches as the deadlines make of it."""

    def __init__(self, name: str, folder: Path, steps: int, deadline: Deadline) -> None:
        self.name = name
        self.steps = steps
        self.finished = False
        self._checkpoint = folder / f"{name}.pt"
        self._deadline = deadline
        self._shown: dict[str, float] = {}

    def run(self, **parts: Stateful) -> Iterator[int]:
        """Load the parts from the checkpoint, then yield each step that is left, saving on the way.

        The generator of random numbers is seeded with the step, so that a resumed stretch doesn't
        see the first one's noise again.
        """
        start = load(self._checkpoint, **parts)
        torch.manual_seed(start)
        with tqdm(total=self.steps, desc=self.name, initial=start) as bar:
            for step in range(start, self.steps):
                yield step
                done = step + 1
                bar.update()
                if done % 25 == 0:
                    bar.set_postfix({key: f"{value:.4f}" for key, value in self._shown.items()})
                stop = self._deadline.passed
                if done % SAVE_EVERY == 0 or done == self.steps or stop:
                    save(self._checkpoint, done, **parts)
                if stop and done < self.steps:
                    break
            else:
                self.finished = True

    def show(self, name: str, value: float) -> None:
        """Show the running mean of a number beside the progress bar."""
        self._shown[name] = 0.98 * self._shown.get(name, value) + 0.02 * value
