"""A stand-in for the Hugging Face Hub on loopback, as far as a snapshot's download goes.

It serves folders as repositories, by `owner/name` or `owner/name@revision`, and refuses the files
of gated ones to whoever has no accepted token, but for licence and card, with the headers that
https://huggingface.co answers with.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha1, sha256
from pathlib import Path
from threading import Event
from urllib.parse import unquote, urlsplit

import loopback

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OPEN = ("LICENSE.md", "README.md")
"""What a gated repository shows to everybody."""


class Hub:
    def __init__(self, repositories: dict[str, Path], gated: dict[str, str]) -> None:
        self.repositories = repositories
        self.gated = gated
        """Repository to the token that opens it."""
        self.refusal: tuple[int, dict[str, str]] | None = None
        """A status and headers that everything is answered with."""
        self.renamed: dict[str, str] = {}
        """Former names of repositories, which are redirected from."""
        self.served: list[str] = []
        self.sizes: dict[str, int] = {}
        """What is said of files' sizes that isn't so."""
        self.damaged = ""
        """A file that comes with another byte at its end."""
        self.stops_in = ""
        """A file in whose middle the server waits for `goes_on`, having set `has_stopped`."""
        self.has_stopped, self.goes_on = Event(), Event()
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
        if new := state.renamed.get(repository):
            there = request.path.replace(repository, new, 1)
            return request.answer(307, headers={"Location": there})
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
            listed = [entry(folder, file, state.sizes) for file in files(folder)]
            return answer_json(request, listed)
        file = "/".join(rest[2:])
        token = None if file in OPEN else state.gated.get(repository)
        if token and request.headers.get("Authorization") != f"Bearer {token}":
            return request.answer(401, headers={"X-Error-Code": "GatedRepo"})
        data = (folder / file).read_bytes()
        tag = sha256(data).hexdigest() if is_large(file) else digest(data)
        headers = {"X-Repo-Commit": rest[1], "ETag": f'"{tag}"'}
        if request.command != "GET":
            return request.answer(200, data, headers)
        state.served.append(file)
        if file == state.damaged:
            data = data[:-1] + bytes([data[-1] ^ 1])
        if file == state.stops_in:
            return answer_half_and_wait(request, data, headers, state)
        return request.answer(200, data, headers)

    with loopback.serving(answer) as state.url:
        yield state


def answer_half_and_wait(
    request: loopback.Incoming, data: bytes, headers: dict[str, str], state: Hub
) -> None:
    request.send_response(200)
    for name, value in {**headers, "Content-Length": str(len(data))}.items():
        request.send_header(name, value)
    request.end_headers()
    request.wfile.write(data[: len(data) // 2])
    request.wfile.flush()
    state.has_stopped.set()
    state.goes_on.wait(60)
    with suppress(OSError):  # whoever asked may be dead
        request.wfile.write(data[len(data) // 2 :])


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


def entry(folder: Path, file: Path, sizes: dict[str, int]) -> dict[str, object]:
    data = file.read_bytes()
    name = str(file.relative_to(folder))
    size = sizes.get(name, len(data))
    listed = {"type": "file", "path": name, "size": size, "oid": digest(data)}
    if is_large(name):
        listed["lfs"] = {"oid": sha256(data).hexdigest(), "size": size, "pointerSize": 134}
    return listed


def is_large(name: str) -> bool:
    """Whether the Hub keeps a file outside of git."""
    return name.endswith(".safetensors")


def digest(data: bytes) -> str:
    return sha1(data).hexdigest()
