"""List of the metrics: names, help texts and labels. `Metrics` creates them; documentation, dashboard and alerts use
the same list.
"""

from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """Type of a metric."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Metric(NamedTuple):
    """Metric of the service.

    Attributes:
        name: without the prefix `duly_`, and for counters without `_total`.
        text: help text.
        several: how the values of a gauge in several processes become one.
        buckets: upper bounds of a histogram.
        own: collected by a class of its own, which reads the whole installation.
    """

    name: str
    kind: Kind
    text: str
    labels: tuple[str, ...] = ()
    several: str = "livemostrecent"
    buckets: tuple[float, ...] = ()
    own: bool = False

    @property
    def exposed(self) -> str:
        """Name on the page of metrics; that of a histogram has suffixes."""
        return f"duly_{self.name}{'_total' if self.kind is Kind.COUNTER else ''}"


def _counter(name: str, text: str, *labels: str) -> Metric:
    return Metric(name, Kind.COUNTER, text, labels)


def _gauge(name: str, text: str, *labels: str, several: str = "livemostrecent") -> Metric:
    return Metric(name, Kind.GAUGE, text, labels, several)


def _queue_gauge(name: str, text: str) -> Metric:
    return Metric(f"queue_{name}", Kind.GAUGE, text, ("queue",), own=True)


def _histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Metric:
    return Metric(name, Kind.HISTOGRAM, text, labels, buckets=buckets)


BATCH_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500)
RECOVERY_BUCKETS = (0.5, 1, 2, 3, 5, 10, 30, 60, 300)
SECONDS_BUCKETS = (0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60, 300, 3600)
JOB_BUCKETS = (0.005, 0.02, 0.1, 0.5, 2, 5, 15, 60, 300, 900, 3600, 21_600)

QUEUE_GAUGES = (
    _queue_gauge("depth", "Jobs ready to start."),
    _queue_gauge("scheduled", "Jobs waiting for a time."),
    _queue_gauge("parked", "Jobs whose handler sleeps or waits for a signal."),
    _queue_gauge("held", "Jobs held until they are retried by hand."),
    _queue_gauge("running", "Jobs running."),
    _queue_gauge("oldest_seconds", "Longest time that a ready job has been ready."),
)
JOBS = (
    _counter("jobs_accepted", "Jobs recorded by this process."),
    _counter("attempts_started", "Attempts started by this process."),
    _counter("attempts_ended", "Attempts ended, by event.", "event", "queue"),
    _counter("jobs_ended_waiting", "Jobs that ended without a running attempt.", "event"),
    _counter("signals", "Signals recorded by this process."),
    _histogram(
        "wait_seconds", "Time from when a job was ready until an attempt started.", JOB_BUCKETS, "queue", "type"
    ),
    _histogram("run_seconds", "Time from the start of an attempt until its end.", JOB_BUCKETS, "queue", "type"),
    _histogram(
        "end_to_end_seconds",
        "Time from the submission of a job until the webhook of its end was delivered.",
        JOB_BUCKETS,
        *("queue", "type"),
    ),
)
WORKERS = (
    _gauge("worker_slots", "Slots: jobs that can run at once.", several="livesum"),
    _gauge("worker_slots_busy", "Slots in use.", several="livesum"),
    _gauge("worker_waiting", "Parked attempts.", several="livesum"),
    _gauge("nodes", "Live nodes of this role, draining ones excluded.", "role"),
    _gauge("types_without_worker", "Job types with ready jobs that no live worker runs."),
    _gauge("lease_polls", "Parked polls of workers over HTTP.", several="livesum"),
    _counter("leases_lost", "Outcomes dropped because the attempt had lost its lease."),
    _histogram(
        "lease_recovery_seconds",
        "Time from the expiry of a lease until its attempts were recorded as lost.",
        RECOVERY_BUCKETS,
    ),
    _gauge("breaker_open", "1 while the circuit breaker of this type is open.", "type"),
    _counter("attempt_errors", "Internal errors of the service around an attempt."),
    _counter("log_lines_dropped", "Log lines of handlers that were not recorded."),
)
DELIVERIES = (
    _counter("deliveries", "Delivery attempts.", "outcome"),
    _histogram("delivery_seconds", "Time of one delivery attempt.", SECONDS_BUCKETS),
    _gauge("deliveries_waiting", "Deliveries that wait to be sent."),
    _gauge("receivers_left_alone", "Receivers of webhooks whose circuit is open."),
    _counter("endpoints_disabled", "Endpoints disabled after uninterrupted failure."),
)
SUBMISSIONS = (
    _counter("requests_refused", "Requests answered with an error.", "code"),
    _gauge("connections", "Open connections.", several="livesum"),
    _counter("connections_closed", "Connections closed by the service, by reason.", "reason"),
    _counter("kept_submissions_refused", "Jobs of schedules and follow-ups of batches, refused when due.", "of"),
    _gauge("schedules_late_seconds", "Time by which the most overdue schedule is late."),
    _gauge("inbox_rows", "Submissions waiting in the inbox."),
    _gauge("inbox_oldest_seconds", "Age of the oldest submission in the inbox."),
    _counter("inbox_submissions_ended", "Submissions of the inbox whose job ended at once, by reason.", "reason"),
)
DATABASE = (
    _counter("database_errors", "Errors of the database, by code.", "code"),
    _counter("items_refused", "Items of batched statements that the database rejected.", "statement"),
    _counter("statement_faults", "Batched statements that failed by an internal error.", "statement"),
    _gauge("outcomes_set_aside", "Outcomes that the database rejected, kept for a retry.", several="livesum"),
    _histogram("batch_size", "Rows recorded by a hot statement.", BATCH_BUCKETS, "statement"),
    _gauge("partitions_ahead", "Days after today that have partitions; -1 if today has none."),
    _gauge("table_dead_rows", "Rows of a hot table that vacuum has not removed yet.", "table"),
    _gauge("table_vacuum_age_seconds", "Time since the last vacuum of a hot table, once there was one.", "table"),
    _gauge("table_size_bytes", "Size of a hot table without its indexes.", "table"),
    _gauge(
        "oldest_snapshot_transactions",
        "Transactions since the oldest snapshot, whose rows vacuum must keep, by its kind of holder.",
        "by",
    ),
    _gauge("oldest_snapshot_seconds", "Age of the oldest transaction with a snapshot, by its kind of holder.", "by"),
    _gauge("database_pool_connections", "Pooled connections in use.", several="livesum"),
    _gauge("database_pool_limit", "Largest number of pooled connections.", several="livesum"),
    _gauge("database_sessions", "Client sessions of the database server, of all its users."),
    _gauge("database_sessions_limit", "Largest number of client sessions of the database server."),
    _gauge("disk_free_bytes", "Free space on the disk of the embedded database; -1 without one."),
    _gauge("disk_size_bytes", "Size of the disk of the embedded database; -1 without one."),
    _gauge(
        "stream_behind_seconds",
        "Age of the oldest open transaction with writes, which delays the stream of all jobs.",
        "by",
    ),
)
PROCESSES = (
    _gauge("build_info", "1, for each version of the service in this installation.", "version", several="livemax"),
    _gauge("loop_failures", "Failed steps of a loop since the start.", "loop", several="sum"),
    _gauge("loop_idle_seconds", "Time since the last successful step of a loop.", "loop", several="livemax"),
    _gauge("clock_offset_seconds", "Time by which the clock of this machine is ahead of the database."),
)
# By topic, in the order of the documentation.
GROUPS = {
    "Queues": QUEUE_GAUGES,
    "Jobs": JOBS,
    "Workers": WORKERS,
    "Webhooks": DELIVERIES,
    "Submissions": SUBMISSIONS,
    "Database": DATABASE,
    "Processes": PROCESSES,
}
METRICS = {metric.name: metric for group in GROUPS.values() for metric in group}
