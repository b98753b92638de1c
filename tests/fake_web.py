"""The web as far as LoRAs go: many hosts by their real names, on one TLS server on loopback.

Its names are found and its certificates are believed only in tests that use `web`.
"""

import hashlib
import json
import re
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import loopback
import pytest
import torch
from aiohttp.abc import AbstractResolver, ResolveResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from safetensors.torch import save

Handler = Callable[[loopback.Incoming], None]

PRIVATE = {"intranet.example": "10.1.2.3", "metadata.example": "169.254.169.254"}
"""Names that lead where no caller has business."""
CDN = "cas-bridge.xethub.hf.co"
STORAGE = "b2.civitai.com"
HOSTS = ("huggingface.co", CDN, "civitai.com", STORAGE, "files.example", "elsewhere.example")


def lora(value: float = 1.0, values: int = 64) -> bytes:
    """A safetensors file with this in it."""
    return save({"a.lora_A.weight": torch.full((values,), value)})


@cache
def certificate() -> tuple[ssl.SSLContext, str]:
    """A server's context for all hosts, and the certificate that vouches for it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Tests")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(h) for h in (*HOSTS, "localhost")]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    written = made.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "pem"
        file.write_bytes(written + secret)
        context.load_cert_chain(file)
    return context, written.decode()


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def etag(data: bytes) -> str:
    return f'"{hashlib.md5(data).hexdigest()}"'


def redirect(location: str, status: int = 302, headers: Mapping[str, str] = {}) -> Handler:
    return lambda request: request.answer(status, headers={"Location": location, **headers})


def status(code: int, headers: Mapping[str, str] = {}) -> Handler:
    return lambda request: request.answer(code, b"" if code == 204 else b"no", headers)


def page(request: loopback.Incoming) -> None:
    body = b"<!doctype html><p>Welcome"
    request.answer(200, body, {"Content-Type": "text/html; charset=utf-8"})


def whole(data: bytes, tag: str | None = None) -> Handler:
    """Give a file as a good server does: its tag, its rest, and nothing where it is known."""
    tag = tag or etag(data)

    def give(request: loopback.Incoming) -> None:
        headers = {"ETag": tag}
        if request.headers.get("If-None-Match") == tag:
            return request.answer(304, headers=headers)
        start = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
        if start and request.headers.get("If-Range") == tag:
            at = int(start[1])
            headers["Content-Range"] = f"bytes {at}-{len(data) - 1}/{len(data)}"
            return request.answer(206, data[at:], headers)
        return request.answer(200, data, headers)

    return give


def cut(data: bytes, at: int, tag: str | None = None) -> Handler:
    """Announce a file, and break off in the middle of it."""

    def give(request: loopback.Incoming) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(data)))
        request.send_header("ETag", tag or etag(data))
        request.end_headers()
        request.wfile.write(data[:at])
        request.drop()

    return give


def endless(beginning: bytes, piece: bytes) -> tuple[Handler, list[int]]:
    """A file without an end, of ever the same pieces; and the bytes of each that was sent."""
    sent: list[int] = []

    def give(request: loopback.Incoming) -> None:
        request.send_response(200)
        request.end_headers()
        request.close_connection = True
        with suppress(OSError):
            request.wfile.write(beginning)
            while True:
                request.wfile.write(piece)
                sent.append(len(piece))

    return give, sent


class Web:
    """Which URL is answered how, and what was asked."""

    def __init__(self) -> None:
        self.pages: dict[str, list[Handler]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.answered: list[tuple[str, int]] = []

    def put(self, url: str, *handlers: Handler | bytes) -> str:
        """Answer a URL by these in turn, and then by the last again and again."""
        self.pages[url.partition("?")[0]] = [
            whole(each) if isinstance(each, bytes) else each for each in handlers
        ]
        return url

    def put_hub(self, repository: str, files: Mapping[str, bytes], sha: str) -> None:
        """Serve a repository as https://huggingface.co does: large files are at a CDN."""
        told = {"sha": sha, "siblings": [{"rfilename": name} for name in files]}
        hub = "https://huggingface.co"
        for revision in ("main", sha):
            answer = json.dumps(told).encode()
            self.put(f"{hub}/api/models/{repository}/revision/{revision}", whole(answer))
            for name, data in files.items():
                at = self.put(f"https://{CDN}/{digest(data)}?X-Amz-Signature=hush", data)
                linked = {"X-Linked-ETag": f'"{digest(data)}"', "X-Linked-Size": str(len(data))}
                self.put(f"{hub}/{repository}/resolve/{revision}/{name}", redirect(at, 302, linked))

    def requests(self, url: str) -> int:
        return sum(asked == url.partition("?")[0] for asked, _ in self.asked)

    def sent(self, url: str) -> list[int]:
        """The statuses of the answers so far."""
        return [code for at, code in self.answered if at == url.partition("?")[0]]

    def answer(self, request: loopback.Incoming) -> None:
        host = request.headers["Host"].partition(":")[0].lower()
        url = f"https://{host}{urlsplit(request.path).path}"
        self.asked.append((url, dict(request.headers)))
        handlers = self.pages.get(url, [status(404)])
        handler = handlers.pop(0) if len(handlers) > 1 else handlers[0]
        say = request.send_response

        def note(code: int, message: str | None = None) -> None:
            self.answered.append((url, code))
            say(code, message)

        request.send_response = note  # type: ignore[method-assign]
        handler(request)


@contextmanager
def fake_web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    web = Web()
    context, written = certificate()
    with loopback.serving(web.answer, context) as url:
        port = urlsplit(url).port

        class Names(AbstractResolver):
            """Finds the hosts of this web, and no others."""

            async def resolve(
                self, host: str, wanted: int = 0, family: socket.AddressFamily = socket.AF_INET
            ) -> list[ResolveResult]:
                host = host.lower()
                if host not in (*HOSTS, *PRIVATE):
                    raise OSError(None, "no such name")
                address, to = (PRIVATE[host], wanted) if host in PRIVATE else ("127.0.0.1", port)
                return [
                    ResolveResult(
                        hostname=host, host=address, port=to, family=family, proto=6, flags=0
                    )
                ]

            async def close(self) -> None:
                pass

        monkeypatch.setattr("aiohttp.connector.DefaultResolver", lambda **_: Names())
        believed = ssl.create_default_context(cadata=written)
        monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", believed)
        yield web
