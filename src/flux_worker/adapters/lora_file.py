"""A LoRA's file as it comes from the web: in safetensors' format, and nothing else."""

from pathlib import Path

from safetensors import SafetensorError, safe_open

from flux_worker.contract.loras import EXTENSION, NO_PICKLE
from flux_worker.downloads import addresses
from flux_worker.downloads.kinds import Kind
from flux_worker.downloads.refusals import Refused

LONGEST_HEADER = 100_000_000
"""Bytes, in safetensors' own reader."""
BEGINNING = 9
"""Bytes that tell a safetensors file: the length of its header, and the brace that this begins
with. https://huggingface.co/docs/safetensors#format"""
PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
"""How torch's files begin: zip archives, and pickles of protocols 2 to 5."""


def _require_beginning(beginning: bytes, host: str) -> None:
    if beginning.startswith(PICKLES):
        raise Refused(NO_PICKLE)
    if beginning.lstrip().startswith(b"<"):
        raise LORAS.page(host)
    length = int.from_bytes(beginning[:8], "little")
    if not 2 <= length <= LONGEST_HEADER or beginning[8:9] != b"{":
        raise Refused("leads to a file that isn't in safetensors' format")


def _require_whole(file: Path) -> None:
    try:
        with safe_open(file, framework="pt"):
            pass
    except SafetensorError:
        raise Refused("leads to a .safetensors file that is damaged or incomplete") from None


LORAS = Kind(
    name="LoRA",
    file="a .safetensors file",
    extension=EXTENSION,
    hosts="LORA_HOSTS",
    takes_tokens=True,
    meant=addresses.meant,
    least=BEGINNING,
    require_beginning=_require_beginning,
    require_whole=_require_whole,
    empty="leads to a file that is empty or not in safetensors' format",
    limit="which is the worker's MAX_LORA_MB",
    full="can't be kept: the disk of LORA_CACHE_DIR is full; once it has more room, or "
    "LORA_CACHE_GB is lower, send the job again",
    unwritable="can't be kept: the folder of LORA_CACHE_DIR can't be written to; once it is "
    "writable for the worker's user, or names another folder, send the job again",
    gone="was fetched, but is gone from LORA_CACHE_DIR; send the job again",
    damaged="A file of LORA_CACHE_DIR is damaged and was removed.",
)
