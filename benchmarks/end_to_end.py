"""Jobs end to end: submits jobs with a callback and receives their webhooks, with a limit on the jobs in flight.

Runs in its own process (`python -m benchmarks.end_to_end PLAN`) and prints one line of JSON. Because the jobs in
flight are limited, the measured rate is one that the contestant sustains, not the rate at which it fills its backlog.
"""

import asyncio
import hashlib
import hmac
import json
import re
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Protocol, cast

import uvloop

from benchmarks.closed_loop import ACCEPTED, Connection, open_connections
from benchmarks.http_messages import Message, post, split_message
from benchmarks.stats import percentile
from benchmarks.submissions import SECRET, SINGLE_PATH, one

INDEX = re.compile(rb'"index": ?(\d+)')
SIGNATURE = re.compile(rb"\r\nx-webhook-signature: *sha256=([0-9a-f]{64})", re.IGNORECASE)
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
CHECK_EVERY = 20
DRAIN_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class EndToEndPlan:
    """Plan of one load. Jobs are counted for `seconds` after `warm_up`, at least until the first one that counts.

    `in_flight` limits the jobs that were submitted and whose webhook was not yet received.
    """

    port: int
    connections: int = 64
    in_flight: int = 512
    seconds: float = 5.0
    warm_up: float = 1.0


@dataclass(frozen=True, slots=True)
class EndToEndOutcome:
    """`rate`: webhooks of distinct jobs per second; `lost`: accepted jobs without a webhook at the end."""

    jobs: int
    rate: float
    p50_ms: float
    p99_ms: float
    refused: int
    lost: int
    repeated: int
    bad_signatures: int
    generator_cores: float
    statuses: dict[str, int] = field(default_factory=dict)


class Reports(Protocol):
    """Receiver of each webhook message."""

    def on_webhook(self, message: Message) -> None: ...


class Receiver(asyncio.Protocol):
    """One connection of the webhook receiver: responds with 204 to each message and passes it on."""

    def __init__(self, reports: Reports) -> None:
        self._reports = reports
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's do not inherit from it

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (message := split_message(self._received)) is not None:
            self._received = message.rest
            self._transport.write(NO_CONTENT)
            self._reports.on_webhook(message)


class EndToEndLoad:
    """Source that submits while the limit of jobs in flight allows it; each webhook allows one more."""

    def __init__(self, plan: EndToEndPlan) -> None:
        self._plan = plan
        self._submitted = 0
        self._sent_at: dict[int, float] = {}
        self._latencies: list[float] = []
        self._statuses: Counter[int] = Counter()
        self._repeated = self._bad = 0
        self._idle_at = 0
        self.connections: list[Connection] = []

    def start(self, receiver_port: int) -> None:
        self._callback_url = f"http://127.0.0.1:{receiver_port}/webhooks"
        self._counts_from = time.perf_counter() + self._plan.warm_up
        self._stops_at = self._last_at = self._counts_from + self._plan.seconds
        for connection in self.connections:
            connection.send_next()

    @property
    def in_flight(self) -> int:
        return len(self._sent_at)

    @property
    def over(self) -> bool:
        return bool(self._latencies) and time.perf_counter() >= self._stops_at

    def next_request(self) -> bytes | None:
        if self.in_flight >= self._plan.in_flight or self.over:
            return None
        index, self._submitted = self._submitted, self._submitted + 1
        self._sent_at[index] = time.perf_counter()
        return post(SINGLE_PATH, one(index, callback_url=self._callback_url))

    def on_response(self, status: int, *, sent_at: float) -> None:
        del sent_at
        self._statuses[status] += 1

    def on_disconnect(self) -> None:
        self._statuses[0] += 1

    def on_webhook(self, message: Message) -> None:
        found = INDEX.search(message.body)
        index = int(found[1]) if found else -1
        sent_at = self._sent_at.pop(index, None)
        if sent_at is None:
            self._repeated += 1
            return
        if index % CHECK_EVERY == 0:
            self._bad += not is_signed(message)
        now = time.perf_counter()
        if self._counts_from <= now and not self.over:
            self._latencies.append(now - sent_at)
            self._last_at = now
        self._wake_one()

    def _wake_one(self) -> None:
        for _ in self.connections:
            self._idle_at = (self._idle_at + 1) % len(self.connections)
            if not self.connections[self._idle_at].busy:
                self.connections[self._idle_at].send_next()
                return

    def outcome(self, generator_cores: float) -> EndToEndOutcome:
        refused = self._statuses.total() - self._statuses[ACCEPTED]
        return EndToEndOutcome(
            jobs=len(self._latencies),
            rate=len(self._latencies) / (max(self._last_at, self._stops_at) - self._counts_from),
            p50_ms=percentile(self._latencies, 0.5) * 1e3,
            p99_ms=percentile(self._latencies, 0.99) * 1e3,
            refused=refused,
            lost=max(0, self.in_flight - refused),
            repeated=self._repeated,
            bad_signatures=self._bad,
            generator_cores=generator_cores,
            statuses={str(status): count for status, count in self._statuses.items()},
        )


def is_signed(message: Message) -> bool:
    found = SIGNATURE.search(message.head)
    expected = hmac.new(SECRET.encode(), message.body, hashlib.sha256).hexdigest().encode()
    return found is not None and hmac.compare_digest(found[1], expected)


async def run(plan: EndToEndPlan) -> EndToEndOutcome:
    load = EndToEndLoad(plan)
    server = await asyncio.get_running_loop().create_server(lambda: Receiver(load), "127.0.0.1", 0)
    load.connections = await open_connections(load, port=plan.port, count=plan.connections)
    processor, wall = time.process_time(), time.perf_counter()
    load.start(server.sockets[0].getsockname()[1])
    await asyncio.sleep(plan.warm_up + plan.seconds)
    until = time.perf_counter() + DRAIN_SECONDS
    while not load.over and time.perf_counter() < until:
        await asyncio.sleep(0.02)
    cores = (time.process_time() - processor) / (time.perf_counter() - wall)
    until = time.perf_counter() + DRAIN_SECONDS
    while load.in_flight and time.perf_counter() < until:
        await asyncio.sleep(0.02)
    for connection in load.connections:
        connection.close()
    server.close()
    return load.outcome(cores)


if __name__ == "__main__":
    print(json.dumps(asdict(uvloop.run(run(EndToEndPlan(**json.loads(sys.argv[1])))))))
