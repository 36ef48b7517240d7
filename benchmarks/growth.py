"""What the growth rows share: rows S1, S3 and a read, on a ledger that is given, and ratios between two of them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.arrivals import ArrivalsOutcome, read_outcome
from benchmarks.contestants import API_ONLY, DULY_ITSELF, Contestant, Running, Start, running
from benchmarks.crowd import ArrivalsPlan
from benchmarks.generators import generate_load, run_generator
from benchmarks.ground import Ground, Kind
from benchmarks.load import LoadPlan
from benchmarks.processes import ContestantFailed
from benchmarks.reads import ReadOutcome, ReadPlan
from benchmarks.rounds import Result, Round
from benchmarks.steady import SteadyPlan
from benchmarks.submissions import SINGLE_PATH, one

DRAIN_SECONDS = 180.0
READ_IDS = 1_000
# What a drain needs beyond the jobs that are measured, so that it does not end within them.
SPARE_JOBS = 1.2

Figures = dict[str, float]


def case(name: str) -> Contestant:
    """Duly under one of the conditions that a row compares."""
    return Contestant(name, Kind.DULY)


def generated(module: str, plan: ArrivalsPlan | ReadPlan | SteadyPlan, *, seconds: float) -> dict[str, Any]:
    """What the generator in this module tells, run in a process of its own."""
    return run_generator(module, json.dumps(asdict(plan)), seconds=seconds)


def generate_arrivals(plan: ArrivalsPlan) -> ArrivalsOutcome:
    return read_outcome(generated("benchmarks.arrivals", plan, seconds=plan.seconds))


def submit(ground: Ground, database: str, environment: Mapping[str, str] | None = None) -> Figures:
    """Row S1 on this database."""
    with running(DULY_ITSELF, ground, Start(API_ONLY, database, environment or {})) as service:
        return submit_to(service, ground)


def submit_to(service: Running, ground: Ground) -> Figures:
    sizes = ground.sizes
    plan = LoadPlan(service.port, SINGLE_PATH, one().decode(), seconds=sizes.seconds, warm_up=sizes.warm_up)
    outcome = generate_load(plan)
    return {
        "rate": outcome.rate,
        "p99_ms": outcome.p99_ms,
        "errors": float(outcome.refused + outcome.broken),
    }


def submit_and_read(ground: Ground, database: str, job_ids: Sequence[str]) -> Figures:
    """Row S1, and reads of these jobs in turn, on one process that does nothing else."""
    with running(DULY_ITSELF, ground, Start(API_ONLY, database)) as service:
        submitted = submit_to(service, ground)
        plan = ReadPlan(service.port, tuple(job_ids), seconds=ground.sizes.seconds, warm_up=ground.sizes.warm_up)
        read = ReadOutcome(**generated("benchmarks.reads", plan, seconds=plan.warm_up + plan.seconds))
    if not read.found:
        raise ContestantFailed("none of the jobs that stand in the ledger was found")
    errors = submitted["errors"] + read.missed
    return submitted | {"read_rate": read.rate, "read_p99_ms": read.p99_ms, "errors": errors}


def sample_ids(ground: Ground, database: str) -> list[str]:
    """Some of the jobs in the ledger, from all of its time."""
    sql = f"select array_agg(job_id::text) from (select job_id from jobs order by md5(job_id::text) limit {READ_IDS}) j"
    ids: list[str] = ground.server.query(database, sql)[0]
    return ids


# Claims go by age: once the last of the measured jobs has gone from both tables, all of them have ended.
_MEASURED = "select min(job_id::text), max(job_id::text), count(*) from ({first}) m"
_FIRST = "select job_id from ready order by queue, type, priority, job_id limit {jobs}"
_GONE = """
    select (not exists (select from ready where queue = 'default' and type = 'noop' and priority = 0
                                            and job_id between '{low}' and '{high}')
            and not exists (select from running where job_id between '{low}' and '{high}'))::int
"""
# Without the first and the last tenth: neither the start of the process nor its last statements count.
_RATE = """
    select 0.8 * count(*) / greatest(extract(epoch from percentile_disc(0.9) within group (order by occurred_at)
                                     - percentile_disc(0.1) within group (order by occurred_at))::float8, 1e-3),
           count(*)
    from events where kind = 10 and job_id between '{low}' and '{high}'
"""


def process(ground: Ground, database: str, environment: Mapping[str, str] | None = None) -> Figures:
    """Row S3 over the oldest jobs that wait in this database; the others go on waiting meanwhile."""
    jobs = ground.sizes.drained_jobs
    server = ground.server
    low, high, waiting = server.query(database, _MEASURED.format(first=_FIRST.format(jobs=jobs)))
    if waiting < jobs:
        raise ContestantFailed(f"{waiting} jobs wait where {jobs} are to be run")
    bounds = {"low": low, "high": high}
    with running(DULY_ITSELF, ground, Start(database=database, environment=environment or {})):
        gone = server.wait_for(database, _GONE.format(**bounds), wanted=1, within_seconds=DRAIN_SECONDS)
    if not gone:
        raise ContestantFailed(f"{jobs} jobs had not ended after {DRAIN_SECONDS:g} s")
    rate, ended = server.query(database, _RATE.format(**bounds))
    return {"processed_rate": rate, "errors": float(jobs - ended)}


def summed(*shown: Figures) -> Round:
    """The figures of several measurements as one round; errors add up."""
    together = {name: value for figures in shown for name, value in figures.items()}
    return Round(together | {"errors": sum(figures.get("errors", 0.0) for figures in shown)})


def compared(results: Sequence[Result], ratios: Mapping[str, tuple[str, str, str]]) -> list[Result]:
    """The results, led by what the row is judged by: ratios within each round.

    `ratios` names each with a figure and the two conditions: (figure, of, to).
    """
    by_name = {result.contestant.name: result for result in results}
    failure = next((result.failure for result in results if result.failure), None)
    needed = {name for _, of, to in ratios.values() for name in (of, to)}
    rounds = min((len(by_name[name].rounds) if name in by_name else 0 for name in needed), default=0)
    judged = [
        Round({name: _ratio(by_name, number, *pair) for name, pair in ratios.items()}) for number in range(rounds)
    ]
    return [Result(DULY_ITSELF, judged, failure), *results]


def _ratio(by_name: Mapping[str, Result], number: int, figure: str, of: str, to: str) -> float:
    return by_name[of].rounds[number].figures[figure] / max(by_name[to].rounds[number].figures[figure], 1e-9)
