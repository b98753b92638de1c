"""What each task asks of its pipeline."""

import inspect

import torch
from conftest import request
from diffusers import FluxPipeline

from flux_worker.generation.inputs import Inputs
from flux_worker.generation.tasks import text_to_image


def test_text_to_image_hands_on_what_was_asked_for():
    asked = request(num_inference_steps=9, guidance=3, true_cfg_scale=4, seed=5)
    arguments = text_to_image(asked, Inputs(), (288, 256))
    noise = arguments.pop("generator")
    assert arguments == {
        **{"width": 288, "height": 256},
        **{"num_inference_steps": 9, "guidance_scale": 3.0, "true_cfg_scale": 4.0},
    }
    assert set(arguments) <= set(inspect.signature(FluxPipeline.__call__).parameters)
    assert (noise.device, noise.initial_seed()) == (torch.device("cpu"), 5)
