"""Builds small faults into the worker, one at a time, and shows those that no test notices.

`make mutants` draws the faults at random and runs a module's own tests on each; `make mutants
ARGS="--seed 2 contract/request"` draws others, of one module. The faults are cosmic-ray's: another
operator or number, a condition turned round, a loop that never runs. One that survives is either
no fault at all or a test that is missing.
"""

import argparse
import ast
import difflib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from cosmic_ray.ast import ast_nodes, get_ast  # before plugins, which can't be imported first
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

ROOT = Path(__file__).resolve().parents[1]
MODULES = (
    "contract/request contract/values delivery/bucket delivery/images weights/checkpoint "
    "weights/layout engine/planner engine/memory generation/generator generation/steps "
    "serving/worker serving/progress"
).split()
SAME = ("Eq_Is", "Is_Eq", "NotEq_IsNot", "IsNot_NotEq")
"""Operators that differ for few objects, and hardly for those that the worker compares."""


def draw(source: str, dice: random.Random) -> Iterator[str]:
    """Yield mutants of a module's source, each at another place, until there are no more."""
    nodes = list(ast_nodes(get_ast(source)))
    places: dict[Any, list[tuple[Any, int]]] = {}
    for name in operator_names():
        operator = get_operator(name)
        if operator.arguments() or name.endswith(SAME):
            continue
        found = (place for node in nodes for place in operator().mutation_positions(node))
        for occurrence, place in enumerate(found):
            places.setdefault(place, []).append((operator, occurrence))
    original = _executed(source)
    for place in dice.sample(sorted(places), len(places)):
        operator, occurrence = dice.choice(places[place])
        mutant: str = mutate_code(source, operator(), occurrence)
        try:
            if _executed(mutant) != original:
                yield mutant
        except SyntaxError:
            continue  # the star of *arguments is no multiplication


def _executed(source: str) -> str:
    """Return what of a module is executed, which annotations and type aliases are not."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        for field in {"annotation", "returns"} & set(node._fields):
            setattr(node, field, None)
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript):
            generic, inside = ast.unparse(node.value.value), node.value.slice
            # Of Annotated[type, rule, …] the rules are.
            rules = getattr(inside, "elts", [])[1:] if generic == "Annotated" else []
            node.value = ast.Tuple(rules)
    return ast.dump(tree)


def passes(tree: Path, test: Path, limit: float) -> bool:
    """Say whether a test file passes on a tree, within so many seconds."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", str(test)]
    # Bytecode is told from newer source by its second and size, and mutants may share both.
    given = {**os.environ, "PYTHONPATH": str(tree / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    nowhere = subprocess.DEVNULL
    running = subprocess.Popen(
        command, cwd=tree, env=given, stdout=nowhere, stderr=nowhere, start_new_session=True
    )
    try:
        return running.wait(limit) == 0
    except subprocess.TimeoutExpired:
        return False
    finally:
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)
            running.wait()


def try_out(tree: Path, name: str, sample: int, seed: int) -> tuple[int, int]:
    """Return how many mutants of a module there were and how many died; show the others."""
    module = tree / f"src/flux_worker/{name}.py"
    test = tree / "tests" / Path(name).with_name(f"test_{module.name}")
    begin = time.monotonic()
    if not passes(tree, test, limit=600):
        sys.exit(f"{name}: its tests fail without a mutant, so nothing can be learned from them.")
    limit = 30 + 4 * (time.monotonic() - begin)
    source = module.read_text()
    mutants = list(islice(draw(source, random.Random(f"{seed} {name}")), sample))
    died = 0
    for mutant in mutants:
        module.write_text(mutant)
        if passes(tree, test, limit):
            both = source.splitlines(), mutant.splitlines()
            changed = difflib.unified_diff(*both, name, "survives", n=2, lineterm="")
            print("", *changed, sep="\n", flush=True)
        else:
            died += 1
    module.write_text(source)
    return len(mutants), died


def main() -> None:
    """Try mutants of the modules that are named, or of two from each room."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("modules", nargs="*", default=MODULES, help="such as contract/request")
    parser.add_argument("--sample", type=int, default=6, help="mutants of each module")
    parser.add_argument("--seed", type=int, default=1, help="another one draws other mutants")
    asked = parser.parse_args()
    left_out = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache", ".hypothesis")
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(shutil.copytree(ROOT, Path(folder) / "tree", ignore=left_out))
        rows = [(name, *try_out(tree, name, asked.sample, asked.seed)) for name in asked.modules]
    rows.append(("all", sum(row[1] for row in rows), sum(row[2] for row in rows)))
    print("\n| module | mutants | killed |", "|---|---:|---:|", sep="\n")
    print(*(f"| {name} | {tried} | {died} |" for name, tried, died in rows), sep="\n")


if __name__ == "__main__":
    main()
