"""How a caller's pictures are fitted to the image that is made of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import view, white_box

from flux_worker.pictures import fitting
from flux_worker.pictures.parts import LONGEST_SIDE

sides = st.tuples(st.integers(1, 400), st.integers(1, 400))


def rgb(mask):
    return np.repeat(mask[..., None], 3, axis=2)


@given(sides, sides)
def test_a_picture_of_any_shape_covers_any_sides(picture, asked):
    height, width, _ = fitting.cover(view(*picture), asked).shape
    assert (width, height) == asked


def test_a_picture_of_the_right_size_is_left_alone():
    picture = view(300, 200)
    np.testing.assert_array_equal(fitting.cover(picture, (300, 200)), picture)


@pytest.mark.parametrize("size", [(400, 100), (100, 400)])
def test_what_juts_out_is_cut_away_on_both_sides_alike(size):
    """A white middle between black ends: the middle is what is seen."""
    picture = np.zeros((100, 400, 3), np.uint8)
    picture[:, 150:250] = 255
    upright = size[1] > size[0]
    seen = fitting.cover(picture.swapaxes(0, 1) if upright else picture, (200, 200))
    assert (seen[:, :] > 250).mean() > 0.97
    np.testing.assert_allclose(seen, seen[::-1, ::-1], atol=2)


def test_nothing_is_stretched():
    picture = rgb(white_box(600, 300, 250, 100, 350, 200))  # a square
    seen = fitting.cover(picture, (150, 150))[..., 0] > 128
    assert abs(int(seen.any(0).sum()) - int(seen.any(1).sum())) <= 1
    assert seen.any(0).sum() == pytest.approx(50, abs=1)


@given(st.integers(16, 3000), st.integers(16, 3000))
def test_a_reference_is_of_a_size_that_kontext_was_trained_at(width, height):
    seen = fitting.reference(np.zeros((height, width, 3), np.uint8), 16)
    assert seen.shape[1::-1] in fitting.REFERENCES
    nearest = min(abs(width / height - w / h) for w, h in fitting.REFERENCES)
    assert abs(width / height - seen.shape[1] / seen.shape[0]) == nearest


@pytest.mark.parametrize("shape", [(LONGEST_SIDE, 1), (1, LONGEST_SIDE)])
def test_the_longest_lines_are_fitted_too(shape):
    """Of millions of pixels they take gigabytes, or Pillow gives up."""
    pixels = np.zeros((*shape, 3), np.uint8)
    assert fitting.reference(pixels, 16).shape[1::-1] in fitting.REFERENCES
    assert fitting.cover(pixels, (256, 256)).shape == (256, 256, 3)


@given(sides, st.sampled_from([16, 32]))
def test_what_is_put_around_is_taken_away_again(asked, multiple):
    made = fitting.whole(asked, multiple)
    assert all(
        0 <= a - b < multiple and a % multiple == 0 for a, b in zip(made, asked, strict=True)
    )
    picture = view(*asked)
    wide = fitting.widened(picture, made)
    assert wide.shape[1::-1] == made
    np.testing.assert_array_equal(fitting.cropped(wide, asked), picture)
    np.testing.assert_array_equal(wide[0, 0], picture[0, 0])


def test_grey_from_the_middle_on_counts_as_white():
    grey = np.array([[0, 127, 128, 255]], np.uint8)
    assert fitting.mask(rgb(grey), (4, 1)).tolist() == [[False, False, True, True]]


def test_a_mask_follows_its_picture():
    picture = rgb(white_box(400, 200, 100, 50, 300, 150))
    small = rgb(white_box(200, 100, 50, 25, 150, 75))
    expected = fitting.cover(picture, (256, 256))[..., 0] > 127
    assert (fitting.mask(small, (256, 256)) != expected).mean() < 0.02


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ((512, 512), (1024, 1024), True),
        ((1000, 667), (500, 334), True),
        ((1000, 667), (500, 333), True),
        ((333, 500), (667, 1000), True),
        ((1024, 768), (512, 512), False),
        ((1024, 768), (768, 1024), False),
        ((1000, 667), (1000, 660), False),
        ((1, 1), (5, 5), True),
    ],
)
def test_a_mask_may_be_its_picture_scaled(one, other, same):
    assert fitting.is_same_shape(view(*one), view(*other)) is same
    assert fitting.is_same_shape(view(*other), view(*one)) is same


def test_a_latent_that_a_mask_touches_is_painted_whole():
    mask = white_box(64, 32, 9, 7, 17, 8) > 0
    expected = white_box(64, 32, 8, 0, 24, 8) > 0
    np.testing.assert_array_equal(fitting.blocks(mask, 8), expected)


def test_what_is_painted_fades_in_from_the_masks_edge_inwards():
    picture, painted = (np.full((40, 40, 3), level, np.uint8) for level in (0, 100))
    mask = white_box(40, 40, 10, 10, 30, 30) > 0
    row = fitting.composed(picture, painted, mask)[20, :, 0].tolist()
    assert row[:10] == [0] * 10
    assert row[10:15] == [20, 40, 60, 80, 100]
    assert set(row[15:25]) == {100}
    assert row == row[::-1]


def test_at_the_pictures_own_edge_nothing_fades():
    picture, painted = (np.full((40, 40, 3), level, np.uint8) for level in (0, 100))
    row = fitting.composed(picture, painted, white_box(40, 40, 0, 0, 20, 40) > 0)[0, :, 0]
    assert row[:20].tolist() == [100] * 16 + [80, 60, 40, 20]
