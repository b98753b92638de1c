"""What an error on a GPU means, where no GPU is: real texts, and a real package's."""

from threading import Event

import pytest
import torch
from conftest import before_each_pass, request
from torch import library
from torch._inductor import aoti_compile_and_package, aoti_load_package
from torch.export import export

from flux_worker.contract.catalog import DEV
from flux_worker.errors import GenerationFailed
from flux_worker.generation import failures
from flux_worker.generation.generator import Generator
from flux_worker.generation.inputs import Inputs

ALLOCATOR = "CUDA out of memory. Tried to allocate 162.00 MiB. GPU 0 has a total capacity of 22 GiB"


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A package that runs out of memory, as those of blocks do: by torch's own error."""

    @library.custom_op("tests::allocate", mutates_args=())
    def allocate(given: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError(ALLOCATOR)

    class Block(torch.nn.Module):
        def forward(self, given):
            return allocate(given) + 1

    allocate.register_fake(torch.empty_like)
    path = tmp_path_factory.mktemp("package") / "block.pt2"
    program = export(Block(), (torch.ones(1),))
    return aoti_load_package(aoti_compile_and_package(program, package_path=str(path)))


@pytest.mark.real
def test_out_of_memory_inside_a_package_is_an_answer_like_any_other(pipe, package, monkeypatch):
    freed = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: freed.append(True))
    failing = before_each_pass(pipe.transformer, lambda: package(torch.ones(1)))
    with failing, pytest.raises(GenerationFailed, match="out of memory while generating 256x256"):
        Generator(pipe, DEV).generate(request(), Inputs(), Event())
    assert freed


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError(ALLOCATOR),
        torch.AcceleratorError("CUDA error: out of memory\nSearch for `cudaErrorMemoryAllocation'"),
        RuntimeError("CUDA driver error: out of memory"),
        RuntimeError("Triton Error [CUDA]: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    ],
    ids=str,
)
def test_memory_that_ran_out_is_not_the_gpus_end(error):
    assert failures.is_out_of_memory(error)
    assert not failures.is_final(error, torch.device("cpu"))


@pytest.mark.parametrize(
    "error",
    [
        torch.AcceleratorError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
    ],
    ids=str,
)
def test_other_errors_are_no_lack_of_memory(error):
    assert not failures.is_out_of_memory(error)
    assert failures.is_final(error, torch.device("cpu")) == isinstance(
        error, torch.AcceleratorError
    )


@pytest.mark.parametrize("error", [torch.OutOfMemoryError(ALLOCATOR), RuntimeError("of luck")])
def test_the_gpu_is_asked_whether_it_still_works_whatever_went_wrong(monkeypatch, error):
    def gone(device):
        raise torch.AcceleratorError(f"{device} is gone")

    for synchronize, final in ((lambda device: None, False), (gone, True)):
        monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
        assert failures.is_final(error, torch.device("cuda")) == final
