"""What an error while generating means for the next job: go on, free memory first, or give up."""

import torch

OUT_OF_MEMORY = ("out of memory", "_ALLOC_FAILED")
"""In the words of torch's allocator and the CUDA driver, and of cuBLAS and cuDNN."""


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether the GPU's memory ran out, whoever says so.

    Only torch's allocator has a type for it, and a package of compiled blocks makes a plain
    `RuntimeError` of that, too, with its text.
    """
    return isinstance(error, torch.OutOfMemoryError) or any(
        words in str(error) for words in OUT_OF_MEMORY
    )


def is_final(error: RuntimeError, device: torch.device) -> bool:
    """Whether the GPU can't be used again by this process; waits for what it still computes."""
    if isinstance(error, torch.AcceleratorError) and not is_out_of_memory(error):
        return True
    if device.type != "cuda":
        return False
    try:
        torch.cuda.synchronize(device)
    except RuntimeError:
        return True
    return False
