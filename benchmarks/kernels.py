"""Which kernel computed the attention: seen by the profiler, whatever was asked for."""

import re
from collections import Counter
from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity, profile

ATTENTION = re.compile(r"[\w:]*(?:flash|fmha|sdpa|attention)[\w:]*", re.IGNORECASE)


def attention(work: Callable[[], object], device: torch.device) -> str:
    """Run once, and name the attention's kernel that took longest; on a CPU, its operator."""
    cuda = device.type == "cuda"
    activity = ProfilerActivity.CUDA if cuda else ProfilerActivity.CPU
    with profile(activities=[activity]) as profiler:
        work()
        if cuda:
            torch.cuda.synchronize()
    seconds: Counter[str] = Counter()
    for event in profiler.key_averages():
        if name := attention_in(event.key):
            seconds[name] += event.self_device_time_total if cuda else event.self_cpu_time_total
    return seconds.most_common(1)[0][0] if seconds else "none seen"


def attention_in(kernel: str) -> str | None:
    """Return the part of a kernel's name that tells the implementation, if it is an attention's."""
    # Inductor's own kernels are named after the operators beside them; and one operator only
    # chooses among the implementations, which on a busy CPU can take longer than a small one.
    is_another = kernel.startswith("triton_") or kernel == "aten::scaled_dot_product_attention"
    found = None if is_another else ATTENTION.search(kernel)
    return found[0] if found else None
