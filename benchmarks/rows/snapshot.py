"""G3: jobs that arrive at a fixed rate while a transaction elsewhere holds a snapshot open and stops all vacuuming."""

import asyncio
import contextlib
from collections.abc import Iterator

import asyncpg

from benchmarks.arrivals import ArrivalsOutcome
from benchmarks.contestants import ALL_ROLES, API_ONLY, DULY_ITSELF, Contestant, Start, running
from benchmarks.crowd import ArrivalsPlan, Phase
from benchmarks.ground import Ground
from benchmarks.growth import SPARE_JOBS, case, compared, generate_arrivals, process
from benchmarks.ledgers import Fill, add_waiting, ledger
from benchmarks.over_time import RoundOverTime, sampled_at, series_of, thinned
from benchmarks.rounds import Result, alternate
from benchmarks.sampling import Look, sampled
from benchmarks.submissions import SINGLE_PATH, one

WITHOUT, HELD = "no snapshot", "snapshot held open"
CONNECTIONS = 256
ROLES_BUT_API = tuple(role for role in ALL_ROLES if role not in API_ONLY)
# What arrives in the last second may end in the next.
LATE_SECONDS = 1.0
DEAD = """
    select coalesce(sum(n_dead_tup), 0)::float8 from pg_stat_user_tables
    where relname in ('ready', 'running', 'scheduled', 'deliveries')
"""
# How long each job stood ready, by the ledger: from its submission's commit to its claim's.
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


def measure(ground: Ground) -> list[Result]:
    def one_round(contestant: Contestant) -> RoundOverTime:
        with ledger(ground, Fill()) as database:
            url = ground.server.url(database)
            with snapshot_held(url) if contestant.name == HELD else contextlib.nullcontext():
                return arriving_then_drained(ground, database)

    # One round: the run is long, and each of its seconds is told.
    results = alternate("G3", [case(WITHOUT), case(HELD)], ground=ground.with_rounds(1), measure=one_round)
    ratios = {"pick_up_p99_ratio": "pick_up_p99_ms", "drain_ratio": "processed_rate", "kept_up_ratio": "kept_up_share"}
    return compared(results, {name: (figure, HELD, WITHOUT) for name, figure in ratios.items()})


@contextlib.contextmanager
def snapshot_held(url: str) -> Iterator[None]:
    """A transaction that has read and stays open, as a backup's or a report's does."""
    loop = asyncio.new_event_loop()
    connection = loop.run_until_complete(asyncpg.connect(url))
    try:
        loop.run_until_complete(connection.execute("begin isolation level repeatable read; select count(*) from ready"))
        yield
    finally:
        loop.run_until_complete(connection.close())
        loop.close()


def arriving_then_drained(ground: Ground, database: str) -> RoundOverTime:
    """The load, and after it the drain rate with the dead tuples that are left, the snapshot still open."""
    sizes = ground.sizes
    with (
        # Apart, so that each job is claimed: a process that does both would start it as it is submitted.
        running(DULY_ITSELF, ground, Start(API_ONLY, database)) as service,
        running(DULY_ITSELF, ground, Start(ROLES_BUT_API, database)),
        sampled(dead_tuples(ground, database)) as dead,
    ):
        phases = (Phase(sizes.snapshot_seconds, sizes.arrivals_a_second),)
        plan = ArrivalsPlan(service.port, SINGLE_PATH, one().decode(), phases, CONNECTIONS)
        outcome = generate_arrivals(plan)
    told, series = by_the_ledger(ground, database, outcome)
    series["dead_tuples"] = sampled_at(outcome, dead, "dead_tuples")
    add_waiting(ground, database, jobs=int(sizes.drained_jobs * SPARE_JOBS))
    drained = process(ground, database)
    figures = told | {"dead_tuples": max(series["dead_tuples"]), **drained}
    figures["errors"] += float(outcome.unanswered + sum(each.broken + each.refused for each in outcome.seconds))
    return RoundOverTime(figures, {"generator": outcome.generator_cores}, thinned(series))


def dead_tuples(ground: Ground, database: str) -> Look:
    return lambda: {"dead_tuples": ground.server.query(database, DEAD)[0]}


def by_the_ledger(
    ground: Ground, database: str, outcome: ArrivalsOutcome
) -> tuple[dict[str, float], dict[str, list[float]]]:
    server, sizes = ground.server, ground.sizes
    pick_ups = _PICK_UPS.format(began=outcome.began_at)
    p50, p99 = server.query(database, _OVERALL.format(pick_ups=pick_ups))
    by_second = {
        second: (half, most)
        for second, half, most in zip(*server.query(database, _BY_SECOND.format(pick_ups=pick_ups)), strict=True)
    }
    until = outcome.began_at + sizes.snapshot_seconds + LATE_SECONDS
    ended = server.query(database, _ENDED.format(until=until))[0]
    due = sizes.arrivals_a_second * sizes.snapshot_seconds
    series = series_of(outcome.seconds)
    for place, name in enumerate(("pick_up_p50_ms", "pick_up_p99_ms")):
        series[name] = [by_second.get(int(second), (0.0, 0.0))[place] for second in series["second"]]
    return {"kept_up_share": ended / due, "pick_up_p50_ms": p50, "pick_up_p99_ms": p99}, series
