"""Uses every library that the image's packages were left with: `python -m builder.check_libraries`.

The image has torch's and Triton's wheels without what nothing here loads, and without debug
information. Whether what is left does its work, a card tells: the program ends with status 1 where
something doesn't. Without a card, Triton compiles for those that are served, and the rest is left
out.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.nn.functional import conv2d, scaled_dot_product_attention
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

ARCHITECTURES = (80, 86, 89, 90, 100, 120)
"""Compute capabilities of the served cards: Ampere, Ada, Hopper, Blackwell."""
CUDA = torch.device("cuda")
ELF = b"\x7fELF"
"""How machine code begins."""


@triton.jit  # type: ignore[untyped-decorator]
def double(source, target, size: tl.constexpr):  # type: ignore[no-untyped-def]
    """Double `size` numbers."""
    offsets = tl.arange(0, size)
    tl.store(target + offsets, tl.load(source + offsets) * 2)


def cubins() -> None:
    """Compile a kernel to each architecture's machine code."""
    for architecture in ARCHITECTURES:
        source = ASTSource(
            double,
            signature={"source": "*fp32", "target": "*fp32", "size": "constexpr"},
            constexprs={"size": 128},
        )
        compiled = triton.compile(source, target=GPUTarget("cuda", architecture, 32))
        if compiled.asm["cubin"][:4] != ELF:
            raise ValueError(f"what was made for sm_{architecture} isn't machine code")


def cublas() -> None:
    """Multiply matrices."""
    matrix = torch.randn(64, 64)
    _equal(matrix.to(CUDA) @ matrix.to(CUDA), matrix @ matrix)


def cublas_fp8() -> None:
    """Multiply fp8 matrices, where the card can."""
    if torch.cuda.get_device_capability() < (8, 9):
        return
    matrix = torch.eye(64, device=CUDA).to(torch.float8_e4m3fn)
    one = torch.ones((), device=CUDA)
    product = torch._scaled_mm(matrix, matrix.t(), one, one, out_dtype=torch.bfloat16)
    _equal(product.float(), torch.eye(64))


def cudnn_convolution() -> None:
    """Convolve, as the VAE does."""
    image, kernel = torch.randn(1, 16, 64, 64), torch.randn(16, 16, 3, 3)
    _equal(conv2d(image.to(CUDA), kernel.to(CUDA)), conv2d(image, kernel))


def attention() -> None:
    """Attend, as the transformer does, by each of torch's kernels that the card has."""
    query = torch.randn(1, 24, 128, 128).bfloat16()
    expected = scaled_dot_product_attention(query, query, query)
    there = query.to(CUDA)
    _equal(scaled_dot_product_attention(there, there, there), expected)


def cusolver() -> None:
    """Solve a system of equations."""
    matrix = torch.eye(64) + torch.rand(64, 64) / 64
    _equal(torch.linalg.inv(matrix.to(CUDA)), torch.linalg.inv(matrix))


def cufft() -> None:
    """Transform a signal and back."""
    signal = torch.randn(256)
    _equal(torch.fft.irfft(torch.fft.rfft(signal.to(CUDA))), signal)


def nvrtc() -> None:
    """Compute what torch compiles by NVRTC when it is asked for."""
    numbers = torch.rand(64)
    _equal(torch.special.bessel_j0(numbers.to(CUDA)), torch.special.bessel_j0(numbers))


def inductor() -> None:
    """Compile a function, by Triton."""
    numbers = torch.rand(256)
    _equal(torch.compile(_some_function)(numbers.to(CUDA)), _some_function(numbers))


def packages() -> None:
    """Compile a module ahead of time, with CUDA's headers, and run what is in the package."""

    class Module(torch.nn.Module):
        def forward(self, numbers: Tensor) -> Tensor:
            return _some_function(numbers)

    numbers = torch.rand(256)
    exported = torch.export.export(Module(), (numbers.to(CUDA),))
    with tempfile.TemporaryDirectory() as folder:
        package = torch._inductor.aoti_compile_and_package(
            exported, package_path=str(Path(folder) / "some.pt2")
        )
        run = torch._inductor.aoti_load_package(package)
        _equal(run(numbers.to(CUDA)), _some_function(numbers))


WITHOUT_A_CARD = (cubins,)
ON_A_CARD = (
    cublas,
    cublas_fp8,
    cudnn_convolution,
    attention,
    cusolver,
    cufft,
    nvrtc,
    inductor,
    packages,
)


def main() -> None:
    """Run the checks, say how each ended, and end with the status."""
    there = torch.cuda.is_available()
    failed = [check for check in WITHOUT_A_CARD + ON_A_CARD * there if not _holds(check)]
    if not there:
        left_out = ", ".join(check.__name__ for check in ON_A_CARD)
        print(f"There is no CUDA device: {left_out} were left out.")
    sys.exit(1 if failed else 0)


def _holds(check: Callable[[], None]) -> bool:
    try:
        check()
    except Exception as error:
        print(f"{check.__name__}: failed ({type(error).__name__}: {error})", flush=True)
        return False
    print(f"{check.__name__}: ok", flush=True)
    return True


def _some_function(numbers: Tensor) -> Tensor:
    return numbers.sin() * 2 + numbers.sum()


def _equal(result: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(result.cpu(), expected, rtol=0.02, atol=0.02)


if __name__ == "__main__":
    main()
