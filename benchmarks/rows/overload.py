"""L1: ten times the load that the service keeps up with: who is told to wait, how early, and what the others notice."""

from collections.abc import Sequence

from benchmarks.arrivals import ArrivalsOutcome, allow_files
from benchmarks.contestants import DULY_ITSELF, Contestant, Running, Start, running
from benchmarks.crowd import ArrivalsPlan, Phase, Stretch
from benchmarks.figures import percentile
from benchmarks.generators import generate_load
from benchmarks.ground import Ground, Sizes
from benchmarks.growth import generate_arrivals
from benchmarks.load import LoadPlan
from benchmarks.over_time import RoundOverTime, sampled_at, series_of, thinned
from benchmarks.processes import ContestantFailed
from benchmarks.rounds import Result, alternate
from benchmarks.sampling import memory_of, sampled
from benchmarks.submissions import SINGLE_PATH, one

CALM_SHARE = 0.15
OVERLOAD = 10
# The calm load goes on after the overload; normal is a p99 of at most twice what it was before.
NORMAL = 2


def measure(ground: Ground) -> list[Result]:
    # One round: the load is long, and what comes after it belongs to it.
    def one_round(contestant: Contestant) -> RoundOverTime:
        with running(contestant, ground, Start()) as service:
            return overloaded(service, ground.sizes)

    return alternate("L1", (DULY_ITSELF,), ground=ground.with_rounds(1), measure=one_round)


def overloaded(service: Running, sizes: Sizes) -> RoundOverTime:
    allow_files(sizes.crowd)
    sustainable = closed_loop_rate(service, sizes)
    calm = Phase(sizes.calm_seconds, CALM_SHARE * sustainable)
    phases = (calm, Phase(sizes.overload_seconds, OVERLOAD * sustainable), Phase(sizes.recovery_seconds, calm.rate))
    plan = ArrivalsPlan(service.port, SINGLE_PATH, one().decode(), phases, connections=sizes.crowd)
    with sampled(memory_of(service.pid), every_seconds=0.5) as memory:
        outcome = generate_arrivals(plan)
    series = series_of(outcome.seconds) | {"resident_mb": sampled_at(outcome, memory, "resident_mb")}
    return RoundOverTime(
        {"sustainable_rate": sustainable, **figures(outcome, sizes, resident=series["resident_mb"])},
        {"generator": outcome.generator_cores},
        thinned(series),
    )


def closed_loop_rate(service: Running, sizes: Sizes) -> float:
    """What one process takes in and runs at once, on 64 connections."""
    plan = LoadPlan(service.port, SINGLE_PATH, one().decode(), seconds=sizes.seconds, warm_up=sizes.warm_up)
    return generate_load(plan).rate


def figures(outcome: ArrivalsOutcome, sizes: Sizes, *, resident: Sequence[float]) -> dict[str, float]:
    calm, load, _ = outcome.phases
    if not calm.p99_ms:
        raise ContestantFailed("nothing was accepted before the overload")
    begins, ends = int(sizes.calm_seconds), int(sizes.calm_seconds + sizes.overload_seconds)
    early = load.first_refusal_seconds
    return {
        "calm_p99_ms": calm.p99_ms,
        "p99_ms": load.p99_ms,
        "p99_ratio": load.p99_ms / calm.p99_ms,
        "accepted_rate": load.accepted / sizes.overload_seconds,
        "refused_share": load.refused / max(1, load.accepted + load.refused),
        "told_when_share": load.told_when / max(1, load.refused),
        "refusal_p99_ms": load.refusal_p99_ms,
        "first_refusal_seconds": sizes.overload_seconds if early is None else early,
        "normal_after_seconds": normal_after(outcome.seconds[ends:], mark=NORMAL * calm.p99_ms),
        "grown_mb": max(resident, default=0.0) - percentile(resident[: max(1, begins)], 0.5),
        "errors": float(sum(each.broken for each in outcome.seconds) + outcome.unanswered),
    }


def normal_after(seconds: Sequence[Stretch], *, mark: float) -> float:
    """From which second on p99 stays below the mark; the length of the recovery where it does not."""
    for place, each in reversed(list(enumerate(seconds, start=1))):
        if not 0 < each.p99_ms <= mark:
            return float(place)
    return 0.0
