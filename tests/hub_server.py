"""A stand-in for the Hugging Face Hub on loopback, as far as a snapshot's download goes.

It serves folders as repositories, and refuses the files of gated ones to whoever has no accepted
token, with the headers that https://huggingface.co answers with.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

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

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            self._answer()

        def log_message(self, *_: object) -> None:
            pass

        def _answer(self) -> None:
            path = urlsplit(self.path).path
            api = path.startswith("/api/models/")
            repository = "/".join(path.removeprefix("/api/models/").strip("/").split("/")[:2])
            folder = state.repositories.get(repository)
            if folder is None:
                return self._send(401, {"X-Error-Code": "RepoNotFound"})
            if api and "/tree/" in path:
                return self._json([entry(folder, file) for file in files(folder)])
            if api:
                siblings = [{"rfilename": str(f.relative_to(folder))} for f in files(folder)]
                return self._json({"id": repository, "sha": COMMIT, "siblings": siblings})
            token = state.gated.get(repository)
            if token and self.headers.get("Authorization") != f"Bearer {token}":
                return self._send(401, {"X-Error-Code": "GatedRepo"})
            name = path.partition(f"/resolve/{COMMIT}/")[2]
            data = (folder / name).read_bytes()
            if self.command == "GET":
                state.served.append(name)
            return self._send(200, {"X-Repo-Commit": COMMIT, "ETag": f'"{digest(data)}"'}, data)

        def _json(self, content: object) -> None:
            self._send(200, {"Content-Type": "application/json"}, json.dumps(content).encode())

        def _send(self, code: int, headers: dict[str, str], data: bytes = b"") -> None:
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


def entry(folder: Path, file: Path) -> dict[str, object]:
    data = file.read_bytes()
    name = str(file.relative_to(folder))
    return {"type": "file", "path": name, "size": len(data), "oid": digest(data)}


def digest(data: bytes) -> str:
    return sha1(data).hexdigest()
