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

    async def say(self, type_: str, **members: Any) -> None:
        await self.connection.send(json.dumps({"type": type_, **members}))

    async def hear(self) -> dict[str, Any]:
        async with asyncio.timeout(BOUND_SECONDS):
            heard: dict[str, Any] = json.loads(await self.connection.recv())
        return heard

    async def hear_many(self, count: int) -> list[dict[str, Any]]:
        return [await self.hear() for _ in range(count)]

    async def hear_to_the_end(self) -> tuple[list[dict[str, Any]], int | None]:
        """Returns all messages until the service closes the socket, and the close code."""
        heard = []
        try:
            while True:
                heard.append(await self.hear())
        except ConnectionClosed as closed:
            return heard, closed.rcvd.code if closed.rcvd else None

    async def request(self, type_: str, **members: Any) -> dict[str, Any]:
        """Sends a message and returns the next one received."""
        await self.say(type_, **members)
        return await self.hear()

    async def refused(self, text: str | bytes, code: str) -> dict[str, Any]:
        """Sends an invalid message and returns the error, checked to have the shape of all errors."""
        await self.connection.send(text)
        heard = await self.hear()
        assert heard["type"] == "error", heard
        assert set(heard) == {"type", "ref", "error"}
        assert set(heard["error"]) == {"code", "message", "details"}
        assert heard["error"]["code"] == code, heard
        assert isinstance(heard["error"]["details"]["retryable"], bool)
        assert heard["error"]["details"]["reason"]
        return heard

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
    where: dict[str, Any] = {"host": here.host, "port": here.port}
    async with connect(uri, proxy=None, additional_headers=headers, **where, **options) as connection:
        yield Socket(connection)
