"""Finds a repository's snapshots in a cache in the Hub's layout.

    models--{owner}--{name}/refs/{branch or tag}       a commit
    models--{owner}--{name}/snapshots/{commit}/        the repository's files

https://huggingface.co/docs/huggingface_hub/guides/manage-cache. Runpod's cached models and the
weights in an image are laid out the same way.
"""

import re
from collections.abc import Iterator
from pathlib import Path

SHORT_COMMIT = re.compile(r"[0-9a-fA-F]{7,40}")
"""A commit, or the beginning of one that git shows for it."""


def folder_name(repository: str) -> str:
    """Return what the library calls a repository's folder."""
    return f"models--{repository.replace('/', '--')}"


def snapshots(cache: Path, repository: str, revision: str | None) -> Iterator[Path]:
    """Name a repository's snapshots, whether they are there or not, the best first.

    Args:
        cache: holds a folder for each repository.
        repository: in any case; the Hub takes it so, and caches keep it as it was asked for,
            Runpod's in lower.
        revision: a branch, a tag, or a commit or its beginning; None is the repository's newest,
            or where the cache doesn't know that, whatever it has.
    """
    name = folder_name(repository)
    like = [each for each in _listed(cache) if each.name.lower() == name.lower()]
    for folder in sorted(like, key=lambda each: each.name != name):
        kept = folder / "snapshots"
        if commit := _content(folder / "refs" / (revision or "main")):
            yield kept / commit
        elif revision is None:  # what was fetched at a revision leaves no `main`
            yield from _listed(kept)
        elif SHORT_COMMIT.fullmatch(revision):
            yield from (
                each for each in _listed(kept) if each.name.lower().startswith(revision.lower())
            )


def break_locks(cache: Path, repository: str) -> None:
    """Remove the library's locks on a repository's files, when whoever had them is held for dead.

    A stopped process has them still, and where a file system knows no locks, those of a killed one
    are never given back. They spare a second download and nothing else: each writes to a file of
    its own, and moves it into place when it is whole.
    """
    name = folder_name(repository).lower()
    for folder in _listed(cache / ".locks"):
        if folder.name.lower() == name:
            for lock in folder.glob("*.lock"):
                lock.unlink(missing_ok=True)


def _content(file: Path) -> str:
    try:
        return file.read_text().strip()
    except (OSError, ValueError):
        return ""


def _listed(folder: Path) -> list[Path]:
    """List a folder, the newest first, or nothing where that can't be done."""
    try:
        return sorted(folder.iterdir(), key=lambda each: each.lstat().st_mtime, reverse=True)
    except OSError:
        return []
