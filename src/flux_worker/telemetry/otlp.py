"""Spans in OpenTelemetry's own form, sent over OTLP by its SDK; imported only when that is asked.

The SDK reads its variables itself. What it says of them and of the network goes to no terminal: it
would be a line for each try, and some of it quotes headers.
"""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, Tracer, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Status, StatusCode

from flux_worker import __version__
from flux_worker.telemetry.spans import Span, Tell

log = logging.getLogger(__name__)


@contextmanager
def sending() -> Iterator[Tell]:
    """Give what sends a span, in batches; the end of the block sends the last one."""
    complaints = Complaints()
    logger = logging.getLogger("opentelemetry")
    logger.addHandler(complaints)
    logger.propagate = False
    provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(Collector(OTLPSpanExporter(), complaints)))
    tracer = provider.get_tracer("flux_worker", __version__)

    def send(span: Span) -> None:
        _send(tracer, span, None)

    try:
        yield send
    finally:
        provider.shutdown()


class Complaints(logging.Handler):
    """Keeps what OpenTelemetry says first of a failure."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.first: str | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Keep its words, with an error's kind for the error's, which may quote an address."""
        if self.first is None:
            given = record.args if isinstance(record.args, tuple) else ()
            kinds = tuple(type(a).__name__ if isinstance(a, Exception) else a for a in given)
            self.first = record.msg % kinds if kinds else str(record.msg)


class Collector(SpanExporter):
    """Where spans are sent; the log has a line when that begins to fail, and one when it works."""

    def __init__(self, exporter: SpanExporter, complaints: Complaints) -> None:
        self._exporter = exporter
        self._complaints = complaints
        self._works = True

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch, on the SDK's thread."""
        self._complaints.first = None
        result = self._exporter.export(spans)
        works = result is SpanExportResult.SUCCESS
        if self._works and not works:
            log.warning(
                "The spans can't be sent to the collector; those of now are lost. Check the "
                "variables OTEL_EXPORTER_OTLP_*, and that it takes http/protobuf.",
                extra={"fields": {"failure": self._complaints.first}},
            )
        if works and not self._works:
            log.info("The spans reach the collector again.")
        self._works = works
        return result

    def shutdown(self) -> None:
        """Close the connection."""
        self._exporter.shutdown()


def _resource() -> Resource:
    """Say who sends; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES come first."""
    ours = {"service.name": "flux-worker", "service.version": __version__}
    if pod := os.environ.get("RUNPOD_POD_ID"):
        ours["service.instance.id"] = pod
    return Resource.create(ours).merge(OTELResourceDetector().detect())


def _send(tracer: Tracer | trace.Tracer, span: Span, parent: trace.Span | None) -> None:
    begun = tracer.start_span(
        span.name,
        context=trace.set_span_in_context(parent) if parent else None,
        attributes=span.attributes,
        start_time=_nanoseconds(span.begin),
    )
    for child in span.children:
        _send(tracer, child, begun)
    if span.failure:
        begun.set_status(Status(StatusCode.ERROR, span.failure))
    begun.end(_nanoseconds(span.begin + span.seconds))


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
