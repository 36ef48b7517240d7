"""Requests that arrive at a rate of their own, whether or not those before them were answered: an open loop.

Runs in a process of its own (`python -m benchmarks.arrivals PLAN`) and prints one line of JSON with what happened in
each second. A closed loop slows down with the service and hides how it fails; a crowd does not. But a crowd is
finite: at most `connections` requests are outstanding, and what arrives beyond that is counted as held back.
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

from benchmarks.crowd import GRACE_SECONDS, ArrivalsPlan, Crowd, Phase, Stretch
from benchmarks.wire import post

SPARE_FILES = 100


@dataclass(frozen=True, slots=True)
class ArrivalsOutcome:
    """`began_at` is by the wall clock; `unanswered` requests were outstanding when the generator gave up."""

    began_at: float
    seconds: list[Stretch]
    phases: list[Stretch]
    statuses: dict[str, int]
    unanswered: int
    generator_cores: float


async def run(plan: ArrivalsPlan, request: Callable[[], bytes] | None = None) -> ArrivalsOutcome:
    """Plays the plan; `request` makes what is sent each time, if it is not always the same."""
    fixed = post(plan.path, plan.body.encode())
    crowd = Crowd(plan, request or (lambda: fixed))
    began_at, processor, wall = time.time(), time.process_time(), time.perf_counter()
    await crowd.arrive()
    cores = (time.process_time() - processor) / (time.perf_counter() - wall)
    until = time.perf_counter() + GRACE_SECONDS
    while crowd.outstanding and time.perf_counter() < until:
        await asyncio.sleep(0.02)
    unanswered = crowd.outstanding
    crowd.close()
    counted = crowd.seconds[: max(1, round(plan.seconds))]
    return ArrivalsOutcome(
        began_at=began_at,
        seconds=[tally.as_stretch(at) for at, tally in enumerate(counted)],
        phases=[tally.as_stretch(at) for at, tally in zip(crowd.begins, crowd.phases, strict=True)],
        statuses={str(status): count for status, count in crowd.statuses.items()},
        unanswered=unanswered,
        generator_cores=cores,
    )


def allow_files(count: int) -> None:
    """A crowd needs a file for each connection; raises the soft limit as far as the hard one allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + SPARE_FILES
    if soft < wanted:
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


def read_outcome(members: dict[str, Any]) -> ArrivalsOutcome:
    stretches = {name: [Stretch(**each) for each in members[name]] for name in ("seconds", "phases")}
    return ArrivalsOutcome(**(members | stretches))


def read_plan(text: str) -> ArrivalsPlan:
    members = json.loads(text)
    phases = tuple(Phase(**phase) for phase in members.pop("phases"))
    return ArrivalsPlan(**members, phases=phases)


if __name__ == "__main__":
    asked = read_plan(sys.argv[1])
    allow_files(asked.connections)
    print(json.dumps(asdict(uvloop.run(run(asked)))))
