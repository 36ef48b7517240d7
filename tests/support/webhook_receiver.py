"""Webhook receiver: real HTTP on loopback, controlled by the test."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from duly.webhooks.signature import verify_hex, verify_standard
from tests.support.tcp_servers import tcp_server


@dataclass
class Received:
    """Request as received."""

    headers: Mapping[str, str]
    body: bytes

    def verify(self, secret: str) -> None:
        """Verifies both signatures; raises an error if one is wrong."""
        verify_standard(secret, self.headers, self.body)
        verify_hex(secret, self.headers["x-webhook-signature"], self.body)


@dataclass
class Receiver:
    """Receiver that responds with the given statuses, repeating the last one; `hold` makes it wait first."""

    url: str = ""
    statuses: list[int] = field(default_factory=lambda: [204])
    answer_headers: dict[str, str] = field(default_factory=dict)
    answer_body: bytes = b""
    received: "asyncio.Queue[Received]" = field(default_factory=asyncio.Queue)
    hold: asyncio.Event | None = None
    hits: int = 0
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def next(self) -> Received:
        async with asyncio.timeout(60):
            return await self.received.get()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        try:
            while line := await reader.readline():
                assert line.startswith(b"POST"), line
                headers = {}
                while header := (await reader.readline()).decode().strip():
                    name, _, value = header.partition(":")
                    headers[name.lower()] = value.strip()
                body = await reader.readexactly(int(headers["content-length"]))
                self.hits += 1
                self.received.put_nowait(Received(headers, body))
                if self.hold is not None:
                    await self.hold.wait()
                writer.write(self._answer())
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def _answer(self) -> bytes:
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        lines = [f"HTTP/1.1 {status} Whatever", f"content-length: {len(self.answer_body)}"]
        lines += [f"{name}: {value}" for name, value in self.answer_headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + self.answer_body


@asynccontextmanager
async def running_receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    async with tcp_server(receiver.serve) as url:
        receiver.url = f"{url}/hook"
        yield receiver
