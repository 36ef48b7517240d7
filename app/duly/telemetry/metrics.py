"""Prometheus metrics of one process; with several processes, prometheus_client adds them up."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from duly.domain.event_views import VIEWS
from duly.domain.events import EventKind
from duly.domain.job import Finished
from duly.telemetry.label_values import LabelValues, busiest
from duly.telemetry.rates import QueueRates

BATCH_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500)
RECOVERY_BUCKETS = (0.5, 1, 2, 3, 5, 10, 30, 60, 300)
SECONDS_BUCKETS = (0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60, 300, 3600)


@dataclass(frozen=True, slots=True)
class QueueFigures:
    """Figures of one queue. `oldest_seconds` is the age of the oldest ready job."""

    ready: int = 0
    scheduled: int = 0
    running: int = 0
    oldest_seconds: float = 0.0

    @property
    def jobs(self) -> int:
        """Number of unfinished jobs in the queue."""
        return self.ready + self.scheduled + self.running

    def together(self, other: "QueueFigures") -> "QueueFigures":
        """Returns the sum of the figures of two queues."""
        return QueueFigures(
            self.ready + other.ready,
            self.scheduled + other.scheduled,
            self.running + other.running,
            max(self.oldest_seconds, other.oldest_seconds),
        )


class QueueGauges(Collector):
    """Gauges of all queues, read from the database.

    Each process exposes its own reading: in the files that several processes share, the series of an empty queue would
    never be removed.
    """

    def __init__(self) -> None:
        self.figures: Mapping[str, QueueFigures] = {}

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yields one family for each figure."""
        for name, text, member in (
            ("depth", "Jobs ready to start.", "ready"),
            ("scheduled", "Jobs waiting for a time.", "scheduled"),
            ("running", "Jobs running.", "running"),
            ("oldest_seconds", "Age of the oldest ready job.", "oldest_seconds"),
        ):
            family = GaugeMetricFamily(f"duly_queue_{name}", text, labels=["queue"])
            for queue, figures in self.figures.items():
                family.add_metric([queue], getattr(figures, member))
            yield family


class Metrics:
    """Metrics of a node, created once and passed to its parts."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._queues = QueueGauges()
        self.registry.register(self._queues)
        self._queues_of_events = LabelValues()
        self.rates = QueueRates()
        self.accepted = self._counter("jobs_accepted", "Jobs recorded by this process.")
        self.claimed = self._counter("attempts_started", "Attempts started by this process.")
        self.events = self._counter("attempts_ended", "Attempts ended, by event.", "event", "queue")
        self.ended = self._counter("jobs_ended_waiting", "Jobs that ended without a running attempt.", "event")
        self.leases_lost = self._counter("leases_lost", "Outcomes dropped because the attempt had lost its lease.")
        self.recovery_seconds = self._histogram(
            "lease_recovery_seconds",
            "Time from the expiry of a lease until its attempts were recorded as lost.",
            RECOVERY_BUCKETS,
        )
        self.attempt_errors = self._counter("attempt_errors", "Internal errors of the service around an attempt.")
        self.log_lines_dropped = self._counter("log_lines_dropped", "Log lines of handlers that were not recorded.")
        self.items_refused = self._counter(
            "items_refused", "Items of batched statements that the database rejected.", "statement"
        )
        self.statement_faults = self._counter(
            "statement_faults", "Batched statements that failed by an internal error.", "statement"
        )
        self.outcomes_set_aside = self._gauge(
            "outcomes_set_aside", "Outcomes that the database rejected, kept for a retry.", "livesum"
        )
        self.refused = self._counter("requests_refused", "Requests answered with an error.", "code")
        self.connections = self._gauge("connections", "Open connections.", "livesum")
        self.connections_closed = self._counter(
            "connections_closed", "Connections closed by the service, by reason.", "reason"
        )
        self.database_errors = self._counter("database_errors", "Errors of the database, by code.", "code")
        self.partition_days = self._gauge(
            "partition_days_ahead", "Days after today that have partitions; -1 if today has none.", "livemostrecent"
        )
        self.stream_behind = self._gauge(
            "stream_behind_seconds",
            "Age of the oldest open transaction with writes, which delays the stream of all jobs.",
            "livemostrecent",
            "by",
        )
        self.kept_refused = self._counter(
            "kept_submissions_refused", "Jobs of schedules and follow-ups of batches, refused when due.", "of"
        )
        self.deliveries = self._counter("deliveries", "Delivery attempts.", "outcome")
        self.delivery_seconds = self._histogram("delivery_seconds", "Time of one delivery attempt.", SECONDS_BUCKETS)
        self.batch = self._histogram("batch_size", "Rows recorded by a hot statement.", BATCH_BUCKETS, "statement")
        self.loop_failures = self._gauge("loop_failures", "Failed steps of a loop since the start.", "sum", "loop")
        self.loop_age = self._gauge(
            "loop_idle_seconds", "Time since the last successful step of a loop.", "livemax", "loop"
        )
        self.clock_offset = self._gauge(
            "clock_offset_seconds",
            "Time by which the clock of this machine is ahead of the database.",
            "livemostrecent",
        )
        self.slots = self._gauge("worker_slots", "Slots: jobs that can run at once.", "livesum")
        self.slots_busy = self._gauge("worker_slots_busy", "Slots in use.", "livesum")
        self.waiting = self._gauge("worker_waiting", "Parked attempts.", "livesum")
        self.breaker_open = self._gauge(
            "breaker_open", "1 while the circuit breaker of this type is open.", "livemostrecent", "type"
        )
        self.endpoints_disabled = self._counter("endpoints_disabled", "Endpoints disabled after uninterrupted failure.")
        self.receivers_open = self._gauge(
            "receivers_left_alone", "Receivers of webhooks whose circuit is open.", "livemostrecent"
        )
        self.deliveries_waiting = self._gauge(
            "deliveries_waiting", "Deliveries that wait to be sent.", "livemostrecent"
        )

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"duly_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: Sequence[float], *labels: str) -> Histogram:
        return Histogram(f"duly_{name}", text, labels, buckets=buckets, registry=self.registry)

    def _gauge(self, name: str, text: str, several: str, *labels: str) -> Gauge:
        return Gauge(f"duly_{name}", text, labels, registry=self.registry, multiprocess_mode=several)  # type: ignore[arg-type]  # a Literal type

    def recorded(self, count: int, *, statement: str) -> None:
        """Counts a batch of the hot statement `submit` or `claim`."""
        self.batch.labels(statement).observe(count)
        (self.accepted if statement == "submit" else self.claimed).inc(count)

    def ended_waiting(self, kind: EventKind) -> None:
        """Counts a job that ended without a running attempt: cancelled, expired or failed by a dependency."""
        self.ended.labels(VIEWS[kind].resource).inc()

    def finished(self, finished: Sequence[Finished]) -> None:
        """Counts a batch of the hot statement `finish`."""
        self.batch.labels("finish").observe(len(finished))
        self.rates.ended(done.lane.queue for done in finished if done.kind.terminal)
        counts: dict[tuple[str, str], int] = {}
        for done in finished:
            key = (VIEWS[done.kind].resource, done.lane.queue)
            counts[key] = counts.get(key, 0) + 1
        for (event, queue), count in counts.items():
            self.events.labels(event, self._queues_of_events.label(queue, count)).inc(count)

    def queues(self, figures: Mapping[str, QueueFigures]) -> None:
        """Replaces the figures of all queues. Small queues are added up, empty ones omitted."""
        self._queues.figures = busiest(figures, size=lambda one: one.jobs, add=QueueFigures.together)

    def render(self) -> bytes:
        """Returns the exposition text, of all processes if several run behind one socket."""
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return generate_latest(self.registry)
        together = CollectorRegistry()
        together.register(self._queues)
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]  # the constructor has no annotations
        return generate_latest(together)
