"""What is told from a LoRA's first bytes, and from its last."""

import io
import zipfile

import pytest
import torch
from fake_web import lora

URL = "https://files.example/a.safetensors"


def pickled(zipped):
    buffer = io.BytesIO()
    torch.save({"a": torch.zeros(2)}, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


def packed():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.safetensors", lora())
    return buffer.getvalue()


PICKLE = "must name a .safetensors file: a pickle can run code, so none is opened here"
FORMAT = "leads to a file that isn't in safetensors' format"
PAGE = "leads to a web page of files.example, not to a .safetensors file"
DAMAGED = "leads to a .safetensors file that is damaged or incomplete"
HEADER = b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (pickled(zipped=True), PICKLE),
        (pickled(zipped=False), PICKLE),
        (packed(), PICKLE),
        (b"\n <!DOCTYPE html><title>Log in", PAGE),
        (b'{"error": "no such file"}', FORMAT),
        (b"version https://git-lfs.github.com/spec/v1\n", FORMAT),
        ((1 << 40).to_bytes(8, "little") + b"{", FORMAT),
        ((1).to_bytes(8, "little") + b"{", FORMAT),
        (lora()[:9], DAMAGED),
        (lora()[:-1], DAMAGED),
        (lora() + b"x", DAMAGED),
        (len(HEADER).to_bytes(8, "little") + HEADER + bytes(7), DAMAGED),
        ((8).to_bytes(8, "little") + b"{[[[[[[[", DAMAGED),
        (b"", "leads to a file that is empty or not in safetensors' format"),
        (b"<html>", "leads to a file that is empty or not in safetensors' format"),
    ],
)
def test_what_is_no_safetensors_file_is_refused(refusal, web, data, said, tmp_path):
    web.put(URL, lambda request: request.answer(200, data))
    assert refusal(URL) == said
    assert not [each for each in (tmp_path / "cache").rglob("*") if each.is_file()]
