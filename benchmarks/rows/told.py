"""S7: an idle service runs one job at a time; from its terminal event to whoever is told of it.

The event's time is that of the transaction that records it, which begins before it commits.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict

from benchmarks.contestants import API_ONLY, CALLBACKS_ALLOWED, DULY_ITSELF, NAIVE, Contestant, Running, Start, running
from benchmarks.figures import percentile
from benchmarks.generators import run_generator
from benchmarks.ground import Ground, Kind
from benchmarks.processes import ContestantFailed
from benchmarks.rounds import Result, Round, alternate
from benchmarks.told import Told, ToldPlan

TOLD_SECONDS = 120.0
ENDS = {
    Kind.DULY: "select job_id, occurred_at as at from events where kind = 10",
    Kind.NAIVE: "select id as job_id, finished_at as at from job where finished_at is not null",
}


def measure(ground: Ground) -> list[Result]:
    def one_round(contestant: Contestant) -> Round:
        with running(contestant, ground, Start(environment=CALLBACKS_ALLOWED)) as service:
            jobs = ground.sizes.told_jobs
            (webhooks,) = waits(contestant.kind, ground, service, ToldPlan(service.port, jobs))
            figures = {"p50_ms": percentile(webhooks, 0.5), "p99_ms": percentile(webhooks, 0.99)}
            if contestant.kind is Kind.DULY:
                figures |= streamed(ground, service)
        return Round(figures | {"errors": 0.0})

    return alternate("S7", (DULY_ITSELF, NAIVE), ground=ground, measure=one_round)


def streamed(ground: Ground, service: Running) -> dict[str, float]:
    """The same on the stream of each job, on the node that runs it and on another one."""
    with running(DULY_ITSELF, ground, Start(API_ONLY, service.database)) as other:
        plan = ToldPlan(service.port, ground.sizes.told_jobs, (service.port, other.port))
        same, far = waits(Kind.DULY, ground, service, plan)
    return {
        "stream_p50_ms": percentile(same, 0.5),
        "stream_p99_ms": percentile(same, 0.99),
        "other_node_p50_ms": percentile(far, 0.5),
        "other_node_p99_ms": percentile(far, 0.99),
    }


def waits(kind: Kind, ground: Ground, service: Running, plan: ToldPlan) -> Sequence[list[float]]:
    """Milliseconds from each job's end to when it was heard of: a list a way of hearing."""
    told = Told(**run_generator("benchmarks.told", json.dumps(asdict(plan)), seconds=TOLD_SECONDS))
    ended = ended_at(ground, service.database, ENDS[kind])
    if missing := told.heard.keys() - ended.keys():
        raise ContestantFailed(f"{len(missing)} jobs were told of that the ledger does not show as ended")
    heard = [[(at - ended[job_id]) * 1e3 for at in times] for job_id, times in told.heard.items()]
    return [list(each) for each in zip(*heard, strict=True)]


def ended_at(ground: Ground, database: str, ends: str) -> dict[str, float]:
    """When each job ended, in seconds, by the database's clock."""
    sql = f"select array_agg(job_id::text), array_agg(extract(epoch from at)::float8) from ({ends}) e"
    ids, times = ground.server.query(database, sql)
    return dict(zip(ids or (), times or (), strict=True))
