"""Writes the Grafana dashboard as JSON."""

import json
from typing import Any, NamedTuple

WIDTH, HEIGHT, COLUMNS = 12, 8, 2


class Panel(NamedTuple):
    """Plot of the dashboard: title, Grafana's unit, and queries, each with the legend of its series."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]


def _quantiles(name: str) -> tuple[tuple[str, str], ...]:
    return tuple(
        (
            f"histogram_quantile({quantile}, sum by (le, queue, type) (rate(duly_{name}_bucket[$__rate_interval])))",
            f"P{quantile * 100:.0f} {{{{queue}}}} {{{{type}}}}",
        )
        for quantile in (0.5, 0.99)
    )


def _rate(name: str, legend: str, *, by: str = "") -> tuple[str, str]:
    grouped = f" by ({by})" if by else ""
    return f"sum{grouped} (rate({name}[$__rate_interval]))", legend


def _ended(events: str) -> str:
    return f'sum by (queue) (rate(duly_attempts_ended_total{{event=~"{events}"}}[$__rate_interval]))'


ROWS = {
    "Jobs": (
        Panel(
            "Submitted and ended",
            "ops",
            (
                _rate("duly_jobs_accepted_total", "submitted"),
                _rate("duly_attempts_ended_total", "{{event}}", by="event"),
                _rate("duly_jobs_ended_waiting_total", "{{event}}, not started", by="event"),
            ),
        ),
        Panel("Ready", "short", (("max by (queue) (duly_queue_depth)", "{{queue}}"),)),
        Panel("Oldest ready job", "s", (("max by (queue) (duly_queue_oldest_seconds)", "{{queue}}"),)),
        Panel(
            "Running and waiting for a time",
            "short",
            (
                ("sum(max by (queue) (duly_queue_running))", "running"),
                ("sum(max by (queue) (duly_queue_scheduled))", "scheduled"),
                ("sum(max by (queue) (duly_queue_parked))", "parked"),
                ("sum(max by (queue) (duly_queue_held))", "held"),
            ),
        ),
        Panel("Wait until the start", "s", _quantiles("wait_seconds")),
        Panel("Run", "s", _quantiles("run_seconds")),
        Panel("Submission to webhook", "s", _quantiles("end_to_end_seconds")),
        Panel(
            "Failures",
            "percentunit",
            (
                (
                    f"{_ended('JobFailed')} / {_ended('JobFailed|JobCompleted')}",
                    "{{queue}}",
                ),
            ),
        ),
    ),
    "Workers": (
        Panel(
            "Slots",
            "short",
            (("sum(duly_worker_slots)", "slots"), ("sum(duly_worker_slots_busy)", "busy")),
        ),
        Panel("Live nodes", "short", (("max by (role) (duly_nodes)", "{{role}}"),)),
        Panel(
            "What holds jobs back",
            "short",
            (
                ("max(duly_types_without_worker)", "types without a worker"),
                ("sum(max by (type) (duly_breaker_open))", "open breakers"),
                ("sum(duly_worker_waiting)", "parked attempts"),
                ("sum(duly_lease_polls)", "parked polls of HTTP workers"),
            ),
        ),
        Panel(
            "Lost and broken attempts",
            "short",
            (
                ("sum(increase(duly_leases_lost_total[$__rate_interval]))", "leases lost"),
                ("sum(increase(duly_attempt_errors_total[$__rate_interval]))", "internal errors"),
                ("sum(duly_outcomes_set_aside)", "outcomes set aside"),
            ),
        ),
    ),
    "Webhooks and requests": (
        Panel("Delivery attempts", "ops", (_rate("duly_deliveries_total", "{{outcome}}", by="outcome"),)),
        Panel(
            "Deliveries waiting",
            "short",
            (
                ("max(duly_deliveries_waiting)", "waiting"),
                ("max(duly_receivers_left_alone)", "receivers whose circuit is open"),
            ),
        ),
        Panel("Requests refused", "ops", (_rate("duly_requests_refused_total", "{{code}}", by="code"),)),
        Panel(
            "Inbox and schedules",
            "s",
            (
                ("max(duly_inbox_oldest_seconds)", "oldest submission in the inbox"),
                ("max(duly_schedules_late_seconds)", "most overdue schedule"),
            ),
        ),
    ),
    "Database": (
        Panel("Dead rows", "short", (("max by (table) (duly_table_dead_rows)", "{{table}}"),)),
        Panel(
            "Oldest snapshot, and stream of all jobs",
            "s",
            (
                ("max by (by) (duly_oldest_snapshot_seconds)", "snapshot: {{by}}"),
                ("max by (by) (duly_stream_behind_seconds)", "stream: {{by}}"),
            ),
        ),
        Panel(
            "Connections",
            "short",
            (
                ("max(duly_database_sessions)", "sessions of the server"),
                ("max(duly_database_sessions_limit)", "their limit"),
                ("sum(duly_database_pool_connections)", "pooled connections in use"),
                ("sum(duly_database_pool_limit)", "their limit"),
            ),
        ),
        Panel("Errors", "ops", (_rate("duly_database_errors_total", "{{code}}", by="code"),)),
        Panel("Partitions ahead", "short", (("min(duly_partitions_ahead)", "days"),)),
        Panel("Clock offset", "s", (("duly_clock_offset_seconds", "{{instance}}"),)),
    ),
}
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def dashboard() -> str:
    """Returns `duly.json`."""
    panels: list[dict[str, Any]] = []
    top = 0
    for title, row in ROWS.items():
        panels.append(_row(len(panels) + 1, title, top))
        top += 1
        for place, panel in enumerate(row):
            panels.append(_plot(len(panels) + 1, panel, x=place % COLUMNS * WIDTH, y=top + place // COLUMNS * HEIGHT))
        top += -(-len(row) // COLUMNS) * HEIGHT
    return json.dumps(_whole(panels), indent=2) + "\n"


def _whole(panels: list[dict[str, Any]]) -> dict[str, Any]:
    source = {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}
    return {
        "uid": "duly",
        "title": "Duly",
        "tags": ["duly"],
        "schemaVersion": 36,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [source]},
        "annotations": {"list": []},
        "panels": panels,
    }


def _row(number: int, title: str, y: int) -> dict[str, Any]:
    place = {"x": 0, "y": y, "w": WIDTH * COLUMNS, "h": 1}
    return {"id": number, "type": "row", "title": title, "collapsed": False, "gridPos": place, "panels": []}


def _plot(number: int, panel: Panel, *, x: int, y: int) -> dict[str, Any]:
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "datasource": _SOURCE,
        "gridPos": {"x": x, "y": y, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": None if panel.unit == "s" else 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(ord("A") + place), "datasource": _SOURCE, "expr": expression, "legendFormat": legend}
            for place, (expression, legend) in enumerate(panel.queries)
        ],
    }
