"""Counts what is allocated, on a device that has no memory: torch's meta."""

import weakref

import torch
from torch.utils._python_dispatch import TorchDispatchMode, is_traceable_wrapper_subclass
from torch.utils._pytree import tree_map_only

HOST = torch.device("cpu")


class Allocated(TorchDispatchMode):
    """Counts the bytes of all tensors that live on the meta device at once."""

    def __init__(self):
        super().__init__()
        self.now = self.peak = 0
        self._living = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function is torch.ops.aten._to_copy.default and kwargs.get("device") == HOST:
            return _in_host_memory(args[0])
        return tree_map_only(torch.Tensor, self._note, function(*args, **kwargs))

    def _note(self, tensor):
        if is_traceable_wrapper_subclass(tensor):  # as torchao's, which hold several
            for name in tensor.__tensor_flatten__()[0]:
                self._note(getattr(tensor, name))
        elif tensor.is_meta:
            self._count(tensor.untyped_storage())
        return tensor

    def _count(self, storage):
        if id(storage) not in self._living:
            self._living.add(id(storage))
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._free, id(storage), storage.nbytes())

    def _free(self, key, size):
        self._living.discard(key)
        self.now -= size


def _in_host_memory(tensor):
    """What torch refuses: nothing can be copied from a device without memory."""
    if is_traceable_wrapper_subclass(tensor):
        names, given = tensor.__tensor_flatten__()
        parts = {name: _in_host_memory(getattr(tensor, name)) for name in names}
        return type(tensor).__tensor_unflatten__(parts, given, tensor.shape, tensor.stride())
    return torch.empty_like(tensor, device=HOST)
