"""`/ws/jobs` over several cells: one socket of the client, and one inner conversation for each cell that it needs.

Each message goes to the cell of its job. The conversation of the first cell is open from the beginning: it answers
messages that are about no job, has the socket's place among the streams of the process, and ends the socket with its
key or the node.
"""

import asyncio
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from duly.api.contract.error_responses import as_duly_error, encoded, error_content
from duly.api.server.scope_values import node_of
from duly.api.streams.websocket import SERVICE_RESTART, SHARES_PLACE
from duly.cells.local_call import Cells
from duly.cells.placing import place
from duly.cells.rules import cell_of_text
from duly.cells.submissions import places_of
from duly.lifecycle.submit.submission_errors import nested_under

# Messages that a cell has not taken yet; beyond that, the client waits.
MOST_WAITING: Final = 64


class SocketOverCells:
    """Serves WebSockets, as bare ASGI.

    Args:
        cells: the cells.
        endpoint: the conversation of one cell.
    """

    def __init__(self, cells: Cells, endpoint: ASGIApp) -> None:
        self._cells = cells
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one WebSocket."""
        await receive()  # websocket.connect
        await send({"type": "websocket.accept"})
        ended = await _Socket(self._cells, self._endpoint, scope, send=send).run(receive)
        if ended is not None:
            await send(ended)


class _Inner(NamedTuple):
    """Conversation of one cell, and the messages that it gets."""

    messages: asyncio.Queue[Message]
    task: asyncio.Task[None]


class _Socket:
    """One WebSocket and its conversations."""

    def __init__(self, cells: Cells, endpoint: ASGIApp, scope: Scope, *, send: Send) -> None:
        self._cells = cells
        self._endpoint = endpoint
        self._scope = scope
        self._send = send
        self._turn = asyncio.Lock()
        self._inner: dict[int, _Inner] = {}
        self._closed: asyncio.Future[Message | None] = asyncio.get_running_loop().create_future()
        self._first = cells.nodes.index(node_of(scope))

    async def run(self, receive: Receive) -> Message | None:
        """Runs until either side ends it. Returns the message that closes the socket; None if the client has left."""
        listening = asyncio.create_task(self._listen(receive))
        try:
            self._open(self._first)
            await asyncio.wait((listening, self._closed), return_when=asyncio.FIRST_COMPLETED)
            if not self._closed.done():
                await listening  # raises its error
                return None
            if (closing := self._closed.result()) is not None and closing.get("code") == SERVICE_RESTART:
                await asyncio.wait([inner.task for inner in self._inner.values()])  # each sends its last frames
            return closing
        finally:
            listening.cancel()
            await self._end()

    async def _end(self) -> None:
        """Ends all conversations, as the client's leaving does."""
        tasks = [inner.task for inner in self._inner.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _open(self, cell: int) -> _Inner:
        """Returns the conversation of a cell."""
        if (inner := self._inner.get(cell)) is not None:
            return inner
        messages: asyncio.Queue[Message] = asyncio.Queue(MOST_WAITING)
        messages.put_nowait({"type": "websocket.connect"})
        scope = self._cells.scope_at(cell, self._scope, **{SHARES_PLACE: cell != self._first})
        task = asyncio.create_task(self._converse(scope, messages))
        task.add_done_callback(self._conversation_ended)
        self._inner[cell] = inner = _Inner(messages, task)
        return inner

    async def _converse(self, scope: Scope, messages: asyncio.Queue[Message]) -> None:
        await self._endpoint(scope, messages.get, self._pass_on)

    def _conversation_ended(self, task: asyncio.Task[None]) -> None:
        if not self._closed.done():
            failed = None if task.cancelled() else task.exception()
            if failed is not None:
                self._closed.set_exception(failed)
            else:
                self._closed.set_result(None)

    async def _pass_on(self, message: Message) -> None:
        """Sends a frame of one conversation. The close of one closes the socket."""
        if message["type"] == "websocket.close":
            if not self._closed.done():
                self._closed.set_result(message)
        elif message["type"] == "websocket.send":
            async with self._turn:
                await self._send(message)

    async def _listen(self, receive: Receive) -> None:
        while True:
            received = await receive()
            if received["type"] == "websocket.disconnect":
                return
            try:
                cells = self._cells_of(received.get("text"))
            except Exception as error:  # noqa: BLE001  # sent to the client
                await self._send_error(received.get("text"), error)
                continue
            for cell in cells:
                await self._open(cell).messages.put(received)

    def _cells_of(self, text: str | None) -> Iterable[int]:
        """Returns the cells that a message is for. One that cannot be read is refused by the first.

        Raises:
            CellAway: its cell does not serve.
            Invalid: a submission needs different cells.
        """
        message = _read(text)
        cell = self._cell_of_submission(message) if message.get("type") == "submit_job" else self._cell_of_job(message)
        if cell is None:
            return (self._first,)
        self._cells.require(cell)
        return (cell,)

    def _cell_of_job(self, message: dict[str, Any]) -> int | None:
        return cell_of_text(message.get("jobId"), self._cells.count)

    def _cell_of_submission(self, message: dict[str, Any]) -> int:
        key = message.get("idempotencyKey")
        with nested_under("job"):
            cell = place(
                message.get("job"), places_of(self._cells, self._scope), key=key if isinstance(key, str) else None
            )
        return cell if cell is not None else self._cells.next_serving()

    async def _send_error(self, text: str | None, error: Exception) -> None:
        failure = as_duly_error(error, request_id=self._scope["duly.request_id"])
        node_of(self._scope).metrics.refused.labels(failure.code).inc()
        if failure.retry_after_seconds is not None:  # a header over HTTP
            failure.details["retryAfterSeconds"] = failure.retry_after_seconds
        ref = _read(text).get("ref")
        frame = {"type": "error", "ref": ref if isinstance(ref, str) else None, "error": error_content(failure)}
        await self._pass_on({"type": "websocket.send", "text": encoded(frame).decode()})


def _read(text: str | None) -> dict[str, Any]:
    """Returns the members of a message; none of one that is not a JSON object."""
    try:
        value: object = orjson.loads(text or "")
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}
