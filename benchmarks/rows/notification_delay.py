"""S7: time from a job's terminal event to its webhook and its streams, in an idle service that runs one job at a time.

The event's time is the start of the transaction that records it, so the delay includes the commit.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict

from benchmarks.contestants import API_ONLY, CALLBACKS_ALLOWED, DULY_SERVICE, NAIVE, Contestant, Running, Start, running
from benchmarks.generator_processes import run_generator
from benchmarks.notification_delay import NotificationPlan, NotificationTimes
from benchmarks.processes import ContestantFailed
from benchmarks.rounds import Result, Round, alternate
from benchmarks.run_context import Kind, RunContext
from benchmarks.stats import percentile

NOTIFICATION_SECONDS = 120.0
ENDS = {
    Kind.DULY: "select job_id, occurred_at as at from events where kind = 10",
    Kind.NAIVE: "select id as job_id, finished_at as at from job where finished_at is not null",
}


def measure(context: RunContext) -> list[Result]:
    def one_round(contestant: Contestant) -> Round:
        with running(contestant, context, Start(environment=CALLBACKS_ALLOWED)) as service:
            jobs = context.sizes.notification_jobs
            (webhooks,) = waits(contestant.kind, context, service, NotificationPlan(service.port, jobs))
            figures = {"p50_ms": percentile(webhooks, 0.5), "p99_ms": percentile(webhooks, 0.99)}
            if contestant.kind is Kind.DULY:
                figures |= streamed(context, service)
        return Round(figures | {"errors": 0.0})

    return alternate("S7", (DULY_SERVICE, NAIVE), context=context, measure=one_round)


def streamed(context: RunContext, service: Running) -> dict[str, float]:
    """Measures the delay on the stream of each job, on the node that runs it and on another one."""
    with running(DULY_SERVICE, context, Start(API_ONLY, service.database)) as other:
        plan = NotificationPlan(service.port, context.sizes.notification_jobs, (service.port, other.port))
        same, far = waits(Kind.DULY, context, service, plan)
    return {
        "stream_p50_ms": percentile(same, 0.5),
        "stream_p99_ms": percentile(same, 0.99),
        "other_node_p50_ms": percentile(far, 0.5),
        "other_node_p99_ms": percentile(far, 0.99),
    }


def waits(kind: Kind, context: RunContext, service: Running, plan: NotificationPlan) -> Sequence[list[float]]:
    """Returns the delays in milliseconds from the terminal event of each job, a list for each channel."""
    times = NotificationTimes(
        **run_generator("benchmarks.notification_delay", json.dumps(asdict(plan)), seconds=NOTIFICATION_SECONDS)
    )
    ended = ended_at(context, service.database, ENDS[kind])
    if missing := times.received_at.keys() - ended.keys():
        raise ContestantFailed(f"{len(missing)} jobs were reported as ended but have no terminal event")
    delays = [[(at - ended[job_id]) * 1e3 for at in moments] for job_id, moments in times.received_at.items()]
    return [list(each) for each in zip(*delays, strict=True)]


def ended_at(context: RunContext, database: str, ends: str) -> dict[str, float]:
    """Returns the end of each job in seconds, by the clock of the database."""
    sql = f"select array_agg(job_id::text), array_agg(extract(epoch from at)::float8) from ({ends}) e"
    ids, times = context.server.query(database, sql)
    return dict(zip(ids or (), times or (), strict=True))
