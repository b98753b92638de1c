"""handler.py, whose GPU breaks once for each time that the file FAULT_FILE is there.

It waits UPLOAD_PATIENCE seconds for a bucket.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from diffusers import FluxTransformer2DModel

import handler
from flux_worker.delivery import s3

FAULT = Path(os.environ["FAULT_FILE"])
forward = FluxTransformer2DModel.forward


def faulty(self, *arguments, **named):
    if FAULT.exists():
        FAULT.unlink()
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
    return forward(self, *arguments, **named)


if __name__ == "__main__":
    FluxTransformer2DModel.forward = faulty
    s3.UPLOAD_PATIENCE = float(os.environ["UPLOAD_PATIENCE"])
    handler.main()
