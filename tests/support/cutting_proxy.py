"""TCP proxy on a fixed port that cuts connections at chosen bytes and can switch to another service."""

import asyncio
import re
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

from tests.support.tcp_servers import tcp_server

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_END_OF_HEAD = b"\r\n\r\n"
_HEAD = re.compile(rb"(?m)^([A-Z]+) (\S+) HTTP/1\.1\r\n((?:[^\r\n]+\r\n)*)\r\n")


class _Cut:
    """Connection of a client."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self.after: bytes | None = None
        self._seen = b""

    async def pass_down(self, reader: asyncio.StreamReader, proxy: "CuttingProxy") -> bool:
        """Relays the bytes of the service up to the cut; returns whether the connection was cut."""
        while piece := await reader.read(65_536):
            if proxy.lose_answers:
                proxy.lose_answers -= 1
                if proxy.passes_lost_heads:
                    self.respond(piece[: piece.index(_END_OF_HEAD) + len(_END_OF_HEAD)])
                else:
                    self.reset()
                return True
            if self.after is not None:
                before = len(self._seen)
                self._seen += piece
                if (found := self._seen.find(self.after)) >= 0:
                    self._writer.write(piece[: found + len(self.after) - before])
                    await self._writer.drain()
                    return True
            self._writer.write(piece)
            await self._writer.drain()
        return False

    def respond(self, answer: bytes) -> None:
        """Sends this in place of the service's whole response, and ends the connection."""
        self._writer.write(answer)
        self._writer.close()

    def reset(self) -> None:
        found: socket.socket | None = self._writer.get_extra_info("socket")
        if found is not None and not self._writer.is_closing():
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._writer.transport.abort()


class CuttingProxy:
    """Relays bytes in both directions. While `target` is None, connections are reset.

    Attributes:
        lose_answers: number of the next responses that are lost, with their connections.
        refuse: responds to requests whose head contains these bytes with the given ones, in place of the service.
        passes_lost_heads: lets the head of a lost response through, so that browsers do not repeat its request.
        heads: method, target and headers of each request.
    """

    def __init__(self, target: str | None) -> None:
        self.target = target
        self.lose_answers = 0
        self.refuse: dict[bytes, bytes] = {}
        self.passes_lost_heads = False
        self.heads: list[tuple[str, str, str]] = []
        self.url = ""
        self.cuts = 0
        self._open: set[_Cut] = set()

    def reset_all(self) -> None:
        """Resets every connection."""
        for each in list(self._open):
            each.reset()
        self._open.clear()

    def cut_each_after(self, marker: bytes) -> int:
        """Ends each current connection right after these bytes; returns the value that `cuts` then reaches."""
        for each in self._open:
            each.after = marker
        return self.cuts + len(self._open)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one connection."""
        connection = _Cut(writer)
        if self.target is None:
            connection.reset()
            return
        address = urlsplit(self.target)
        self._open.add(connection)
        try:
            with suppress(OSError):
                there, to_there = await asyncio.open_connection(address.hostname, address.port)
                upward = asyncio.create_task(self._pass_up(reader, to_there, connection))
                try:
                    was_cut = await connection.pass_down(there, self)
                    self.cuts += was_cut
                finally:
                    upward.cancel()
                    to_there.close()
        finally:
            self._open.discard(connection)
            writer.close()

    async def _pass_up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: _Cut) -> None:
        try:
            while piece := await reader.read(65_536):
                self.heads += [
                    (method.decode(), target.decode(), headers.decode("latin-1").lower())
                    for method, target, headers in _HEAD.findall(piece)
                ]
                if answers := [answer for part, answer in self.refuse.items() if part in piece]:
                    connection.respond(answers[0])
                    return
                writer.write(piece)
                await writer.drain()
        except OSError:  # the client is gone
            pass
        finally:
            writer.close()


@asynccontextmanager
async def cutting_proxy(target: str) -> AsyncIterator[CuttingProxy]:
    """Runs a proxy before `target` on a free loopback port."""
    proxy = CuttingProxy(target)
    async with tcp_server(proxy.serve) as proxy.url:
        try:
            yield proxy
        finally:
            proxy.reset_all()
