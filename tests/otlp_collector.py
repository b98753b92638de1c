"""A collector of spans on loopback, which takes them as OpenTelemetry's own do."""

import threading
from contextlib import contextmanager
from types import SimpleNamespace

import loopback
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Collector:
    """Decodes what comes, and answers by the next of `statuses`, then by 200.

    While `held` is cleared it answers nothing.
    """

    def __init__(self):
        self.statuses = []
        self.bodies = []
        self.requests = []
        """A path and the headers of each."""
        self.held = threading.Event()
        self.held.set()

    def handle(self, request):
        body = request.body()
        self.requests.append((request.path, dict(request.headers)))
        self.held.wait(60)
        status = self.statuses.pop(0) if self.statuses else 200
        if status == 200:
            self.bodies.append(body)
        return request.answer(status)

    @contextmanager
    def serving(self):
        with loopback.serving(self.handle) as url:
            try:
                yield url
            finally:
                self.held.set()

    @property
    def resources(self):
        """The attributes of each batch's sender."""
        return [
            attributes(each.resource)
            for body in self.bodies
            for each in ExportTraceServiceRequest.FromString(body).resource_spans
        ]

    @property
    def spans(self):
        """All that have come, with their parent's name."""
        came = [
            span
            for body in self.bodies
            for each in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in each.scope_spans
            for span in scope.spans
        ]
        names = {span.span_id: span.name for span in came}
        return [
            SimpleNamespace(
                name=span.name,
                parent=names.get(span.parent_span_id),
                trace=span.trace_id,
                attributes=attributes(span),
                begin=span.start_time_unix_nano / 1e9,
                end=span.end_time_unix_nano / 1e9,
                failure=span.status.message if span.status.code == 2 else None,
            )
            for span in came
        ]

    def named(self, name):
        return [span for span in self.spans if span.name == name]

    def within(self, parent):
        """The names of the spans of its trace that are in it, in their order in time."""
        inside = [each for each in self.spans if each.trace == parent.trace and each.parent]
        return [each.name for each in sorted(inside, key=lambda each: each.begin)]


@pytest.fixture
def collector(monkeypatch):
    """A collector that a worker which starts now sends its spans to."""
    collector = Collector()
    with collector.serving() as url:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        yield collector


def attributes(message):
    return {
        each.key: getattr(each.value, each.value.WhichOneof("value")) for each in message.attributes
    }
