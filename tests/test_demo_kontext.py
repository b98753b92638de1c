"""What the demo model for Kontext makes of a picture, looked at by the judge of colours."""

import io
from urllib.request import urlopen

import numpy as np
import pytest
from conftest import run
from pictures import png
from PIL import Image, ImageDraw

from builder.demo_model.judge import look
from flux_worker.contract.catalog import KONTEXT
from flux_worker.delivery.storage import Storage
from flux_worker.engine import pipeline
from flux_worker.serving.gpu import Gpu
from flux_worker.serving.worker import Worker
from flux_worker.settings import Settings
from local_platform.processes.surroundings import demo_weights

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def edit():
    """Have the worker edit a red circle on white, that lies off the middle."""
    image = Image.new("RGB", (512, 512), (245, 245, 245))
    ImageDraw.Draw(image).ellipse((170, 190, 400, 420), fill=(220, 40, 40))
    weights = demo_weights(KONTEXT.name)
    settings = Settings(flux_model=KONTEXT.name, model_path=str(weights), allow_cpu=True)
    gpu = Gpu(lambda: pipeline.load(settings), KONTEXT)
    worker = Worker(settings, gpu, Storage(settings))

    def edit(prompt):
        asked = {"prompt": prompt, "image": png(np.asarray(image)), "size": "512*512", "seed": 3}
        with urlopen(run(worker, {**asked, "num_inference_steps": 12})["image_url"]) as response:
            return look(Image.open(io.BytesIO(response.read())))

    return edit


@pytest.mark.parametrize(
    ("instruction", "colour", "background"),
    [("make it blue", "blue", "white"), ("make the background black", "red", "black")],
)
def test_the_named_colour_changes_and_the_other_stays(edit, instruction, colour, background):
    seen = edit(instruction)
    assert (seen.colour, seen.background) == (colour, background)
