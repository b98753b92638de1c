"""A picture by a pipeline of one's own, to be compared with another's."""

from threading import Event
from types import SimpleNamespace

import numpy as np
from conftest import DEMO, request

from flux_worker.contract.catalog import DEV, KONTEXT
from flux_worker.engine import pipeline
from flux_worker.generation.generator import Generator
from flux_worker.generation.inputs import Inputs, blank
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


def draw_on_white(pipe):
    """What comes of image to image, inpainting and Kontext's editing, at two sizes."""
    drawn = []
    address = "data:image/png,"  # of nothing that is looked at
    for width, height in ((256, 256), (512, 320)):
        sides = {"width": width, "height": height}
        for model, pictures in (
            (DEV, {"image": address}),
            (DEV, {"image": address, "mask_image": address, "negative_prompt": "blue"}),
            (KONTEXT, {"image": address}),
        ):
            asked = request(model, num_inference_steps=2, **sides, **pictures)
            inputs = blank(asked, model, 32)
            drawn.append(Generator(pipe, model).generate(asked, inputs, Event()).pixels.ravel())
    return np.concatenate(drawn)


def differ(one, another):
    return np.abs(one.astype(int) - another.astype(int)).mean()
