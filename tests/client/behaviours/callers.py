"""Callers: perform a call of the table through one client.

A call has a name (`submit`, `queues.pause`) and named arguments in camelCase; its result is JSON. The names are those
of the Python client. `LineCaller` passes calls to a program in another language, one JSON object on each line:

    to the program    {"id": 1, "call": "stream", "arguments": {"jobId": "..."}, "items": true}
                      {"id": 1, "stop": true}                     ends an iteration early
    from the program  {"id": 1, "value": ...}                     result of a call
                      {"id": 1, "item": ...} ... {"id": 1, "end": true}
                      {"id": 1, "error": {"kind": "NotFound", "code": "NOT_FOUND", "message": "...", ...}}

`kind` is the name of the Python client's exception; `code`, `status` and `details` are those of an `ApiError`. Calls
with different IDs run at the same time. The program ends at the end of its input.
"""

import asyncio
import json
import re
from asyncio.subprocess import PIPE
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, Protocol

from duly.client import ApiError, AsyncClient, Client, ClientError, JobNotCompleted, SignatureError, verify_webhook

_END = object()
_KNOWN = (ClientError, SignatureError, TimeoutError)


class CallFailed(Exception):
    """Error of a call, as every client reports it."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error)
        self.kind = error["kind"]
        self.code = error.get("code")
        self.status = error.get("status")
        self.details: dict[str, Any] = error.get("details") or {}


class Caller(Protocol):
    """Client of the service at one URL."""

    async def call(self, name: str, /, **arguments: Any) -> Any:
        """Performs a call. Returns its result."""

    def items(self, name: str, /, **arguments: Any) -> AsyncGenerator[Any, None]:
        """Performs a call that yields items. Closing the generator ends it."""


def as_error(error: Exception) -> CallFailed:
    """Returns the error of a Python client."""
    shown: dict[str, Any] = {"kind": type(error).__name__, "message": str(error)}
    if isinstance(error, ApiError):
        shown |= {"code": error.code, "status": error.status, "details": dict(error.details)}
    if isinstance(error, JobNotCompleted):
        shown |= {"code": error.code}
    return CallFailed(shown)


def _named(arguments: dict[str, Any]) -> dict[str, Any]:
    return {_snake_case(name): value for name, value in arguments.items()}


def _snake_case(name: str) -> str:
    return re.sub(r"[A-Z]", lambda letter: f"_{letter[0].lower()}", name)


def _operation(client: Client | AsyncClient, name: str) -> Callable[..., Any]:
    if name == "verifyWebhook":
        return _verify
    found: Any = client
    for part in name.split("."):
        found = getattr(found, _snake_case(part))
    operation: Callable[..., Any] = found
    return operation


def _verify(headers: dict[str, str], body: str, keys: Any) -> dict[str, Any]:
    event = verify_webhook(headers, body.encode(), keys)
    return {"id": event.id, "type": event.type, "body": event.body}


class SyncCaller:
    """`Client`, each call in a thread of its own."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def call(self, name: str, /, **arguments: Any) -> Any:
        try:
            return await asyncio.to_thread(_operation(self._client, name), **_named(arguments))
        except _KNOWN as error:
            raise as_error(error) from error

    async def items(self, name: str, /, **arguments: Any) -> AsyncGenerator[Any, None]:
        iterator = _operation(self._client, name)(**_named(arguments))
        reading = False
        try:
            while True:
                reading = True
                item = await asyncio.to_thread(next, iterator, _END)
                reading = False
                if item is _END:
                    return
                yield item
        except _KNOWN as error:
            raise as_error(error) from error
        finally:
            if not reading:
                iterator.close()


class AsyncCaller:
    """`AsyncClient`."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def call(self, name: str, /, **arguments: Any) -> Any:
        try:
            found = _operation(self._client, name)(**_named(arguments))
            return await found if isinstance(found, Awaitable) else found
        except _KNOWN as error:
            raise as_error(error) from error

    async def items(self, name: str, /, **arguments: Any) -> AsyncGenerator[Any, None]:
        try:
            async with aclosing(_operation(self._client, name)(**_named(arguments))) as iterator:
                async for item in iterator:
                    yield item
        except _KNOWN as error:
            raise as_error(error) from error


class LineCaller:
    """Program that performs the calls, one JSON object on each line."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._replies: dict[int, asyncio.Queue[dict[str, Any]]] = {}

    def note(self, line: bytes) -> None:
        """Takes a line of the program."""
        reply = json.loads(line)
        if (waiting := self._replies.get(reply["id"])) is not None:
            waiting.put_nowait(reply)

    async def call(self, name: str, /, **arguments: Any) -> Any:
        async with aclosing(self._exchange({"call": name, "arguments": arguments})) as replies:
            return (await anext(replies))["value"]

    async def items(self, name: str, /, **arguments: Any) -> AsyncGenerator[Any, None]:
        async with aclosing(self._exchange({"call": name, "arguments": arguments, "items": True})) as replies:
            async for reply in replies:
                if reply.get("end"):
                    return
                yield reply["item"]

    async def _exchange(self, request: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        number = len(self._replies) + 1
        replies = self._replies[number] = asyncio.Queue()
        self._send({"id": number, **request})
        try:
            while True:
                reply = await replies.get()
                if "error" in reply:
                    raise CallFailed(reply["error"])
                yield reply
        finally:
            if request.get("items"):
                self._send({"id": number, "stop": True})

    def _send(self, message: dict[str, Any]) -> None:
        self._write(json.dumps(message).encode() + b"\n")


@asynccontextmanager
async def calling_program(command: Sequence[str]) -> AsyncGenerator[LineCaller, None]:
    """Starts a program that speaks the line protocol; ends its input and waits for its end after the block."""
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, limit=1 << 24)
    assert process.stdin is not None
    assert process.stdout is not None
    caller = LineCaller(process.stdin.write)

    async def read(lines: asyncio.StreamReader) -> None:
        async for line in lines:
            caller.note(line)

    reading = asyncio.create_task(read(process.stdout))
    try:
        yield caller
    finally:
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), 60)
        finally:
            if process.returncode is None:
                process.kill()
            reading.cancel()
