"""Followers of server-sent events: many streams in one process, which counts the events of all of them.

Runs in its own process (`python -m benchmarks.stream_followers PLAN`). It prints a line of JSON once all streams are
open, and one with the outcome after the events.
"""

import asyncio
import json
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import cast

import uvloop

from benchmarks.open_loop import allow_files

# Line of an event, the same from all contestants. Comments and positions do not contain it.
EVENT = b"event: job_submitted\n"
# Connections that are being opened at the same time.
OPENING = 100
OPEN_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class FollowersPlan:
    """Plan to follow a path with `streams` connections, until each has received `events` or `seconds` have passed."""

    port: int
    path: str
    streams: int
    events: int
    seconds: float


@dataclass(slots=True)
class Followed:
    """Outcome: the number of events over all streams, and the wall-clock time of the last one."""

    received: int = 0
    last_at: float = 0.0


class Stream(asyncio.Protocol):
    """One stream. A mark that is cut by the end of a read is found in the next one."""

    def __init__(self, followers: "Followers") -> None:
        self._followers = followers
        self._rest = b""
        self.began = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(self._followers.request)

    def data_received(self, data: bytes) -> None:
        if not self.began.done():
            self.began.set_result(None)
        text = self._rest + data
        if found := text.count(EVENT):
            self._followers.count(found)
        self._rest = text[-(len(EVENT) - 1) :]

    def connection_lost(self, error: Exception | None) -> None:
        if not self.began.done():
            self.began.set_exception(error or ConnectionError("the stream ended before it began"))


class Followers:
    """All streams of the process."""

    def __init__(self, plan: FollowersPlan) -> None:
        lines = (f"GET {plan.path} HTTP/1.1", "Host: 127.0.0.1", "Accept: text/event-stream")
        self.request = "\r\n".join(lines).encode() + b"\r\n\r\n"
        self.followed = Followed()
        self._plan = plan
        self._turns = asyncio.Semaphore(OPENING)
        self._all = asyncio.Event()
        self._streams: list[Stream] = []

    def count(self, events: int) -> None:
        self.followed.received += events
        self.followed.last_at = time.time()
        if self.followed.received == self._plan.events * self._plan.streams:
            self._all.set()

    async def open(self) -> None:
        """Opens all streams, and waits until each has begun."""
        async with asyncio.timeout(OPEN_SECONDS), asyncio.TaskGroup() as group:
            for _ in range(self._plan.streams):
                group.create_task(self._open_one())

    async def _open_one(self) -> None:
        async with self._turns:
            loop = asyncio.get_running_loop()
            _, stream = await loop.create_connection(lambda: Stream(self), "127.0.0.1", self._plan.port)
            self._streams.append(stream)
            await stream.began

    async def follow(self) -> None:
        """Waits for the events, and closes the streams."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._plan.seconds):
                await self._all.wait()
        for stream in self._streams:
            stream.transport.abort()


async def run(plan: FollowersPlan) -> None:
    followers = Followers(plan)
    await followers.open()
    print(json.dumps({"open": plan.streams}), flush=True)
    await followers.follow()
    print(json.dumps(asdict(followers.followed)), flush=True)


if __name__ == "__main__":
    wanted = FollowersPlan(**json.loads(sys.argv[1]))
    allow_files(wanted.streams)
    uvloop.run(run(wanted))
