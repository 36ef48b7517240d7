"""Alert rules, each with the series by which its test fires and stays quiet."""

from typing import Literal, NamedTuple


class Series(NamedTuple):
    """Series of a test in promtool's notation: one value a minute."""

    name: str
    values: str


class Alert(NamedTuple):
    """Alert rule.

    Attributes:
        name: name of the alert, and by `page` of its runbook page.
        expression: condition, in PromQL.
        minutes: time for which it must hold.
        summary: sentence that says what is wrong; may use labels.
        labels: labels of the alert that the test expects.
        fires: series with which it fires.
        quiet: series with which it does not.
        at: minute of the test.
    """

    name: str
    page: str
    severity: Literal["warning", "critical"]
    expression: str
    minutes: int
    summary: str
    labels: dict[str, str]
    fires: tuple[Series, ...]
    quiet: tuple[Series, ...]
    at: int = 40


_QUEUE = '{queue="mail",type="send"}'
_ENDED = 'duly_attempts_ended_total{{event="{event}",queue="mail"}}'


def _of_jobs(name: str, *, le: str) -> tuple[Series, ...]:
    """Returns a histogram of ten jobs a minute, all below this bound."""
    bounds = ("5.0", "15.0", "60.0", "300.0", "900.0", "3600.0", "21600.0", "+Inf")
    filled = bounds[bounds.index(le) :]
    return tuple(
        Series(f'duly_{name}_bucket{{le="{bound}",queue="mail",type="send"}}', "0+10x60" if bound in filled else "0x60")
        for bound in bounds
    )


def _one(series: str, fires: str, quiet: str) -> tuple[tuple[Series, ...], tuple[Series, ...]]:
    return (Series(series, fires),), (Series(series, quiet),)


JOBS = (
    Alert(
        "DulyEndToEndSlow",
        "end-to-end-slow",
        "warning",
        "histogram_quantile(0.95, sum by (le, queue, type) (rate(duly_end_to_end_seconds_bucket[15m]))) > 900",
        10,
        "Webhooks of {{ $labels.type }} in queue {{ $labels.queue }} arrive over 15 minutes after submission (P95).",
        {"queue": "mail", "type": "send"},
        _of_jobs("end_to_end_seconds", le="3600.0"),
        _of_jobs("end_to_end_seconds", le="60.0"),
    ),
    Alert(
        "DulyWaitLong",
        "wait-long",
        "warning",
        "histogram_quantile(0.95, sum by (le, queue, type) (rate(duly_wait_seconds_bucket[15m]))) > 60",
        10,
        "Jobs of {{ $labels.type }} in queue {{ $labels.queue }} wait longer than a minute for a slot (P95).",
        {"queue": "mail", "type": "send"},
        _of_jobs("wait_seconds", le="300.0"),
        _of_jobs("wait_seconds", le="5.0"),
    ),
    Alert(
        "DulyOldestJobWaits",
        "oldest-job-waits",
        "warning",
        "max by (queue) (duly_queue_oldest_seconds) > 300",
        5,
        "A job in queue {{ $labels.queue }} has been ready for more than 5 minutes and has not started.",
        {"queue": "mail"},
        *_one('duly_queue_oldest_seconds{queue="mail"}', "0+60x60", "200x60"),
    ),
    Alert(
        "DulyNoWorker",
        "no-worker",
        "critical",
        "max(duly_types_without_worker) > 0",
        5,
        "Jobs wait, and no live worker runs their type.",
        {},
        *_one("duly_types_without_worker", "2x60", "0x60"),
    ),
    Alert(
        "DulyRoleMissing",
        "role-missing",
        "critical",
        'max by (role) (duly_nodes{role!="worker"}) == 0',
        5,
        "No live node has the role {{ $labels.role }}.",
        {"role": "sweeper"},
        *_one('duly_nodes{role="sweeper"}', "0x60", "1x60"),
    ),
    Alert(
        "DulyJobsFail",
        "jobs-fail",
        "warning",
        'sum by (queue) (rate(duly_attempts_ended_total{event="JobFailed"}[15m]))'
        ' / sum by (queue) (rate(duly_attempts_ended_total{event=~"JobFailed|JobCompleted"}[15m])) > 0.1',
        10,
        "More than 10 % of the jobs in queue {{ $labels.queue }} fail.",
        {"queue": "mail"},
        (Series(_ENDED.format(event="JobFailed"), "0+3x60"), Series(_ENDED.format(event="JobCompleted"), "0+10x60")),
        (Series(_ENDED.format(event="JobFailed"), "0+1x60"), Series(_ENDED.format(event="JobCompleted"), "0+99x60")),
    ),
    Alert(
        "DulyLeasesLost",
        "leases-lost",
        "warning",
        "(sum(increase(duly_leases_lost_total[15m])) or vector(0))"
        ' + (sum(increase(duly_attempts_ended_total{event="JobLeaseExpired"}[15m])) or vector(0)) > 5',
        0,
        "Attempts lose their leases: workers die, block, or cannot reach the database.",
        {},
        *_one("duly_leases_lost_total", "0+1x60", "0x60"),
    ),
    Alert(
        "DulyBreakerOpen",
        "breaker-open",
        "warning",
        "max by (type) (duly_breaker_open) == 1",
        5,
        "The circuit breaker of job type {{ $labels.type }} is open: its jobs wait.",
        {"type": "send"},
        *_one('duly_breaker_open{type="send"}', "1x60", "0x60"),
    ),
    Alert(
        "DulySchedulesLate",
        "schedules-late",
        "critical",
        "max(duly_schedules_late_seconds) > 60",
        5,
        "A schedule is more than a minute late.",
        {},
        *_one("duly_schedules_late_seconds", "0+60x60", "1x60"),
    ),
    Alert(
        "DulyInboxOld",
        "inbox-old",
        "warning",
        "max(duly_inbox_oldest_seconds) > 60",
        5,
        "A submission by SQL has been in the inbox for more than a minute.",
        {},
        *_one("duly_inbox_oldest_seconds", "0+60x60", "2x60"),
    ),
    Alert(
        "DulyOverloaded",
        "overloaded",
        "warning",
        'sum(rate(duly_requests_refused_total{code="OVERLOADED"}[5m])) > 1',
        5,
        "Submissions are refused under overload.",
        {},
        *_one('duly_requests_refused_total{code="OVERLOADED"}', "0+600x60", "0x60"),
    ),
)
WEBHOOKS = (
    Alert(
        "DulyDeliveriesWait",
        "deliveries-wait",
        "warning",
        "max(duly_deliveries_waiting) > 10000",
        15,
        "More than 10,000 webhooks wait to be sent.",
        {},
        *_one("duly_deliveries_waiting", "20000x60", "100x60"),
    ),
    Alert(
        "DulyReceiversFail",
        "receivers-fail",
        "warning",
        "max(duly_receivers_left_alone) > 0",
        30,
        "A receiver of webhooks has been failing for half an hour.",
        {},
        *_one("duly_receivers_left_alone", "1x60", "0x60"),
    ),
)
DATABASE = (
    Alert(
        "DulyPartitionsMissing",
        "partitions-missing",
        "critical",
        "min(duly_partitions_ahead) < 2",
        15,
        "Partitions exist for fewer than 2 days ahead.",
        {},
        *_one("duly_partitions_ahead", "1x60", "3x60"),
    ),
    Alert(
        "DulySnapshotOld",
        "snapshot-old",
        "warning",
        "max by (by) (duly_oldest_snapshot_seconds) > 1800 or max by (by) (duly_oldest_snapshot_transactions) > 5e6",
        10,
        "An old snapshot ({{ $labels.by }}) keeps vacuum from removing rows.",
        {"by": "session"},
        *_one('duly_oldest_snapshot_seconds{by="session"}', "0+120x60", "1x60"),
    ),
    Alert(
        "DulyVacuumBehind",
        "vacuum-behind",
        "warning",
        "max by (table) (duly_table_dead_rows) > 200000",
        15,
        "Table {{ $labels.table }} has more than 200,000 dead rows.",
        {"table": "ready"},
        *_one('duly_table_dead_rows{table="ready"}', "300000x60", "5000x60"),
    ),
    Alert(
        "DulyStreamBehind",
        "stream-behind",
        "warning",
        "max by (by) (duly_stream_behind_seconds) > 60",
        2,
        "An open transaction ({{ $labels.by }}) delays the stream of all jobs.",
        {"by": "session"},
        *_one('duly_stream_behind_seconds{by="session"}', "0+60x60", "1x60"),
    ),
    Alert(
        "DulyConnectionsNearLimit",
        "connections-near-limit",
        "warning",
        "max(duly_database_sessions) / max(duly_database_sessions_limit) > 0.85"
        " or max(duly_database_pool_connections / duly_database_pool_limit) > 0.9",
        10,
        "Connections to the database are nearly used up.",
        {},
        (Series("duly_database_sessions", "90x60"), Series("duly_database_sessions_limit", "97x60")),
        (Series("duly_database_sessions", "20x60"), Series("duly_database_sessions_limit", "97x60")),
    ),
    Alert(
        "DulyDatabaseErrors",
        "database-errors",
        "warning",
        "sum by (code) (increase(duly_database_errors_total[10m])) > 20",
        0,
        "The database refuses connections or statements: {{ $labels.code }}.",
        {"code": "DATABASE_UNREACHABLE"},
        *_one('duly_database_errors_total{code="DATABASE_UNREACHABLE"}', "0+10x60", "3x60"),
    ),
    Alert(
        "DulyOutcomesSetAside",
        "outcomes-set-aside",
        "critical",
        "sum(duly_outcomes_set_aside) > 0",
        5,
        "The database rejects outcomes of jobs.",
        {},
        *_one("duly_outcomes_set_aside", "1x60", "0x60"),
    ),
    Alert(
        "DulyDiskFull",
        "disk-full",
        "critical",
        "min((duly_disk_free_bytes >= 0) / duly_disk_size_bytes) < 0.1",
        10,
        "The disk of the embedded database has less than 10 % free.",
        {},
        (Series("duly_disk_free_bytes", "5x60"), Series("duly_disk_size_bytes", "100x60")),
        (Series("duly_disk_free_bytes", "-1x60"), Series("duly_disk_size_bytes", "-1x60")),
    ),
)
PROCESSES = (
    Alert(
        "DulyDown",
        "down",
        "critical",
        'up{job="duly"} == 0',
        2,
        "Process {{ $labels.instance }} does not answer.",
        {"instance": "a:8000", "job": "duly"},
        *_one('up{job="duly",instance="a:8000"}', "0x60", "1x60"),
    ),
    Alert(
        "DulyLoopFails",
        "loop-fails",
        "critical",
        "max by (instance, loop) (delta(duly_loop_failures[10m])) > 5",
        0,
        "The loop {{ $labels.loop }} of {{ $labels.instance }} keeps failing.",
        {"instance": "a:8000", "loop": "sweep"},
        *_one('duly_loop_failures{instance="a:8000",loop="sweep"}', "0+2x60", "3x60"),
    ),
    Alert(
        "DulyLoopIdle",
        "loop-idle",
        "critical",
        'max by (instance, loop) (duly_loop_idle_seconds{loop=~"heartbeat|gauges|sweep|release|schedules"}) > 120',
        2,
        "The loop {{ $labels.loop }} of {{ $labels.instance }} has had no successful step for 2 minutes.",
        {"instance": "a:8000", "loop": "heartbeat"},
        *_one('duly_loop_idle_seconds{instance="a:8000",loop="heartbeat"}', "0+60x60", "3x60"),
    ),
    Alert(
        "DulyClockDiffers",
        "clock-differs",
        "warning",
        "max by (instance) (abs(duly_clock_offset_seconds)) > 2",
        5,
        "The clock of {{ $labels.instance }} differs from the database's by more than 2 seconds.",
        {"instance": "a:8000"},
        *_one('duly_clock_offset_seconds{instance="a:8000"}', "-5x60", "0x60"),
    ),
)
GROUPS = {"jobs": JOBS, "webhooks": WEBHOOKS, "database": DATABASE, "processes": PROCESSES}
ALERTS = [alert for group in GROUPS.values() for alert in group]
