"""Rows of the table by their ids: first the stages of a job's life, then growth, overload and long runs."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from benchmarks.rounds import Result
from benchmarks.rows import (
    backlog,
    black_holes,
    deliveries,
    end_to_end,
    event_streams,
    finished_jobs,
    hostile_connections,
    idle_memory,
    lease_jobs,
    notification_delay,
    open_snapshot,
    overload,
    parked_jobs,
    pick_up_latency,
    run_jobs,
    several_processes,
    soak,
    startup_time,
    submit_many,
    submit_one,
    wal_and_commits,
    webhook_posts,
)
from benchmarks.run_context import RunContext

Row = Callable[[RunContext], list[Result]]

ROWS: Mapping[str, Row] = MappingProxyType(
    {
        "S1": submit_one.measure,
        "S2": submit_many.measure,
        "S3": run_jobs.measure,
        "S4": end_to_end.measure,
        "H1": lease_jobs.measure,
        "S5a": webhook_posts.measure,
        "S5b": deliveries.measure,
        "S6": pick_up_latency.measure,
        "S7": notification_delay.measure,
        "S8": event_streams.measure,
        "BH": black_holes.measure,
        "M1": idle_memory.measure,
        "F1": startup_time.measure,
        "G1": backlog.measure,
        "G2": finished_jobs.measure,
        "G3": open_snapshot.measure,
        "G5": wal_and_commits.measure,
        "G6": several_processes.measure,
        "P1": parked_jobs.measure,
        "L1": overload.measure,
        "D1": hostile_connections.measure,
        "SOAK": soak.measure,
    }
)

# Rows that take long are measured only if they are selected by name.
ON_REQUEST_ONLY = frozenset({"SOAK"})
