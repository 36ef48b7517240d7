"""HTTP as bytes that a client library would normalize or refuse to send."""

import asyncio
import re
from collections.abc import Sequence

import httpx

_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)
BOUND_SECONDS = 60


async def exchanged(url: str, request: bytes, *, bodies: Sequence[int | None]) -> list[bytes]:
    """Sends bytes on one connection and reads one response for each of `bodies`, the lengths of their bodies.

    None stands for the response's `Content-Length`. Fails if a response has more bytes.
    """
    address = httpx.URL(url)
    reader, writer = await asyncio.open_connection(address.host, address.port)
    try:
        writer.write(request)
        async with asyncio.timeout(BOUND_SECONDS):
            return [await _response(reader, length) for length in bodies]
    finally:
        writer.close()


async def _response(reader: asyncio.StreamReader, length: int | None) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 "), head
    if length is None:
        announced = _LENGTH.search(head)
        length = int(announced[1]) if announced else 0
    return head + await reader.readexactly(length)
