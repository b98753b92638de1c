"""What must be true of an answer. Each raises `Differs`, or returns a remark or nothing."""

from decimal import Decimal
from typing import Any

from builder.deploy.verify import pictures
from builder.deploy.verify.pictures import Picture
from builder.deploy.verify.report import Differs
from flux_worker.contract import pricing
from flux_worker.contract.catalog import Price
from flux_worker.contract.formats import FORMATS

OUTPUT = ("cost", "image_url")
TIMES = ("delayTime", "executionTime")
"""In milliseconds, where the platform tells them."""
NEARLY_THE_SAME = 1.0
"""Of 255 on average: what rounding on unlike cards may do; another seed differs by far more."""


def envelope(job: dict[str, Any]) -> None:
    """A completed job has an id, and an output of exactly `image_url` and `cost`."""
    if job.get("status") != "COMPLETED":
        raise Differs("status COMPLETED", _status(job))
    if not isinstance(job.get("id"), str) or not job["id"]:
        raise Differs("an id", repr(job.get("id")))
    output = job.get("output")
    if not isinstance(output, dict):
        raise Differs("an output with image_url and cost", type(output).__name__)
    if sorted(output) != list(OUTPUT):
        raise Differs(
            "exactly cost and image_url in output", ", ".join(map(str, sorted(output))) or "nothing"
        )
    if not isinstance(output["image_url"], str):
        raise Differs("a text as image_url", type(output["image_url"]).__name__)
    for name in TIMES:
        if name in job and not _is_number(job[name]):
            raise Differs(f"milliseconds as {name}", repr(job[name]))


def cost(output: dict[str, Any], width: int, height: int, price: Price) -> str:
    """The price, of the pixels or of the image, rounded up after the tenth decimal."""
    expected = pricing.cost(width, height, price)
    told = output["cost"]
    if not _is_number(told):
        raise Differs(f"the number {expected.normalize():f}", f"{type(told).__name__} {told!r}")
    if Decimal(told) != expected:
        raise Differs(f"{expected.normalize():f} for {width}×{height}", str(told))
    return f"${expected.normalize():f}"


def size(picture: Picture, width: int, height: int) -> str:
    """The picture's own pixels."""
    if picture.image.size != (width, height):
        raise Differs(f"{width}×{height}", picture.size)
    return picture.size


def format_of(picture: Picture, name: str) -> str:
    """The file's format, and its content type."""
    real = (picture.image.format or "none").lower()
    if real != name:
        raise Differs(name, real)
    expected = FORMATS[name].content_type
    if picture.content_type.split(";")[0].strip().lower() != expected:
        raise Differs(f"content type {expected}", picture.content_type)
    return expected


def expiry(url: str, images: str, seconds: int) -> str:
    """How long the URL is valid, by where images are meant to be."""
    if url.startswith("data:"):
        if images == "data":
            return "a data: URL has none"
        raise Differs(
            "an address in a bucket",
            "a data: URL: no bucket is set (then add --images data), or the upload failed, as the "
            "worker's log tells",
        )
    told = pictures.expiry(url)
    if images == "data":
        raise Differs("a data: URL", "an address (leave --images data out)")
    if images == "public":
        if told is not None:
            raise Differs("a public address", "a signed one (leave --images public out)")
        return "a public address has none"
    if told is None:
        raise Differs(
            f"a URL signed for {seconds} s",
            "one without a signature (--images public, if so meant)",
        )
    if told != seconds:
        raise Differs(f"{seconds} s", f"{told} s")
    return f"{told} s"


def same(one: Picture, again: Picture) -> str:
    """The same seed makes the same picture."""
    apart = pictures.difference(one, again)
    if apart > NEARLY_THE_SAME:
        raise Differs(
            "the same picture twice",
            f"pictures {apart:.1f} of 255 apart on average (a seed that is ignored, or workers on "
            "unlike cards)",
        )
    return "every pixel" if apart == 0 else f"but for {apart:.3f} of 255 on average"


def changed(one: Picture, other: Picture, noise: float) -> str:
    """Something that was asked for changes the picture, by more than chance does."""
    apart = pictures.difference(one, other)
    if apart <= noise:
        raise Differs("another picture", "the same one")
    return f"{apart:.1f} of 255 on average"


def refusal(job: dict[str, Any], sentence: str) -> str:
    """An invalid request fails, in the documented sentence, and costs nothing."""
    if job.get("status") != "FAILED":
        raise Differs("status FAILED", _status(job))
    if job.get("error") != sentence:
        raise Differs(repr(sentence), repr(job.get("error")))
    output = job.get("output")
    if "cost" in job or (isinstance(output, dict) and "cost" in output):
        raise Differs("no cost of a failed job", "a cost")
    return sentence


def cancelled(job: dict[str, Any]) -> None:
    """A job that was cancelled says so."""
    if job.get("status") != "CANCELLED":
        raise Differs("status CANCELLED", _status(job))


def health(told: dict[str, Any]) -> None:
    """Both counts are there."""
    for name in ("jobs", "workers"):
        if not isinstance(told.get(name), dict):
            raise Differs(f"{name} with counts", repr(told.get(name)))


def _status(job: dict[str, Any]) -> str:
    error = job.get("error")
    told = f"{job.get('status')}" if "status" in job else f"the keys {', '.join(map(str, job))}"
    return f"{told}: {str(error)[:500]}" if error else told


def _is_number(value: object) -> bool:
    return isinstance(value, int | Decimal) and not isinstance(value, bool)
