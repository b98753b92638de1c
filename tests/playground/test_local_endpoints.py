import os
import socket
import threading

import pytest
from conftest import ROOT
from loopback import serving as answering
from running_platform import DEV, SCHNELL, serving

from flux_worker.contract import catalog
from local_platform.processes.ports import free_ports
from local_platform.processes.surroundings import demo_environment
from playground import local_endpoints
from playground.local_endpoints import Served
from playground.places import Place


def port_of(url):
    return int(url.rpartition(":")[2])


def test_a_platform_that_runs_is_found_with_what_it_serves(tmp_path):
    own = {"FLUX_MODEL": "schnell", "MODEL_PATH": str(tmp_path), "PRICE_PER_MEGAPIXEL": "0.5"}
    folder = {"LORA_DIR": str(tmp_path)}
    settings = [demo_environment({"FLUX_MODEL": "dev", **folder}), own]
    with serving(0, settings, ids=(DEV, SCHNELL)) as platform:
        base = f"{platform.url}/v2"
        found = [
            Served(catalog.DEV, Place(base, DEV), "", is_demo=True, lora_dir=tmp_path),
            Served(catalog.SCHNELL, Place(base, SCHNELL), "0.5"),
        ]
        with local_endpoints.running(port_of(platform.url)) as served:
            assert served == found
        assert local_endpoints.find(port_of(platform.url)) == found, "it goes on"


def test_its_loras_are_the_files_that_a_request_can_name(tmp_path):
    served = Served(catalog.DEV, Place("http://127.0.0.1:8000/v2", DEV), lora_dir=tmp_path / "l")
    assert served.loras == [], "before the folder is there"
    served.lora_dir.mkdir()
    usable = ["crescent.safetensors", "größer 🦊's.safetensors"]
    for name in (*usable, ".hidden.safetensors", "a\\b.safetensors", "x:y.safetensors", "notes.md"):
        (served.lora_dir / name).touch()
    (served.lora_dir / os.fsdecode(b"no-text-\xe9.safetensors")).touch()
    assert served.loras == usable


def test_the_demos_loras_are_served_unless_the_operator_has_others(monkeypatch):
    monkeypatch.delenv("LORA_DIR", raising=False)
    assert demo_environment({})["LORA_DIR"] == str(ROOT / "models" / "loras")
    monkeypatch.setenv("LORA_DIR", "/own")
    assert demo_environment({})["LORA_DIR"] == "/own"


def test_each_model_has_the_demo_weights_that_fit_it(monkeypatch):
    for name in ("MODEL_PATH", "FLUX_MODEL"):
        monkeypatch.delenv(name, raising=False)
    models = ROOT / "models"
    assert demo_environment({})["MODEL_PATH"] == str(models / "demo")
    assert demo_environment({"FLUX_MODEL": "schnell"})["MODEL_PATH"] == str(models / "demo")
    kontext = demo_environment({"FLUX_MODEL": "kontext"})
    assert kontext["MODEL_PATH"] == str(models / "demo-kontext")
    monkeypatch.setenv("FLUX_MODEL", "kontext")
    assert demo_environment({})["MODEL_PATH"] == str(models / "demo-kontext")
    settings = [demo_environment({"FLUX_MODEL": "dev"}), kontext]
    with serving(0, settings, ids=(DEV, catalog.KONTEXT.endpoint_id)) as platform:
        served = local_endpoints.find(port_of(platform.url))
    assert [(each.model.name, each.is_demo) for each in served] == [
        ("dev", True),
        ("kontext", True),
    ]


def test_another_program_is_no_platform():
    pages = [b"", b"<html>", b"[]", b'{"endpoints": 5}', b'{"endpoints": [{}]}']
    for page in pages:
        with answering(lambda request, page=page: request.answer(200, page)) as url:
            assert local_endpoints.find(port_of(url)) == []
    assert local_endpoints.find(free_ports(1)[0]) == []


def test_a_program_that_speaks_no_http_is_no_platform():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        greet = threading.Thread(target=lambda: listening.accept()[0].sendall(b"SSH-2.0-x\r\n"))
        greet.start()
        assert local_endpoints.find(listening.getsockname()[1]) == []
        greet.join()


def test_where_none_runs_one_is_started_and_ended(monkeypatch):
    monkeypatch.setenv("WORKERS", "0")
    port = free_ports(1)[0]
    with local_endpoints.running(port) as served:
        assert [each.model.name for each in served] == ["dev", "schnell"]
        assert all(each.is_demo for each in served)
        assert local_endpoints.find(port) == served
    assert local_endpoints.find(port) == []


def test_one_that_does_not_start_is_said(monkeypatch):
    monkeypatch.setenv("MODELS", "flux-9")
    with (
        pytest.raises(RuntimeError, match="doesn't start, for the reason above"),
        local_endpoints.running(free_ports(1)[0]),
    ):
        pass
