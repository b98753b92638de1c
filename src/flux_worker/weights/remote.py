"""A repository of the Hugging Face Hub: what it holds at a commit, and its files brought here."""

import glob
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from huggingface_hub import HfApi, constants, snapshot_download
from huggingface_hub.hf_api import RepoFile

from flux_worker.weights.bars import Quiet

FILES_AT_ONCE = 2
"""The library keeps nothing of a file that it was killed in, so few are under way at a time. Each
is fetched in parts, in parallel, from the Hub's Xet storage."""


@dataclass(frozen=True)
class RemoteFile:
    """A file as the Hub lists it."""

    name: str
    size: int
    """Bytes."""
    sha256: str | None
    """Of a large file, in hexadecimal; None where the library compares the content itself."""


@dataclass(frozen=True)
class Remote:
    """A repository, and the token that it is read with."""

    repository: str
    token: str | None = field(repr=False)

    def resolve(self, revision: str | None) -> tuple[str, str]:
        """Return the repository's name as it is spelled, and the commit of a revision."""
        info = HfApi(token=self.token).model_info(self.repository, revision=revision)
        if info.sha is None:
            raise ValueError("the Hub names no commit")
        return info.id, info.sha

    def listing(self, commit: str) -> dict[str, RemoteFile]:
        """Return all files at a commit, by their names."""
        entries = HfApi(token=self.token).list_repo_tree(
            self.repository, recursive=True, revision=commit
        )
        return {each.path: _listed(each) for each in entries if isinstance(each, RepoFile)}

    def fetch(
        self, revision: str | None, patterns: Iterable[str], into: Path | None = None
    ) -> Path:
        """Bring small files; return the folder, whose name is the commit unless it was given.

        Args:
            revision: a branch, a tag or a commit; None is the newest.
            patterns: of the files' names.
            into: a plain folder to fill; by default the Hugging Face cache.
        """
        return self._fetch(revision, list(patterns), into, Quiet)

    def fetch_large(
        self, commit: str, files: Iterable[RemoteFile], into: Path | None, bar: type[Quiet]
    ) -> Path:
        """Bring large files of a commit, few at a time."""
        patterns = [glob.escape(each.name) for each in files]
        return self._fetch(commit, patterns, into, bar, max_workers=FILES_AT_ONCE)

    def _fetch(
        self,
        revision: str | None,
        patterns: list[str],
        into: Path | None,
        bar: type[Quiet],
        max_workers: int = 8,
    ) -> Path:
        return Path(
            snapshot_download(
                self.repository,
                revision=revision,
                allow_patterns=patterns,
                token=self.token,
                local_dir=into,
                tqdm_class=bar,
                max_workers=max_workers,
            )
        )


def _listed(file: RepoFile) -> RemoteFile:
    # What comes from the Xet storage is compared with hashes of its parts, as it comes.
    by_parts = file.xet_hash and find_spec("hf_xet") and not constants.HF_HUB_DISABLE_XET
    sha256 = file.lfs.sha256 if file.lfs and not by_parts else None
    return RemoteFile(file.path, file.size, sha256)
