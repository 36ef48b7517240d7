"""Closed loop that reads single jobs: each connection reads the next job after the response to the last.

Runs in its own process (`python -m benchmarks.closed_loop_reads PLAN`) and prints one line of JSON.
"""

import asyncio
import itertools
import json
import sys
import time
from dataclasses import asdict, dataclass

import uvloop

from benchmarks.closed_loop import open_connections
from benchmarks.stats import percentile

FOUND = 200
GRACE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """Plan of one load of reads.

    Responses within the first `warm_up` seconds are not counted. The time is extended until one job was read.
    """

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
    """Source of requests that read the jobs in turn until the time has elapsed."""

    def __init__(self, plan: ReadPlan) -> None:
        self._requests = itertools.cycle([_get(job_id) for job_id in plan.job_ids])
        self._counts_from = time.perf_counter() + plan.warm_up
        self._stops_at = self._counts_from + plan.seconds
        self._seconds = plan.seconds
        self._in_flight = 0
        self._latencies: list[float] = []
        self._missed = 0
        self.ended = asyncio.Event()

    def next_request(self) -> bytes | None:
        if not self._latencies or time.perf_counter() < self._stops_at:
            self._in_flight += 1
            return next(self._requests)
        if self._in_flight == 0:
            self.ended.set()
        return None

    def on_response(self, status: int, *, sent_at: float) -> None:
        now = time.perf_counter()
        self._in_flight -= 1
        if now < self._counts_from or (self._latencies and now > self._stops_at):
            return
        if status == FOUND:
            self._latencies.append(now - sent_at)
        else:
            self._missed += 1

    def on_disconnect(self) -> None:
        self._missed += 1
        self._in_flight = max(0, self._in_flight - 1)

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
        print("timed out waiting for responses", file=sys.stderr)
    for connection in connections:
        connection.close()
    return reads.outcome()


if __name__ == "__main__":
    print(json.dumps(asdict(uvloop.run(run(ReadPlan(**json.loads(sys.argv[1])))))))
