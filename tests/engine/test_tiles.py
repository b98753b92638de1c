"""Images too large to be decoded or encoded at once are so in tiles, and no others are."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from flux_worker.engine.memory import TILE_PIXELS
from flux_worker.engine.tiles import OVERLAP, Tiled, spans

SCALE = 8
sides = st.integers(256 // SCALE, 1536 // SCALE)


class Enlarged(nn.Module):
    """A decoder that enlarges, and notes what it is given."""

    def __init__(self):
        super().__init__()
        self.given = []

    def forward(self, latents):
        self.given.append(tuple(latents.shape[2:]))
        return functional.interpolate(latents, scale_factor=SCALE)


def decoded(height, width):
    inner = Enlarged()
    latents = torch.randn(1, 3, height // SCALE, width // SCALE)
    return Tiled(inner, SCALE)(latents), inner, inner(latents)


@pytest.mark.parametrize(
    ("height", "width"), [(1024, 1024), (768, 1344), (1344, 768), (640, 1536), (256, 256)]
)
def test_as_many_pixels_as_the_default_size_has_are_decoded_whole(height, width):
    _, inner, _ = decoded(height, width)
    assert inner.given[0] == (height // SCALE, width // SCALE)


@pytest.mark.parametrize(
    ("height", "width", "tiles"),
    [(1040, 1024, 2), (1536, 1040, 2), (1344, 1536, 3), (1536, 1536, 4), (2048, 3072, 9)],
)
def test_more_are_decoded_in_few_tiles_of_one_size_that_fit_together(height, width, tiles):
    image, inner, whole = decoded(height, width)
    torch.testing.assert_close(image, whole)
    *given_tiles, _ = inner.given
    assert len(given_tiles) == tiles
    assert len(set(given_tiles)) == 1


@given(sides, sides)
def test_tiles_of_any_size_cover_the_image_and_overlap(height, width):
    for places, length in zip(spans(height, width, SCALE), (height, width), strict=True):
        assert (places[0].start, places[-1].stop) == (0, length)
        for before, after in pairwise(places):
            assert (before.stop - after.start) * SCALE >= OVERLAP
    down, across = (places[0] for places in spans(height, width, SCALE))
    assert (down.stop - down.start) * (across.stop - across.start) * SCALE**2 <= TILE_PIXELS


@pytest.mark.parametrize(("height", "width"), [(256, 256), (1024, 1024), (1536, 1040)])
def test_pictures_are_encoded_in_the_same_tiles(height, width):
    inner = nn.AvgPool2d(SCALE)
    picture = torch.randn(1, 3, height, width)
    pieces = []
    hook = inner.register_forward_pre_hook(lambda _, given: pieces.append(given[0].shape[2:]))
    latents = Tiled(inner, SCALE, encodes=True)(picture)
    hook.remove()
    torch.testing.assert_close(latents, inner(picture))
    assert all(math.prod(shape) <= TILE_PIXELS for shape in pieces)
    down, across = spans(height // SCALE, width // SCALE, SCALE)
    assert len(pieces) == len(down) * len(across)


def test_where_tiles_overlap_one_passes_into_the_other():
    class Numbered(nn.Module):
        def __init__(self):
            super().__init__()
            self.calls = 0

        def forward(self, latents):
            self.calls += 1
            height, width = (SCALE * side for side in latents.shape[2:])
            return torch.full((1, 3, height, width), float(self.calls))

    row = Tiled(Numbered(), SCALE)(torch.zeros(1, 3, 80, 192 + 16))[0, 0, 0]
    assert (row[0], row[-1]) == (1, 2)
    steps = row.diff()
    assert steps.min() >= 0
    assert steps.max() < 2 / OVERLAP
