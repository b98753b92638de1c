"""What is deployed agrees with the code: the Hub's files, the pinned requirements, the docs."""

import json
import re
import subprocess
import sysconfig
import tomllib
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from settings_fields import choices, limits

from flux_worker.contract.catalog import MODELS
from flux_worker.contract.request import ImageRequest
from flux_worker.settings import Settings

HUB = json.loads((ROOT / ".runpod/hub.json").read_text())
TESTS = json.loads((ROOT / ".runpod/tests.json").read_text())
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]

INPUT_FIELDS = {
    *("name", "type", "description", "default", "required", "advanced", "options"),
    *("min", "max", "trueValue", "falseValue"),
}
TYPES = {"string": str, "number": int, "boolean": bool, "huggingface": str}


def test_the_hubs_entry_has_its_fields():
    assert {"title", "description", "type", "category", "config"} <= set(HUB)
    assert (HUB["type"], HUB["category"]) == ("serverless", "image")
    config = HUB["config"]
    assert config["runsOn"] == "GPU"
    assert config["gpuCount"] == 1
    assert isinstance(config["containerDiskInGb"], int)
    assert re.fullmatch(r"[A-Z]+_\d+(_PRO)?(,[A-Z]+_\d+(_PRO)?)*", config["gpuIds"])


@pytest.mark.parametrize("config", [HUB["config"], TESTS["config"]])
def test_hosts_are_new_enough_for_the_pinned_torch(config):
    versions = config["allowedCudaVersions"]
    assert all(isinstance(version, str) for version in versions)
    assert min(tuple(map(int, version.split("."))) for version in versions) == (13, 0)


@pytest.mark.parametrize("entry", HUB["config"]["env"], ids=lambda entry: entry["key"])
def test_every_input_of_the_hub_is_well_formed(entry):
    field = entry["input"]
    assert set(entry) == {"key", "input"}
    assert set(field) <= INPUT_FIELDS
    assert field["description"].endswith(".")
    assert isinstance(field["default"], TYPES[field["type"]])
    if "options" in field:
        assert all(set(option) == {"label", "value"} for option in field["options"])
        assert field["default"] in [option["value"] for option in field["options"]]


def test_every_setting_is_an_input_of_the_hub_and_the_other_way_round():
    offered = {entry["key"] for entry in HUB["config"]["env"]}
    assert offered == {name.upper() for name in Settings.model_fields}


def env(key):
    (entry,) = (entry["input"] for entry in HUB["config"]["env"] if entry["key"] == key)
    return entry


def test_the_hub_offers_every_served_model_by_option_and_preset():
    offered = {option["value"]: option["label"] for option in env("FLUX_MODEL")["options"]}
    assert offered == {model.name: model.title for model in MODELS.values()}
    presets = {each["defaults"]["FLUX_MODEL"]: each["name"] for each in HUB["config"]["presets"]}
    assert presets == offered


@pytest.mark.parametrize("name", Settings.model_fields)
def test_the_hubs_options_and_limits_are_the_settings(name):
    entry = env(name.upper())
    if choices(name):
        assert {option["value"] for option in entry["options"]} == set(choices(name))
    if entry["type"] == "number":
        assert (entry["min"], entry["max"]) == limits(name)


@pytest.mark.parametrize("preset", HUB["config"]["presets"], ids=lambda preset: preset["name"])
def test_the_inputs_defaults_are_the_workers(monkeypatch, preset):
    for entry in HUB["config"]["env"]:
        default = preset["defaults"].get(entry["key"], entry["input"]["default"])
        monkeypatch.setenv(entry["key"], str(default))
    assert Settings.from_environment() == Settings(flux_model=preset["defaults"]["FLUX_MODEL"])


EXAMPLES = {
    "test_input.json": json.loads((ROOT / "test_input.json").read_text())["input"],
    **{test["name"]: test["input"] for test in TESTS["tests"]},
}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
def test_the_shipped_examples_are_requests_of_every_model(example, model):
    _, unread = ImageRequest.parse(example, model)
    assert unread == []


def test_the_hubs_tests_have_time_for_a_cold_start():
    assert all(test["timeout"] >= 60_000 for test in TESTS["tests"])


def pinned(name):
    lines = (ROOT / "requirements" / name).read_text().splitlines()
    return [line for line in lines if not line.startswith(("#", "-r "))]


def normal(requirement):
    return re.sub(r"[-_.]+", "-", requirement).lower()


SETS = {
    "runtime": PROJECT["dependencies"],
    **PROJECT["optional-dependencies"],
    **PYPROJECT["dependency-groups"],
}


@pytest.mark.parametrize("name", SETS)
def test_every_requirement_is_pinned_as_the_project_asks(name):
    pins = pinned(f"{name}.txt")
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in pins)
    assert {normal(need) for need in SETS[name]} <= set(map(normal, pins))


def versions(name):
    return dict(normal(line).split("==") for line in pinned(f"{name}.txt"))


def test_the_playground_has_the_workers_version_of_what_both_have():
    """But for the two of which gradio needs an older one."""
    runtime, playground = versions("runtime"), versions("playground")
    both = runtime.keys() & playground.keys()
    assert {name for name in both if runtime[name] != playground[name]} == {"pillow", "tomlkit"}


def test_the_playgrounds_environment_is_as_pinned_and_has_no_torch(playground_python):
    freeze = [playground_python, "-I", "-m", "pip", "freeze", "--exclude-editable"]
    there = subprocess.run(freeze, capture_output=True, text=True, check=True).stdout.splitlines()
    assert there == pinned("playground.txt"), "`make test` brings it up to date"
    imports = "import gradio, flux_worker.contract.request, flux_worker.settings, local_platform"
    subprocess.run([playground_python, "-c", imports], check=True)


def test_the_dockerfile_is_clean():
    hadolint = Path(sysconfig.get_path("scripts")) / "hadolint"
    done = subprocess.run([hadolint, "Dockerfile"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_no_token_can_stay_in_the_image():
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert not [line for line in lines if line.startswith(("ENV", "ARG")) and "TOKEN" in line]
    assert "--mount=type=secret,id=hf_token" in "\n".join(lines)


def test_torch_is_told_not_to_round_pinned_memory_up():
    """The image's setting is one that torch reads: of another, it would take any value."""
    (told,) = re.findall(r"PYTORCH_ALLOC_CONF=(\S+)", (ROOT / "Dockerfile").read_text())
    name, _, megabytes = told.partition(":")
    assert (name, megabytes) == ("pinned_max_round_threshold_mb", "1")
    torch._C._accelerator_setAllocatorSettings(told)
    with pytest.raises(ValueError, match="stoull"):
        torch._C._accelerator_setAllocatorSettings(f"{name}:no number")
