"""A picture's file as it comes from the web: a whole PNG, JPEG or WebP, and nothing else."""

from pathlib import Path

from flux_worker.downloads.kinds import Kind
from flux_worker.pictures import signatures


def _require_beginning(beginning: bytes, host: str) -> None:
    if signatures.other(beginning) == signatures.PAGE:
        raise PICTURES.page(host)
    signatures.reader(beginning)


def _require_whole(file: Path) -> None:
    data = file.read_bytes()
    signatures.reader(data)(data)


PICTURES = Kind(
    name="picture",
    file="a picture",
    extension="",
    hosts="IMAGE_HOSTS",
    takes_tokens=False,
    meant=lambda source: source,
    least=12,
    require_beginning=_require_beginning,
    require_whole=_require_whole,
    empty="leads to a file that is empty, or too short for a picture",
    limit="the most that a picture may have",
    full="can't be kept: the disk of the worker's temporary folder is full; once it has more "
    "room, send the job again",
    unwritable="can't be kept: the worker's temporary folder can't be written to; once it can be, "
    "send the job again",
    gone="was fetched, but is gone from the worker's temporary folder; send the job again",
    damaged="A picture in the worker's temporary folder is damaged and was removed.",
)
