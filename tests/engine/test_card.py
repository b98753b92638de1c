"""What a card is said to do best, and how a real one would be described."""

from types import SimpleNamespace

import pytest
import torch
from cards import card

from flux_worker.engine.card import Card


@pytest.mark.parametrize(
    ("name", "installed", "expected"),
    [
        ("H100", (), "native"),
        ("H100", ("flash3",), "flash3"),
        ("B200", ("flash3",), "native"),
        ("B200", ("flash3", "flash4"), "flash4"),
        ("RTX 4090", ("flash3", "flash4"), "native"),
        ("A100 80 GB", (), "native"),
    ],
)
def test_the_attention_is_what_the_card_does_best(name, installed, expected):
    assert card(name, flash=frozenset(installed)).best_attention == expected


@pytest.mark.parametrize(
    ("capability", "computes"), [((8, 0), False), ((8, 6), False), ((8, 9), True), ((9, 0), True)]
)
def test_fp8_is_computed_from_ada_on(capability, computes):
    assert Card("x", capability, 0).computes_fp8 == computes


def test_a_cuda_device_is_described_as_the_driver_reports_it(monkeypatch, tmp_path):
    properties = SimpleNamespace(name="NVIDIA L4", major=8, minor=9)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (20_000, 24_000))
    (tmp_path / "flash_attn_interface.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("CC", "no-such-compiler")
    described = Card.of(torch.device("cuda"))
    assert described == Card("NVIDIA L4", (8, 9), 20_000, frozenset({"flash3"}), compiler=False)
    monkeypatch.setenv("CC", "sh")
    assert Card.of(torch.device("cuda")).compiler
