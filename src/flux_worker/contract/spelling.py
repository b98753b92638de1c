"""Tells a misspelled parameter from one that belongs to somebody else."""

from collections.abc import Iterable

LONG_NAME = 8
"""Letters from which a name may differ in two places and still be recognised."""
SEPARATORS = str.maketrans("", "", "_-. ")


def bare(name: str) -> str:
    """Return a name without capitals and separators, in which clients differ."""
    return name.casefold().translate(SEPARATORS)


def meant(key: str, names: Iterable[str]) -> str | None:
    """Return the name that the key evidently misspells, or None.

    Evident is a name in other capitals or with other separators (`numInferenceSteps`), one edit
    away, or two edits away from a name of eight letters or more.
    """
    best: tuple[int, str] | None = None
    for name in names:
        allowed = 2 if len(name) >= LONG_NAME else 1
        if abs(len(key) - len(name)) > allowed + name.count("_"):
            continue
        distance = 0 if bare(key) == bare(name) else edits(key.casefold(), name)
        if distance <= allowed and (best is None or distance < best[0]):
            best = distance, name
    return best[1] if best else None


def edits(left: str, right: str) -> int:
    """Count the letters to insert, delete, replace or swap with a neighbour.

    This is the optimal string alignment distance between the two names.
    """
    before: list[int] = []
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, start=1):
        before, above, row = row, before, [i]
        for j, b in enumerate(right, start=1):
            best = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and a == right[j - 2] and left[i - 2] == b:
                best = min(best, above[j - 2] + 1)
            row.append(best)
    return row[-1]
