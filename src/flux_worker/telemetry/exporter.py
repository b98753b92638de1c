"""Hands spans to OpenTelemetry, beside the work: on a thread of its own, and only when asked to.

Which it is by OpenTelemetry's own variables
(https://opentelemetry.io/docs/specs/otel/protocol/exporter), which its SDK reads itself.
"""

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import final

from flux_worker.telemetry.spans import Span

log = logging.getLogger(__name__)

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PATIENCE = 2.0
"""Seconds that the end of the process waits for the last spans to be sent."""


@final
class Exporter:
    """Sends what it is told, and holds nobody up by it."""

    def __init__(self) -> None:
        self._told: SimpleQueue[Span | None] = SimpleQueue()
        self._closed = False
        # Begun with the first span, when the SDK has forked its ping: a process that is forked
        # while a thread imports something may wait for that forever.
        self._thread: threading.Thread | None = None

    def tell(self, span: Span) -> None:
        """Send a span and those in it, some time later."""
        if self._closed:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)
            self._thread.start()
        self._told.put(span)

    def close(self) -> None:
        """Send what is left, for as long as there is patience; what is told later is dropped."""
        if self._thread and not self._closed:
            self._closed = True
            self._told.put(None)
            self._thread.join(PATIENCE)

    def _run(self) -> None:
        try:
            from flux_worker.telemetry import otlp  # only here: nobody else pays for its import

            with otlp.sending() as send:
                while span := self._told.get():
                    send(span)
        except Exception as error:
            # Not its words, which may quote a variable, and so a secret.
            log.warning(
                "Telemetry is off: OpenTelemetry can't be set up; check the variables OTEL_*.",
                extra={"fields": {"failure": type(error).__name__}},
            )


@contextmanager
def exporting() -> Iterator[Exporter | None]:
    """Have spans sent while the block runs, and the last ones at its end; None where nobody asks.

    OTEL_SDK_DISABLED and OTEL_TRACES_EXPORTER switch it off beside an endpoint, too.
    """
    exporter = Exporter() if _is_wanted() else None
    try:
        yield exporter
    finally:
        if exporter:
            exporter.close()


def _is_wanted() -> bool:
    exporters = os.environ.get("OTEL_TRACES_EXPORTER") or "otlp"
    return (
        any(os.environ.get(name) for name in ENDPOINTS)
        and os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() != "true"
        and "otlp" in {each.strip() for each in exporters.split(",")}
    )
