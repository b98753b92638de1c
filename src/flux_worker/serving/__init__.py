"""The worker under Runpod's protocol: a job's story from its input to its answer, the one thread
that has the GPU, progress, the checks of a starting worker, and what the SDK does otherwise.
"""
