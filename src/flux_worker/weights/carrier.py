"""Brings weights into a device's memory, in parallel, from files or from host memory.

Left to itself, torch copies with one thread, and from memory that isn't pinned by way of the
driver's own buffers.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from operator import methodcaller
from pathlib import Path
from queue import SimpleQueue

import torch
from torch import Tensor, nn

from flux_worker.weights import prefetch
from flux_worker.weights.prefetch import PIECE


class Carrier:
    """Carries bytes through a few buffers; all are there when its `with` block has ended."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._pool = ThreadPoolExecutor(prefetch.THREADS, thread_name_prefix="weights")
        self._under_way: list[Future[None]] = []
        self._files: dict[Path, int] = {}
        self._buffers: SimpleQueue[Tensor] = SimpleQueue()
        for _ in range(prefetch.THREADS):
            pinned = device.type == "cuda"
            self._buffers.put(torch.empty(PIECE, dtype=torch.uint8, pin_memory=pinned))

    def __enter__(self) -> "Carrier":
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._wait()
        finally:
            self._pool.shutdown(cancel_futures=True)
            for file in self._files.values():
                os.close(file)

    def read(self, path: Path, begin: int, into: Tensor) -> None:
        """Begin to read as many bytes of a file as the tensor has."""
        if path not in self._files:
            self._files[path] = os.open(path, os.O_RDONLY)
        for done, piece in _pieces(into):
            self._carry(partial(_fill, file=self._files[path], begin=begin + done), piece)

    def move(self, module: nn.Module) -> None:
        """Move a module to the device; all of it is there when this returns."""
        arrived = []
        for parameter in module.parameters():
            if parameter.device.type != self.device.type:
                there = torch.empty_like(parameter, device=self.device)
                self.copy(_bytes(parameter), _bytes(there))
                arrived.append((parameter, nn.Parameter(there, requires_grad=False)))
        self._wait()
        for parameter, there in arrived:
            # As the same object: it may have two names.
            torch.utils.swap_tensors(parameter, there)  # type: ignore[no-untyped-call]
        module.to(self.device)

    def copy(self, data: Tensor, into: Tensor) -> None:
        """Begin to copy bytes from host memory, or from files that are mapped there."""
        for done, piece in _pieces(into):
            self._carry(methodcaller("copy_", data[done : done + len(piece)]), piece)

    def _carry(self, fill: Callable[[Tensor], object], piece: Tensor) -> None:
        self._under_way.append(self._pool.submit(self._through_buffer, fill, piece))

    def _wait(self) -> None:
        for each in self._under_way:
            each.result()
        self._under_way.clear()

    def _through_buffer(self, fill: Callable[[Tensor], object], piece: Tensor) -> None:
        buffer = self._buffers.get()
        try:
            part = buffer[: len(piece)]
            fill(part)
            piece.copy_(part)
        finally:
            self._buffers.put(buffer)


def _pieces(into: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Cut a tensor of bytes, and give each piece with its place."""
    for done in range(0, len(into), PIECE):
        yield done, into[done : done + PIECE]


def _bytes(tensor: Tensor) -> Tensor:
    return tensor.detach().reshape(-1).view(torch.uint8)


def _fill(into: Tensor, file: int, begin: int) -> None:
    view = memoryview(into.numpy())  # type: ignore[arg-type]
    done = 0
    while done < len(view):
        read = os.preadv(file, [view[done:]], begin + done)
        if not read:
            raise EOFError("a file of the weights is shorter than its header says")
        done += read
