"""Responses of event streams, and their parts of the OpenAPI document."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial
from typing import Any

from fastapi import Request, Response
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from duly.api.contract.openapi_parts import header_parameters
from duly.api.contract.response_models import Responses
from duly.api.server.exchange import Exchange
from duly.api.server.scope_values import node_of, principal_of
from duly.errors import Invalid, PathError
from duly.stream.capacity import StreamCapacity
from duly.stream.sse import NO_ROOM, StreamText

STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "Incremental": "?1"}
_FRAME = """event: job_progress
data: {"type":"job_progress","jobId":"0199c1f0-0000-7000-8000-000000000000","sequence":3,"progress":25}
id: 3

"""
STREAM_RESPONSES: Responses = {
    200: {
        "description": "The stream. Comments keep the connection open",
        "content": {"text/event-stream": {"schema": {"type": "string"}, "example": _FRAME}},
    }
}
# Members that the middleware and this package read by themselves.
STREAM_DOCUMENT: dict[str, Any] = {
    "parameters": [
        *header_parameters({"Last-Event-ID": "Resumes after this frame; takes precedence over `lastEventId`."}),
        {
            "name": "ticket",
            "in": "query",
            "description": "Stream ticket, instead of an API key; see `POST /api/v1/stream-tickets`.",
            "schema": {"type": "string"},
        },
    ]
}


def stream_response(request: Request, messages: AsyncGenerator[StreamText, None]) -> Response:
    """Returns a response that sends messages until they end, or the key of the request is refused."""
    pieces = _within(node_of(request).stream_capacity, messages)
    return _KeyedStream(pieces)


class _KeyedStream(StreamingResponse):
    """Stream that ends once the key with which it was opened has expired or was revoked."""

    def __init__(self, pieces: AsyncGenerator[StreamText, None]) -> None:
        super().__init__(pieces, media_type="text/event-stream", headers=STREAM_HEADERS)
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the stream, if possible after the routes have returned."""
        exchange: Exchange = scope["duly.exchange"]
        if exchange.sends_later:
            exchange.later = partial(self._send_to_end, scope)
        else:
            await self._send_to_end(scope, receive, send)

    async def _send_to_end(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the stream until its end, that of its key, or until the client has gone."""
        loop = asyncio.get_running_loop()

        def end() -> None:
            if not limit.expired():  # else it ends already, for another reason
                limit.reschedule(loop.time())

        try:
            async with asyncio.timeout(None) as limit, aclosing(self._pieces):
                with node_of(scope).key_verifier.holding(principal_of(scope), end):
                    leaving = loop.create_task(_wait_until_gone(receive, end))
                    try:
                        await self.stream_response(send)
                    finally:
                        leaving.cancel()
        except TimeoutError:
            if not limit.expired() or not scope["duly.exchange"].begun:
                raise
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _wait_until_gone(receive: Receive, end: Callable[[], None]) -> None:
    """Ends the stream when its client disconnects."""
    while (await receive())["type"] != "http.disconnect":
        pass
    end()


async def _within(
    capacity: StreamCapacity, messages: AsyncGenerator[StreamText, None]
) -> AsyncGenerator[StreamText, None]:
    """Yields the messages, or an empty stream if the capacity is exhausted: a browser reconnects after that, but not
    after an error.
    """
    async with aclosing(messages):
        with capacity.place() as found:
            if not found:
                yield NO_ROOM
                return
            async for piece in messages:
                yield piece


def unknown_frame(member: str) -> Invalid:
    """Returns the error of a position that is not the id of a frame of the stream."""
    return Invalid.at([PathError(member, "not the id of a frame of this stream")])
