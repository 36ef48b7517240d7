"""D1: latency of a moderate load, alone and beside clients that hold connections without a complete request.

Each kind of hostile client is compared with the load alone, which is measured before and after every two kinds, all on
one service with 1,024 file descriptors. Closed connections are reopened after a few seconds.
"""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace

from benchmarks.contestants import DULY_SERVICE, Contestant, Running, Start, running
from benchmarks.generator_processes import run_generator
from benchmarks.growth import generate_open_loop
from benchmarks.hostile_clients import HALF_HEADS, HEADER_LINES, SILENT, SLOW_BODIES, HostilePlan
from benchmarks.open_loop_connections import OpenLoopPlan, Phase
from benchmarks.processes import ContestantFailed, resident_bytes
from benchmarks.rounds import Result, Round, alternate
from benchmarks.run_context import RunContext, Sizes
from benchmarks.sampling import MEGABYTE, memory_of, sampled
from benchmarks.submissions import SINGLE_PATH, one

DESCRIPTORS = 1024
# Connections of the moderate load.
CLIENTS = 32
KINDS = (SILENT, HALF_HEADS, SLOW_BODIES, HEADER_LINES)
Figures = dict[str, float]


def measure(context: RunContext) -> list[Result]:
    def one_round(contestant: Contestant) -> Round:
        with running(contestant, context, Start(descriptors=DESCRIPTORS)) as service:
            return Round(figures(service, context.sizes))

    within = context.with_rounds(context.sizes.growth_rounds)
    return alternate("D1", (DULY_SERVICE,), context=within, measure=one_round)


def figures(service: Running, sizes: Sizes) -> Figures:
    loaded(service, sizes, kind=None)  # the first load is the slowest
    resident = resident_bytes(service.pid) / MEGABYTE
    calm, shown = [loaded(service, sizes, kind=None)], dict[str, Figures]()
    for pair in (KINDS[:2], KINDS[2:]):
        shown |= {kind: loaded(service, sizes, kind=kind) for kind in pair}
        calm.append(loaded(service, sizes, kind=None))
    loads = (*calm, *shown.values())
    around = {kind: (calm[at // 2]["p99_ms"] + calm[at // 2 + 1]["p99_ms"]) / 2 for at, kind in enumerate(KINDS)}
    return {
        "calm_p99_ms": sum(each["p99_ms"] for each in calm) / len(calm),
        **{f"{kind}_p99_ratio": each["p99_ms"] / around[kind] for kind, each in shown.items()},
        **{f"{kind}_p99_ms": each["p99_ms"] for kind, each in shown.items()},
        **{f"{kind}_grown_mb": each["resident_mb"] - resident for kind, each in shown.items()},
        "grown_mb": max(each["resident_mb"] for each in shown.values()) - resident,
        "errors": sum(each["errors"] for each in loads),
    }


def loaded(service: Running, sizes: Sizes, *, kind: str | None) -> Figures:
    """Measures the moderate load beside one kind of hostile client, after these have opened their connections."""
    load = Phase(sizes.hostile_seconds, sizes.regular_requests_per_second)
    # Without hostile connections, only those of the load itself are opened.
    opening = replace(load, seconds=sizes.hostile_opening_seconds if kind else sizes.warm_up)
    plan = OpenLoopPlan(service.port, SINGLE_PATH, one().decode(), (opening, load), connections=CLIENTS)
    with sampled(memory_of(service.pid), every_seconds=0.25) as memory, ThreadPoolExecutor(1) as threads:
        if kind is not None:
            hostile = HostilePlan(service.port, kind, sizes.hostile[kind], plan.seconds)
            threads.submit(
                run_generator, "benchmarks.hostile_clients", json.dumps(asdict(hostile)), seconds=plan.seconds
            )
        outcome = generate_open_loop(plan)
    _, counted = outcome.phases
    if not counted.accepted:
        raise ContestantFailed(f"nothing was accepted; responses by status: {outcome.statuses}")
    return {
        "p99_ms": counted.p99_ms,
        "resident_mb": max(memory.values["resident_mb"]),
        "errors": float(counted.refused + counted.broken + outcome.unanswered),
    }
