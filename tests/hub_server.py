"""A stand-in for the Hugging Face Hub on loopback, as far as a snapshot's download goes.

It serves folders as repositories, and refuses the files of gated ones to whoever has no accepted
token, with the headers that https://huggingface.co answers with.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha1
from pathlib import Path
from urllib.parse import urlsplit

import loopback

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    def __init__(self, repositories: dict[str, Path], gated: dict[str, str]) -> None:
        self.repositories = repositories
        self.gated = gated
        """Repository to the token that opens it."""
        self.served: list[str] = []
        self.url = ""


@contextmanager
def hub(repositories: dict[str, Path], gated: dict[str, str] | None = None) -> Iterator[Hub]:
    state = Hub(repositories, gated or {})

    def answer(request: loopback.Incoming) -> None:
        path = urlsplit(request.path).path
        api = path.startswith("/api/models/")
        repository = "/".join(path.removeprefix("/api/models/").strip("/").split("/")[:2])
        folder = state.repositories.get(repository)
        if folder is None:
            return request.answer(401, headers={"X-Error-Code": "RepoNotFound"})
        if api and "/tree/" in path:
            return answer_json(request, [entry(folder, file) for file in files(folder)])
        if api:
            siblings = [{"rfilename": str(f.relative_to(folder))} for f in files(folder)]
            content = {"id": repository, "sha": COMMIT, "siblings": siblings}
            return answer_json(request, content)
        token = state.gated.get(repository)
        if token and request.headers.get("Authorization") != f"Bearer {token}":
            return request.answer(401, headers={"X-Error-Code": "GatedRepo"})
        name = path.partition(f"/resolve/{COMMIT}/")[2]
        data = (folder / name).read_bytes()
        if request.command == "GET":
            state.served.append(name)
        return request.answer(200, data, {"X-Repo-Commit": COMMIT, "ETag": f'"{digest(data)}"'})

    with loopback.serving(answer) as state.url:
        yield state


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
