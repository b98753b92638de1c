import pytest

from flux_worker.downloads.refusals import Refused
from flux_worker.pictures import parts


@pytest.mark.parametrize("size", [(1, 1), (65_535, 1), (1, 65_535), (10_000, 5_000)])
def test_a_size_up_to_fifty_megapixels_and_a_jpegs_sides_is_taken(size):
    assert parts.require_size("PNG", size) == size


@pytest.mark.parametrize(
    ("size", "said"),
    [
        ((0, 1), "is a PNG that is damaged"),
        ((1, 0), "is a PNG that is damaged"),
        ((10_000, 5_001), "has 10000x5001 pixels, more than 50 megapixels: send it smaller"),
        ((65_536, 1), "has 65536x1 pixels, more than 65535 along a side: send it smaller"),
        ((1, 50_000_000), "has 1x50000000 pixels, more than 65535 along a side"),
    ],
)
def test_any_other_is_refused(size, said):
    with pytest.raises(Refused, match=said):
        parts.require_size("PNG", size)
