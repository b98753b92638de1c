"""A picture by a pipeline of one's own, to be compared with another's."""

from threading import Event
from types import SimpleNamespace

import numpy as np
from conftest import DEMO, request

from flux_worker.contract.catalog import DEV
from flux_worker.engine import pipeline
from flux_worker.generation.generator import Generator
from flux_worker.generation.inputs import Inputs
from flux_worker.settings import Settings

PROMPT = {"prompt": "a red circle on a white background", "width": 256, "height": 256}


def load(**settings):
    return pipeline.load(Settings(model_path=str(DEMO), allow_cpu=True, **settings))


def draw(pipe, loras=(), **given):
    """Draw with LoRAs as they were read, by a pipeline of the engine's or of diffusers'."""
    if not hasattr(pipe, "loras"):
        pipe.loras = SimpleNamespace(holds=lambda loras: True)
    wanted = request(**{**PROMPT, "num_inference_steps": 8, **given})
    return Generator(pipe, DEV).generate(wanted, Inputs(tuple(loras)), Event()).pixels


def differ(one, another):
    return np.abs(one.astype(int) - another.astype(int)).mean()
