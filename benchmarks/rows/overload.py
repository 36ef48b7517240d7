"""L1: ten times the sustainable load: rejections, their time, and the latency of accepted jobs."""

from collections.abc import Sequence

from benchmarks.closed_loop import LoadPlan
from benchmarks.contestants import DULY_SERVICE, Contestant, Running, Start, running
from benchmarks.generator_processes import generate_load
from benchmarks.growth import generate_open_loop
from benchmarks.open_loop import OpenLoopOutcome, allow_files
from benchmarks.open_loop_connections import Interval, OpenLoopPlan, Phase
from benchmarks.processes import ContestantFailed
from benchmarks.rounds import Result, alternate
from benchmarks.rows.wal_and_commits import END_SECONDS, NOTHING_LEFT
from benchmarks.run_context import RunContext, Sizes
from benchmarks.sampling import memory_of, sampled
from benchmarks.stats import percentile
from benchmarks.submissions import SINGLE_PATH, one
from benchmarks.time_series import RoundOverTime, sampled_at, series_of, thinned

CALM_SHARE = 0.15
OVERLOAD = 10
# The moderate load continues after the overload; normal is a p99 of at most twice that before it.
NORMAL = 2


def measure(context: RunContext) -> list[Result]:
    # One round: the load is long and includes the recovery.
    def one_round(contestant: Contestant) -> RoundOverTime:
        with running(contestant, context, Start()) as service:
            return overloaded(context, service)

    return alternate("L1", (DULY_SERVICE,), context=context.with_rounds(1), measure=one_round)


def overloaded(context: RunContext, service: Running) -> RoundOverTime:
    sizes = context.sizes
    allow_files(sizes.overload_connections)
    sustainable = closed_loop_rate(service, sizes)
    # Otherwise the calm load begins beside the jobs that the first one has left.
    if not context.server.wait_for(service.database, NOTHING_LEFT, wanted=1, within_seconds=END_SECONDS):
        raise ContestantFailed(f"jobs were left after {END_SECONDS:g} s")
    calm = Phase(sizes.calm_seconds, CALM_SHARE * sustainable)
    phases = (calm, Phase(sizes.overload_seconds, OVERLOAD * sustainable), Phase(sizes.recovery_seconds, calm.rate))
    plan = OpenLoopPlan(service.port, SINGLE_PATH, one().decode(), phases, connections=sizes.overload_connections)
    with sampled(memory_of(service.pid), every_seconds=0.5) as memory:
        outcome = generate_open_loop(plan)
    series = series_of(outcome.seconds) | {"resident_mb": sampled_at(outcome, memory, "resident_mb")}
    return RoundOverTime(
        {"sustainable_rate": sustainable, **figures(outcome, sizes, resident=series["resident_mb"])},
        {"generator": outcome.generator_cores},
        thinned(series),
    )


def closed_loop_rate(service: Running, sizes: Sizes) -> float:
    """Returns the rate at which one process accepts and runs jobs, on 64 connections."""
    plan = LoadPlan(
        service.port,
        SINGLE_PATH,
        one().decode(),
        seconds=sizes.sustainable_seconds,
        warm_up=sizes.warm_up,
    )
    return generate_load(plan).rate


def figures(outcome: OpenLoopOutcome, sizes: Sizes, *, resident: Sequence[float]) -> dict[str, float]:
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
        "retry_after_share": load.with_retry_after / max(1, load.refused),
        "refusal_p99_ms": load.refusal_p99_ms,
        "first_refusal_seconds": sizes.overload_seconds if early is None else early,
        "normal_after_seconds": normal_after(outcome.seconds[ends:], mark=NORMAL * calm.p99_ms),
        "grown_mb": max(resident, default=0.0) - percentile(resident[: max(1, begins)], 0.5),
        "errors": float(sum(each.broken for each in outcome.seconds) + outcome.unanswered),
    }


def normal_after(seconds: Sequence[Interval], *, mark: float) -> float:
    """Returns the seconds until p99 stays below the mark, or the length of the recovery if it does not."""
    for place, each in reversed(list(enumerate(seconds, start=1))):
        if not 0 < each.p99_ms <= mark:
            return float(place)
    return 0.0
