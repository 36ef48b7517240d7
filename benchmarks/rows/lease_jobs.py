"""H1: no-op jobs submitted before, claimed and completed over HTTP, 50 at once, beside the same jobs run in process.

No peer takes part: their workers connect to the database.
"""

import json
from dataclasses import asdict

from benchmarks.contestants import DULY_SERVICE, NAIVE, Contestant, Start, running
from benchmarks.generator_processes import run_generator
from benchmarks.lease_workers import WorkerPlan
from benchmarks.processes import ContestantFailed, cores
from benchmarks.rounds import Result, Round, alternate
from benchmarks.rows.run_jobs import DULY_LEDGER, NAIVE_LEDGER, PROCESS_SECONDS, process, submitted
from benchmarks.run_context import Kind, RunContext

IN_PROCESS = Contestant("Duly, in process", Kind.DULY)
CONNECTIONS = 8
AT_ONCE = 50
WITHOUT_WORKERS = ("api", "sweeper")


def measure(context: RunContext) -> list[Result]:
    def one_round(contestant: Contestant) -> Round:
        duly = contestant.kind is Kind.DULY
        jobs = context.sizes.processed_jobs if duly else context.sizes.processed_naive_jobs
        database = submitted(contestant, context, jobs=jobs)
        try:
            run = process if contestant is IN_PROCESS else lease
            return run(contestant, context, database=database, jobs=jobs)
        finally:
            context.drop(database)

    return alternate("H1", (DULY_SERVICE, IN_PROCESS, NAIVE), context=context, measure=one_round)


def lease(contestant: Contestant, context: RunContext, *, database: str, jobs: int) -> Round:
    """Runs the jobs by workers over HTTP; timed by the clock of the database."""
    ledger = DULY_LEDGER if contestant.kind is Kind.DULY else NAIVE_LEDGER
    with (
        running(contestant, context, Start(roles=WITHOUT_WORKERS, database=database)) as service,
        cores(service=service.pid, postgres=context.server.pid) as used,
    ):
        plan = json.dumps(asdict(WorkerPlan(service.port, CONNECTIONS, AT_ONCE, jobs)))
        completed = run_generator("benchmarks.lease_workers", plan, seconds=PROCESS_SECONDS)["completed"]
    if completed < jobs:
        raise ContestantFailed(f"{completed} of {jobs} jobs were completed")
    seconds, starts, ends = context.server.query(database, ledger.span)
    return Round({"rate": jobs / max(seconds, 1e-9), "errors": float(abs(starts - jobs) + abs(ends - jobs))}, used.used)
