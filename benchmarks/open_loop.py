"""Open-loop load generator: requests arrive at a given rate, independent of the responses to earlier ones.

Runs in its own process (`python -m benchmarks.open_loop PLAN`) and prints one line of JSON with the counts of each
second. A closed loop slows down with the service and hides how it fails; an open loop does not. At most `connections`
requests are outstanding; arrivals beyond that are counted as held back.
"""

import asyncio
import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import uvloop

from benchmarks.http_messages import post
from benchmarks.open_loop_connections import GRACE_SECONDS, Interval, OpenLoop, OpenLoopPlan, Phase

SPARE_FILES = 100


@dataclass(frozen=True, slots=True)
class OpenLoopOutcome:
    """`began_at`: wall-clock time; `unanswered`: requests outstanding when the generator stopped waiting."""

    began_at: float
    seconds: list[Interval]
    phases: list[Interval]
    statuses: dict[str, int]
    unanswered: int
    generator_cores: float


async def run(plan: OpenLoopPlan, request: Callable[[], bytes] | None = None) -> OpenLoopOutcome:
    """Runs the plan; `request`, if given, returns the bytes of each request."""
    fixed = post(plan.path, plan.body.encode())
    load = OpenLoop(plan, request or (lambda: fixed))
    began_at, processor, wall = time.time(), time.process_time(), time.perf_counter()
    await load.arrive()
    cores = (time.process_time() - processor) / (time.perf_counter() - wall)
    until = time.perf_counter() + GRACE_SECONDS
    while (load.outstanding or load.opens) and time.perf_counter() < until:
        await asyncio.sleep(0.02)
    unanswered = load.outstanding
    load.close()
    counted = load.seconds[: max(1, round(plan.seconds))]
    return OpenLoopOutcome(
        began_at=began_at,
        seconds=[tally.as_interval(at) for at, tally in enumerate(counted)],
        phases=[tally.as_interval(at) for at, tally in zip(load.begins, load.phases, strict=True)],
        statuses={str(status): count for status, count in load.statuses.items()},
        unanswered=unanswered,
        generator_cores=cores,
    )


def allow_files(count: int) -> None:
    """Raises the soft limit of file descriptors for this number of connections, as far as the hard limit allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + SPARE_FILES
    if soft < wanted:
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


def read_outcome(members: dict[str, Any]) -> OpenLoopOutcome:
    intervals = {name: [Interval(**each) for each in members[name]] for name in ("seconds", "phases")}
    return OpenLoopOutcome(**(members | intervals))


def read_plan(text: str) -> OpenLoopPlan:
    members = json.loads(text)
    phases = tuple(Phase(**phase) for phase in members.pop("phases"))
    return OpenLoopPlan(**members, phases=phases)


if __name__ == "__main__":
    plan = read_plan(sys.argv[1])
    allow_files(plan.connections)
    print(json.dumps(asdict(uvloop.run(run(plan)))))
