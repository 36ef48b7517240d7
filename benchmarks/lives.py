"""Whole lives: submits jobs with a callback and receives their webhooks, with a bound on how many are under way.

Runs in a process of its own (`python -m benchmarks.lives PLAN`) and prints one line of JSON. Because what is under way
is bounded, the rate is one that the contestant keeps up, not the rate at which it fills its backlog.
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

from benchmarks.figures import percentile
from benchmarks.load import ACCEPTED, Connection, open_connections
from benchmarks.submissions import SECRET, SINGLE_PATH, one
from benchmarks.wire import Message, post, split_message

INDEX = re.compile(rb'"index": ?(\d+)')
SIGNATURE = re.compile(rb"\r\nx-webhook-signature: *sha256=([0-9a-f]{64})", re.IGNORECASE)
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
CHECK_EVERY = 20
DRAIN_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class LivesPlan:
    """Lives are counted for `seconds` after `warm_up`, at least until the first that counts.

    `under_way` bounds those submitted and not yet reported.
    """

    port: int
    connections: int = 64
    under_way: int = 512
    seconds: float = 5.0
    warm_up: float = 1.0


@dataclass(frozen=True, slots=True)
class LivesOutcome:
    """`rate` is webhooks of distinct jobs a second; `lost` were accepted and not reported when all had ended."""

    lives: int
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
    """Who is told of each webhook."""

    def reported(self, message: Message) -> None: ...


class Receiver(asyncio.Protocol):
    """One connection of the webhook receiver: answers 204 to each message and hands it on."""

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
            self._reports.reported(message)


class Lives:
    """Submits while there is room for more under way; a webhook makes room for the next."""

    def __init__(self, plan: LivesPlan) -> None:
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
    def under_way(self) -> int:
        return len(self._sent_at)

    @property
    def over(self) -> bool:
        return bool(self._latencies) and time.perf_counter() >= self._stops_at

    def next_request(self) -> bytes | None:
        if self.under_way >= self._plan.under_way or self.over:
            return None
        index, self._submitted = self._submitted, self._submitted + 1
        self._sent_at[index] = time.perf_counter()
        return post(SINGLE_PATH, one(index, callback_url=self._callback_url))

    def answered(self, status: int, *, sent_at: float) -> None:
        del sent_at
        self._statuses[status] += 1

    def broke(self) -> None:
        self._statuses[0] += 1

    def reported(self, message: Message) -> None:
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

    def outcome(self, generator_cores: float) -> LivesOutcome:
        refused = self._statuses.total() - self._statuses[ACCEPTED]
        return LivesOutcome(
            lives=len(self._latencies),
            rate=len(self._latencies) / (max(self._last_at, self._stops_at) - self._counts_from),
            p50_ms=percentile(self._latencies, 0.5) * 1e3,
            p99_ms=percentile(self._latencies, 0.99) * 1e3,
            refused=refused,
            lost=max(0, self.under_way - refused),
            repeated=self._repeated,
            bad_signatures=self._bad,
            generator_cores=generator_cores,
            statuses={str(status): count for status, count in self._statuses.items()},
        )


def is_signed(message: Message) -> bool:
    found = SIGNATURE.search(message.head)
    expected = hmac.new(SECRET.encode(), message.body, hashlib.sha256).hexdigest().encode()
    return found is not None and hmac.compare_digest(found[1], expected)


async def run(plan: LivesPlan) -> LivesOutcome:
    lives = Lives(plan)
    server = await asyncio.get_running_loop().create_server(lambda: Receiver(lives), "127.0.0.1", 0)
    lives.connections = await open_connections(lives, port=plan.port, count=plan.connections)
    processor, wall = time.process_time(), time.perf_counter()
    lives.start(server.sockets[0].getsockname()[1])
    await asyncio.sleep(plan.warm_up + plan.seconds)
    until = time.perf_counter() + DRAIN_SECONDS
    while not lives.over and time.perf_counter() < until:
        await asyncio.sleep(0.02)
    cores = (time.process_time() - processor) / (time.perf_counter() - wall)
    until = time.perf_counter() + DRAIN_SECONDS
    while lives.under_way and time.perf_counter() < until:
        await asyncio.sleep(0.02)
    for connection in lives.connections:
        connection.close()
    server.close()
    return lives.outcome(cores)


if __name__ == "__main__":
    print(json.dumps(asdict(uvloop.run(run(LivesPlan(**json.loads(sys.argv[1])))))))
