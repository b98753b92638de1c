"""The served models are what their pages document."""

from dataclasses import fields
from decimal import Decimal

import pytest
from conftest import SMALL, run

from flux_worker.contract.catalog import (
    DEV,
    KONTEXT,
    MODELS,
    PICTURES,
    SCHNELL,
    Bounds,
    Parameters,
    Price,
)
from flux_worker.contract.formats import FORMATS
from flux_worker.contract.request import ImageRequest

BY_NAME = pytest.mark.parametrize("model", MODELS.values(), ids=lambda model: model.name)


def test_the_documented_contracts():
    """https://docs.runpod.io/public-endpoints/reference."""
    assert DEV.endpoint_id == "black-forest-labs-flux-1-dev"
    assert DEV.price == Price(Decimal("0.02"), "megapixel")
    assert DEV.parameters.defaults() == {
        "num_inference_steps": 28,
        "width": 1024,
        "height": 1024,
        "guidance": 7.5,
        "true_cfg_scale": 2.0,
        "strength": 0.8,
        "seed": -1,
        "image_format": "jpeg",
    }
    assert SCHNELL.endpoint_id == "black-forest-labs-flux-1-schnell"
    assert SCHNELL.price == Price(Decimal("0.0024"), "megapixel")
    assert SCHNELL.parameters.num_inference_steps == Bounds(1, 8, 4)


def test_kontexts_documented_contract():
    """https://docs.runpod.io/public-endpoints/models/flux-kontext-dev."""
    assert KONTEXT.endpoint_id == "black-forest-labs-flux-1-kontext-dev"
    assert KONTEXT.price == Price(Decimal("0.025"), "image")
    assert KONTEXT.parameters.num_inference_steps == Bounds(1, 50, 28)
    assert KONTEXT.parameters.guidance == Bounds(0.0, 10.0, 2.0)
    assert KONTEXT.parameters.image_format == "png"
    sides = KONTEXT.parameters.width, KONTEXT.parameters.height
    assert [side.default for side in sides] == [1024, 1024]


@BY_NAME
def test_a_models_tasks_are_told_apart_by_their_pictures(model):
    assert len({PICTURES[task] for task in model.tasks}) == len(model.tasks)
    begins = any(task in ("image-to-image", "inpainting") for task in model.tasks)
    assert (model.parameters.strength is not None) == begins


def test_models_are_found_by_their_names():
    assert all(model.name == name for name, model in MODELS.items())
    for field in ("title", "repository", "endpoint_id"):
        assert len({getattr(model, field) for model in MODELS.values()}) == len(MODELS)


@BY_NAME
def test_every_default_is_within_its_bounds(model):
    for field in fields(Parameters):
        bounds = getattr(model.parameters, field.name)
        if isinstance(bounds, Bounds):
            assert bounds.low <= bounds.default <= bounds.high
            assert type(bounds.low) is type(bounds.default) is type(bounds.high)
    assert model.parameters.image_format in FORMATS


def test_every_parameter_is_one_of_the_requests():
    assert {field.name for field in fields(Parameters)} <= set(ImageRequest.model_fields)


def test_krea_costs_what_the_operator_says(make_worker):
    assert run(make_worker(flux_model="krea-dev"), SMALL)["cost"] == 0.00131072
    priced = make_worker(flux_model="krea-dev", price_per_megapixel="1")
    assert run(priced, SMALL)["cost"] == 0.065536
