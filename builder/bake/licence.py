"""What goes with weights that are handed on: their licence, and the notice that it asks for."""

import logging
from pathlib import Path

from flux_worker.contract.catalog import FLUX_DEV_LICENCE, ServedModel

log = logging.getLogger(__name__)

_TEXTS = ("LICENSE", "LICENCE", "COPYING")
_NAMES = (*_TEXTS, "NOTICE")
FILES = ["README.md", *(f"{name}*" for word in _NAMES for name in (word, word.lower()))]
"""Patterns of a repository's files that say what may be done with it."""

# The words of the licence, in 3 b: https://github.com/black-forest-labs/flux has its text.
_NOTICES = {
    FLUX_DEV_LICENCE: (
        "The FLUX.1 [dev] Model is licensed by Black Forest Labs. Inc. under the FLUX.1 [dev] "
        "Non-Commercial License. Copyright Black Forest Labs. Inc.\n"
        "IN NO EVENT SHALL BLACK FOREST LABS, INC. BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER "
        "LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR "
        "IN CONNECTION WITH USE OF THIS MODEL.\n"
    )
}


def add_notice(folder: Path, repository: str, model: ServedModel) -> Path | None:
    """Write the notice where the licence asks for one and the repository has brought none.

    Args:
        folder: holds the repository's files.
        repository: where they are from.
        model: which the weights are of, or of which they were made.

    Returns what was written.
    """
    names = [each.name.upper() for each in folder.iterdir() if each.is_file()]
    if not any(name.startswith(_TEXTS) for name in names):
        log.warning(
            "%s has no licence file. Whoever gets the image needs the text of the %s licence.",
            repository,
            model.licence,
        )
    notice = _NOTICES.get(model.licence)
    if notice is None or any(name.startswith("NOTICE") for name in names):
        return None
    written = folder / "NOTICE"
    written.write_text(f"{notice}\n{_origin(repository, model)}")
    return written


def _origin(repository: str, model: ServedModel) -> str:
    """Say what the licence wants besides: who grants the rights, and what was changed."""
    grants = "Any rights to use it are granted to you by Black Forest Labs under that licence.\n"
    if repository == model.repository:
        return f"The files beside this one are https://huggingface.co/{repository}. {grants}"
    return (
        f"The files beside this one are https://huggingface.co/{repository}, a modified version "
        f"of it. {grants}"
    )
