"""A receiver of webhooks: on some of its ports it answers 204 at once, on the others it misbehaves.

Runs in a process of its own (`python -m benchmarks.receiver PLAN`) and first prints its ports as a line of JSON. Told a
number, it prints a line once so many have come; told `over`, it prints what came and ends.
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

from benchmarks.lives import CHECK_EVERY, Receiver, is_signed
from benchmarks.wire import Message

JOB = re.compile(rb'"jobId" ?: ?"([0-9a-f-]{36})"')
OVER = "over"


@dataclass(frozen=True, slots=True)
class ReceiverPlan:
    """`ports` answer. There is another port for each of the `manners`, all of them bad: see `Manner`. Unless it
    `remembers`, messages are only counted.
    """

    ports: int = 1
    manners: tuple[str, ...] = ()
    remembers: bool = True


@dataclass(slots=True)
class Received:
    """What came to the ports that answer: of each job one a port is due.

    `seconds` lie between the first and the last; `arrivals` tells when each job's came first, by the wall clock;
    `swallowed` is what came to the ports that misbehave.
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


def say(members: object) -> None:
    print(json.dumps(members), flush=True)


class Mail:
    """What has come, and who waits for how much of it."""

    def __init__(self, plan: ReceiverPlan) -> None:
        self._remembers = plan.remembers
        self._seen: set[tuple[int, bytes]] = set()
        self._wanted: int | None = None
        self.came = Received()

    def take(self, message: Message, port: int) -> None:
        now = time.time()
        if self._remembers and not self._is_new(message, port, now):
            return
        came = self.came
        came.received += 1
        came.first_at = came.first_at or now
        came.last_at = now
        self._tell_if_all_came()

    def _is_new(self, message: Message, port: int, now: float) -> bool:
        found = JOB.search(message.body)
        if found is None:
            self.came.unread += 1
            return False
        if (port, found[1]) in self._seen:
            self.came.repeated += 1
            return False
        self._seen.add((port, found[1]))
        self.came.arrivals.setdefault(found[1].decode(), now)
        if len(self._seen) % CHECK_EVERY == 0:
            self.came.bad_signatures += not is_signed(message)
        return True

    def tell_at(self, wanted: int) -> None:
        """Prints a line once so many have come."""
        self._wanted = wanted
        self._tell_if_all_came()

    def _tell_if_all_came(self) -> None:
        if self._wanted is not None and self.came.received >= self._wanted:
            self._wanted = None
            say({"reached": self.came.received})


@dataclass(frozen=True, slots=True)
class Door:
    """One port."""

    mail: Mail
    number: int

    def reported(self, message: Message) -> None:
        self.mail.take(message, self.number)


class Manner(StrEnum):
    """Answer of a hostile receiver: none at all, or one of three without an end."""

    SILENT = "silent"
    SLOW_BODY = "slow body"
    ENDLESS_BODY = "endless body"
    HEADER_FLOOD = "header flood"


_STATUS = b"HTTP/1.1 200 OK\r\n"
_CHUNK = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
_FLOOD = b"x-more: and more\r\n" * 512
# How each answer begins, and what follows again and again. The beginning is longer than anyone reads: to send without
# a pause would only take the machine's time from those that are measured.
ANSWERS: dict[Manner, tuple[bytes, bytes]] = {
    Manner.SLOW_BODY: (_STATUS + b"content-length: 60000\r\n\r\n", b"x"),
    Manner.ENDLESS_BODY: (_STATUS + b"transfer-encoding: chunked\r\n\r\n" + _CHUNK * 8, _CHUNK),
    Manner.HEADER_FLOOD: (_STATUS + _FLOOD * 8, _FLOOD),
}
PAUSE_SECONDS = 0.05


class Hostile(asyncio.Protocol):
    """A connection that takes whatever is sent and never comes to the end of an answer."""

    def __init__(self, came: Received, manner: Manner) -> None:
        self._came = came
        self._manner = manner
        self._goes_on = asyncio.Event()
        self._answering: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's do not inherit from it
        self._goes_on.set()

    def data_received(self, data: bytes) -> None:
        self._came.swallowed += data.startswith(b"POST ")
        if self._manner in ANSWERS and self._answering is None:
            self._answering = asyncio.get_running_loop().create_task(self._answer(*ANSWERS[self._manner]))

    async def _answer(self, beginning: bytes, piece: bytes) -> None:
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
        if self._answering is not None:
            self._answering.cancel()


async def run(plan: ReceiverPlan) -> Received:
    loop, mail = asyncio.get_running_loop(), Mail(plan)
    doors = [Door(mail, number) for number in range(plan.ports)]
    answering = [await loop.create_server(partial(Receiver, door), "127.0.0.1", 0) for door in doors]
    bad_doors = [partial(Hostile, mail.came, Manner(manner)) for manner in plan.manners]
    hostile = [await loop.create_server(door, "127.0.0.1", 0) for door in bad_doors]
    say({"ports": [_port(each) for each in answering], "hostile": [_port(each) for each in hostile]})
    told = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(told), sys.stdin)
    while (line := (await told.readline()).decode().strip()) and line != OVER:
        mail.tell_at(int(line))
    return mail.came


def _port(server: asyncio.Server) -> int:
    port: int = server.sockets[0].getsockname()[1]
    return port


if __name__ == "__main__":
    say(asdict(uvloop.run(run(ReceiverPlan(**json.loads(sys.argv[1]))))))
