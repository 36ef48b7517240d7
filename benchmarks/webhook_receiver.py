"""Webhook receiver: some of its ports respond with 204 at once, the others misbehave.

Runs in its own process (`python -m benchmarks.webhook_receiver PLAN`) and first prints its ports as one line of JSON.
A number on stdin makes it print a line once that many webhooks were received; `over` makes it print its counts and
exit.
"""

import asyncio
import json
import re
import sys
import time
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import partial
from typing import cast

import uvloop

from benchmarks.end_to_end import CHECK_EVERY, Receiver, is_signed
from benchmarks.http_messages import Message

JOB = re.compile(rb'"jobId" ?: ?"([0-9a-f-]{36})"')
OVER = "over"


@dataclass(frozen=True, slots=True)
class ReceiverPlan:
    """Plan of a receiver: number of responding ports, and one more port for each of `misbehaviors`.

    Without `remembers`, messages are only counted.
    """

    ports: int = 1
    misbehaviors: tuple[str, ...] = ()
    remembers: bool = True


@dataclass(slots=True)
class Received:
    """Counts of the responding ports, where one webhook per job and port is due.

    `seconds` is the time from the first to the last; `arrivals` has the wall-clock time of the first webhook of each
    job; `swallowed` counts the requests to hostile ports.
    """

    received: int = 0
    repeated: int = 0
    bad_signatures: int = 0
    unread: int = 0
    swallowed: int = 0
    first_at: float = 0.0
    last_at: float = 0.0
    arrivals: dict[str, float] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        return max(self.last_at - self.first_at, 1e-9)

    @property
    def wrong(self) -> int:
        return self.repeated + self.bad_signatures + self.unread


def send_line(members: object) -> None:
    print(json.dumps(members), flush=True)


class Inbox:
    """Received webhooks, and the number that is waited for."""

    def __init__(self, plan: ReceiverPlan) -> None:
        self._remembers = plan.remembers
        self._seen: set[tuple[int, bytes]] = set()
        self._wanted: int | None = None
        self.webhooks = Received()

    def take(self, message: Message, port: int) -> None:
        now = time.time()
        if self._remembers and not self._is_new(message, port, now):
            return
        webhooks = self.webhooks
        webhooks.received += 1
        webhooks.first_at = webhooks.first_at or now
        webhooks.last_at = now
        self._report_if_reached()

    def _is_new(self, message: Message, port: int, now: float) -> bool:
        found = JOB.search(message.body)
        if found is None:
            self.webhooks.unread += 1
            return False
        if (port, found[1]) in self._seen:
            self.webhooks.repeated += 1
            return False
        self._seen.add((port, found[1]))
        self.webhooks.arrivals.setdefault(found[1].decode(), now)
        if len(self._seen) % CHECK_EVERY == 0:
            self.webhooks.bad_signatures += not is_signed(message)
        return True

    def report_at(self, wanted: int) -> None:
        """Prints a line once this number of webhooks was received."""
        self._wanted = wanted
        self._report_if_reached()

    def _report_if_reached(self) -> None:
        if self._wanted is not None and self.webhooks.received >= self._wanted:
            self._wanted = None
            send_line({"reached": self.webhooks.received})


@dataclass(frozen=True, slots=True)
class Port:
    """Responding port."""

    inbox: Inbox
    number: int

    def on_webhook(self, message: Message) -> None:
        self.inbox.take(message, self.number)


class Misbehavior(StrEnum):
    """Response of a hostile receiver: none, or one of three that never end."""

    SILENT = "silent"
    SLOW_BODY = "slow body"
    ENDLESS_BODY = "endless body"
    HEADER_FLOOD = "header flood"


_STATUS = b"HTTP/1.1 200 OK\r\n"
_CHUNK = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
_FLOOD = b"x-more: and more\r\n" * 512
# Start of each response, and the piece that is repeated. The start is longer than a client reads; sending without
# pauses would only take CPU time from the measured processes.
RESPONSES: dict[Misbehavior, tuple[bytes, bytes]] = {
    Misbehavior.SLOW_BODY: (_STATUS + b"content-length: 60000\r\n\r\n", b"x"),
    Misbehavior.ENDLESS_BODY: (_STATUS + b"transfer-encoding: chunked\r\n\r\n" + _CHUNK * 8, _CHUNK),
    Misbehavior.HEADER_FLOOD: (_STATUS + _FLOOD * 8, _FLOOD),
}
PAUSE_SECONDS = 0.05


class Hostile(asyncio.Protocol):
    """Connection that reads everything and never finishes a response."""

    def __init__(self, webhooks: Received, misbehavior: Misbehavior) -> None:
        self._webhooks = webhooks
        self._misbehavior = misbehavior
        self._goes_on = asyncio.Event()
        self._responding: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's do not inherit from it
        self._goes_on.set()

    def data_received(self, data: bytes) -> None:
        self._webhooks.swallowed += data.startswith(b"POST ")
        if self._misbehavior in RESPONSES and self._responding is None:
            self._responding = asyncio.get_running_loop().create_task(self._respond(*RESPONSES[self._misbehavior]))

    async def _respond(self, beginning: bytes, piece: bytes) -> None:
        self._transport.write(beginning)
        while not self._transport.is_closing():
            await self._goes_on.wait()
            self._transport.write(piece)
            await asyncio.sleep(PAUSE_SECONDS)

    def pause_writing(self) -> None:
        self._goes_on.clear()

    def resume_writing(self) -> None:
        self._goes_on.set()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self._responding is not None:
            self._responding.cancel()


async def run(plan: ReceiverPlan) -> Received:
    loop, inbox = asyncio.get_running_loop(), Inbox(plan)
    responding_ports = [Port(inbox, number) for number in range(plan.ports)]
    responding = [await loop.create_server(partial(Receiver, door), "127.0.0.1", 0) for door in responding_ports]
    hostile_ports = [partial(Hostile, inbox.webhooks, Misbehavior(misbehavior)) for misbehavior in plan.misbehaviors]
    hostile = [await loop.create_server(door, "127.0.0.1", 0) for door in hostile_ports]
    send_line({"ports": [_port(each) for each in responding], "hostile": [_port(each) for each in hostile]})
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while (line := (await commands.readline()).decode().strip()) and line != OVER:
        inbox.report_at(int(line))
    return inbox.webhooks


def _port(server: asyncio.Server) -> int:
    port: int = server.sockets[0].getsockname()[1]
    return port


if __name__ == "__main__":
    send_line(asdict(uvloop.run(run(ReceiverPlan(**json.loads(sys.argv[1]))))))
