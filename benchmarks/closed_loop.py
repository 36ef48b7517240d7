"""Closed-loop load generator: keep-alive connections that each send the next request after the response to the last.

Runs in its own process (`python -m benchmarks.closed_loop PLAN`) and prints one line of JSON. It shares the machine
with the service that it measures, so a request must cost only a few microseconds: its bytes are built once, and
responses are split but not parsed.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Protocol, cast

import uvloop

from benchmarks.http_messages import post, split_message
from benchmarks.stats import percentile

ACCEPTED = 202
GRACE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """Plan of one load, which ends after `seconds`, or earlier once `requests` were sent.

    Responses within the first `warm_up` seconds are not counted. The time is extended to the first response that
    counts, so that a busy machine does not fail a contestant.
    """

    port: int
    path: str
    body: str
    connections: int = 64
    seconds: float = 4.0
    warm_up: float = 0.5
    requests: int | None = None


@dataclass(frozen=True, slots=True)
class LoadOutcome:
    """`rate`: accepted requests per second; `refused`: responses other than 202; `broken`: closed connections."""

    accepted: int
    refused: int
    broken: int
    seconds: float
    rate: float
    p50_ms: float
    p99_ms: float
    generator_cores: float
    statuses: dict[str, int] = field(default_factory=dict)


class Source(Protocol):
    """Source of the requests of connections, and receiver of their responses."""

    def next_request(self) -> bytes | None: ...

    def on_response(self, status: int, *, sent_at: float) -> None: ...

    def on_disconnect(self) -> None: ...


class Connection(asyncio.Protocol):
    """Keep-alive connection with at most one request in flight."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._received = b""
        self._sent_at = 0.0
        self._closing = False
        self.busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's do not inherit from it

    def send_next(self) -> None:
        """Sends the next request of the source; stays idle if there is none."""
        request = self._source.next_request()
        self.busy = request is not None
        if request is not None:
            self._sent_at = time.perf_counter()
            self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received = self._received + data if self._received else data
        message = split_message(self._received)
        if message is None:
            return
        self._received = message.rest
        self._source.on_response(message.status, sent_at=self._sent_at)
        self.send_next()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.busy = False
        if not self._closing:
            self._source.on_disconnect()

    def close(self) -> None:
        self._closing = True
        self._transport.close()


class Load:
    """Source that repeats one request until the time has elapsed or all requests were sent."""

    def __init__(self, plan: LoadPlan) -> None:
        self._plan = plan
        self._request = post(plan.path, plan.body.encode())
        self._left = plan.requests if plan.requests is not None else sys.maxsize
        self._in_flight = 0
        self._latencies: list[float] = []
        self._statuses: Counter[int] = Counter()
        self._broken = 0
        self.ended = asyncio.Event()

    def start(self) -> None:
        now = time.perf_counter()
        self._counts_from = now + self._plan.warm_up
        self._stops_at = self._counts_from + self._plan.seconds
        self._last_at = now

    def next_request(self) -> bytes | None:
        if self._left <= 0 or (self._statuses and time.perf_counter() >= self._stops_at):
            if self._in_flight == 0:
                self.ended.set()
            return None
        self._left -= 1
        self._in_flight += 1
        return self._request

    def on_response(self, status: int, *, sent_at: float) -> None:
        now = time.perf_counter()
        self._in_flight -= 1
        if now < self._counts_from or (self._statuses and now > self._stops_at):
            return
        self._statuses[status] += 1
        self._last_at = now
        if status == ACCEPTED:
            self._latencies.append(now - sent_at)

    def on_disconnect(self) -> None:
        self._broken += 1
        self._in_flight = max(0, self._in_flight - 1)
        if self._broken == self._plan.connections:
            self.ended.set()

    def outcome(self, generator_cores: float) -> LoadOutcome:
        until = self._last_at if self._left <= 0 else max(self._last_at, self._stops_at)
        seconds = max(until - self._counts_from, 1e-9)
        accepted = self._statuses[ACCEPTED]
        return LoadOutcome(
            accepted=accepted,
            refused=self._statuses.total() - accepted,
            broken=self._broken,
            seconds=seconds,
            rate=accepted / seconds,
            p50_ms=percentile(self._latencies, 0.5) * 1e3,
            p99_ms=percentile(self._latencies, 0.99) * 1e3,
            generator_cores=generator_cores,
            statuses={str(status): count for status, count in self._statuses.items()},
        )


async def open_connections(source: Source, *, port: int, count: int) -> list[Connection]:
    loop = asyncio.get_running_loop()
    return [(await loop.create_connection(lambda: Connection(source), "127.0.0.1", port))[1] for _ in range(count)]


async def run(plan: LoadPlan) -> LoadOutcome:
    load = Load(plan)
    connections = await open_connections(load, port=plan.port, count=plan.connections)
    processor, wall = time.process_time(), time.perf_counter()
    load.start()
    for connection in connections:
        connection.send_next()
    try:
        async with asyncio.timeout(plan.warm_up + plan.seconds + GRACE_SECONDS):
            await load.ended.wait()
    except TimeoutError:
        print("timed out waiting for responses", file=sys.stderr)
    cores = (time.process_time() - processor) / (time.perf_counter() - wall)
    for connection in connections:
        connection.close()
    return load.outcome(cores)


if __name__ == "__main__":
    print(json.dumps(asdict(uvloop.run(run(LoadPlan(**json.loads(sys.argv[1])))))))
