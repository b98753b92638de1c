"""The worker under Runpod's protocol: a job's story from its input to its answer, the one thread
that has the GPU, progress, the checks of a starting worker, and what the SDK does otherwise.
"""

import cpuinfo

# When it is imported, the SDK asks for the processor's name, which takes a second and a process.
_get_cpu_info, cpuinfo.get_cpu_info = cpuinfo.get_cpu_info, dict
import runpod  # noqa: E402, F401

cpuinfo.get_cpu_info = _get_cpu_info
