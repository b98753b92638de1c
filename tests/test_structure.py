"""The tree: which rooms there are, and that imports lead only downward."""

import ast
import importlib.util

import pytest
from conftest import ROOT

PACKAGES = {
    "flux_worker": [
        {"baked", "blanks", "errors", "first_process", "logs", "guard"},
        {"telemetry"},
        {"contract", "web", "writable"},
        {"settings"},
        {"downloads"},
        {"adapters", "delivery", "pictures", "weights"},
        {"engine", "generation"},
        {"serving"},
    ],
    "local_platform": [{"processes"}, {"queue"}, {"api"}, {"commands"}],
    "playground": [
        {"places"},
        {"client", "estimate", "form", "input_pictures", "pictures", "snippets"},
        {"runs", "local_endpoints"},
        {"sessions"},
        {"page"},
        {"server"},
        {"__main__"},
    ],
}
"""The storeys of each package, from the ground up. Rooms on the same one don't know each other."""


def modules(package):
    return sorted((ROOT / "src" / package).rglob("*.py"))


def room(name):
    """The part below the package: of `flux_worker.contract.catalog`, contract."""
    return name.split(".")[1] if "." in name else ""


def named(path):
    parts = path.relative_to(ROOT / "src").with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(source, name, package):
    """The modules of the package that a module's source imports, in whatever form."""
    found = set()
    inside = (
        name
        if importlib.util.find_spec(name).submodule_search_locations
        else (name.rpartition(".")[0])
    )
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), inside)
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            # By name: importlib.import_module and the like.
            found |= {node.value} if node.value.startswith(f"{package}.") else set()
    return {each for each in found if each == package or each.startswith(f"{package}.")}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_module_has_a_room(package):
    rooms = set().union(*PACKAGES[package])
    assert {room(named(path)) for path in modules(package)} - {""} == rooms


@pytest.mark.parametrize(
    ("package", "path"),
    [(package, path) for package in PACKAGES for path in modules(package)],
    ids=lambda value: value if isinstance(value, str) else named(value),
)
def test_imports_lead_downward(package, path):
    storeys = PACKAGES[package]
    height = {each: number for number, storey in enumerate(storeys) for each in storey}
    mine = room(named(path))
    for imported in imports(path.read_text(), named(path), package):
        theirs = room(imported)
        if theirs in height and theirs != mine:
            assert height[theirs] < height.get(mine, 0), f"{named(path)} imports {imported}"


@pytest.mark.parametrize(
    "line",
    [
        "import flux_worker.serving.worker",
        "import flux_worker.serving.worker as w",
        "from flux_worker import serving",
        "from flux_worker.serving import worker",
        "from flux_worker.serving.worker import Worker",
        "from .. import serving",
        "from ..serving import worker",
        "def f():\n    from flux_worker.serving import worker",
        "importlib.import_module('flux_worker.serving.worker')",
    ],
)
def test_no_form_of_import_escapes(line):
    found = imports(line, "flux_worker.contract.catalog", "flux_worker")
    assert "serving" in {room(each) for each in found}


@pytest.mark.parametrize("package", PACKAGES)
def test_rooms_say_what_they_are_for_and_export_nothing(package):
    for path in modules(package):
        if path.name == "__init__.py":
            tree = ast.parse(path.read_text())
            assert ast.get_docstring(tree), path
            assert not imports(path.read_text(), named(path), package), path


def test_no_two_test_files_have_one_name():
    """pytest takes them for one module, and runs the first alone."""
    names = [
        path.name
        for path in (ROOT / "tests").glob("**/test_*.py")
        if "node_modules" not in path.parts
    ]
    assert len(names) == len(set(names))


def test_every_module_has_its_tests():
    for path in modules("flux_worker"):
        inside = path.relative_to(ROOT / "src/flux_worker")
        if path.name != "__init__.py":
            assert (ROOT / "tests" / inside.with_name(f"test_{path.name}")).exists(), inside


def test_the_worker_knows_nothing_of_the_local_platform():
    for path in [*modules("flux_worker"), ROOT / "handler.py"]:
        assert "local_platform" not in path.read_text()


def test_the_demo_is_nowhere_a_special_case():
    for path in [*modules("flux_worker"), ROOT / "handler.py"]:
        assert "demo" not in path.read_text().lower(), path.name


def test_the_handler_tells_its_story_in_under_40_lines():
    assert len((ROOT / "handler.py").read_text().splitlines()) < 40
