"""The learning rate's course, the same for every training."""

import math


def cosine(step: int, steps: int, warm_up: int, floor: float = 0.02) -> float:
    """Factor of the peak learning rate: a linear rise, then half a cosine down to the floor."""
    if step < warm_up:
        return (step + 1) / warm_up
    passed = (step - warm_up) / max(1, steps - warm_up)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, passed)))
