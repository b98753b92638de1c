"""The picture that a run starts from, and the mask that is painted on it."""

import base64
import io
import secrets
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
from PIL import Image

from flux_worker.contract.formats import JPEG, PNG
from flux_worker.pictures import decoder

STAND_IN = "data:image/png;base64,"
"""What a request has in a picture's place here: the picture is in a file, or gone."""
LONGEST_SIDE = 1536
"""Pixels: more than that isn't made of it. Kontext looks at about a megapixel."""
LARGEST_FILE = 6 * 10**6
"""Bytes. By /run an endpoint takes 10 MB, of which base64 makes 8 of these."""
QUALITY = 95
"""Of a JPEG, where a PNG is too large."""
LARGEST_UPLOAD = 50 * 10**6
"""Bytes: it is made smaller here."""
MASK = "mask.png"


class Unusable(Exception):
    """A run can't start from that. The message says why."""


@dataclass(frozen=True)
class InputPicture:
    """A picture as the worker is to see it: upright, over white, and no larger than it needs."""

    file: Path
    """A PNG or JPEG, in a folder of its own."""
    width: int
    height: int
    mask: Path | None = None
    """A PNG of the same size, beside it: white is painted anew, and the rest is black."""

    @property
    def sides(self) -> tuple[int, int]:
        """Width and height."""
        return self.width, self.height

    def parameters(self) -> dict[str, str]:
        """Return what a request has of it."""
        named = {"image": self.file, "mask_image": self.mask}
        return {name: data_url(file) for name, file in named.items() if file}

    def copied(self, folder: Path) -> Self:
        """Copy it into a folder that isn't there yet."""
        shutil.copytree(self.file.parent, folder)
        mask = self.mask and folder / self.mask.name
        return replace(self, file=folder / self.file.name, mask=mask)

    def masked(self, painted: str) -> Self:
        """Return it with another mask.

        Args:
            painted: a PNG of the picture's size as a data: URL, or nothing.

        Raises:
            Unusable: it is another picture's.
        """
        if not painted:
            return replace(self, mask=None)
        try:
            data = base64.b64decode(painted.removeprefix(STAND_IN), validate=True)
            with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
                if image.size != self.sides:
                    raise ValueError
                white = np.asarray(image.convert("L")) > 127
        except (ValueError, OSError):
            raise Unusable("The mask is no longer this picture's: paint it again.") from None
        mask = self.file.with_name(MASK)
        Image.fromarray(white).save(mask)
        return replace(self, mask=mask if white.any() else None)


def take(data: bytes, folder: Path) -> InputPicture:
    """Bring a picture into the form in which it is shown and sent.

    Args:
        data: a PNG, JPEG or WebP of anybody's.
        folder: where it gets a folder.

    Raises:
        Unusable: it is none.
    """
    try:
        image = Image.fromarray(decoder.decode(data).pixels)
    except Exception as error:
        told = str(error) if type(error).__module__.startswith("flux_worker") else ""
        raise Unusable(f"That file {told or 'is no PNG, JPEG or WebP that can be read'}.") from None
    scale = LONGEST_SIDE / max(image.size)
    if scale < 1:
        width, height = (max(1, round(side * scale)) for side in image.size)
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    file = _encoded(image, PNG.name)
    kind = PNG if len(file) <= LARGEST_FILE else JPEG
    file = file if kind is PNG else _encoded(image, JPEG.name, quality=QUALITY)
    own = place(folder)
    own.mkdir(parents=True)
    path = own / f"picture.{kind.extension}"
    path.write_bytes(file)
    return InputPicture(path, *image.size)


def place(folder: Path) -> Path:
    """Return a folder for one picture, which isn't there yet, and whose name can't be guessed."""
    return folder / secrets.token_hex(16)


def discard(picture: InputPicture | None) -> None:
    """Remove its files."""
    if picture:
        shutil.rmtree(picture.file.parent, ignore_errors=True)


def data_url(file: Path) -> str:
    """Return a file of `take`'s as requests have it."""
    kind = PNG if file.suffix == f".{PNG.extension}" else JPEG
    return f"data:{kind.content_type};base64,{base64.b64encode(file.read_bytes()).decode()}"


def _encoded(image: Image.Image, image_format: str, **options: int) -> bytes:
    file = io.BytesIO()
    image.save(file, image_format, **options)
    return file.getvalue()
