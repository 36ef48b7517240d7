"""Export of spans: a bounded buffer, and the thread that encodes and posts it."""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import islice

import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from duly.telemetry.otel.encoding import encode_export
from duly.telemetry.otel.open_span import OpenSpan

log = structlog.stdlib.get_logger("duly.tracing")

# Larger than the defaults of the SDK (512 and 2,048), which a busy service fills in half a second.
BATCH, CAPACITY = 2_048, 8_192
DELAY_SECONDS = 5.0
# Spans that are encoded at a time, between which the event loop can run.
ENCODED_AT_A_TIME = 256
CLOSE_SECONDS = 2.0


class CollectorHealth:
    """Logs once when the collector stops taking data, and once when it takes data again."""

    def __init__(self) -> None:
        self._away = False
        self._lock = threading.Lock()

    def note(self, *, exported: bool) -> None:
        """Notes the result of an export."""
        with self._lock:
            changed, self._away = self._away == exported, not exported
        if changed and exported:
            log.info("the OTLP collector takes data again", action="otlp_export_recovered")
        elif changed:
            log.warning(
                "the OTLP collector does not take data: spans and metrics are dropped until it does",
                action="otlp_export_failed",
            )


class ReportedExporter(SpanExporter):
    """Exporter of the spans that handlers make with the SDK."""

    def __init__(self, exporter: SpanExporter, health: CollectorHealth) -> None:
        self._exporter = exporter
        self._health = health

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Exports spans, and notes the result."""
        result = self._exporter.export(spans)
        self._health.note(exported=result is SpanExportResult.SUCCESS)
        return result

    def shutdown(self) -> None:
        """Ends an export in progress."""
        self._exporter.shutdown()


class SpanExport:
    """Buffer of ended spans, and its thread. Spans beyond its capacity are dropped and counted.

    Args:
        resource: encoded resource, of all spans.
        scope: encoded scope, of all spans.
    """

    def __init__(
        self,
        exporter: OTLPSpanExporter,
        health: CollectorHealth,
        *,
        resource: bytes,
        scope: bytes,
        dropped: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._exporter = exporter
        self._health = health
        self._resource, self._scope = resource, scope
        self._capacity = positive_number("OTEL_BSP_MAX_QUEUE_SIZE", CAPACITY)
        self._batch = min(positive_number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", BATCH), self._capacity)
        self._delay_seconds = positive_number("OTEL_BSP_SCHEDULE_DELAY", int(DELAY_SECONDS * 1000)) / 1000
        self._spans: deque[OpenSpan] = deque()
        self._wake = threading.Event()
        self._closing = False
        self.dropped = dropped
        self._thread = threading.Thread(target=self._run, name="duly-spans", daemon=True)
        self._thread.start()

    def put(self, span: OpenSpan) -> None:
        """Adds a span; from any thread."""
        waiting = len(self._spans)
        if waiting >= self._capacity:
            self.dropped(1)
            return
        self._spans.append(span)
        if waiting >= self._batch and not self._wake.is_set():
            self._wake.set()

    def close(self) -> None:
        """Exports what is left, for at most two seconds."""
        self._closing = True
        self._wake.set()
        self._thread.join(CLOSE_SECONDS)
        self._exporter.shutdown()  # type: ignore[no-untyped-call]  # the method has no annotations

    def _run(self) -> None:
        over = False
        while not over:
            self._wake.wait(self._delay_seconds)
            self._wake.clear()
            over = self._closing
            try:
                self._export_all()
            except Exception:  # a thread that ends would leave traces off without a word
                log.exception("internal error while exporting spans", action="span_export_broken")

    def _export_all(self) -> None:
        while self._spans:
            batch = list(islice(self._take(), self._batch))
            self._health.note(exported=self._post(encode_export(self._resource, self._scope, _encoded(batch))))

    def _take(self) -> Iterable[OpenSpan]:
        while self._spans:
            yield self._spans.popleft()

    def _post(self, body: bytes) -> bool:
        """Posts an encoded export, with the retries and settings of OpenTelemetry's exporter."""
        # Its public method takes spans of the SDK, which take eight times as long to encode.
        return self._exporter._client.export(body).success  # noqa: SLF001


def _encoded(spans: Sequence[OpenSpan]) -> Iterable[bytes]:
    for index, span in enumerate(spans, 1):
        yield span.encode()
        if index % ENCODED_AT_A_TIME == 0:
            time.sleep(0)


def positive_number(name: str, default: int) -> int:
    """Returns a number of the environment; the default if there is none."""
    text = os.environ.get(name, "")
    return int(text) if text.isdecimal() and int(text) else default
