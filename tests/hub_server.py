"""A stand-in for the Hugging Face Hub on loopback, as far as a snapshot's download goes.

It serves folders as repositories, by `owner/name` or `owner/name@revision`, and refuses the files
of gated ones to whoever has no accepted token, with the headers that https://huggingface.co answers
with.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha1
from pathlib import Path
from urllib.parse import unquote, urlsplit

import loopback

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    def __init__(self, repositories: dict[str, Path], gated: dict[str, str]) -> None:
        self.repositories = repositories
        self.gated = gated
        """Repository to the token that opens it."""
        self.refusal: tuple[int, dict[str, str]] | None = None
        """A status and headers that everything is answered with."""
        self.served: list[str] = []
        self.url = ""


@contextmanager
def hub(repositories: dict[str, Path], gated: dict[str, str] | None = None) -> Iterator[Hub]:
    state = Hub(repositories, gated or {})

    def answer(request: loopback.Incoming) -> None:
        if state.refusal:
            return request.answer(state.refusal[0], headers=state.refusal[1])
        path = unquote(urlsplit(request.path).path)
        api = path.startswith("/api/models/")
        owner, name, *rest = path.removeprefix("/api/models/").strip("/").split("/")
        repository = f"{owner}/{name}"
        at = {
            commit(each): folder
            for each, folder in state.repositories.items()
            if each.partition("@")[0].lower() == repository.lower()
        }
        if not at:
            return request.answer(401, headers={"X-Error-Code": "RepoNotFound"})
        if api and rest[:1] != ["tree"]:
            revision = "/".join(rest[1:])
            wanted = COMMIT if revision in ("", "main") else commit(f"{repository}@{revision}")
            if wanted not in at:
                return request.answer(404, headers={"X-Error-Code": "RevisionNotFound"})
            siblings = [{"rfilename": str(f.relative_to(at[wanted]))} for f in files(at[wanted])]
            content = {"id": repository, "sha": wanted, "siblings": siblings}
            return answer_json(request, content)
        if rest[1] not in at:
            return request.answer(404, headers={"X-Error-Code": "RevisionNotFound"})
        folder = at[rest[1]]
        if api:
            return answer_json(request, [entry(folder, file) for file in files(folder)])
        token = state.gated.get(repository)
        if token and request.headers.get("Authorization") != f"Bearer {token}":
            return request.answer(401, headers={"X-Error-Code": "GatedRepo"})
        file = "/".join(rest[2:])
        data = (folder / file).read_bytes()
        if request.command == "GET":
            state.served.append(file)
        return request.answer(200, data, {"X-Repo-Commit": rest[1], "ETag": f'"{digest(data)}"'})

    with loopback.serving(answer) as state.url:
        yield state


def commit(repository: str) -> str:
    """The commit that a repository is served at: its revision, if that is one."""
    revision = repository.partition("@")[2]
    if not revision:
        return COMMIT
    return revision if len(revision) == len(COMMIT) else digest(revision.encode())


def answer_json(request: loopback.Incoming, content: object) -> None:
    request.answer(200, json.dumps(content).encode(), {"Content-Type": "application/json"})


def files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


def entry(folder: Path, file: Path) -> dict[str, object]:
    data = file.read_bytes()
    name = str(file.relative_to(folder))
    return {"type": "file", "path": name, "size": len(data), "oid": digest(data)}


def digest(data: bytes) -> str:
    return sha1(data).hexdigest()
