"""Puts weights into the image while it is built, a part at a time, so that each is a layer.

    python -m builder.bake rest              first: configurations, tokenizers, licence
    python -m builder.bake vae               a component's weights
    python -m builder.bake transformer 2     those of its files that fill a second layer
    python -m builder.bake transformer 3+    and those that fill a third, and all others

`BAKE` names them, as `BAKE_REVISION` or the repository's newest; without `BAKE` there is nothing to
do. `BAKE_MODEL` is what a fine-tune is served as, where its configuration tells it wrong.
`HF_ENDPOINT` may be a mirror, and the secret `hf_token` holds a token.

The folder is a cache in the Hub's layout: the first part writes the commit down, and all others are
of that one.
"""

import json
import os
import re
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from builder.bake import licence
from builder.bake.order import Order
from flux_worker import logs
from flux_worker.baked import BAKED_SETTINGS, BAKED_WEIGHTS
from flux_worker.errors import CannotStart
from flux_worker.weights import completion, hub_cache, hub_errors, kind
from flux_worker.weights.layout import INDEX, SMALL_FILES, WEIGHTS, Unusable, weight_names

LAYER = 10 * 10**9
"""Bytes. Some registries take no larger layers."""
TIME = 315_532_800
"""Of all files, 1980 began then: the same weights make the same layer whenever they are baked."""


def main(arguments: list[str], environment: Mapping[str, str], baked: Path, secret: Path) -> None:
    """Bake a part.

    Raises:
        CannotStart: it can't be had, or the command makes no sense.
    """
    order = Order.read(environment, secret)
    if order is None:
        return
    part, which = _parse(arguments)
    with hub_errors.explained(order.wanted, baked, order.token, order.advice):
        try:
            if part == "rest":
                _bake_rest(order, baked)
            else:
                _bake_weights(order, baked, part, which)
        except Unusable as fault:
            raise CannotStart(
                f"{order.wanted} isn't a FLUX model in diffusers' format with safetensors: {fault}."
            ) from None


def _parse(arguments: list[str]) -> tuple[str, str]:
    part, which = [*arguments, "1+"][:2] if arguments else ("", "")
    if part not in {"rest", *WEIGHTS} or not re.fullmatch(r"[1-9]\d*\+?", which):
        raise CannotStart(
            f"Bake one of these: rest, {', '.join(WEIGHTS)}; a component's files in a second "
            "layer as in `transformer 2`, and in a third and all others as in `transformer 3+`."
        )
    return part, which


def _bake_rest(order: Order, baked: Path) -> None:
    repository, commit = order.remote.resolve(order.revision)
    kept = baked / hub_cache.folder_name(repository)
    folder = kept / "snapshots" / commit
    order.remote.fetch(commit, [*SMALL_FILES, *licence.FILES], into=folder)
    if not (folder / INDEX).is_file():
        raise Unusable(f"{INDEX} is missing")
    model = order.model or kind.likely(folder)
    kind.refuse_others(folder, order.wanted, model)
    if order.revision != commit:
        _write(kept / "refs" / (order.revision or "main"), commit)
    served = {"FLUX_MODEL": model.name}
    if repository != model.repository:
        served["MODEL_PATH"] = f"{repository}@{commit}"
    _write(baked / BAKED_SETTINGS, json.dumps(served))
    licence.add_notice(folder, repository, model)
    _finish(baked, folder, (each for each in baked.rglob("*") if each.is_file()))


def _bake_weights(order: Order, baked: Path, component: str, which: str) -> None:
    repository, _ = order.remote.resolve(order.revision)  # it may have been renamed
    found = hub_cache.snapshots(baked, repository, order.revision)
    folder = next((each for each in found if each.is_dir()), None)
    if folder is None:
        raise CannotStart(f"{order.wanted} isn't in {baked} yet: bake its `rest` first.")
    listed = order.remote.listing(folder.name)
    names = weight_names(folder, [component])
    if lost := [name for name in names if name not in listed]:
        raise Unusable(f"{lost[0]} is missing")
    layers = _layers({name: listed[name].size for name in names})
    first = int(which.rstrip("+")) - 1
    chosen = layers[first:] if which.endswith("+") else layers[first : first + 1]
    wanted = [listed[name] for layer in chosen for name in layer]
    _finish(
        baked,
        folder,
        completion.complete(order.remote, folder, wanted, order.advice, is_plain=True),
    )


def _layers(sizes: Mapping[str, int]) -> list[list[str]]:
    """Part files, in their order, into layers that aren't too large unless a single one is."""
    layers: list[list[str]] = []
    room = 0
    for name, size in sizes.items():
        if size > room:
            layers.append([])
            room = LAYER
        layers[-1].append(name)
        room -= size
    return layers


def _write(file: Path, content: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)


def _finish(baked: Path, folder: Path, files: Iterable[Path]) -> None:
    """Leave nothing of the library's, and no times of this build.

    Files of earlier layers aren't touched, which would put them into this one, too.
    """
    shutil.rmtree(folder / ".cache", ignore_errors=True)
    folders = [baked, *(each for each in baked.rglob("*") if each.is_dir())]
    for path in (*files, *folders):
        os.utime(path, (TIME, TIME))


if __name__ == "__main__":
    logs.configure("INFO")
    try:
        main(sys.argv[1:], os.environ, BAKED_WEIGHTS, Path("/run/secrets/hf_token"))
    except CannotStart as reason:
        sys.exit(str(reason))
