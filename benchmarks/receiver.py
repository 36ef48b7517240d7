"""A receiver of webhooks: on some of its ports it answers 204 at once, on the others it reads and never answers.

Runs in a process of its own (`python -m benchmarks.receiver PLAN`) and first prints its ports as a line of JSON. Told a
number, it prints a line once so many have come; told `over`, it prints what came and ends.
"""

import asyncio
import json
import re
import sys
import time
from dataclasses import asdict, dataclass, field
from functools import partial

import uvloop

from benchmarks.lives import CHECK_EVERY, Receiver, is_signed
from benchmarks.wire import Message

JOB = re.compile(rb'"jobId" ?: ?"([0-9a-f-]{36})"')
OVER = "over"


@dataclass(frozen=True, slots=True)
class ReceiverPlan:
    """`ports` answer and `silent` ones do not. Unless it `remembers`, messages are only counted."""

    ports: int = 1
    silent: int = 0
    remembers: bool = True


@dataclass(slots=True)
class Received:
    """What came to the ports that answer: of each job one a port is due.

    `seconds` lie between the first and the last; `arrivals` tells when each job's came first, by the wall clock;
    `swallowed` is what came to the silent ports.
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


class BlackHole(asyncio.Protocol):
    """A connection that takes whatever is sent and says nothing."""

    def __init__(self, came: Received) -> None:
        self._came = came

    def data_received(self, data: bytes) -> None:
        self._came.swallowed += data.startswith(b"POST ")


async def run(plan: ReceiverPlan) -> Received:
    loop, mail = asyncio.get_running_loop(), Mail(plan)
    doors = [Door(mail, number) for number in range(plan.ports)]
    answering = [await loop.create_server(partial(Receiver, door), "127.0.0.1", 0) for door in doors]
    silent = [await loop.create_server(partial(BlackHole, mail.came), "127.0.0.1", 0) for _ in range(plan.silent)]
    say({"ports": [_port(each) for each in answering], "silent": [_port(each) for each in silent]})
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
