"""TCP proxy on a fixed port that cuts connections at chosen bytes and can switch to another service."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class _Cut:
    """Connection of a client."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self.after: bytes | None = None
        self._seen = b""

    async def pass_down(self, reader: asyncio.StreamReader) -> bool:
        """Relays the bytes of the service up to the cut; returns whether the connection was cut."""
        while piece := await reader.read(65_536):
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

    def reset(self) -> None:
        found: socket.socket | None = self._writer.get_extra_info("socket")
        if found is not None and not self._writer.is_closing():
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._writer.transport.abort()


class CuttingProxy:
    """Relays bytes in both directions. While `target` is None, connections are reset."""

    def __init__(self, target: str | None) -> None:
        self.target = target
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
                upward = asyncio.create_task(_pass_up(reader, to_there))
                try:
                    was_cut = await connection.pass_down(there)
                    self.cuts += was_cut
                finally:
                    upward.cancel()
                    to_there.close()
        finally:
            self._open.discard(connection)
            writer.close()


async def _pass_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while piece := await reader.read(65_536):
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
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        server.close()
        proxy.reset_all()
