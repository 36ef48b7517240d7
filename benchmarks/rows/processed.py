"""S3: no-op jobs that were accepted before, run and finalised by one process; timed by the database's own clock.

A peer's time ends when its store shows nothing unfinished: not every one writes down when a job ended.
"""

from dataclasses import dataclass

from benchmarks.contestants import (
    API_ONLY,
    DULY_ITSELF,
    NAIVE,
    Contestant,
    Start,
    new_database,
    peers_that_run,
    running,
)
from benchmarks.generators import generate_load
from benchmarks.ground import Ground, Kind
from benchmarks.load import LoadPlan
from benchmarks.peers import measuring
from benchmarks.processes import ContestantFailed, cores
from benchmarks.rounds import Result, Round, alternate
from benchmarks.submissions import SINGLE_PATH, one

SUBMIT_SECONDS = 60.0
PROCESS_SECONDS = 60.0
# The naive service's best of 4, 8, 16, 32 and 64 for this row.
NAIVE_WORKERS = 64
# Duly's best of 100, 200, 300, 500 and 600 slots for jobs that do nothing; the default is 100.
BRISK = {"DULY_WORKER_SLOTS": "300"}


@dataclass(frozen=True, slots=True)
class Ledger:
    """How a contestant's database tells what ended: a count, and (seconds first start to last end, starts, ends)."""

    ended: str
    span: str


DULY_LEDGER = Ledger(
    ended="select count(*) from events where kind >= 10",
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


def measure(ground: Ground) -> list[Result]:
    def one_round(contestant: Contestant) -> Round:
        if contestant.peer is not None:
            return measuring.processed(contestant.peer, ground)
        duly = contestant.kind is Kind.DULY
        jobs = ground.sizes.processed_jobs if duly else ground.sizes.processed_naive_jobs
        database = new_database(contestant, ground)
        try:
            submit(contestant, ground, database=database, jobs=jobs)
            return process(contestant, ground, database=database, jobs=jobs)
        finally:
            ground.drop(database)

    return alternate("S3", (DULY_ITSELF, NAIVE, *peers_that_run(ground)), ground=ground, measure=one_round)


def submit(contestant: Contestant, ground: Ground, *, database: str, jobs: int) -> None:
    """Accepts the jobs with nobody there to run them."""
    with running(contestant, ground, Start(roles=API_ONLY, database=database)) as service:
        body = one().decode()
        plan = LoadPlan(service.port, SINGLE_PATH, body, seconds=SUBMIT_SECONDS, warm_up=0, requests=jobs)
        outcome = generate_load(plan)
    if outcome.accepted != jobs:
        raise ContestantFailed(f"accepted {outcome.accepted} of {jobs} jobs; answers by status: {outcome.statuses}")
    ground.server.execute(database, "analyze")
    ground.server.execute(database, "checkpoint")


def process(contestant: Contestant, ground: Ground, *, database: str, jobs: int) -> Round:
    ledger = DULY_LEDGER if contestant.kind is Kind.DULY else NAIVE_LEDGER
    with (
        running(
            contestant, ground, Start(database=database, naive_workers=NAIVE_WORKERS, environment=BRISK)
        ) as service,
        cores(service=service.pid, postgres=ground.server.pid) as used,
    ):
        ended = ground.server.wait_for(database, ledger.ended, wanted=jobs, within_seconds=PROCESS_SECONDS)
    if ended < jobs:
        raise ContestantFailed(f"{ended} of {jobs} jobs had ended after {PROCESS_SECONDS:g} s")
    seconds, starts, ends = ground.server.query(database, ledger.span)
    return Round({"rate": jobs / max(seconds, 1e-9), "errors": float(abs(starts - jobs) + abs(ends - jobs))}, used.used)
