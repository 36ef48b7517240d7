"""HTTP connections of the simulated buyers. A program of your own uses `duly.client`, which does much more.

100,000 buyers on the machine of the service must cost little: these take a tenth of the processor time of an HTTP
library, and know only what the service sends.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import orjson


class Connection:
    """Connection that is kept open between requests, and opened again if the service closed it."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self._host, self._port = str(address.hostname), address.port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def request(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Returns status and body of the response. Repeats the request once, so it must be safe to repeat."""
        try:
            return await self._request(method, path, body)
        except (OSError, asyncio.IncompleteReadError):
            self.close()
            return await self._request(method, path, body)

    async def follow(self, path: str) -> AsyncIterator[Any]:
        """Yields the frames of an event stream until the service ends it; none if it refuses the stream."""
        reader = await self._send("GET", path, None)
        status, length = await _head(reader)
        if status != HTTPStatus.OK:
            await reader.readexactly(length)
            return
        while (size := int(await reader.readline(), 16)) > 0:
            frame = (await reader.readexactly(size + 2)).decode()
            for line in frame.splitlines():
                if line.startswith("data:"):
                    yield orjson.loads(line[5:])
        self.close()

    def close(self) -> None:
        """Closes the connection; the next request opens another one."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def _request(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        reader = await self._send(method, path, body)
        status, length = await _head(reader)
        content = await reader.readexactly(length)
        return status, orjson.loads(content) if content else None

    async def _send(self, method: str, path: str, body: Any) -> asyncio.StreamReader:
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        content = b"" if body is None else orjson.dumps(body)
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
        await writer.drain()
        return reader


async def _head(reader: asyncio.StreamReader) -> tuple[int, int]:
    """Returns the status and the length of the body, which is 0 if it is sent in chunks."""
    lines = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
    lengths = [int(line[15:]) for line in lines if line[:15].lower() == b"content-length:"]
    return int(lines[0].split(b" ")[1]), sum(lengths)


class Connections:
    """Bounded number of connections. A buyer waits for a free one, as a browser waits for a full server."""

    def __init__(self, url: str, *, size: int) -> None:
        self._free: asyncio.LifoQueue[Connection] = asyncio.LifoQueue()
        self._all = [Connection(url) for _ in range(size)]
        for connection in self._all:
            self._free.put_nowait(connection)

    @asynccontextmanager
    async def one(self) -> AsyncIterator[Connection]:
        """Yields a connection that no other buyer uses in the block."""
        connection = await self._free.get()
        try:
            yield connection
        except BaseException:
            connection.close()  # a response may be half read
            raise
        finally:
            self._free.put_nowait(connection)

    def close(self) -> None:
        """Closes all connections."""
        for connection in self._all:
            connection.close()
