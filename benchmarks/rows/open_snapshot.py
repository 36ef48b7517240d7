"""G3: jobs at a fixed rate while another transaction holds a snapshot open, which prevents vacuuming."""

import asyncio
import contextlib
from collections.abc import Iterator

import asyncpg

from benchmarks.contestants import ALL_ROLES, API_ONLY, Contestant, Start, running_together
from benchmarks.filled_ledgers import Fill, add_waiting, ledger
from benchmarks.growth import SPARE_JOBS, case, compared, generate_open_loop, process
from benchmarks.open_loop import OpenLoopOutcome
from benchmarks.open_loop_connections import OpenLoopPlan, Phase
from benchmarks.rounds import Result, alternate
from benchmarks.run_context import RunContext
from benchmarks.sampling import Probe, sampled
from benchmarks.submissions import SINGLE_PATH, one
from benchmarks.time_series import RoundOverTime, sampled_at, series_of, thinned

WITHOUT, HELD = "no snapshot", "snapshot held open"
CONNECTIONS = 256
ROLES_BUT_API = tuple(role for role in ALL_ROLES if role not in API_ONLY)
# Jobs of the last second may end in the next one.
LATE_SECONDS = 1.0
DEAD = """
    select coalesce(sum(n_dead_tup), 0)::float8 from pg_stat_user_tables
    where relname in ('ready', 'running', 'scheduled', 'deliveries')
"""
# Time for which each job was ready, by the ledger: from its submission to its claim.
_PICK_UPS = """
    select floor(extract(epoch from j.created_at) - {began})::int as second, (extract(epoch from e.occurred_at
           - j.created_at) * 1000)::float8 as ms
    from jobs j join events e on e.job_id = j.job_id and e.sequence = 1
    where j.created_at >= to_timestamp({began})
"""
_BY_SECOND = """
    select array_agg(second), array_agg(p50), array_agg(p99) from (
        select second, percentile_cont(0.5) within group (order by ms) as p50,
               percentile_cont(0.99) within group (order by ms) as p99
        from ({pick_ups}) p group by second order by second
    ) s
"""
_OVERALL = """
    select percentile_cont(0.5) within group (order by ms), percentile_cont(0.99) within group (order by ms)
    from ({pick_ups}) p
"""
_ENDED = "select count(*) from events where kind >= 10 and occurred_at <= to_timestamp({until})"


def measure(context: RunContext) -> list[Result]:
    def one_round(contestant: Contestant) -> RoundOverTime:
        with ledger(context, Fill()) as database:
            url = context.server.url(database)
            with snapshot_held(url) if contestant.name == HELD else contextlib.nullcontext():
                return arriving_then_drained(context, database)

    # One round: the run is long, and each of its seconds is recorded.
    results = alternate("G3", [case(WITHOUT), case(HELD)], context=context.with_rounds(1), measure=one_round)
    ratios = {"pick_up_p99_ratio": "pick_up_p99_ms", "drain_ratio": "processed_rate", "kept_up_ratio": "kept_up_share"}
    return compared(results, {name: (figure, HELD, WITHOUT) for name, figure in ratios.items()})


@contextlib.contextmanager
def snapshot_held(url: str) -> Iterator[None]:
    """Holds a transaction open that has read, as a backup or a report does."""
    loop = asyncio.new_event_loop()
    connection = loop.run_until_complete(asyncpg.connect(url))
    try:
        loop.run_until_complete(connection.execute("begin isolation level repeatable read; select count(*) from ready"))
        yield
    finally:
        loop.run_until_complete(connection.close())
        loop.close()


def arriving_then_drained(context: RunContext, database: str) -> RoundOverTime:
    """Measures the load, and then the drain rate with the remaining dead tuples and the open snapshot."""
    sizes = context.sizes
    with (
        # Separate processes, so that each job is claimed: one process with both roles would start it on submission.
        running_together(context, Start(API_ONLY, database), Start(ROLES_BUT_API, database)) as (service, _),
        sampled(dead_tuples(context, database)) as dead,
    ):
        phases = (Phase(sizes.snapshot_seconds, sizes.arrivals_per_second),)
        plan = OpenLoopPlan(service.port, SINGLE_PATH, one().decode(), phases, CONNECTIONS)
        outcome = generate_open_loop(plan)
    figures_of_jobs, series = by_the_ledger(context, database, outcome)
    series["dead_tuples"] = sampled_at(outcome, dead, "dead_tuples")
    add_waiting(context, database, jobs=int(sizes.drained_jobs * SPARE_JOBS))
    drained = process(context, database)
    figures = figures_of_jobs | {"dead_tuples": max(series["dead_tuples"]), **drained}
    figures["errors"] += float(outcome.unanswered + sum(each.broken + each.refused for each in outcome.seconds))
    return RoundOverTime(figures, {"generator": outcome.generator_cores}, thinned(series))


def dead_tuples(context: RunContext, database: str) -> Probe:
    return lambda: {"dead_tuples": context.server.query(database, DEAD)[0]}


def by_the_ledger(
    context: RunContext, database: str, outcome: OpenLoopOutcome
) -> tuple[dict[str, float], dict[str, list[float]]]:
    server, sizes = context.server, context.sizes
    pick_ups = _PICK_UPS.format(began=outcome.began_at)
    p50, p99 = server.query(database, _OVERALL.format(pick_ups=pick_ups))
    by_second = {
        second: (half, most)
        for second, half, most in zip(*server.query(database, _BY_SECOND.format(pick_ups=pick_ups)), strict=True)
    }
    until = outcome.began_at + sizes.snapshot_seconds + LATE_SECONDS
    ended = server.query(database, _ENDED.format(until=until))[0]
    due = sizes.arrivals_per_second * sizes.snapshot_seconds
    series = series_of(outcome.seconds)
    for place, name in enumerate(("pick_up_p50_ms", "pick_up_p99_ms")):
        series[name] = [by_second.get(int(second), (0.0, 0.0))[place] for second in series["second"]]
    return {"kept_up_share": ended / due, "pick_up_p50_ms": p50, "pick_up_p99_ms": p99}, series
