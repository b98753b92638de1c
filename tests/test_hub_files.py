"""The Runpod Hub's files: valid by its rules, and they offer what the code and the plan serve."""

import copy
import json
import math
import re
from xml.etree import ElementTree

import pytest
from cards import FLUX
from conftest import ROOT
from hub_rules import Listing, ReleaseTests
from pydantic import ValidationError
from settings_fields import choices, limits

from benchmarks.scaling.pools import by_cost
from flux_worker.contract.catalog import MODELS
from flux_worker.contract.request import ImageRequest
from flux_worker.settings import Settings

HUB = json.loads((ROOT / ".runpod/hub.json").read_text())
TESTS = json.loads((ROOT / ".runpod/tests.json").read_text())
CONFIG = HUB["config"]
INPUTS = {entry["key"]: entry["input"] for entry in CONFIG["env"] if "input" in entry}
FIXED = {entry["key"]: entry["value"] for entry in CONFIG["env"] if "value" in entry}
OF_RUNPOD = {"RUNPOD_INIT_TIMEOUT"}
"""Variables that Runpod reads, not the worker."""

WEIGHTS = 2 * (  # bytes in bfloat16, of the largest model that is served
    FLUX.block_layers
    + FLUX.modulation
    + FLUX.transformer_rest
    + FLUX.text_encoder
    + FLUX.small_components
)
IMAGE_GB = 6
"""Unpacked, without weights: docs/deployment.md."""
SLOW_NETWORK = 25e6
"""Bytes a second: what one user saw of a model's download on Runpod's slow day, March 2026
(https://github.com/runpod-workers/comfyui-base/issues/15)."""
SLOW_DISK = 0.9e9
"""Bytes a second: docs/performance.md's raw reading, cold."""
COMPILE_AND_WARM_UP = 300
"""Seconds. An assumption: on a GPU it was not measured."""


# -- the rules


def test_both_files_are_valid_by_the_hubs_rules():
    Listing.model_validate(HUB)
    ReleaseTests.model_validate(TESTS)


def changed(document, path, value):
    """A copy with one field set to a value, or removed where that is `...`."""
    document = copy.deepcopy(document)
    *way, last = path
    place = document
    for step in way:
        place = place[step]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return document


ENV, PRESET = ("config", "env"), ("config", "presets", 0)
TTL = next(n for n, e in enumerate(CONFIG["env"]) if e["key"] == "URL_TTL_SECONDS")
BROKEN_HUBS = {
    "no title": (("title",), ...),
    "a field of its own": (("licence",), "Apache-2.0"),
    "another type of listing": (("type",), "pod"),
    "an unknown category": (("category",), "images"),
    "an icon that is no address": (("iconUrl",), "docs/icon.svg"),
    "the disk as text": (("config", "containerDiskInGb"), "65"),
    "no disk": (("config", "containerDiskInGb"), 0),
    "two cards a worker": (("config", "gpuCount"), 2),
    "a pool that there isn't": (("config", "gpuIds"), "ADA_24,ADA_96"),
    "pools with blanks between": (("config", "gpuIds"), "ADA_24, AMPERE_24"),
    "a pool twice": (("config", "gpuIds"), "ADA_24,ADA_24"),
    "pools as a list": (("config", "gpuIds"), ["ADA_24"]),
    "CUDA 12": (("config", "allowedCudaVersions"), ["12.8", "13.0"]),
    "CUDA as numbers": (("config", "allowedCudaVersions"), [13.0]),
    "no CUDA at all": (("config", "allowedCudaVersions"), []),
    "a preset of an unknown variable": ((*PRESET, "defaults"), {"FLUX_MODELL": "dev"}),
    "a preset of a fixed variable": ((*PRESET, "defaults"), {"RUNPOD_INIT_TIMEOUT": "60"}),
    "a preset of no option": ((*PRESET, "defaults"), {"PRECISION": "fp4"}),
    "a preset of another type": ((*PRESET, "defaults"), {"FLUX_MODEL": True}),
    "a preset that chooses pools": ((*PRESET, "gpuIds"), "ADA_24"),
    "two presets of one name": ((*PRESET, "name"), CONFIG["presets"][1]["name"]),
    "a variable in small letters": ((*ENV, 0, "key"), "flux_model"),
    "a variable twice": ((*ENV, 0, "key"), "HF_TOKEN"),
    "a variable without value or input": ((*ENV, 0, "input"), ...),
    "a variable with both": ((*ENV, 0, "value"), "dev"),
    "an unknown type of input": ((*ENV, 0, "input", "type"), "text"),
    "a default that is no option": ((*ENV, 0, "input", "default"), "pro"),
    "no default": ((*ENV, 0, "input", "default"), ...),
    "a label without a value": ((*ENV, 0, "input", "options", 0), {"label": "dev"}),
    "a number's default as text": ((*ENV, TTL, "input", "default"), "604800"),
    "a number's default above its most": ((*ENV, TTL, "input", "max"), 60),
    "a number without limits": ((*ENV, TTL, "input", "min"), ...),
}
BROKEN_TESTS = {
    "no tests": (("tests",), []),
    "a test without input": (("tests", 0, "input"), ...),
    "a time-out in seconds": (("tests", 0, "timeout"), 1920),
    "a time-out as text": (("tests", 0, "timeout"), "1920000"),
    "a name with blanks": (("tests", 0, "name"), "documented request"),
    "a card by its short name": (("config", "gpuTypeId"), "RTX 4090"),
    "a pool for a card": (("config", "gpuTypeId"), "ADA_24"),
    "a variable with an input": (("config", "env", 0, "input"), {"type": "string"}),
    "a value that is no text": (("config", "env", 0, "value"), 1800),
    "CUDA 13 without a minor version": (("config", "allowedCudaVersions"), ["13"]),
}


@pytest.mark.parametrize(
    ("rules", "document"),
    [
        *((Listing, changed(HUB, *fault)) for fault in BROKEN_HUBS.values()),
        *((ReleaseTests, changed(TESTS, *fault)) for fault in BROKEN_TESTS.values()),
    ],
    ids=[*BROKEN_HUBS, *BROKEN_TESTS],
)
def test_a_file_that_breaks_a_rule_is_refused(rules, document):
    with pytest.raises(ValidationError):
        rules.model_validate(document)


# -- pools and presets


def test_every_pool_is_offered_the_cheapest_image_first():
    assert CONFIG["gpuIds"].split(",") == by_cost()


def test_there_is_a_preset_of_every_model_for_every_size_of_card():
    names = [
        f"{model.title} on {size}"
        for model in MODELS.values()
        for size in ("24 GB, fp8 or int8", "48 GB, exact", "80 GB and up, exact")
    ]
    assert [preset["name"] for preset in CONFIG["presets"]] == names


@pytest.mark.parametrize("preset", CONFIG["presets"], ids=lambda preset: preset["name"])
def test_a_preset_is_the_workers_defaults_but_for_the_model_and_exactness(monkeypatch, preset):
    for key, entry in INPUTS.items():
        monkeypatch.setenv(key, str(preset["defaults"].get(key, entry["default"])))
    given = Settings.from_environment()
    exact = preset["name"].endswith(", exact")
    assert given == Settings(flux_model=given.flux_model, precision="bf16" if exact else "auto")
    assert preset["name"].startswith(f"{given.model.title} on ")


# -- variables


def test_every_setting_is_an_input_of_the_hub_and_the_other_way_round():
    assert set(INPUTS) == {name.upper() for name in Settings.model_fields}
    assert set(FIXED) == OF_RUNPOD


def test_the_hub_offers_every_served_model():
    offered = {option["value"]: option["label"] for option in INPUTS["FLUX_MODEL"]["options"]}
    assert offered == {model.name: model.title for model in MODELS.values()}


@pytest.mark.parametrize("name", Settings.model_fields)
def test_the_hubs_options_and_limits_are_the_settings(name):
    entry = INPUTS[name.upper()]
    if choices(name):
        assert {option["value"] for option in entry["options"]} == set(choices(name))
    if entry["type"] == "number":
        assert (entry["min"], entry["max"]) == limits(name)


def test_the_hubs_tests_set_what_the_worker_or_runpod_reads():
    keys = {entry["key"] for entry in TESTS["config"]["env"]}
    assert keys <= {*INPUTS, *OF_RUNPOD}


def test_the_hubs_tests_need_no_token():
    """The model that they are answered by is in the image."""
    tests = {entry["key"]: entry["value"] for entry in TESTS["config"]["env"]}
    folder = tests["MODEL_PATH"].removeprefix("/app/")
    assert (ROOT / folder / "model_index.json").is_file()
    assert f"COPY {folder} {folder}" in (ROOT / "Dockerfile").read_text()


# -- sizes and times


def init_timeout():
    """Seconds: download, reading, compilation and warm-up, up to whole five minutes."""
    needed = WEIGHTS / SLOW_NETWORK + WEIGHTS / SLOW_DISK + COMPILE_AND_WARM_UP
    return 300 * math.ceil(needed / 300)


def test_the_init_timeout_is_what_a_slow_start_takes_wherever_it_stands():
    texts = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "builder").rglob("*.py")]
    told = {
        value
        for text in texts
        for value in re.findall(r"RUNPOD_INIT_TIMEOUT\W+(\d+)", text.read_text())
    }
    tests = {entry["key"]: entry["value"] for entry in TESTS["config"]["env"]}
    stated = {*told, FIXED["RUNPOD_INIT_TIMEOUT"], tests["RUNPOD_INIT_TIMEOUT"]}
    assert told
    assert stated == {str(init_timeout())}


def test_the_hubs_tests_have_time_for_a_slow_start_and_a_job():
    assert {test["timeout"] for test in TESTS["tests"]} == {1000 * (init_timeout() + 120)}


def test_the_disk_holds_the_image_the_weights_and_the_cached_loras():
    """And a LoRA that is being fetched, with 3 GB of room for what else is written."""
    loras = Settings().lora_cache_gb + Settings().max_lora_mb / 1000
    needed = IMAGE_GB + WEIGHTS / 1e9 + loras + 3
    assert CONFIG["containerDiskInGb"] == 5 * math.ceil(needed / 5)


# -- requests and icon


EXAMPLES = {
    "test_input.json": json.loads((ROOT / "test_input.json").read_text())["input"],
    **{test["name"]: test["input"] for test in TESTS["tests"]},
}


@pytest.mark.parametrize("model", [name for name in MODELS if "inpainting" in MODELS[name].tasks])
@pytest.mark.parametrize("example", EXAMPLES)
def test_the_shipped_examples_are_requests_of_every_model_that_makes_images(example, model):
    _, unread = ImageRequest.parse(EXAMPLES[example], MODELS[model])
    assert unread == []


def test_the_icon_is_a_square_picture_in_the_tree():
    icon = ElementTree.parse(ROOT / HUB["iconUrl"].split("/main/")[1]).getroot()
    _, _, width, height = icon.get("viewBox").split()
    assert width == height
    assert "href" not in ElementTree.tostring(icon).decode()
