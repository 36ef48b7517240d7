"""HTTP client on a plain socket, for requests that no well-behaved client sends."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from duly.api.contract.response_models import ErrorBody
from tests.support.service import BOUND_SECONDS, ServiceClient


@dataclass
class RawResponse:
    """Response as received."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    def refused(self, status: int, code: str) -> None:
        """Checks that this is an error in the shape of the contract."""
        assert self.status == status, (self.status, self.body)
        error = self.json()["error"]
        ErrorBody.model_validate({"error": error}, strict=True)
        assert error["code"] == code, error
        assert self.headers["content-type"] == "application/json"
        assert self.headers["x-request-id"]


class RawClient:
    """Connection with a time limit on every wait."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, *pieces: bytes) -> None:
        """Sends each piece in its own segment."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            if len(pieces) > 1:
                await asyncio.sleep(0.01)  # else the kernel delivers several together

    async def response(self) -> RawResponse:
        async with asyncio.timeout(BOUND_SECONDS):
            head = await self.reader.readuntil(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").strip().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            status = int(first.split(" ")[1])
            if headers.get("transfer-encoding") == "chunked":
                return RawResponse(status, headers, await self._chunks())
            return RawResponse(status, headers, await self.reader.readexactly(int(headers.get("content-length", "0"))))

    async def _chunks(self) -> bytes:
        body = b""
        while size := int(await self.reader.readline(), 16):
            body += (await self.reader.readexactly(size + 2))[:-2]
        await self.reader.readline()
        return body

    async def ask(self, *pieces: bytes) -> RawResponse:
        await self.send(*pieces)
        return await self.response()

    async def closed(self) -> bool:
        """Returns whether the service closes its side without sending more."""
        async with asyncio.timeout(BOUND_SECONDS):
            return await self.reader.read(1) == b""

    def end_sending(self) -> None:
        self.writer.write_eof()


@asynccontextmanager
async def raw_client(service: ServiceClient) -> AsyncIterator[RawClient]:
    address = urlsplit(service.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=1 << 22)
    made = writer.get_extra_info("socket")
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        yield RawClient(reader, writer)
    finally:
        writer.transport.abort()


def request(method: str, target: str, *headers: str, body: bytes = b"", host: str = "localhost") -> bytes:
    """Builds a request, with a Content-Length if it has a body."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *headers]
    lines += [f"Content-Length: {len(body)}"] if body else []
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


SUBMISSION = b'{"type":"echo","parameters":{"n":1}}'


def submission(*headers: str, body: bytes = SUBMISSION) -> bytes:
    """Builds a request that submits a job."""
    return request("POST", "/api/v1/jobs", "Content-Type: application/json", *headers, body=body)
