"""Pictures, opened and compared."""

import base64
import io

import numpy as np
from PIL import Image

DOCUMENTED_EDIT = {
    "negative_prompt": "",
    "seed": -1,
    "num_inference_steps": 28,
    "guidance": 2,
    "size": "1024*1024",
    "output_format": "png",
    "enable_safety_checker": True,
}
"""What the example of https://docs.runpod.io/public-endpoints/models/flux-kontext-dev sends beside
the prompt and the picture: the defaults."""


def opened(data_url):
    return Image.open(io.BytesIO(base64.b64decode(data_url.partition(",")[2])))


def png(pixels):
    """A file of pixels (height, width, 3), or of a mask (height, width), as a `data:` URL."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def view(width, height):
    """Pixels in which every place looks different, with a sharp edge."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0] = np.linspace(0, 255, width)
    pixels[..., 1] = np.linspace(0, 255, height)[:, None]
    pixels[height // 4 : height // 2, width // 4 : width // 2] = (0, 0, 255)
    return pixels


def white_box(width, height, left, top, right, bottom):
    """A mask: white in the box, black around it."""
    pixels = np.zeros((height, width), np.uint8)
    pixels[top:bottom, left:right] = 255
    return pixels


def difference(one, another):
    """The mean difference of two pictures in small, in levels of 255."""
    small = [np.asarray(each.convert("RGB").resize((64, 64)), float) for each in (one, another)]
    return np.abs(small[0] - small[1]).mean()
