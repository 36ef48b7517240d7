"""Harness of every Python peer: the plan, the line that a handler prints at its start, and the four tasks."""

import asyncio
import itertools
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from benchmarks.stats import percentile
from benchmarks.submissions import submission

# Number of jobs the worker runs; only the first and the last start are printed. 0: each start is printed.
JOBS_VARIABLE = "BENCHMARK_JOBS"
FOREVER_SECONDS = 3_600


@dataclass(frozen=True, slots=True)
class Plan:
    """Store, settings of the worker, and number of submissions: `jobs`, or as many as time allows."""

    url: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    chunk: int = 1
    callers: int = 1
    jobs: int | None = None
    seconds: float = 0.0
    warm_up: float = 0.0

    @classmethod
    def read(cls, text: str) -> "Plan":
        return cls(**json.loads(text))


class Client(Protocol):
    """Submitting side of a library."""

    async def one(self, index: int) -> None: ...

    async def many(self, indexes: Sequence[int]) -> None: ...


class InPeer(Protocol):
    """Library, as the four tasks use it."""

    plan: Plan

    async def prepare(self) -> None: ...

    def client(self) -> AbstractAsyncContextManager[Client]: ...

    async def work(self) -> None: ...


_wanted = int(os.environ.get(JOBS_VARIABLE, "0"))
_starts = itertools.count(1)  # `next` on it is atomic, so handlers may run in threads


def parameters(index: int) -> dict[str, Any]:
    """Returns the parameters of a job, the same as in the submissions over HTTP."""
    job = submission(index)["parameters"]
    assert isinstance(job, dict)
    return job


def started(index: int) -> None:
    """Records the start of a handler; it is the first line of each handler."""
    if not _wanted:
        print_mark("started", index)
    elif (number := next(_starts)) == 1 or number >= _wanted:
        print_mark("started", number)


def print_mark(word: str, index: int, nanoseconds: int | None = None) -> None:
    """Prints a line without the buffer of sys.stdout, which some libraries replace."""
    os.write(1, f"{word} {index} {nanoseconds or time.monotonic_ns()}\n".encode())


async def rest() -> None:
    """Waits until the process is stopped, in a task whose work happens elsewhere."""
    await asyncio.sleep(FOREVER_SECONDS)


async def at_most(concurrent: int, client: Client, indexes: Sequence[int]) -> None:
    """Makes single calls, up to `concurrent` at a time, for a library without a bulk call."""
    remaining = iter(indexes)

    async def submit() -> None:
        for index in remaining:
            await client.one(index)

    await asyncio.gather(*(submit() for _ in range(concurrent)))


async def perform(peer: InPeer, task: str) -> None:
    if task == "prepare":
        await peer.prepare()
    elif task == "work":
        await peer.work()
    else:
        async with peer.client() as client:
            await (submit(client, peer.plan) if task == "submit" else single(client))


async def single(client: Client) -> None:
    while line := await asyncio.to_thread(sys.stdin.readline):
        began = time.monotonic_ns()
        await client.one(int(line))
        print_mark("sent", int(line), began)


def chunks(plan: Plan) -> Iterator[range]:
    """Yields the job indexes of each call, without end if the number of jobs is not limited."""
    begins = itertools.count(0, plan.chunk) if plan.jobs is None else range(0, plan.jobs, plan.chunk)
    for begin in begins:
        yield range(begin, begin + plan.chunk if plan.jobs is None else min(plan.jobs, begin + plan.chunk))


async def submit(client: Client, plan: Plan) -> None:
    """Submits with concurrent callers, each of which makes its next call after the last; prints the figures."""
    source, latencies = chunks(plan), list[float]()
    if plan.warm_up:
        await _call(client, source, until=time.perf_counter() + plan.warm_up, latencies=[])
    began, processor = time.perf_counter(), time.process_time()
    until = began + plan.seconds if plan.jobs is None else None
    callers = (_call(client, source, until=until, latencies=latencies) for _ in range(plan.callers))
    jobs = sum(await asyncio.gather(*callers))
    seconds = time.perf_counter() - began
    figures = {
        "jobs": jobs,
        "rate": jobs / seconds,
        "p50_ms": percentile(latencies, 0.5) * 1e3,
        "p99_ms": percentile(latencies, 0.99) * 1e3,
        "cores": (time.process_time() - processor) / seconds,
    }
    os.write(1, f"{json.dumps(figures)}\n".encode())


async def _call(client: Client, source: Iterator[range], *, until: float | None, latencies: list[float]) -> int:
    """Makes at least one call; returns the number of submitted jobs."""
    jobs = 0
    for indexes in source:
        began = time.perf_counter()
        await client.many(indexes)
        ended = time.perf_counter()
        latencies.append(ended - began)
        jobs += len(indexes)
        if until is not None and ended >= until:
            break
    return jobs
