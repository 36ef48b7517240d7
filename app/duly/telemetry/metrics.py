"""Prometheus metrics of one process; with several processes, prometheus_client adds them up."""

import os
from collections import Counter as Tally
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, TypeVar, cast

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector

from duly.domain.database_clock import DatabaseClock
from duly.domain.event_views import VIEWS
from duly.domain.events import EventKind
from duly.domain.job import DEFAULT_QUEUE, ClaimedJob, Finished, NewJob
from duly.domain.rate_keys import Queue
from duly.telemetry.bulk_histogram import BulkHistogram, JobTimes
from duly.telemetry.current_trace import trace_of
from duly.telemetry.job_groups import JobGroup, ended_groups, groups_started_at_once, started_groups
from duly.telemetry.label_values import OTHER, LabelValues, busiest
from duly.telemetry.metric_list import METRICS, QUEUE_GAUGES
from duly.telemetry.minute_counts import MinuteCounts
from duly.telemetry.rates import QueueRates

Kind = TypeVar("Kind", bound=MetricWrapperBase)
# Label of all series of a process with several cells.
CELL = "cell"
_TRACEPARENT = attrgetter("traceparent")
# Ends of attempts that say nothing about how long they would have run.
_CUT_SHORT = frozenset({EventKind.LEASE_EXPIRED, EventKind.REQUEUED})


@dataclass(frozen=True, slots=True)
class QueueFigures:
    """Figures of one queue. `oldest_seconds` is the age of the oldest ready job."""

    ready: int = 0
    scheduled: int = 0
    parked: int = 0
    held: int = 0
    running: int = 0
    oldest_seconds: float = 0.0

    @property
    def jobs(self) -> int:
        """Number of unfinished jobs in the queue."""
        return self.ready + self.scheduled + self.parked + self.held + self.running

    def together(self, other: "QueueFigures") -> "QueueFigures":
        """Returns the sum of the figures of two queues."""
        return QueueFigures(
            self.ready + other.ready,
            self.scheduled + other.scheduled,
            self.parked + other.parked,
            self.held + other.held,
            self.running + other.running,
            max(self.oldest_seconds, other.oldest_seconds),
        )


# Members of `QueueFigures` by the name of their gauge.
_MEMBERS = {metric.name: metric.name.removeprefix("queue_") for metric in QUEUE_GAUGES} | {"queue_depth": "ready"}


class _OfCell:
    """Series of one cell, of a metric with further labels."""

    def __init__(self, metric: Any, cell: str) -> None:
        self._metric = metric
        self._cell = cell

    def labels(self, *values: str) -> Any:
        """Returns the series of these values, as the library does."""
        return self._metric.labels(*values, self._cell)


class QueueGauges(Collector):
    """Gauges of all queues, read from the database.

    Each process exposes its own reading: in the files that several processes share, the series of an empty queue would
    never be removed.
    """

    def __init__(self) -> None:
        # By cell; the key None is that of the only database.
        self.figures: dict[str | None, Mapping[str, QueueFigures]] = {}

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yields one family for each figure."""
        of_cells = any(cell is not None for cell in self.figures)
        for metric in QUEUE_GAUGES:
            member = _MEMBERS[metric.name]
            labels = (*metric.labels, CELL) if of_cells else metric.labels
            family = GaugeMetricFamily(metric.exposed, metric.text, labels=labels)
            for cell, queues in self.figures.items():
                for queue, figures in queues.items():
                    family.add_metric([queue] if cell is None else [queue, cell], getattr(figures, member))
            yield family


class Series:
    """Registry of a process, and its metrics by name. The nodes of several cells share it."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.queues = QueueGauges()
        self.registry.register(self.queues)
        self.metrics: dict[str, Any] = {}


class Metrics:
    """Metrics of a node, created once and passed to its parts.

    Args:
        clock: the clock of the node.
        cell: its cell, a label of all series; None: the only database.
        series: those of the process (default: of this node alone).
    """

    def __init__(
        self, clock: DatabaseClock | None = None, *, cell: int | None = None, series: Series | None = None
    ) -> None:
        self._cell = None if cell is None else str(cell)
        self.series = series or Series()
        self.registry = self.series.registry
        self._queues_of_events = LabelValues(OTHER, known=(DEFAULT_QUEUE,))
        self.rates = QueueRates()
        self.minutes = MinuteCounts(clock or DatabaseClock())
        self._create_of_jobs()
        self._create_of_database()
        self._create_of_processes()

    def _create_of_jobs(self) -> None:
        self.accepted = self._counter("jobs_accepted")
        self.claimed = self._counter("attempts_started")
        self.events = self._counter("attempts_ended")
        self.ended = self._counter("jobs_ended_waiting")
        self.signals = self._counter("signals")
        self._waits = self._job_times("wait_seconds")
        self._runs = self._job_times("run_seconds")
        self._ends_to_end = self._job_times("end_to_end_seconds")
        self.leases_lost = self._counter("leases_lost")
        self.nodes = self._gauge("nodes")
        self.types_without_worker = self._gauge("types_without_worker")
        self.lease_polls = self._gauge("lease_polls")
        self.recovery_seconds = self._histogram("lease_recovery_seconds")
        self.attempt_errors = self._counter("attempt_errors")
        self.log_lines_dropped = self._counter("log_lines_dropped")
        self.slots = self._gauge("worker_slots")
        self.slots_busy = self._gauge("worker_slots_busy")
        self.waiting = self._gauge("worker_waiting")
        self.breaker_open = self._gauge("breaker_open")

    def _create_of_database(self) -> None:
        self.items_refused = self._counter("items_refused")
        self.statement_faults = self._counter("statement_faults")
        self.outcomes_set_aside = self._gauge("outcomes_set_aside")
        self.database_errors = self._counter("database_errors")
        self.partitions_ahead = self._gauge("partitions_ahead")
        self.dead_rows = self._gauge("table_dead_rows")
        self.vacuum_age = self._gauge("table_vacuum_age_seconds")
        self.table_size = self._gauge("table_size_bytes")
        self.snapshot_transactions = self._gauge("oldest_snapshot_transactions")
        self.snapshot_seconds = self._gauge("oldest_snapshot_seconds")
        self.pool_connections = self._gauge("database_pool_connections")
        self.pool_limit = self._gauge("database_pool_limit")
        self.sessions = self._gauge("database_sessions")
        self.sessions_limit = self._gauge("database_sessions_limit")
        self.disk_free = self._gauge("disk_free_bytes")
        self.disk_size = self._gauge("disk_size_bytes")
        self.stream_behind = self._gauge("stream_behind_seconds")
        self.batch = self._histogram("batch_size")

    def _create_of_processes(self) -> None:
        self.refused = self._counter("requests_refused")
        self.connections = self._gauge("connections")
        self.connections_closed = self._counter("connections_closed")
        self.kept_refused = self._counter("kept_submissions_refused")
        self.schedules_late = self._gauge("schedules_late_seconds")
        self.inbox_rows = self._gauge("inbox_rows")
        self.inbox_oldest = self._gauge("inbox_oldest_seconds")
        self.inbox_ended = self._counter("inbox_submissions_ended")
        self.deliveries = self._counter("deliveries")
        self.delivery_seconds = self._histogram("delivery_seconds")
        self.build_info = self._gauge("build_info")
        self.loop_failures = self._gauge("loop_failures")
        self.loop_age = self._gauge("loop_idle_seconds")
        self.clock_offset = self._gauge("clock_offset_seconds")
        self.endpoints_disabled = self._counter("endpoints_disabled")
        self.receivers_open = self._gauge("receivers_left_alone")
        self.deliveries_waiting = self._gauge("deliveries_waiting")

    def _counter(self, name: str) -> Counter:
        return self._of_cell(name, Counter)

    def _histogram(self, name: str) -> BulkHistogram:
        return self._of_cell(name, BulkHistogram, buckets=METRICS[name].buckets)

    def _job_times(self, name: str) -> JobTimes:
        return JobTimes(self._histogram(name))

    def _gauge(self, name: str) -> Gauge:
        return self._of_cell(name, Gauge, multiprocess_mode=METRICS[name].several)

    def _of_cell(self, name: str, kind: type[Kind], **options: Any) -> Kind:
        """Returns a metric of the process; with several cells, its series of this cell."""
        metric, cell, made = METRICS[name], self._cell, self.series.metrics
        if name not in made:
            labels = metric.labels if cell is None else (*metric.labels, CELL)
            make: Any = kind
            made[name] = make(f"duly_{name}", metric.text, labels, registry=self.registry, **options)
        found: Any = made[name]
        if cell is None:
            return cast("Kind", found)
        return cast("Kind", _OfCell(found, cell) if metric.labels else found.labels(cell))

    def recorded(self, count: int, *, statement: str) -> None:
        """Counts a batch of submissions of the hot statement `submit`, or of the inbox."""
        self.batch.labels(statement).observe(count)
        self.accepted.inc(count)

    def claimed_jobs(self, jobs: Sequence[ClaimedJob]) -> None:
        """Counts a batch of the hot statement `claim`."""
        self.batch.labels("claim").observe(len(jobs))
        self._started(started_groups(jobs))
        self._exemplify(jobs)

    def _started(self, groups: Sequence[JobGroup]) -> None:
        self.claimed.inc(sum(group.jobs for group in groups))
        for group in groups:
            self._waits.observe((group.queue, group.type), group.times)
        self.minutes.started(groups)

    def _exemplify(self, jobs: Sequence[ClaimedJob]) -> None:
        """Names one job of a batch as an example of its wait: the first one with a trace, or else the oldest."""
        job = next(filter(_TRACEPARENT, jobs), jobs[0])
        if job.waited_seconds is not None:
            trace = trace_of(job.traceparent)
            labels = {"job_id": str(job.job_id)} | ({"trace_id": trace.trace_id} if trace is not None else {})
            self._waits.exemplify((job.queue, job.type), job.waited_seconds, labels)

    def started_at_once(self, jobs: Sequence[NewJob]) -> None:
        """Counts jobs that started in the transaction that recorded them."""
        self._started(groups_started_at_once(jobs))

    def submitted(self, queues: Iterable[Queue]) -> None:
        """Counts submitted jobs by queue, one for each of these."""
        jobs = Tally(queues)
        self.rates.submitted(jobs)
        self.minutes.submitted(jobs)

    def ended_waiting(self, tenant_id: int, queue: str, kind: EventKind) -> None:
        """Counts a job that ended without a running attempt: cancelled, expired or failed by a dependency."""
        self.ended.labels(VIEWS[kind].resource).inc()
        self.rates.ended([(tenant_id, queue)])
        self.minutes.ended_waiting(tenant_id, queue, kind)

    def finished(self, finished: Sequence[Finished]) -> None:
        """Counts a batch of the hot statement `finish`."""
        self.batch.labels("finish").observe(len(finished))
        groups = ended_groups(finished)
        self.minutes.ended(groups)
        ended: Tally[Queue] = Tally()
        events: Tally[tuple[EventKind, str]] = Tally()
        for group in groups:
            if group.kind.terminal:
                ended[group.tenant_id, group.queue] += group.jobs
            if group.kind not in _CUT_SHORT:
                self._runs.observe((group.queue, group.type), group.times)
            events[group.kind, group.queue] += group.jobs
        self.rates.ended(ended)
        for (kind, queue), count in events.items():
            self.events.labels(VIEWS[kind].resource, self._queues_of_events.label(queue, count)).inc(count)

    def delivered(self, queue: str, job_type: str, ordered: Sequence[float]) -> None:
        """Observes the times from the submission of jobs until the webhooks of their ends were delivered."""
        self._ends_to_end.observe((queue, job_type), ordered)

    def queues(self, figures: Mapping[str, QueueFigures]) -> None:
        """Replaces the figures of all queues. Small queues are added up, empty ones omitted."""
        self.series.queues.figures[self._cell] = busiest(figures, size=lambda one: one.jobs, add=QueueFigures.together)

    def render(self, *, openmetrics: bool = False) -> bytes:
        """Returns the exposition text, of all processes if several run behind one socket.

        Args:
            openmetrics: in the format OpenMetrics, with exemplars, instead of that of Prometheus.
        """
        generate = generate_openmetrics if openmetrics else generate_latest
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return generate(self.registry)
        together = CollectorRegistry()
        together.register(self.series.queues)
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]  # the constructor has no annotations
        return generate(together)
