"""A web of LoRAs, and a library that brings them."""

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_web import Web, fake_web
from safetensors import SafetensorError
from safetensors.torch import load

from flux_worker.adapters.deltas import Adapter, Layers, Unfit, Weighed
from flux_worker.adapters.lora_library import Library
from flux_worker.contract.loras import Lora
from flux_worker.downloads.attempts import Limits
from flux_worker.errors import InvalidRequest
from flux_worker.settings import Settings


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    with fake_web(monkeypatch) as web:
        yield web


QUICK = Limits(5.0, (0, 0))


class Reader:
    """Reads a file into an adapter that adds nothing; counts the files."""

    def __init__(self) -> None:
        self.read: list[Path] = []
        self.before: Callable[[Path], object] = lambda file: None

    def __call__(self, file: Path, layers: Layers, max_rank: int) -> Adapter:
        self.before(file)
        self.read.append(file)
        data = file.read_bytes()
        try:
            tensors = load(data)
        except SafetensorError:
            raise Unfit("is damaged") from None
        if "other" in tensors:
            raise Unfit("is a LoRA for another model")
        return Adapter(hashlib.sha256(data).hexdigest(), (), size=len(data))


@pytest.fixture
def reader() -> Reader:
    return Reader()


@pytest.fixture
def make_library(tmp_path: Path, reader: Reader) -> Callable[..., Library]:
    def make(limits: Limits = QUICK, **settings: Any) -> Library:
        given = {
            "lora_dir": tmp_path / "loras",
            "lora_cache_dir": tmp_path / "cache",
            "lora_hosts": f"{Settings().lora_hosts},files.example",
            "allow_private_addresses": True,
        }
        return Library(Settings(**{**given, **settings}), {}, reader, limits)

    return make


@pytest.fixture
def bring(make_library: Callable[..., Library]) -> Callable[..., tuple[Weighed, ...]]:
    """Bring what is named by a library of its own; the cache stays."""

    def bring(*paths: str, **settings: Any) -> tuple[Weighed, ...]:
        return asyncio.run(make_library(**settings).bring([Lora(path=path) for path in paths]))

    return bring


@pytest.fixture
def refusal(bring: Callable[..., tuple[Weighed, ...]]) -> Callable[..., str]:
    """What is said of a path, which is refused; never the secrets of these tests."""

    def refusal(path: str, **settings: Any) -> str:
        with pytest.raises(InvalidRequest) as raised:
            bring(path, **settings)
        assert "hush" not in str(raised.value)
        return str(raised.value).removeprefix("Invalid parameter: loras[0].path ")

    return refusal
