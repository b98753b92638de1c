"""Pictures, as a client without any key gets them, and how much two of them differ."""

import base64
import io
import re
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from PIL import Image, ImageChops, ImageStat, UnidentifiedImageError

from builder.deploy import connection
from builder.deploy.verify.report import Differs

DATA_URL = re.compile(r"data:([\w/+.-]+);base64,(.*)", re.DOTALL)
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
"""What is told apart; for some others Pillow runs programs on what came."""
BROKEN = (UnidentifiedImageError, OSError, SyntaxError, ValueError)
"""What Pillow raises for a file that isn't whole."""
EXPIRIES = ("X-Amz-Expires", "X-Goog-Expires")


@dataclass(frozen=True)
class Picture:
    """A file behind an `image_url`."""

    content_type: str
    """Of the answer, or of the `data:` URL."""
    image: Image.Image

    @property
    def size(self) -> str:
        """The real one, in pixels."""
        return f"{self.image.width}×{self.image.height}"


def fetch(url: str) -> Picture:
    """Get a picture without credentials.

    Raises:
        Differs: there is none.
    """
    if inside := DATA_URL.fullmatch(url):
        try:
            return _read(inside[1], base64.b64decode(inside[2], validate=True))
        except ValueError:
            raise Differs("base64 in the data: URL", "something else") from None
    if not _is_web(url):
        raise Differs("an http(s) or data: URL", f"{url[:60]!r}")
    answer = connection.ask("GET", url, seconds=60)
    if 300 <= answer.status < 400:
        there = urlsplit(answer.headers.get("Location", ""))
        raise Differs("the picture", f"a redirect to {there.netloc}{there.path}")
    if answer.status != 200:
        raise Differs("the picture", f"HTTP {answer.status} from {urlsplit(url).netloc}")
    return _read(answer.headers.get("Content-Type", "none"), answer.body)


def _is_web(url: str) -> bool:
    try:
        return urlsplit(url).scheme in ("http", "https")
    except ValueError:
        return False


def _read(content_type: str, data: bytes) -> Picture:
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        image.load()
    except (*BROKEN, Image.DecompressionBombError):
        raise Differs("a picture", f"{len(data)} bytes of {content_type} that are none") from None
    return Picture(content_type, image)


def expiry(url: str) -> int | None:
    """Return how many seconds a signed URL is valid, or None of one that isn't signed."""
    query = parse_qs(url.partition("?")[2].partition("#")[0])
    for name in EXPIRIES:
        if name in query:
            return int(query[name][0]) if re.fullmatch(r"[0-9]{1,9}", query[name][0]) else -1
    return None


def difference(one: Picture, other: Picture) -> float:
    """Return by how much two pictures differ: the mean over pixels and channels, of 0 to 255."""
    if one.image.size != other.image.size:
        return 255.0
    apart = ImageChops.difference(one.image.convert("RGB"), other.image.convert("RGB"))
    return sum(ImageStat.Stat(apart).mean) / 3
