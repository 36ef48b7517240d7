"""SOAK: whole lives with signed webhooks at a steady rate for a long time: does anything grow?"""

from collections.abc import Mapping, Sequence

from benchmarks.contestants import CALLBACKS_ALLOWED, DULY_ITSELF, Contestant, Running, Start, running
from benchmarks.figures import percentile
from benchmarks.ground import Ground
from benchmarks.growth import generated
from benchmarks.over_time import RoundOverTime, nearest, thinned
from benchmarks.rounds import Result, alternate
from benchmarks.rows.snapshot import DEAD
from benchmarks.sampling import Look, memory_of, sampled
from benchmarks.steady import SteadyOutcome, SteadyPlan

CONNECTED = "select count(*)::float8 from pg_stat_activity where datname = '{database}'"
SAMPLED = ("resident_mb", "connections", "dead_tuples")


def measure(ground: Ground) -> list[Result]:
    def one_round(contestant: Contestant) -> RoundOverTime:
        with running(contestant, ground, Start(environment=CALLBACKS_ALLOWED)) as service:
            return soaked(ground, service)

    return alternate("SOAK", (DULY_ITSELF,), ground=ground.with_rounds(1), measure=one_round)


def soaked(ground: Ground, service: Running) -> RoundOverTime:
    sizes = ground.sizes
    plan = SteadyPlan(service.port, sizes.soak_lives_a_second, sizes.soak_minutes * 60)
    with sampled(everything(ground, service)) as samples:
        outcome = SteadyOutcome(**generated("benchmarks.steady", plan, seconds=plan.seconds))
    # Neither the first second, in which the generator connects, nor the last is a whole one.
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


def everything(ground: Ground, service: Running) -> Look:
    memory = memory_of(service.pid)

    def look() -> dict[str, float]:
        connected = ground.server.query(service.database, CONNECTED.format(database=service.database))[0]
        dead = ground.server.query(service.database, DEAD)[0]
        return memory() | {"connections": connected, "dead_tuples": dead}

    return look


def figures(outcome: SteadyOutcome, series: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Medians over the whole time, and of each the last third's median by the first's: 1 is flat."""
    wrong = outcome.refused + outcome.broken + outcome.lost + outcome.repeated + outcome.bad_signatures
    middle = {name: percentile(series[name], 0.5) for name in ("rate", "p50_ms", "p99_ms", *SAMPLED)}
    flat = {f"{name.removesuffix('_mb').removesuffix('_ms')}_flat": flatness(series[name]) for name in middle}
    return middle | flat | {"errors": float(wrong)}


def flatness(values: Sequence[float]) -> float:
    """The median of the last third, divided by that of the first."""
    third = max(1, len(values) // 3)
    first, last = percentile(values[:third], 0.5), percentile(values[-third:], 0.5)
    return last / first if first else float(last == first)
