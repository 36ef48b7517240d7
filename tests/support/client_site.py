"""Site that serves a page with the TypeScript client, and the service beside it, as one origin."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.support.browser import Relay, listening

PROGRAMS: Final = Path(__file__).parent / "typescript"
_TYPES: Final = {".js": "text/javascript", ".mjs": "text/javascript", ".html": "text/html"}


@dataclass
class Site(Relay):
    """Relay with files of its own. A connection carries one request.

    Attributes:
        holds_streams: event streams deliver nothing, as behind a proxy that buffers.
        cuts_polls: long polls are answered with 504, as by a proxy with a short timeout.
        relayed: targets of the requests to the service.
    """

    dist: Path = PROGRAMS
    holds_streams: bool = False
    cuts_polls: bool = False
    relayed: list[str] = field(default_factory=list)

    async def pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes = b"") -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, OSError):
            return writer.close()
        path = head.split(b" ", 2)[1].decode()
        if (file := self._file(path)) is not None:
            return _respond(writer, "200 OK", file.read_bytes(), _TYPES[file.suffix])
        self.relayed.append(path)
        if self.cuts_polls and "wait=" in path:
            return _respond(writer, "504 Gateway Timeout", b"", "text/html")
        if self.holds_streams and "/events/stream" in path:
            await reader.read()
            return writer.close()
        one_request = head.replace(b"Connection: keep-alive", b"Connection: close")
        return await super().pass_on(
            reader, writer, one_request.replace(b"connection: keep-alive", b"connection: close")
        )

    def _file(self, path: str) -> Path | None:
        folder = self.dist if path.startswith("/duly-client/") else PROGRAMS
        file = folder / Path(path).name
        return file if file.is_file() and file.suffix in _TYPES else None


def _respond(writer: asyncio.StreamWriter, status: str, body: bytes, content_type: str) -> None:
    headers = f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    writer.write(f"HTTP/1.1 {status}\r\n{headers}".encode() + body)
    writer.close()


@asynccontextmanager
async def running_site(dist: Path) -> AsyncIterator[Site]:
    site = Site("", None, dist=dist)
    async with listening(site):
        yield site
