"""Decodes and encodes in tiles what is too large to be so at once."""

from itertools import count, pairwise

import torch
from torch import Tensor, nn

from flux_worker.engine.memory import TILE_PIXELS

OVERLAP = 256
"""Pixels that neighbouring tiles share: the decoder's convolutions see some 140 beyond an edge."""


class Tiled(nn.Module):
    """A decoder or encoder that gets at most `TILE_PIXELS` at once, and smaller images whole.

    Tiles are as few as possible and all of one size, and pass into each other where they overlap.
    """

    def __init__(self, coder: nn.Module, scale: int, *, encodes: bool = False) -> None:
        """Decode, or encode, by this module; a latent's side has so many pixels."""
        super().__init__()
        self.coder = coder
        self._scale = scale
        self._taken, self._made = (scale, 1) if encodes else (1, scale)

    def forward(self, given: Tensor) -> Tensor:
        """Turn latents (1, channels, height, width) into an image, or an image into latents."""
        height, width = (side // self._taken for side in given.shape[2:])
        down, across = spans(height, width, self._scale)
        lines = [
            self._joined(
                [
                    self.coder(given[:, :, self._part(rows), self._part(columns)])
                    for columns in across
                ],
                across,
                dim=3,
            )
            for rows in down
        ]
        return self._joined(lines, down, dim=2)

    def _part(self, latents: slice) -> slice:
        return slice(latents.start * self._taken, latents.stop * self._taken)

    def _joined(self, tiles: list[Tensor], places: list[slice], dim: int) -> Tensor:
        whole = tiles[0]
        for (before, after), tile in zip(pairwise(places), tiles[1:], strict=True):
            shared = (before.stop - after.start) * self._made
            shape = [1] * tile.dim()
            shape[dim] = shared
            weights = torch.linspace(0, 1, shared, dtype=tile.dtype, device=tile.device)
            left, ends = whole.tensor_split((whole.shape[dim] - shared,), dim)
            begins, right = tile.tensor_split((shared,), dim)
            whole = torch.cat((left, ends.lerp(begins, weights.view(shape)), right), dim)
        return whole


def spans(height: int, width: int, scale: int) -> tuple[list[slice], list[slice]]:
    """Divide latents into the fewest tiles: which rows they have, and which columns."""
    overlap = OVERLAP // scale

    def area(grid: tuple[int, int]) -> int:
        return _side(height, grid[0], overlap) * _side(width, grid[1], overlap)

    for tiles in count(1):
        grids = ((rows, tiles // rows) for rows in range(1, tiles + 1) if tiles % rows == 0)
        grid = min(grids, key=area)
        if area(grid) * scale**2 <= TILE_PIXELS:
            break
    return _places(height, grid[0], overlap), _places(width, grid[1], overlap)


def _side(length: int, parts: int, overlap: int) -> int:
    """Return how long each of so many parts is, at least, if they overlap by that much."""
    return -(-(length + (parts - 1) * overlap) // parts)


def _places(length: int, parts: int, overlap: int) -> list[slice]:
    side = _side(length, parts, overlap)
    starts = [round(part * (length - side) / max(1, parts - 1)) for part in range(parts)]
    return [slice(start, start + side) for start in starts]
