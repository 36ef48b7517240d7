"""Composition of OpenTelemetry: resource, sampler and exporters, by the standard `OTEL_` variables."""

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

import structlog
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import ProxyTracerProvider
from prometheus_client import CollectorRegistry

from duly.telemetry.otel.export import CLOSE_SECONDS, CollectorHealth, ReportedExporter, SpanExport
from duly.telemetry.otel.metrics import MetricExport
from duly.telemetry.otel.traces import OpenTelemetryTracing
from duly.telemetry.tracing import Tracing

log = structlog.stdlib.get_logger("duly.tracing")

_PROTOCOL = "http/protobuf"
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


class MetricsOnly(Tracing):
    """Traces that are off, beside metrics that are exported."""

    exports = True

    def __init__(self, close: Callable[[], None]) -> None:
        self._close = close

    def close(self) -> None:
        """Exports metrics once more, for at most two seconds."""
        self._close()


def start_telemetry(registry: CollectorRegistry, *, instance: str, version: str) -> Tracing:
    """Returns the traces of this process, with threads that export them and the metrics.

    Spans that handlers make with `opentelemetry.trace` belong to the same traces, unless the program has set a tracer
    provider of its own.
    """
    # Its exporters log each failed request, at last with a traceback; `CollectorHealth` logs the first one.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    _warn_of_protocol()
    resource, health = resource_of(instance=instance, version=version), CollectorHealth()
    closers: list[Callable[[], None]] = []
    if _exports("METRICS"):
        closers.append(MetricExport(registry, health, resource=resource, version=version).close)
    if not _exports("TRACES"):
        return MetricsOnly(partial(_close_all, closers))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(ReportedExporter(OTLPSpanExporter(), health)))
    if isinstance(trace.get_tracer_provider(), ProxyTracerProvider):
        trace.set_tracer_provider(provider)
    export = _span_export(resource, health, version=version)
    closers += [provider.shutdown, export.close]
    return OpenTelemetryTracing(provider.sampler, put=export.put, close=partial(_close_all, closers))


def _exports(signal: str) -> bool:
    """Returns whether an address of this signal, or of all, is set, and its export is not switched off."""
    endpoints = ("OTEL_EXPORTER_OTLP_ENDPOINT", f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
    return any(map(os.environ.get, endpoints)) and os.environ.get(f"OTEL_{signal}_EXPORTER", "otlp") == "otlp"


def _close_all(closers: Sequence[Callable[[], None]]) -> None:
    """Closes all at once, and waits for them a little longer than each may take."""
    threads = [threading.Thread(target=close, daemon=True) for close in closers]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + CLOSE_SECONDS + 0.5
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))


def resource_of(*, instance: str, version: str) -> Resource:
    """Returns the resource of this process; `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME` come first."""
    own = {"service.name": "duly", "service.instance.id": instance, "service.version": version}
    return Resource.create(own).merge(OTELResourceDetector().detect())


def _span_export(resource: Resource, health: CollectorHealth, *, version: str) -> SpanExport:
    scope = InstrumentationScope("duly", version)
    empty = ReadableSpan("", trace.INVALID_SPAN_CONTEXT, resource=resource, instrumentation_scope=scope)
    [encoded] = encode_spans([empty]).resource_spans
    return SpanExport(
        OTLPSpanExporter(),
        health,
        resource=encoded.resource.SerializeToString(),
        scope=encoded.scope_spans[0].scope.SerializeToString(),
    )


def _warn_of_protocol() -> None:
    chosen = next((os.environ[name] for name in _PROTOCOLS if os.environ.get(name)), _PROTOCOL)
    if chosen != _PROTOCOL:
        log.warning(
            f"the OTLP protocol {chosen} is not supported; {_PROTOCOL} is used, as a rule on port 4318",
            action="otlp_protocol",
        )
