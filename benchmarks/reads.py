"""Reads single jobs, each connection the next one when it has its answer: `python -m benchmarks.reads PLAN`."""

import asyncio
import itertools
import json
import sys
import time
from dataclasses import asdict, dataclass

import uvloop

from benchmarks.figures import percentile
from benchmarks.load import open_connections

FOUND = 200
GRACE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """What is answered in the first `warm_up` seconds is not counted."""

    port: int
    job_ids: tuple[str, ...]
    connections: int = 16
    seconds: float = 3.0
    warm_up: float = 0.5


@dataclass(frozen=True, slots=True)
class ReadOutcome:
    found: int
    missed: int
    rate: float
    p50_ms: float
    p99_ms: float


class Reads:
    """A source that asks for the jobs in turn until the time is used up."""

    def __init__(self, plan: ReadPlan) -> None:
        self._requests = itertools.cycle([_get(job_id) for job_id in plan.job_ids])
        self._counts_from = time.perf_counter() + plan.warm_up
        self._stops_at = self._counts_from + plan.seconds
        self._seconds = plan.seconds
        self._under_way = 0
        self._latencies: list[float] = []
        self._missed = 0
        self.ended = asyncio.Event()

    def next_request(self) -> bytes | None:
        if time.perf_counter() < self._stops_at:
            self._under_way += 1
            return next(self._requests)
        if self._under_way == 0:
            self.ended.set()
        return None

    def answered(self, status: int, *, sent_at: float) -> None:
        now = time.perf_counter()
        self._under_way -= 1
        if not self._counts_from <= now <= self._stops_at:
            return
        if status == FOUND:
            self._latencies.append(now - sent_at)
        else:
            self._missed += 1

    def broke(self) -> None:
        self._missed += 1
        self._under_way = max(0, self._under_way - 1)

    def outcome(self) -> ReadOutcome:
        return ReadOutcome(
            found=len(self._latencies),
            missed=self._missed,
            rate=len(self._latencies) / self._seconds,
            p50_ms=percentile(self._latencies, 0.5) * 1e3,
            p99_ms=percentile(self._latencies, 0.99) * 1e3,
        )


def _get(job_id: str) -> bytes:
    return f"GET /api/v1/jobs/{job_id} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


async def run(plan: ReadPlan) -> ReadOutcome:
    reads = Reads(plan)
    connections = await open_connections(reads, port=plan.port, count=plan.connections)
    for connection in connections:
        connection.send_next()
    try:
        async with asyncio.timeout(plan.warm_up + plan.seconds + GRACE_SECONDS):
            await reads.ended.wait()
    except TimeoutError:
        print("some answers never came", file=sys.stderr)
    for connection in connections:
        connection.close()
    return reads.outcome()


if __name__ == "__main__":
    print(json.dumps(asdict(uvloop.run(run(ReadPlan(**json.loads(sys.argv[1])))))))
