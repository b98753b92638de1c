"""What the documents say is what the code does: rows, defaults, limits, options, names, links."""

import ast
import json
import re
from dataclasses import fields

import pytest
from conftest import ROOT
from diffusers.pipelines.flux.pipeline_flux_kontext import PREFERRED_KONTEXT_RESOLUTIONS
from settings_fields import choices, limits

from flux_worker.contract.catalog import DEV, MODELS, Bounds, Parameters
from flux_worker.contract.pictures import INVALID, MAX_BYTES
from flux_worker.contract.request import ImageRequest
from flux_worker.contract.values import MAX_PROMPT_CHARACTERS
from flux_worker.pictures.fitting import FEATHER
from flux_worker.pictures.parts import LONGEST_SIDE, MOST_PIXELS
from flux_worker.pictures.picture_library import KEPT
from flux_worker.settings import Settings

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
    *(ROOT / "models" / name / "README.md" for name in ("demo", "demo-kontext")),
    *sorted((ROOT / "docs").glob("*.md")),
]
BY_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def rows(page):
    """The rows of all tables of a page, by each name in code in their first cells."""
    found = {}
    for line in (ROOT / page).read_text().splitlines():
        if line.startswith("| `"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            for name in re.findall(r"`([^`]+)`", cells[0]):
                found[name] = cells[1:]
    return found


def shown(value):
    if value == 2**63 - 1:
        return "2⁶³-1"
    return str(value)


def by_model(tell):
    """What is told of each model, written as "dev 28, schnell 4"; one word if it's all the same.

    A model of which the same is told as of an earlier one isn't named.
    """
    told = {}
    for model in MODELS.values():
        told.setdefault(tell(model), model.name)
    told.pop(None, None)  # a model without such a parameter
    if len(told) == 1:
        return next(iter(told))
    return ", ".join(f"{name} {what}" for what, name in told.items())


def bounds(name):
    return lambda model: getattr(model.parameters, name)


def part(name, *parts, between=""):
    """Tell these parts of a model's bounds, or None where it hasn't that parameter."""

    def tell(model):
        found = bounds(name)(model)
        return between.join(shown(getattr(found, each)) for each in parts) if found else None

    return tell


NUMBERS = [
    field.name for field in fields(Parameters) if isinstance(bounds(field.name)(DEV), Bounds)
]


# -- parameters


@pytest.mark.parametrize("page", ["README.md", "docs/api.md"])
def test_every_parameter_has_its_row_and_no_other_has(page):
    documented = {name for name in rows(page) if name.islower()} - {"data:"}
    assert set(ImageRequest.model_fields) <= documented
    others = documented - set(ImageRequest.model_fields)
    assert not {name for name in others if rows(page)[name][0] in ("string", "integer", "number")}


@pytest.mark.parametrize("name", NUMBERS)
def test_the_readmes_defaults_and_limits_are_the_models(name):
    kind, default, allowed = rows("README.md")[name]
    is_whole = isinstance(bounds(name)(DEV).low, int)
    assert kind == ("integer" if is_whole else "number")
    assert default.removesuffix(" (random)") == by_model(part(name, "default"))
    dash = " to " if name == "seed" else "–"
    expected = by_model(part(name, "low", "high", between=dash))
    assert re.split("[,;] (?!schnell [0-9])", allowed)[0] == expected


@pytest.mark.parametrize("name", NUMBERS)
def test_the_apis_limits_and_defaults_are_the_models(name):
    (rule,) = rows("docs/api.md")[name]
    low, high, default = (
        [part(name, each)(model) for model in MODELS.values() if bounds(name)(model)]
        for each in ("low", "high", "default")
    )
    if len(set(zip(low, high, default, strict=True))) > 1:
        told = {}
        for model, *values in zip(MODELS, low, high, default, strict=True):
            told.setdefault("{}–{}, default {}".format(*values), model)
        assert "; ".join(f"{model} {what}" for what, model in told.items()) in rule
    elif name == "seed":
        assert f"from 0 to {high[0]}" in rule
        assert f"{default[0]} (default)" in rule
    else:
        assert re.search(rf"{low[0]}(–| to ){high[0]}, default {default[0]}\b", rule)


@pytest.mark.parametrize("name", ["prompt", "negative_prompt"])
def test_the_documented_limits_of_texts_are_the_requests(name):
    for page in ("README.md", "docs/api.md"):
        assert f"at most {MAX_PROMPT_CHARACTERS:,} characters" in rows(page)[name][-1]


def test_the_documented_defaults_of_flags_are_the_requests():
    for name, field in ImageRequest.model_fields.items():
        if isinstance(field.default, bool):
            default = str(field.default).lower()
            assert rows("README.md")[name][:2] == ["boolean", default]
            assert f"default `{default}`" in rows("docs/api.md")[name][0]


def test_the_documented_default_format_is_the_models():
    default = by_model(lambda model: f"`{model.parameters.image_format}`")
    assert rows("README.md")["image_format"][1] == default
    assert f"`{DEV.parameters.image_format}` (default" in rows("docs/api.md")["image_format"][0]


def test_the_documented_prices_are_the_models():
    prices = by_model(lambda model: f"${model.price.amount.normalize()}")
    assert prices in (ROOT / "docs/api.md").read_text().replace("\n", " ")


def test_the_documented_limits_of_pictures_are_the_codes():
    page = (ROOT / "docs/api.md").read_text().replace("\n", " ")
    megabytes, megapixels = MAX_BYTES // 10**6, MOST_PIXELS // 10**6
    assert (
        f"at most {megabytes} MB, {megapixels} megapixels and {LONGEST_SIDE:,} pixels along a side"
        in page
    )
    assert f"the last {FEATHER} pixels" in page
    assert f"of the {len(PREFERRED_KONTEXT_RESOLUTIONS)} sizes" in page
    assert INVALID in page
    assert f"{KEPT // 10**9} GB at most" in page


# -- settings


def test_every_setting_has_its_row_and_no_other_has():
    documented = {name for name in rows("docs/settings.md") if name.isupper()}
    assert documented == {name.upper() for name in Settings.model_fields}


@pytest.mark.parametrize("name", Settings.model_fields)
def test_the_documented_default_is_the_settings(name):
    written = rows("docs/settings.md")[name.upper()][0]
    default = Settings.model_fields[name].default
    if name == "price_per_megapixel":
        expected = by_model(lambda model: str(model.price.amount))
    elif name == "compile":
        expected = "`auto`"
        assert Settings(compile="auto").compile is default
    elif default in (None, ""):
        # What is told of an unset one is no value: it says what happens then.
        assert "`" not in written.removesuffix(", else `us-east-1`")
        return
    else:
        expected = f"`{str(default).lower() if isinstance(default, bool) else default}`"
    assert written == expected


def values():
    """Each setting with each value in its default's cell, and each of the Hub's options."""
    hub = json.loads((ROOT / ".runpod/hub.json").read_text())["config"]["env"]
    for entry in hub:
        if "input" not in entry:  # fixed, and Runpod's own
            continue
        field = entry["input"]
        yield entry["key"], str(field["default"])
        for option in field.get("options", ()):
            yield entry["key"], option["value"]
        for flag in ("trueValue", "falseValue"):
            if flag in field:
                yield entry["key"], field[flag]
    for name, cells in rows("docs/settings.md").items():
        for value in re.findall(r"`([^`]+)`", cells[0]):
            yield name, value


@pytest.mark.parametrize(("name", "value"), sorted(set(values())))
def test_every_documented_value_is_taken(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    Settings.from_environment()


@pytest.mark.parametrize("name", [name for name in Settings.model_fields if choices(name)])
def test_every_option_is_documented(name):
    row = " ".join(rows("docs/settings.md")[name.upper()])
    assert {choice for choice in choices(name) if f"`{choice}`" not in row} == set()


@pytest.mark.parametrize("name", [name for name in Settings.model_fields if limits(name)])
def test_limits_are_documented(name):
    low, high = limits(name)
    assert f"{low}–{high}" in rows("docs/settings.md")[name.upper()][1].replace(",", "")


def test_the_readmes_settings_are_settings():
    named = {name for name in rows("README.md") if name.isupper()}
    assert named <= {name.upper() for name in Settings.model_fields}


# -- names and links


@pytest.mark.parametrize(
    "page", ["README.md", *(f"docs/{n}.md" for n in ("settings", "deployment", "platform"))]
)
def test_every_served_model_is_named_where_one_is_chosen(page):
    assert {name for name in MODELS if f"`{name}`" not in (ROOT / page).read_text()} == set()


def test_the_rooms_modules_are_those_of_the_table():
    table = rows("docs/design.md")
    for folder in (ROOT / "src/flux_worker").glob("*/__init__.py"):
        modules = {path.stem for path in folder.parent.glob("*.py")} - {"__init__"}
        assert set(re.findall(r"`(\w+)`", table[folder.parent.name][0])) == modules


@BY_PAGE
def test_the_modules_and_folders_that_are_named_exist(page):
    paths = [path.relative_to(ROOT) for path in ROOT.rglob("*")]
    tree = [str(path) for path in paths if not path.parts[0].startswith(".venv")]
    for name in re.findall(r"`([\w./-]+(?:\.py|/))`", page.read_text()):
        wanted = name.rstrip("/")
        if not wanted.startswith(("/", "images")):
            assert any(path == wanted or path.endswith(f"/{wanted}") for path in tree), name


def anchors(page):
    text = page.read_text()
    heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    slugs = {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}
    return slugs | set(re.findall(r'<a id="([^"]+)"', text))


@BY_PAGE
def test_links_between_the_documents_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:|mailto:)([^)]+)\)", page.read_text()):
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{page.name} links to {target}"
        if anchor:
            assert anchor in anchors(linked), f"{page.name} links to {target}"


@BY_PAGE
def test_the_make_targets_that_are_named_exist(page):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)", page.read_text())) <= targets


# -- what upgrades may break


def private_uses(source):
    """Names without a promise: with an underscore, below `experimental`, or the SDK's modules."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and re.match(r"_[a-z]", node.attr, re.IGNORECASE):
            owner = node.value.id if isinstance(node.value, ast.Name) else ""
            found |= {node.attr} - ({node.attr} if owner in ("self", "cls", "os") else set())
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            parts = (node.module or "").split(".")
            names = [alias.name for alias in node.names]
            if any(part.startswith("_") or part == "experimental" for part in parts[1:]) or parts[
                :2
            ] == ["runpod", "serverless"]:
                found |= set(names)
    return found


def test_what_is_used_without_a_promise_is_listed_with_its_test():
    page = (ROOT / "CONTRIBUTING.md").read_text()
    listed = {}
    for line in page[page.index("## Upgrading") :].splitlines():
        if line.startswith("| ") and ".py`" in line:
            _, what, where, test = (cell.strip() for cell in line.strip("|").split("|"))
            listed[where.strip("`")] = listed.get(where.strip("`"), "") + what
            for name in re.findall(r"`(test_\w+\.py)`", test):
                assert list((ROOT / "tests").rglob(name)), name
    for path in (ROOT / "src/flux_worker").rglob("*.py"):
        for name in private_uses(path.read_text()):
            assert name in listed.get(path.name, ""), f"{path.name} uses {name}"
