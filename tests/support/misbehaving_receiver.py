"""Webhook receiver with a behavior for each path, most of them faulty."""

import asyncio
import gzip
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

BOUND_SECONDS = 60.0


@dataclass(frozen=True)
class Post:
    """Request as received."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def webhook_id(self) -> str:
        return self.headers["webhook-id"]


Behavior = Callable[[Post, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class MisbehavingReceiver:
    """Receiver that records each request in order and then applies the behavior of its path; 204 without one.

    `busy` and `busiest`: current and highest number of open requests to a path.
    """

    def __init__(self, manners: Mapping[str, Behavior] | None = None) -> None:
        self.manners = dict(manners or {})
        self.posts: list[Post] = []
        self.busy: Counter[str] = Counter()
        self.busiest: Counter[str] = Counter()
        self.port = 0
        self.tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def at(self, path: str) -> list[Post]:
        return [post for post in self.posts if post.path == path]

    async def until(self, reached: Callable[[], bool], *, seconds: float = BOUND_SECONDS) -> None:
        """Waits until the condition is true; checks it after each request and response."""
        async with asyncio.timeout(seconds):
            while not reached():
                self._changed.clear()
                await self._changed.wait()

    async def has(self, path: str, *, times: int = 1, seconds: float = BOUND_SECONDS) -> list[Post]:
        await self.until(lambda: len(self.at(path)) >= times, seconds=seconds)
        return self.at(path)

    def take(self, listening: socket.socket) -> None:
        """Accepts one connection, which is served by its own task."""
        taken, _ = listening.accept()
        taken.setblocking(False)
        task = asyncio.get_running_loop().create_task(self._serve(taken))
        self.tasks.add(task)
        task.add_done_callback(lambda _: taken.close())  # it may have been cancelled before it began
        task.add_done_callback(self.tasks.discard)

    async def _serve(self, taken: socket.socket) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection(sock=taken)
            try:
                while True:
                    await self._mind(await _post(reader), reader, writer)
            finally:
                await _let_go(writer)

    async def _mind(self, post: Post, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.posts.append(post)
        self.busy[post.path] += 1
        self.busiest[post.path] = max(self.busiest[post.path], self.busy[post.path])
        self._changed.set()
        try:
            await self.manners.get(post.path, answers(204))(post, reader, writer)
        finally:
            self.busy[post.path] -= 1
            self._changed.set()


async def _post(reader: asyncio.StreamReader) -> Post:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    pairs = (line.partition(":") for line in head[1:] if line)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    body = await reader.readexactly(int(headers["content-length"]))
    return Post(head[0].split()[1].partition("?")[0], headers, body)


async def _let_go(writer: asyncio.StreamWriter) -> None:
    """Closes a connection after sending buffered data, unless the client has stopped reading."""
    writer.close()
    with suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(1):
            await writer.wait_closed()
            return
    writer.transport.abort()


@asynccontextmanager
async def misbehaving_receiver(manners: Mapping[str, Behavior] | None = None) -> AsyncIterator[MisbehavingReceiver]:
    receiver = MisbehavingReceiver(manners)
    # Not asyncio's server, which leaves a connection open that arrives while it is closed.
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        listening.setblocking(False)
        receiver.port = listening.getsockname()[1]
        loop = asyncio.get_running_loop()
        loop.add_reader(listening, receiver.take, listening)
        try:
            yield receiver
        finally:
            loop.remove_reader(listening)
            for task in receiver.tasks:
                task.cancel()
            if receiver.tasks:
                await asyncio.wait(receiver.tasks)


def answers(status: int, *, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Behavior:
    lines = [f"HTTP/1.1 {status} Whatever", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return sends(("\r\n".join(lines) + "\r\n\r\n").encode() + body)


def sends(data: bytes, *, then_closes: bool = False) -> Behavior:
    """Behavior that sends these bytes and then keeps or closes the connection."""

    async def behave(_post: Post, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        if then_closes:
            raise ConnectionError

    return behave


def repeats(piece: bytes, *, first: bytes = b"", pause: float = 0) -> Behavior:
    """Behavior that sends `piece` repeatedly until the client disconnects."""

    async def behave(_post: Post, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)

    return behave


def hangs(*, first: bytes = b"") -> Behavior:
    """Behavior that sends `first` and then nothing until the client disconnects."""

    async def behave(_post: Post, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        await writer.drain()
        await reader.read()
        raise ConnectionError

    return behave


def after(seconds: float, *, then: Behavior) -> Behavior:
    """Behavior that delays its response."""

    async def behave(post: Post, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(seconds)
        await then(post, reader, writer)

    return behave


def waits_for(gate: asyncio.Event, *, then: Behavior) -> Behavior:
    async def behave(post: Post, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await gate.wait()
        await then(post, reader, writer)

    return behave


def at_first(manner: Behavior, *, then: Behavior) -> Behavior:
    """Behavior with one response to the first attempt of a webhook and another to later ones."""
    met: set[str] = set()

    async def behave(post: Post, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        chosen = then if post.webhook_id in met else manner
        met.add(post.webhook_id)
        await chosen(post, reader, writer)

    return behave


async def resets(_post: Post, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Resets the connection in the middle of a response."""
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc")
    await writer.drain()
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()
    raise ConnectionError


CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
CHUNK = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
# 64 MiB of zeros in 64 KiB.
BOMB = gzip.compress(bytes(1 << 20), mtime=0) * 64  # members follow one another (RFC 1952, section 2.2)
BOMB_HEAD = b"HTTP/1.1 500 Whatever\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(BOMB)
