"""Measurements that the growth rows share: S1, S3 and reads on a given ledger, and ratios between conditions."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.closed_loop import LoadPlan
from benchmarks.closed_loop_reads import ReadOutcome, ReadPlan
from benchmarks.contestants import API_ONLY, DULY_SERVICE, Contestant, Running, Start, running
from benchmarks.end_to_end_fixed_rate import FixedRatePlan
from benchmarks.generator_processes import generate_load, run_generator
from benchmarks.open_loop import OpenLoopOutcome, read_outcome
from benchmarks.open_loop_connections import OpenLoopPlan
from benchmarks.processes import ContestantFailed
from benchmarks.rounds import Result, Round
from benchmarks.run_context import Kind, RunContext
from benchmarks.submissions import SINGLE_PATH, one

DRAIN_SECONDS = 180.0
READ_IDS = 1_000
# Ready jobs relative to the jobs that are measured, so that the queue is not empty before the last of them ends.
SPARE_JOBS = 1.2

Figures = dict[str, float]


def case(name: str) -> Contestant:
    """Returns Duly under one of the conditions that a row compares, as a contestant."""
    return Contestant(name, Kind.DULY)


def generated(module: str, plan: OpenLoopPlan | ReadPlan | FixedRatePlan, *, seconds: float) -> dict[str, Any]:
    """Runs the load generator of this module in its own process and returns its result."""
    return run_generator(module, json.dumps(asdict(plan)), seconds=seconds)


def generate_open_loop(plan: OpenLoopPlan) -> OpenLoopOutcome:
    return read_outcome(generated("benchmarks.open_loop", plan, seconds=plan.seconds))


def submit(context: RunContext, database: str, environment: Mapping[str, str] | None = None) -> Figures:
    """Measures S1 on this database."""
    with running(DULY_SERVICE, context, Start(API_ONLY, database, environment or {})) as service:
        return submit_to(service, context)


def submit_to(service: Running, context: RunContext) -> Figures:
    sizes = context.sizes
    plan = LoadPlan(service.port, SINGLE_PATH, one().decode(), seconds=sizes.seconds, warm_up=sizes.warm_up)
    outcome = generate_load(plan)
    return {
        "rate": outcome.rate,
        "p99_ms": outcome.p99_ms,
        "errors": float(outcome.refused + outcome.broken),
    }


def submit_and_read(context: RunContext, database: str, job_ids: Sequence[str]) -> Figures:
    """Measures S1 and then reads of these jobs in turn, on one process that does nothing else."""
    with running(DULY_SERVICE, context, Start(API_ONLY, database)) as service:
        submitted = submit_to(service, context)
        plan = ReadPlan(service.port, tuple(job_ids), seconds=context.sizes.seconds, warm_up=context.sizes.warm_up)
        read = ReadOutcome(**generated("benchmarks.closed_loop_reads", plan, seconds=plan.warm_up + plan.seconds))
    if not read.found:
        raise ContestantFailed("none of the jobs in the ledger was found")
    errors = submitted["errors"] + read.missed
    return submitted | {"read_rate": read.rate, "read_p99_ms": read.p99_ms, "errors": errors}


def sample_ids(context: RunContext, database: str) -> list[str]:
    """Returns the ids of some jobs in the ledger, spread over its whole period."""
    sql = f"select array_agg(job_id::text) from (select job_id from jobs order by md5(job_id::text) limit {READ_IDS}) j"
    ids: list[str] = context.server.query(database, sql)[0]
    return ids


# Jobs are claimed in order of age: once the last measured job has left both tables, all of them have ended.
_MEASURED = "select min(job_id::text), max(job_id::text), count(*) from ({first}) m"
_FIRST = "select job_id from ready order by queue, type, priority, job_id limit {jobs}"
_GONE = """
    select (not exists (select from ready where queue = 'default' and type = 'noop' and priority = 0
                                            and job_id between '{low}' and '{high}')
            and not exists (select from running where job_id between '{low}' and '{high}'))::int
"""
# The first and the last tenth are excluded: neither the start of the process nor its last statements count.
_RATE = """
    select 0.8 * count(*) / greatest(extract(epoch from percentile_disc(0.9) within group (order by occurred_at)
                                     - percentile_disc(0.1) within group (order by occurred_at))::float8, 1e-3),
           count(*)
    from events where kind = 10 and job_id between '{low}' and '{high}'
"""


def process(context: RunContext, database: str, environment: Mapping[str, str] | None = None) -> Figures:
    """Measures S3 with the oldest waiting jobs of this database; the others keep waiting."""
    jobs = context.sizes.drained_jobs
    server = context.server
    low, high, waiting = server.query(database, _MEASURED.format(first=_FIRST.format(jobs=jobs)))
    if waiting < jobs:
        raise ContestantFailed(f"{waiting} of the {jobs} jobs to run are waiting")
    bounds = {"low": low, "high": high}
    with running(DULY_SERVICE, context, Start(database=database, environment=environment or {})):
        gone = server.wait_for(database, _GONE.format(**bounds), wanted=1, within_seconds=DRAIN_SECONDS)
    if not gone:
        raise ContestantFailed(f"{jobs} jobs had not ended after {DRAIN_SECONDS:g} s")
    rate, ended = server.query(database, _RATE.format(**bounds))
    return {"processed_rate": rate, "errors": float(jobs - ended)}


def summed(*shown: Figures) -> Round:
    """Returns the figures of several measurements as one round, with the sum of their errors."""
    together = {name: value for figures in shown for name, value in figures.items()}
    return Round(together | {"errors": sum(figures.get("errors", 0.0) for figures in shown)})


def compared(results: Sequence[Result], ratios: Mapping[str, tuple[str, str, str]]) -> list[Result]:
    """Returns the results, preceded by the ratios within each round, by which the row is judged.

    `ratios` maps the name of each ratio to a figure and two conditions: (figure, of, to).
    """
    by_name = {result.contestant.name: result for result in results}
    failure = next((result.failure for result in results if result.failure), None)
    needed = {name for _, of, to in ratios.values() for name in (of, to)}
    rounds = min((len(by_name[name].rounds) if name in by_name else 0 for name in needed), default=0)
    judged = [
        Round({name: _ratio(by_name, number, *pair) for name, pair in ratios.items()}) for number in range(rounds)
    ]
    return [Result(DULY_SERVICE, judged, failure), *results]


def _ratio(by_name: Mapping[str, Result], number: int, figure: str, of: str, to: str) -> float:
    return by_name[of].rounds[number].figures[figure] / max(by_name[to].rounds[number].figures[figure], 1e-9)
