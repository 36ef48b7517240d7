"""Receiver on a plain socket with a faulty behavior, and a resolver, for tests of the guarded client."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from duly.domain.egress_policy import EgressPolicy, parse_networks
from duly.outbound import OutboundClient, OutboundError
from duly.outbound.resolver import AddressInfo

LOOPBACK = EgressPolicy(parse_networks("127.0.0.0/8"))
HEADERS = {"Content-Type": "application/json", "User-Agent": "Duly/test"}
EMPTY = b"HTTP/1.1 204 No Content\r\n\r\n"

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Receiver:
    """Server that records requests and then applies its behavior to the connection."""

    def __init__(self, behaviour: Behaviour, *, reads_bodies: bool) -> None:
        self.connections = 0
        self.open = 0
        self.most_open = 0
        self.heads: list[str] = []
        self.bodies: list[bytes] = []
        self.closed = asyncio.Event()
        self.port = 0
        self.writers: list[asyncio.StreamWriter] = []
        self._behaviour = behaviour
        self._reads_bodies = reads_bodies and behaviour is not ignores_the_body

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        self.open += 1
        self.most_open = max(self.open, self.most_open)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
                while True:
                    await self._take(reader)
                    await self._behaviour(reader, writer)
        finally:
            writer.close()
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(1):
                    await writer.wait_closed()  # else a loop that ends now leaves the socket open
            self.open -= 1
            self.closed.set()

    async def _take(self, reader: asyncio.StreamReader) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.heads.append(head)
        if self._reads_bodies:
            length = int(head.lower().partition("content-length:")[2].partition("\r\n")[0] or 0)
            self.bodies.append(await reader.readexactly(length))


@asynccontextmanager
async def receiver(
    behaviour: Behaviour,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    tls: ssl.SSLContext | None = None,
    reads_bodies: bool = True,
) -> AsyncIterator[Receiver]:
    made = Receiver(behaviour, reads_bodies=reads_bodies)
    server = await asyncio.start_server(made.serve, host, port, ssl=tls)
    made.port = server.sockets[0].getsockname()[1]
    async with server:
        try:
            yield made
        finally:
            server.close()
            for writer in made.writers:
                writer.transport.abort()
            async with asyncio.timeout(60):
                while made.open:
                    made.closed.clear()
                    await made.closed.wait()


def answers(data: bytes) -> Behaviour:
    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()

    return behave


def answers_and_closes(data: bytes) -> Behaviour:
    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        raise ConnectionError

    return behave


def repeats(data: bytes, *, after: bytes = b"", pause: float = 0) -> Behaviour:
    """Sends `data` repeatedly until the client disconnects."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(after)
        while True:
            writer.write(data)
            await writer.drain()
            await asyncio.sleep(pause)

    return behave


async def ignores_the_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()
    await writer.wait_closed()


async def is_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    raise ConnectionError


class FakeLookup:
    """Resolves names to addresses of the test; each lookup takes the next answer, repeating the last one."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def resolve(self, host: str, port: int) -> list[AddressInfo]:
        self.asked.append(host)
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [address_info(at, port) for at in found]

    def close(self) -> None:
        pass


def address_info(address: str, port: int) -> AddressInfo:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return (family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port))


async def failure(client: OutboundClient, url: str, *, content: bytes = b"{}") -> OutboundError:
    with pytest.raises(OutboundError) as raised:
        await client.post(url, content=content, headers=HEADERS)
    return raised.value
