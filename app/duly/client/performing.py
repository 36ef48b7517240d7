"""Performers of steps over httpx: one blocks its thread, the other its task."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Generator, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack
from typing import Any, TypeVar, assert_never

import httpx

from duly.client.ndjson import LineBuffer
from duly.client.request import Documents, Request
from duly.client.responses import is_event_stream
from duly.client.steps import Connect, Course, Item, Items, Pause, Read, Reply, Send, Step, Steps
from duly.telemetry.current_trace import current_traceparent

ResultT = TypeVar("ResultT")
ItemT = TypeVar("ItemT")


class Blocking:
    """Performs steps with a blocking HTTP client. Threads may share one."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http

    def run(self, steps: Steps[ResultT]) -> ResultT:
        """Returns the result of a call."""
        course, reply = Course(steps), None
        with _Exchange(self.http) as exchange:
            while (step := course.advance(reply)) is not None:
                reply = exchange.perform(step)
        return course.result

    def iterate(self, steps: Items[ItemT]) -> Generator[ItemT, None, None]:
        """Yields the items of a call."""
        course, reply = Course(steps), None
        with _Exchange(self.http) as exchange:
            while (step := course.advance(reply)) is not None:
                reply = None
                if isinstance(step, Item):
                    yield step.value
                else:
                    reply = exchange.perform(step)


class NonBlocking:
    """Performs steps with an asynchronous HTTP client, in one event loop."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def run(self, steps: Steps[ResultT]) -> ResultT:
        """Returns the result of a call."""
        course, reply = Course(steps), None
        async with _AsyncExchange(self.http) as exchange:
            while (step := course.advance(reply)) is not None:
                reply = await exchange.perform(step)
        return course.result

    async def iterate(self, steps: Items[ItemT]) -> AsyncGenerator[ItemT, None]:
        """Yields the items of a call."""
        course, reply = Course(steps), None
        async with _AsyncExchange(self.http) as exchange:
            while (step := course.advance(reply)) is not None:
                reply = None
                if isinstance(step, Item):
                    yield step.value
                else:
                    reply = await exchange.perform(step)


class _Exchange(ExitStack):
    """Steps of one call, with its open stream."""

    def __init__(self, http: httpx.Client) -> None:
        super().__init__()
        self._http = http
        self._pieces: Iterator[bytes] = iter(())

    def perform(self, step: Step) -> Reply:
        try:
            match step:
                case Send(request):
                    return self._http.request(**_arguments(self._http, request), content=_content(request))
                case Connect():
                    return self._connect(step)
                case Read():
                    return next(self._pieces, None)
                case Pause(seconds):
                    time.sleep(seconds)
                    return None
                case _:
                    assert_never(step)
        except httpx.RequestError as error:
            return error

    def _connect(self, step: Connect) -> httpx.Response:
        self.close()
        response = self.enter_context(self._http.stream(**_stream_arguments(self._http, step)))
        if is_event_stream(response):
            self._pieces = response.iter_bytes()
        else:
            response.read()
        return response


class _AsyncExchange(AsyncExitStack):
    """Steps of one call, with its open stream."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        super().__init__()
        self._http = http
        self._pieces: AsyncIterator[bytes] = _nothing()

    async def perform(self, step: Step) -> Reply:
        try:
            match step:
                case Send(request):
                    return await self._http.request(**_arguments(self._http, request), content=_async_content(request))
                case Connect():
                    return await self._connect(step)
                case Read():
                    return await anext(self._pieces, None)
                case Pause(seconds):
                    await asyncio.sleep(seconds)
                    return None
                case _:
                    assert_never(step)
        except httpx.RequestError as error:
            return error

    async def _connect(self, step: Connect) -> httpx.Response:
        await self.aclose()
        response = await self.enter_async_context(self._http.stream(**_stream_arguments(self._http, step)))
        if is_event_stream(response):
            self._pieces = response.aiter_bytes()
        else:
            await response.aread()
        return response


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield


def _arguments(http: httpx.Client | httpx.AsyncClient, request: Request) -> dict[str, Any]:
    read = http.timeout.read
    timeout = _read_timeout(http, None if read is None else read + request.extra_seconds)
    named = {"method": request.method, "url": request.path, "headers": _headers(request), "timeout": timeout}
    return named | ({"params": request.query} if request.query else {})


def _headers(request: Request) -> Mapping[str, str]:
    """Returns the headers of a request, which continues the trace of its caller where it changes something."""
    traceparent = None if request.method == "GET" else current_traceparent()
    return request.headers if traceparent is None else {"traceparent": traceparent, **request.headers}


def _stream_arguments(http: httpx.Client | httpx.AsyncClient, step: Connect) -> dict[str, Any]:
    return _arguments(http, step.request) | {"timeout": _read_timeout(http, step.silence_seconds)}


def _read_timeout(http: httpx.Client | httpx.AsyncClient, seconds: float | None) -> httpx.Timeout:
    return httpx.Timeout(**(http.timeout.as_dict() | {"read": seconds}))


def _content(request: Request) -> bytes | Iterator[bytes] | None:
    if request.documents is None:
        return request.content
    if isinstance(request.documents, AsyncIterable):
        raise TypeError("jobs is an asynchronous iterable, which needs an AsyncClient")
    return LineBuffer().pieces(request.documents)


def _async_content(request: Request) -> bytes | AsyncIterator[bytes] | None:
    if request.documents is None:
        return request.content
    return LineBuffer().async_pieces(_asynchronous(request.documents))


async def _asynchronous(documents: Documents) -> AsyncIterator[object]:
    if isinstance(documents, AsyncIterable):
        async for document in documents:
            yield document
        return
    for document in documents:
        yield document
