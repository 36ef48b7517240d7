"""S3: no-op jobs submitted before, run and finished by one process; timed by the clock of the database.

The time of a peer ends when its store has no unfinished job, since not every peer records when a job ended.
"""

from dataclasses import dataclass

from benchmarks.closed_loop import LoadPlan
from benchmarks.contestants import (
    API_ONLY,
    DULY_SERVICE,
    NAIVE,
    Contestant,
    Start,
    new_database,
    peers_that_run,
    running,
)
from benchmarks.generator_processes import generate_load
from benchmarks.peers import measurements
from benchmarks.processes import ContestantFailed, cores
from benchmarks.rounds import Result, Round, alternate
from benchmarks.run_context import Kind, RunContext
from benchmarks.submissions import SINGLE_PATH, one

SUBMIT_SECONDS = 60.0
PROCESS_SECONDS = 60.0
# Best of 4, 8, 16, 32 and 64 for this row.
NAIVE_WORKERS = 64
# Best of 100, 200, 300, 500 and 600 slots for no-op jobs; the default is 100.
BRISK = {"DULY_WORKER_SLOTS": "300"}


@dataclass(frozen=True, slots=True)
class Ledger:
    """Queries for finished jobs: their count, and (seconds from first start to last end, starts, ends)."""

    ended: str
    span: str


DULY_LEDGER = Ledger(
    ended="""
        select case when exists (select from running) or exists (select from ready) then 0
               else (select count(*) from events where kind >= 10) end
    """,
    span="""
        select extract(epoch from max(occurred_at) - min(occurred_at))::float8,
               count(*) filter (where kind = 1), count(*) filter (where kind >= 10)
        from events where kind = 1 or kind >= 10
    """,
)
NAIVE_LEDGER = Ledger(
    ended="select count(*) from job where status = 'completed'",
    span="""
        select extract(epoch from max(finished_at) - min(started_at))::float8, count(started_at), count(finished_at)
        from job
    """,
)


def measure(context: RunContext) -> list[Result]:
    def one_round(contestant: Contestant) -> Round:
        if contestant.peer is not None:
            return measurements.processed(contestant.peer, context)
        duly = contestant.kind is Kind.DULY
        jobs = context.sizes.processed_jobs if duly else context.sizes.processed_naive_jobs
        database = submitted(contestant, context, jobs=jobs)
        try:
            return process(contestant, context, database=database, jobs=jobs)
        finally:
            context.drop(database)

    return alternate("S3", (DULY_SERVICE, NAIVE, *peers_that_run(context)), context=context, measure=one_round)


def submitted(contestant: Contestant, context: RunContext, *, jobs: int) -> str:
    """Returns a new database with these jobs, a copy of the one to which they were submitted once in the run."""
    name = f"{jobs} jobs submitted to {contestant.kind}"
    if name not in context.templates:
        database = new_database(contestant, context)
        submit(contestant, context, database=database, jobs=jobs)
        context.templates[name] = database
    database = context.create(context.templates[name])
    context.server.execute(database, "checkpoint")
    return database


def submit(contestant: Contestant, context: RunContext, *, database: str, jobs: int) -> None:
    """Submits the jobs to a process without a worker."""
    with running(contestant, context, Start(roles=API_ONLY, database=database)) as service:
        body = one().decode()
        plan = LoadPlan(service.port, SINGLE_PATH, body, seconds=SUBMIT_SECONDS, warm_up=0, requests=jobs)
        outcome = generate_load(plan)
    if outcome.accepted != jobs:
        raise ContestantFailed(f"accepted {outcome.accepted} of {jobs} jobs; responses by status: {outcome.statuses}")
    context.server.execute(database, "analyze")


def process(contestant: Contestant, context: RunContext, *, database: str, jobs: int) -> Round:
    ledger = DULY_LEDGER if contestant.kind is Kind.DULY else NAIVE_LEDGER
    with (
        running(
            contestant, context, Start(database=database, naive_workers=NAIVE_WORKERS, environment=BRISK)
        ) as service,
        cores(service=service.pid, postgres=context.server.pid) as used,
    ):
        ended = context.server.wait_for(database, ledger.ended, wanted=jobs, within_seconds=PROCESS_SECONDS)
    if ended < jobs:
        raise ContestantFailed(f"{ended} of {jobs} jobs had ended after {PROCESS_SECONDS:g} s")
    seconds, starts, ends = context.server.query(database, ledger.span)
    return Round({"rate": jobs / max(seconds, 1e-9), "errors": float(abs(starts - jobs) + abs(ends - jobs))}, used.used)
