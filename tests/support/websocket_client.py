"""Client of `/ws/jobs`."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.support.service import BOUND_SECONDS, Service


class Socket:
    """Connection with a time limit on every wait."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def send(self, type_: str, **members: Any) -> None:
        await self.connection.send(json.dumps({"type": type_, **members}))

    async def receive(self) -> dict[str, Any]:
        async with asyncio.timeout(BOUND_SECONDS):
            received: dict[str, Any] = json.loads(await self.connection.recv())
        return received

    async def receive_many(self, count: int) -> list[dict[str, Any]]:
        return [await self.receive() for _ in range(count)]

    async def receive_to_end(self) -> tuple[list[dict[str, Any]], int | None]:
        """Returns all messages until the service closes the socket, and the close code."""
        received = []
        try:
            while True:
                received.append(await self.receive())
        except ConnectionClosed as closed:
            return received, closed.rcvd.code if closed.rcvd else None

    async def request(self, type_: str, **members: Any) -> dict[str, Any]:
        """Sends a message and returns the next one received."""
        await self.send(type_, **members)
        return await self.receive()

    async def refused(self, text: str | bytes, code: str) -> dict[str, Any]:
        """Sends an invalid message and returns the error, checked to have the shape of all errors."""
        await self.connection.send(text)
        received = await self.receive()
        assert received["type"] == "error", received
        assert set(received) == {"type", "ref", "error"}
        assert set(received["error"]) == {"code", "message", "details"}
        assert received["error"]["code"] == code, received
        assert isinstance(received["error"]["details"]["retryable"], bool)
        assert received["error"]["details"]["reason"]
        return received

    async def is_open(self) -> None:
        """Checks that no other message was received before."""
        assert await self.request("ping", ref="still?") == {"type": "pong", "ref": "still?"}


@asynccontextmanager
async def socket_to(
    service: Service, path: str = "/ws/jobs", *, additional_headers: Mapping[str, str] | None = None, **options: Any
) -> AsyncIterator[Socket]:
    headers = dict(additional_headers or {})
    here = httpx.URL(service.url)
    uri = f"ws://{headers.pop('Host', here.netloc.decode())}{path}"
    address: dict[str, Any] = {"host": here.host, "port": here.port}
    async with connect(uri, proxy=None, additional_headers=headers, **address, **options) as connection:
        yield Socket(connection)
