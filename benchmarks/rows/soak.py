"""SOAK: jobs end to end with signed webhooks at a constant rate for a long time, to detect growth."""

from collections.abc import Mapping, Sequence

from benchmarks.contestants import CALLBACKS_ALLOWED, DULY_SERVICE, Contestant, Running, Start, running
from benchmarks.end_to_end_fixed_rate import FixedRateOutcome, FixedRatePlan
from benchmarks.growth import generated
from benchmarks.rounds import Result, alternate
from benchmarks.rows.open_snapshot import DEAD
from benchmarks.run_context import RunContext
from benchmarks.sampling import Probe, memory_of, sampled
from benchmarks.stats import percentile
from benchmarks.time_series import RoundOverTime, nearest, thinned

CONNECTED = "select count(*)::float8 from pg_stat_activity where datname = '{database}'"
SAMPLED = ("resident_mb", "connections", "dead_tuples")


def measure(context: RunContext) -> list[Result]:
    def one_round(contestant: Contestant) -> RoundOverTime:
        with running(contestant, context, Start(environment=CALLBACKS_ALLOWED)) as service:
            return soaked(context, service)

    return alternate("SOAK", (DULY_SERVICE,), context=context.with_rounds(1), measure=one_round)


def soaked(context: RunContext, service: Running) -> RoundOverTime:
    sizes = context.sizes
    plan = FixedRatePlan(service.port, sizes.soak_jobs_per_second, sizes.soak_minutes * 60)
    with sampled(service_probe(context, service)) as samples:
        outcome = FixedRateOutcome(**generated("benchmarks.end_to_end_fixed_rate", plan, seconds=plan.seconds))
    # The first second, in which the generator connects, and the last one are incomplete.
    whole = slice(1, max(2, len(outcome.accepted) - 1))
    seconds = [float(second) for second in range(len(outcome.accepted))][whole]
    series = {
        "second": seconds,
        "rate": [float(count) for count in outcome.reported[whole]],
        "p50_ms": outcome.p50_ms[whole],
        "p99_ms": outcome.p99_ms[whole],
    }
    for name in SAMPLED:
        moments = [outcome.began_at + second + 0.5 for second in seconds]
        series[name] = nearest(samples, name, moments)
    return RoundOverTime(figures(outcome, series), {}, thinned(series))


def service_probe(context: RunContext, service: Running) -> Probe:
    memory = memory_of(service.pid)

    def probe() -> dict[str, float]:
        connected = context.server.query(service.database, CONNECTED.format(database=service.database))[0]
        dead = context.server.query(service.database, DEAD)[0]
        return memory() | {"connections": connected, "dead_tuples": dead}

    return probe


def figures(outcome: FixedRateOutcome, series: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Returns medians over the whole time, and the ratio of the last third to the first: 1 is flat."""
    wrong = outcome.refused + outcome.broken + outcome.lost + outcome.repeated + outcome.bad_signatures
    middle = {name: percentile(series[name], 0.5) for name in ("rate", "p50_ms", "p99_ms", *SAMPLED)}
    flat = {f"{name.removesuffix('_mb').removesuffix('_ms')}_flat": flatness(series[name]) for name in middle}
    return middle | flat | {"errors": float(wrong)}


def flatness(values: Sequence[float]) -> float:
    """Returns the median of the last third, divided by that of the first."""
    third = max(1, len(values) // 3)
    first, last = percentile(values[:third], 0.5), percentile(values[-third:], 0.5)
    return last / first if first else float(last == first)
