"""Export of metrics: the series of the Prometheus registry by OTLP, in a thread.

Each process exports its own series, with its own `service.instance.id`, also where several share one `/metrics`.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import structlog
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.samples import Sample

from duly.telemetry.otel.export import CLOSE_SECONDS, CollectorHealth, positive_number

log = structlog.stdlib.get_logger("duly.tracing")

INTERVAL_MS = 60_000
_NS = 1_000_000_000
_CUMULATIVE = AggregationTemporality.CUMULATIVE

Labels = tuple[tuple[str, str], ...]


class MetricExport:
    """Thread that exports the metrics of a registry every minute, or as `OTEL_METRIC_EXPORT_INTERVAL` says."""

    def __init__(
        self, registry: CollectorRegistry, health: CollectorHealth, *, resource: Resource, version: str
    ) -> None:
        self._registry = registry
        self._health = health
        self._resource = resource
        self._scope = InstrumentationScope("duly", version)
        self._exporter = OTLPMetricExporter()
        self._began_ns = time.time_ns()
        self._seconds = positive_number("OTEL_METRIC_EXPORT_INTERVAL", INTERVAL_MS) / 1000
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="duly-metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Exports once more, for at most two seconds."""
        self._over.set()
        self._thread.join(CLOSE_SECONDS)
        self._exporter.shutdown()

    def _run(self) -> None:
        over = False
        while not over:
            over = self._over.wait(self._seconds)
            try:
                result = self._exporter.export(self._data())
                self._health.note(exported=result is MetricExportResult.SUCCESS)
            except Exception:  # a thread that ends would leave metrics off without a word
                log.exception("internal error while exporting metrics", action="metric_export_broken")

    def _data(self) -> MetricsData:
        metrics = list(converted(self._registry.collect(), began_ns=self._began_ns, now_ns=time.time_ns()))
        return MetricsData([ResourceMetrics(self._resource, [ScopeMetrics(self._scope, metrics, "")], "")])


def converted(families: Iterable[Family], *, began_ns: int, now_ns: int) -> Iterable[Metric]:
    """Yields the metrics of a registry as OpenTelemetry has them; those without samples are left out."""
    for family in families:
        data = _data_of(family, began_ns, now_ns)
        if data.data_points:
            unit = "s" if family.name.endswith("_seconds") else None
            yield Metric(family.name, family.documentation, unit, data)


def _data_of(family: Family, began_ns: int, now_ns: int) -> Sum | Gauge | Histogram:
    if family.type == "histogram":
        return Histogram(_histogram_points(family.samples, began_ns, now_ns), _CUMULATIVE)
    if family.type == "counter":
        samples = [sample for sample in family.samples if sample.name.endswith("_total")]
        return Sum(_number_points(samples, began_ns, now_ns), _CUMULATIVE, is_monotonic=True)
    return Gauge(_number_points(family.samples, began_ns, now_ns))


def _number_points(samples: Sequence[Sample], began_ns: int, now_ns: int) -> list[NumberDataPoint]:
    return [NumberDataPoint(dict(sample.labels), began_ns, now_ns, sample.value) for sample in samples]


def _histogram_points(samples: Sequence[Sample], began_ns: int, now_ns: int) -> list[HistogramDataPoint]:
    series: dict[Labels, list[Sample]] = defaultdict(list)
    for sample in samples:
        series[_without_bound(sample.labels)].append(sample)
    return [_histogram_point(dict(labels), ones, began_ns, now_ns) for labels, ones in series.items()]


def _without_bound(labels: Mapping[str, str]) -> Labels:
    return tuple(sorted((name, value) for name, value in labels.items() if name != "le"))


def _histogram_point(
    labels: Mapping[str, str], samples: Sequence[Sample], began_ns: int, now_ns: int
) -> HistogramDataPoint:
    """Returns one series. Its buckets are cumulative in Prometheus, and single ones in OpenTelemetry."""
    buckets = sorted((float(sample.labels["le"]), sample.value) for sample in samples if "le" in sample.labels)
    counts = [int(count) for _, count in buckets]
    single = [count - before for before, count in zip([0, *counts], counts, strict=False)]
    total = next((sample.value for sample in samples if sample.name.endswith("_sum")), 0.0)
    bounds = [bound for bound, _ in buckets[:-1]]
    count, unknown = counts[-1] if counts else 0, None
    return HistogramDataPoint(
        *(labels, began_ns, now_ns, count, total, single, bounds),
        min=unknown,  # type: ignore[arg-type]  # optional in OTLP, and in the encoder
        max=unknown,  # type: ignore[arg-type]
    )
