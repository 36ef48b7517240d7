"""Writes the pages of the documentation: the list of metrics, and the index of the runbook."""

from collections.abc import Iterator

from deploy.monitoring.alerts import ALERTS, Alert
from duly.telemetry.metric_list import GROUPS, Kind, Metric

# What the help text does not say.
NOTES = {
    "queue_depth": "At most 50 queues, the largest; `other` is the sum of the rest. So for all gauges of queues",
    "queue_oldest_seconds": "Counts from the submission or, where later, `runAt` or the end of the last dependency; "
    "after an attempt or a pause, from the event that ended it. The delay of a retry counts",
    "queue_held": "It rises: jobs used up their attempts, and are [held](../handle/compensation.md#held-jobs) until "
    "they are retried or cancelled",
    "wait_seconds": "Counts as `duly_queue_oldest_seconds`. Not observed after dependencies, nor after the delay of a "
    "retry",
    "run_seconds": "Without attempts that were lost or interrupted, or that parked",
    "end_to_end_seconds": "Of jobs with a webhook for their end, including the run; from the submission or a later "
    "`runAt`",
    "worker_slots_busy": "All slots are busy while a queue grows: add slots or nodes",
    "worker_waiting": "Near `DULY_WAITING_ATTEMPTS` per process: further attempts are interrupted",
    "lease_recovery_seconds": "Normally about 2 s, and at most 5 s",
    "items_refused": "See the log (`item_set_aside`, or `all_refused` if the database rejects all of them)",
    "statement_faults": "Above 0: an error in Duly; the log has its traceback (`statement_failed`)",
    "inbox_submissions_ended": "`invalid` rises: a program calls `duly.submit` with invalid submissions; list the jobs "
    "that failed as `SUBMISSION_INVALID`",
    "kept_submissions_refused": "See `lastError` of the schedule, and `thenError` of the batch",
    "attempt_errors": "Above 0: the log has the traceback (`attempt_error`)",
    "log_lines_dropped": "It rises: handlers log more than the database can record",
    "deliveries": "Outcomes: `delivered`, `try_again`, `given_up`",
    "connections_closed": "`room` rises: connections are closed to make room for others; see "
    "[the HTTP server](../deploy/http-server.md)",
    "breaker_open": "For at least one tenant; see [flow control](flow-control.md#circuit-breakers)",
    "partitions_ahead": "Normally 3; any sweeper creates them every hour",
    "clock_offset_seconds": "Only the log uses the machine's clock; see the warning `clock_differs`",
    "loop_idle_seconds": "Loops that wait for work are idle without any",
    "table_vacuum_age_seconds": "A table that hardly changes needs no vacuum",
    "oldest_snapshot_transactions": "`by`: `session`, `prepared_transaction` or `replication_slot`",
    "stream_behind_seconds": "`by`: `session`, `prepared_transaction` or `unknown`",
}
METRICS_PAGE = """\
# Metrics

`/metrics` serves metrics for Prometheus; how to scrape them, and to load the dashboard and the alert rules:
[monitoring](monitoring.md). With `--processes`, a scrape returns the sum over all processes that share the socket.

The page is generated from the list in the code (`python -m deploy.monitoring`). "Alert" links to the runbook.
"""
LIMITS = """
## Number of series

Clients choose the names of queues and types, so the number of series is limited. A counter shows at most 50 queues per
process: the first 25 to appear, and 25 that prove busy. All other queues are counted under `queue="other"`. A queue
that gets its own series starts at zero, so no counter ever decreases, and sums over all queues are correct. Histograms
by queue and type show 20 combinations of the two by the same rule.

Metrics describe the installation and have no label for the tenant: queues of the same name are added up. The names of
queues of all tenants can be read there, so [require a key](keys-and-tenants.md#a-read-only-key-for-the-dashboard) if
others can reach `/metrics`. A tenant sees the figures of its own queues in `GET /api/v1/queues`.
"""
INDEX = """\
# Runbook

One page for each alert of `deploy/prometheus/alerts.yaml`: its meaning, the diagnosis and the remedy.
[Monitoring](../monitoring.md) says how to load the rules.

The commands of the pages read the URL of the service from `DULY_URL` and a key from `DULY_API_KEY`; send the key with
requests as `Authorization: Bearer …`. `duly doctor` reads `DULY_DATABASE_URL`. SQL is for the service's database.

The table is generated from the list of alerts (`python -m deploy.monitoring`).

| alert | severity | meaning |
| --- | --- | --- |
"""


def metrics_page() -> str:
    """Returns `docs/operate/metrics.md`."""
    return METRICS_PAGE + "\n".join(_tables()) + "\n" + LIMITS


def _tables() -> Iterator[str]:
    for title, metrics in GROUPS.items():
        yield f"\n## {title}\n"
        yield "| metric | type | meaning | alert |"
        yield "| --- | --- | --- | --- |"
        for metric in metrics:
            labels = f"{{{','.join(metric.labels)}}}" if metric.labels else ""
            meaning = " ".join([metric.text, *([f"{NOTES[metric.name]}."] if metric.name in NOTES else [])])
            alerts = ", ".join(f"[{alert.name}](runbook/{alert.page}.md)" for alert in _alerts_on(metric))
            yield f"| `{metric.exposed}{labels}` | {metric.kind} | {meaning} | {alerts} |"


def _alerts_on(metric: Metric) -> list[Alert]:
    name = f"{metric.exposed}_bucket" if metric.kind is Kind.HISTOGRAM else metric.exposed
    return [alert for alert in ALERTS if name in alert.expression]


def runbook_index() -> str:
    """Returns `docs/operate/runbook/index.md`."""
    rows = (f"| [{alert.name}]({alert.page}.md) | {alert.severity} | {_plain(alert.summary)} |" for alert in ALERTS)
    return INDEX + "\n".join(rows) + "\n"


def _plain(summary: str) -> str:
    return summary.replace("{{ $labels.", "*").replace(" }}", "*")
