"""Reads the large components' weights in parallel, straight to where they are used.

diffusers and transformers map the files into memory and load one component after the other, at the
speed of single page faults. Here several threads read large pieces of all files at once: into the
tensors' own memory on a CPU, through a few pinned buffers on a GPU.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import torch
from diffusers import FluxPipeline, FluxTransformer2DModel
from torch import Tensor
from transformers import AutoConfig, T5EncoderModel

from flux_worker import headers

THREADS = 8
PIECE = 16 * 2**20
"""Bytes that a thread reads at once."""
DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
}


def load(folder: Path, device: torch.device, dtype: torch.dtype) -> FluxPipeline:
    """Load a checkpoint in diffusers' format; its transformer and T5 are on the device then."""
    transformer = _empty_transformer(folder / "transformer")
    text_encoder = _empty_t5(folder / "text_encoder_2")
    with Reader(device) as reader:
        weights = {
            name: reader.read(folder / name, dtype) for name in ("transformer", "text_encoder_2")
        }
    transformer.load_state_dict(weights["transformer"], assign=True)
    _fill_t5(text_encoder, weights["text_encoder_2"])
    pipe: FluxPipeline = FluxPipeline.from_pretrained(
        folder,
        transformer=transformer.eval().requires_grad_(False),
        text_encoder_2=text_encoder.eval().requires_grad_(False),
        dtype=dtype,
        use_safetensors=True,
        local_files_only=True,
    )
    return pipe


class Reader:
    """Reads tensors of many files at once; ends them all with its `with` block."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="weights")
        self._pinned: SimpleQueue[tuple[Tensor, torch.cuda.Stream]] = SimpleQueue()
        self._reads: list[Any] = []
        self._files: list[int] = []
        for _ in range(THREADS if device.type == "cuda" else 0):
            buffer = torch.empty(PIECE, dtype=torch.uint8, pin_memory=True)
            stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            self._pinned.put((buffer, stream))

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        try:
            for read in self._reads:
                read.result()
        finally:
            self._pool.shutdown(cancel_futures=True)
            for file in self._files:
                os.close(file)

    def read(self, component: Path, dtype: torch.dtype) -> dict[str, Tensor]:
        """Begin to read a component's tensors; they are complete when the block has ended.

        Tensors of another floating-point type than `dtype` are read before this returns.
        """
        tensors: dict[str, Tensor] = {}
        for path in sorted(component.glob("*.safetensors")):
            file = os.open(path, os.O_RDONLY)
            self._files.append(file)
            start = 8 + int.from_bytes(os.pread(file, 8, 0), "little")
            for name, entry in headers.read(path).items():
                begin, end = entry["data_offsets"]
                data = torch.empty(end - begin, dtype=torch.uint8, device=self._device)
                self._read_into(data, file, start + begin)
                tensors[name] = data.view(DTYPES[entry["dtype"]]).view(entry["shape"])
        if any(tensor.is_floating_point() and tensor.dtype != dtype for tensor in tensors.values()):
            for read in self._reads:
                read.result()
            tensors = {
                name: tensor.to(dtype) if tensor.is_floating_point() else tensor
                for name, tensor in tensors.items()
            }
        return tensors

    def _read_into(self, data: Tensor, file: int, begin: int) -> None:
        for done in range(0, len(data), PIECE):
            piece = data[done : done + PIECE]
            self._reads.append(self._pool.submit(self._read, piece, file, begin + done))

    def _read(self, piece: Tensor, file: int, begin: int) -> None:
        if self._device.type != "cuda":
            return _fill(piece, file, begin)
        buffer, stream = self._pinned.get()
        try:
            part = buffer[: len(piece)]
            _fill(part, file, begin)
            with torch.cuda.stream(stream):
                piece.copy_(part, non_blocking=True)
            stream.synchronize()
        finally:
            self._pinned.put((buffer, stream))


def _fill(into: Tensor, file: int, begin: int) -> None:
    view = memoryview(into.numpy())  # type: ignore[arg-type]
    done = 0
    while done < len(view):
        read = os.preadv(file, [view[done:]], begin + done)
        if not read:
            raise EOFError("a file of the weights is shorter than its header says")
        done += read


def _empty_transformer(folder: Path) -> FluxTransformer2DModel:
    with torch.device("meta"):
        model: FluxTransformer2DModel = FluxTransformer2DModel.from_config(
            FluxTransformer2DModel.load_config(folder)
        )
    return model


def _empty_t5(folder: Path) -> T5EncoderModel:
    config = AutoConfig.from_pretrained(folder)
    with torch.device("meta"):
        return T5EncoderModel(config)


def _fill_t5(model: T5EncoderModel, weights: dict[str, Tensor]) -> None:
    _, unexpected = model.load_state_dict(weights, strict=False, assign=True)
    model.tie_weights()  # the embedding is stored once and used under two names
    empty = [name for name, tensor in model.state_dict().items() if tensor.is_meta]
    if empty or unexpected:
        raise ValueError(f"{(empty or unexpected)[0]} in text_encoder_2 isn't as T5's")
