"""Spans are sent beside the work, and nothing is done where nobody asks for them."""

import subprocess
import sys

import pytest
from conftest import ROOT, SMALL

from flux_worker.telemetry import exporter
from flux_worker.telemetry.exporter import exporting
from flux_worker.telemetry.spans import Span
from local_platform.processes.surroundings import demo_environment

SPAN = Span("job", 1.0, 2.0, {"job": "j"})


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({}, False),
        ({"ENDPOINT": ""}, False),
        ({"ENDPOINT": "http://127.0.0.1:9"}, True),
        ({"TRACES_ENDPOINT": "http://127.0.0.1:9/v1/traces"}, True),
    ],
)
def test_an_endpoint_asks_for_spans(monkeypatch, variables, wanted):
    for name, value in variables.items():
        monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{name}", value)
    with exporting() as given:
        assert bool(given) == wanted


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_TRACES_EXPORTER", "none"),
        ("OTEL_TRACES_EXPORTER", "console"),
    ],
)
def test_opentelemetrys_switches_switch_it_off(monkeypatch, name, value):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv(name, value)
    with exporting() as given:
        assert given is None


def test_the_last_spans_are_sent_at_the_end(collector):
    with exporting() as given:
        given.tell(SPAN)
    assert [span.name for span in collector.spans] == ["job"]


def test_a_collector_that_doesnt_answer_holds_nobody_up(collector, monkeypatch):
    monkeypatch.setattr(exporter, "PATIENCE", 0.2)
    collector.held.clear()
    with exporting() as given:
        for _ in range(3):
            given.tell(SPAN)
    assert collector.bodies == []
    given.close()
    given.tell(SPAN)  # dropped


def test_what_opentelemetry_cant_be_set_up_with_is_a_line_without_its_value(
    collector, monkeypatch, caplog
):
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "-4711")
    with exporting() as given:
        given.tell(SPAN)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "Telemetry is off" in caplog.text
    assert "4711" not in caplog.text
    assert caplog.records[0].fields == {"failure": "ValueError"}


@pytest.mark.real
@pytest.mark.parametrize("asked", [False, True])
def test_only_who_asks_pays_for_its_import(collector, monkeypatch, asked):
    if not asked:
        monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT")
    job = f'{{"input": {str(SMALL)!s}}}'.replace("'", '"')
    done = subprocess.run(
        [sys.executable, "-X", "importtime", str(ROOT / "handler.py"), "--test_input", job],
        env=demo_environment({}),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert ("opentelemetry" in done.stderr) == asked
    assert len(collector.named("start-up")) == len(collector.named("job")) == asked
