"""Pictures, opened and compared."""

import base64
import io

import numpy as np
from PIL import Image


def opened(data_url):
    return Image.open(io.BytesIO(base64.b64decode(data_url.partition(",")[2])))


def difference(one, another):
    """The mean difference of two pictures in small, in levels of 255."""
    small = [np.asarray(each.convert("RGB").resize((64, 64)), float) for each in (one, another)]
    return np.abs(small[0] - small[1]).mean()
