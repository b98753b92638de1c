"""A web of pictures, and what brings them."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lora_sources import QUICK

from flux_worker.downloads.attempts import Limits
from flux_worker.errors import InvalidRequest
from flux_worker.pictures.decoder import Picture
from flux_worker.pictures.picture_library import Pictures
from flux_worker.settings import Settings


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The worker's temporary folder, of this test alone."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.fixture
def make_pictures(temporary: Path) -> Callable[..., Pictures]:
    def make(limits: Limits = QUICK, **settings: Any) -> Pictures:
        return Pictures(Settings(**{"allow_private_addresses": True, **settings}), limits)

    return make


@pytest.fixture
def bring_picture(make_pictures: Callable[..., Pictures]) -> Callable[..., Picture]:
    """Bring one picture by a library of its own."""

    def bring_picture(text: str, **settings: Any) -> Picture:
        return asyncio.run(make_pictures(**settings).bring({"image": text}))["image"]

    return bring_picture


@pytest.fixture
def picture_refusal(bring_picture: Callable[..., Picture]) -> Callable[..., str]:
    """What is said of a picture, which is refused; never the secrets of these tests."""

    def refusal(text: str, **settings: Any) -> str:
        with pytest.raises(InvalidRequest) as raised:
            bring_picture(text, **settings)
        said = str(raised.value)
        assert "hush" not in said
        assert said.endswith(" (Invalid image URL)")
        return said.removeprefix("Invalid parameter: image ").removesuffix(" (Invalid image URL)")

    return refusal
