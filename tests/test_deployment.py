"""What is deployed agrees with the code: the pinned requirements and the image."""

import re
import subprocess
import sysconfig
import tomllib
from pathlib import Path

import pytest
import torch
from conftest import ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]


def pinned(name):
    lines = (ROOT / "requirements" / name).read_text().splitlines()
    return [line for line in lines if not line.startswith(("#", "-r "))]


def normal(requirement):
    return re.sub(r"[-_.]+", "-", requirement).lower()


SETS = {
    "runtime": PROJECT["dependencies"],
    **{k: v for k, v in PROJECT["optional-dependencies"].items() if k != "gpu"},
    **PYPROJECT["dependency-groups"],
}


@pytest.mark.parametrize("name", SETS)
def test_every_requirement_is_pinned_as_the_project_asks(name):
    pins = pinned(f"{name}.txt")
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in pins)
    assert {normal(need) for need in SETS[name]} <= set(map(normal, pins))


WHEEL = re.compile(r"([\w.-]+==[\w.]+) --hash=sha256:[0-9a-f]{64}")


def wheels(name):
    """The pins of one of the image's files, each of which has its hash."""
    matches = [WHEEL.fullmatch(line) for line in pinned(name)]
    assert all(matches)
    return {normal(match[1]) for match in matches}


def test_the_image_installs_what_is_tested_and_cuda_each_wheel_by_its_hash():
    torch, rest = wheels("image-torch.txt"), wheels("image.txt")
    tested = set(map(normal, pinned("runtime.txt")))
    assert tested <= torch | rest
    assert {normal(need) for need in PROJECT["optional-dependencies"]["gpu"]} <= torch
    cuda = {name for name in torch if name.startswith(("nvidia-", "cuda-", "triton==", "torch=="))}
    assert torch == cuda, "else they would change for other reasons than torch"
    assert {name.partition("==")[0] for name in rest - tested} == {"setuptools"}  # torch needs it


def test_what_bakes_weights_has_the_workers_versions():
    assert wheels("image-bake.txt") <= wheels("image.txt")


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
