import io

from PIL import Image

from flux_worker.pictures import decoder


def test_a_png_becomes_its_pixels():
    data = io.BytesIO()
    Image.new("RGB", (3, 2), (1, 2, 3)).save(data, "PNG")
    assert decoder.decode(data.getvalue()).pixels.tolist() == [[[1, 2, 3]] * 3] * 2
