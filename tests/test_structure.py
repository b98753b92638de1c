"""Data flows one way: a module imports only what stands before it in the story."""

import ast
from pathlib import Path

import pytest
from conftest import ROOT

STORY = (
    "errors catalog settings values spelling request images bucket "
    "weights prefetch headers plan loading block_packages compile_cache acceleration pipeline "
    "decoding previews steps generator storage pricing logs progress worker fitness sdk"
).split()
MODULES = sorted((ROOT / "src/flux_worker").glob("*.py"))


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "flux_worker":
                found |= {alias.name for alias in node.names}
            elif node.module.startswith("flux_worker."):
                found.add(node.module.removeprefix("flux_worker."))
    return found & set(STORY)


def test_the_story_names_every_module():
    assert {path.stem for path in MODULES} - {"__init__"} == set(STORY)


@pytest.mark.parametrize("name", STORY)
def test_no_module_imports_one_that_comes_later(name):
    earlier = set(STORY[: STORY.index(name)])
    assert imported(ROOT / f"src/flux_worker/{name}.py") <= earlier


def test_the_worker_knows_nothing_of_the_local_platform():
    for path in [*MODULES, ROOT / "handler.py"]:
        assert "local_platform" not in path.read_text()


def test_the_demo_is_nowhere_a_special_case():
    for path in [*MODULES, ROOT / "handler.py"]:
        assert "demo" not in path.read_text().lower(), path.name
