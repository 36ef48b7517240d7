"""OTLP collector on loopback: keeps the spans and metrics that arrive, and answers with a chosen status."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.service import eventually


@dataclass(frozen=True)
class CollectedSpan:
    """Span as it was received. Ids are in hexadecimal; `links` are (trace, span)."""

    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, Any]
    links: list[tuple[str, str]]
    events: list[dict[str, Any]]
    status: int
    began_ns: int
    ended_ns: int
    resource: dict[str, Any]
    scope: str

    @property
    def context(self) -> tuple[str, str]:
        return self.trace_id, self.span_id

    @property
    def traceparent(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-01"


@dataclass
class Collector:
    """Running collector. `status` is that of its responses."""

    url: str = ""
    status: int = 200
    spans: list[CollectedSpan] = field(default_factory=list)
    metrics: dict[str, Any] = field(default_factory=dict)
    metrics_resource: dict[str, Any] = field(default_factory=dict)
    bodies: list[bytes] = field(default_factory=list)

    def take(self, path: str, body: bytes) -> None:
        self.bodies.append(body)
        if self.status != 200:
            return
        if path.endswith("/v1/traces"):
            self.spans += _spans_of(ExportTraceServiceRequest.FromString(body))
        else:
            self._take_metrics(ExportMetricsServiceRequest.FromString(body))

    def _take_metrics(self, request: ExportMetricsServiceRequest) -> None:
        for resource in request.resource_metrics:
            self.metrics_resource = _values(resource.resource.attributes)
            for scope in resource.scope_metrics:
                self.metrics |= {metric.name: metric for metric in scope.metrics}

    def named(self, name: str, **attributes: Any) -> list[CollectedSpan]:
        """Returns spans by name and attributes, whose dots are written as underscores."""
        return [
            span
            for span in self.spans
            if span.name == name
            and attributes.items() <= {key.replace(".", "_"): value for key, value in span.attributes.items()}.items()
        ]

    async def wait_for(self, name: str, *, count: int = 1, **attributes: Any) -> list[CollectedSpan]:
        """Returns the spans of this name and these attributes once there are so many, in order of arrival."""

        async def look() -> list[CollectedSpan]:
            found = self.named(name, **attributes)
            return found if len(found) >= count else []

        try:
            found: list[CollectedSpan] = await eventually(look)
        except TimeoutError:
            raise AssertionError(f"no {count} of {name} {attributes} in {[one.name for one in self.spans]}") from None
        return found

    async def one(self, name: str, **attributes: Any) -> CollectedSpan:
        """Returns the only span of this name and these attributes."""
        [found] = await self.wait_for(name, **attributes)
        return found

    async def child(self, name: str, parent: CollectedSpan) -> CollectedSpan:
        """Returns the only child of this name."""

        async def look() -> list[CollectedSpan]:
            return [span for span in self.named(name) if (span.trace_id, span.parent_id) == parent.context]

        [found] = await eventually(look)
        assert isinstance(found, CollectedSpan)
        return found


def _spans_of(request: ExportTraceServiceRequest) -> Iterator[CollectedSpan]:
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield CollectedSpan(
                    span.name,
                    span.kind,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    _values(span.attributes),
                    [(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
                    [{"name": event.name} | _values(event.attributes) for event in span.events],
                    span.status.code,
                    span.start_time_unix_nano,
                    span.end_time_unix_nano,
                    _values(resource.resource.attributes),
                    scope.scope.name,
                )


def _values(attributes: Any) -> dict[str, Any]:
    return {item.key: getattr(item.value, item.value.WhichOneof("value")) for item in attributes}


@contextmanager
def running_collector() -> Iterator[Collector]:
    """Starts a collector in a thread."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:  # the name of the library
            collector.take(self.path, self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(collector.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Writes nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    collector.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
