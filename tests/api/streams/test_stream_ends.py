"""The end of a stream whose client leaves while its key is refused: each of them may come first, and again."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from duly.api.server.exchange import Exchange
from duly.api.server.scope_values import NODE, PRINCIPAL
from duly.api.streams.stream_response import _KeyedStream
from duly.stream.sse import OPENING, StreamText
from tests.support.service import BOUND_SECONDS


async def test_what_ends_a_stream_may_happen_more_than_once() -> None:
    cuts: list[Callable[[], None]] = []
    held, closing, closed, gone = (asyncio.Event() for _ in range(4))
    sent: list[Any] = []

    async def pieces() -> AsyncGenerator[StreamText, None]:
        try:
            yield OPENING
            await asyncio.Event().wait()
        finally:
            closing.set()
            await closed.wait()

    @contextmanager
    def holding(_: Any, cut: Callable[[], None]) -> Iterator[None]:
        cuts.append(cut)
        held.set()
        yield

    async def receive() -> Any:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    exchange = Exchange(send, b"id", "")
    node = SimpleNamespace(key_verifier=SimpleNamespace(holding=holding))
    scope = {"duly.exchange": exchange, NODE: node, PRINCIPAL: None}
    async with asyncio.timeout(BOUND_SECONDS):
        streaming = asyncio.ensure_future(_KeyedStream(pieces())(scope, receive, exchange.send))
        await held.wait()
        gone.set()
        await closing.wait()
        cuts[0]()  # the key is refused while the stream ends
        cuts[0]()
        closed.set()
        await streaming
        cuts[0]()
    assert sent[-1] == {"type": "http.response.body", "body": b"", "more_body": False}
