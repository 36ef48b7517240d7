"""D1: a calm load by itself, and between that beside clients that hold connections and never ask properly, kind after
kind. Each is compared with the calm loads before and after it.

All on one service with 1,024 descriptors. What it closes is opened again some seconds later.
"""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace

from benchmarks.contestants import DULY_ITSELF, Contestant, Running, Start, running
from benchmarks.crowd import ArrivalsPlan, Phase
from benchmarks.generators import run_generator
from benchmarks.ground import Ground, Sizes
from benchmarks.growth import generate_arrivals
from benchmarks.hostile import HALF_HEADS, HEADER_LINES, SILENT, SLOW_BODIES, HostilePlan
from benchmarks.processes import ContestantFailed, resident_bytes
from benchmarks.rounds import Result, Round, alternate
from benchmarks.sampling import MEGABYTE, memory_of, sampled
from benchmarks.submissions import SINGLE_PATH, one

DESCRIPTORS = 1024
# Clients of the calm load.
CLIENTS = 32
KINDS = (SILENT, HALF_HEADS, SLOW_BODIES, HEADER_LINES)
Figures = dict[str, float]


def measure(ground: Ground) -> list[Result]:
    def one_round(contestant: Contestant) -> Round:
        with running(contestant, ground, Start(descriptors=DESCRIPTORS)) as service:
            return Round(figures(service, ground.sizes))

    return alternate("D1", (DULY_ITSELF,), ground=ground, measure=one_round)


def figures(service: Running, sizes: Sizes) -> Figures:
    loaded(service, sizes, kind=None)  # the first load is the slowest
    resident = resident_bytes(service.pid) / MEGABYTE
    calm, shown = [loaded(service, sizes, kind=None)], {}
    for kind in KINDS:
        shown[kind] = loaded(service, sizes, kind=kind)
        calm.append(loaded(service, sizes, kind=None))
    loads = (*calm, *shown.values())
    around = {kind: (calm[at]["p99_ms"] + calm[at + 1]["p99_ms"]) / 2 for at, kind in enumerate(KINDS)}
    return {
        "calm_p99_ms": sum(each["p99_ms"] for each in calm) / len(calm),
        **{f"{kind}_p99_ratio": each["p99_ms"] / around[kind] for kind, each in shown.items()},
        **{f"{kind}_p99_ms": each["p99_ms"] for kind, each in shown.items()},
        **{f"{kind}_grown_mb": each["resident_mb"] - resident for kind, each in shown.items()},
        "grown_mb": max(each["resident_mb"] for each in shown.values()) - resident,
        "errors": sum(each["errors"] for each in loads),
    }


def loaded(service: Running, sizes: Sizes, *, kind: str | None) -> Figures:
    """The calm load, beside one kind of hostile clients. Nothing counts while these open their connections."""
    load = Phase(sizes.door_seconds, sizes.door_requests_a_second)
    opening = replace(load, seconds=sizes.door_opening_seconds)
    plan = ArrivalsPlan(service.port, SINGLE_PATH, one().decode(), (opening, load), connections=CLIENTS)
    with sampled(memory_of(service.pid), every_seconds=0.25) as memory, ThreadPoolExecutor(1) as threads:
        if kind is not None:
            hostile = HostilePlan(service.port, kind, sizes.hostile[kind], plan.seconds)
            threads.submit(run_generator, "benchmarks.hostile", json.dumps(asdict(hostile)), seconds=plan.seconds)
        outcome = generate_arrivals(plan)
    _, counted = outcome.phases
    if not counted.accepted:
        raise ContestantFailed(f"nothing was accepted; answers by status: {outcome.statuses}")
    return {
        "p99_ms": counted.p99_ms,
        "resident_mb": max(memory.values["resident_mb"]),
        "errors": float(counted.refused + counted.broken + outcome.unanswered),
    }
