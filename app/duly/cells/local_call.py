"""Local calls: requests to the application of one cell, inside of the process.

A request is authenticated once, by the application that received it. An inner request carries the result in its scope
(principal, tenant, rights of a ticket, request id), not the key; so it costs no second look-up, uses no second ticket,
and counts once for the rate of its key.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from time import monotonic
from typing import Any, Final, NamedTuple, Protocol

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from duly.api.jobs.submission_reader import SubmissionReader
from duly.api.server.exchange import RESPOND, Exchange
from duly.api.server.scope_values import BODY, HEADERS, NODE, PARSED, READER, headers_of
from duly.domain.job import DEFAULT_QUEUE
from duly.errors import CellAway, Draining, Overloaded, TooManyConnections
from duly.node import Node

# Time limit of an inner request, beyond that of its statements.
ASK_SECONDS: Final = 20.0
# Submissions of this time share a cell; with a cell for each, their statements would be as many times smaller.
TURN_SECONDS: Final = 0.002
AWAY_STATUS: Final = 503
# 503 that a cell answers although its database serves.
_NOT_AWAY: Final = frozenset({Draining.code, Overloaded.code, TooManyConnections.code})
# Headers that would make the answer of a cell other than whole, plain JSON.
_OUTER: Final = (b"accept-encoding", b"if-none-match", b"accept", b"range")
_JSON: Final = b"application/json"


class CellAnswer(NamedTuple):
    """Answer of one cell. `code`: that of an error; `headers`: by their names in lower case."""

    cell: int
    status: int
    headers: Mapping[bytes, bytes]
    body: bytes
    code: str | None = None

    @property
    def away(self) -> bool:
        """Returns whether the cell could not answer: its database does not serve, or was too slow."""
        return self.status == AWAY_STATUS and self.code not in _NOT_AWAY

    @property
    def ok(self) -> bool:
        """Returns whether the request succeeded."""
        return self.status < 300  # noqa: PLR2004  # RFC 9110, section 15.3

    def json(self) -> Any:
        """Returns the JSON value of the body, with its numbers as Python reads them."""
        return orjson.loads(self.body)


class Pinned(Protocol):
    """Queues, by tenant and name, whose jobs are all in one cell."""

    def __contains__(self, queue: tuple[int, str], /) -> bool: ...


class Cells:
    """The cells of a process, as requests see them, by their places in its list. A process that serves the API has all
    cells, so that the place of each is its number.

    Args:
        nodes: the node of each cell, in order of their numbers.
        routes: the routes, which belong to no node.
        serves: returns whether the database of the cell of this number serves.
        pinned: queues, by tenant and name, whose jobs are all in one cell.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        routes: ASGIApp,
        *,
        serves: Callable[[int], bool] | None = None,
        pinned: Pinned = frozenset(),
    ) -> None:
        self.nodes = nodes
        self.count = len(nodes)
        self.leftovers: set[asyncio.Task[object]] = set()  # see `duly.api.server.cell_reads`
        self._numbers = [node.cell.number for node in nodes]
        self.serves: Callable[[int], bool] = _by_place(serves or (lambda _cell: True), self._numbers)
        self._pinned = pinned
        self._routes = routes
        self._shared = [{NODE: node, READER: SubmissionReader(node)} for node in nodes]
        self._last = self.count - 1
        self._turn_ends = 0.0

    def pinned_queue(self, tenant_id: int, job_type: str, queue: str | None) -> str | None:
        """Returns the queue of a submission, if all its jobs are kept in one cell; see `PinnedQueue`."""
        if queue is None:
            known = self.nodes[0].job_types.find(tenant_id, job_type)
            queue = (known.queue if known is not None else None) or DEFAULT_QUEUE
        return queue if (tenant_id, queue) in self._pinned else None

    def serving(self) -> list[int]:
        """Returns the numbers of the cells that serve."""
        return [cell for cell in range(self.count) if self.serves(cell)]

    def away(self) -> list[int]:
        """Returns the numbers of the cells that do not serve."""
        return [number for place, number in enumerate(self._numbers) if not self.serves(place)]

    def next_serving(self) -> int:
        """Returns the cell that serves a request that any may serve: in turns, for `TURN_SECONDS` each, so that jobs
        that arrive together are recorded together.
        """
        now, last, count, serves = monotonic(), self._last, self.count, self.serves
        if now < self._turn_ends and serves(last):
            return last
        self._turn_ends = now + TURN_SECONDS
        for ahead in range(1, count + 1):
            cell = (last + ahead) % count
            if serves(cell):
                self._last = cell
                return cell
        self._last = (last + 1) % count
        return self._last

    def require(self, cell: int) -> None:
        """Raises CellAway if a cell does not serve."""
        if not self.serves(cell):
            raise CellAway(cell, self.count)

    def move(self, scope: Scope, cell: int) -> None:
        """Lets a cell serve a request that was authenticated elsewhere.

        Raises:
            CellAway: it does not serve.
        """
        self.require(cell)
        scope.update(self._shared[cell])

    def scope_at(self, cell: int, scope: Scope, **changed: Any) -> Scope:
        """Returns a copy of an authenticated scope, for another cell."""
        return {**scope, **self._shared[cell], **changed}

    async def forward(self, cell: int, scope: Scope, receive: Receive, send: Send) -> None:
        """Lets the routes of a cell answer an authenticated request; its answer is passed on as it arrives.

        Raises:
            CellAway: it does not serve.
        """
        self.move(scope, cell)
        await self._routes(scope, receive, send)

    async def ask(
        self, cell: int, scope: Scope, *, body: bytes | None = None, seconds: float | None = ASK_SECONDS
    ) -> CellAnswer:
        """Returns the whole answer of a cell to a request like the given one, with its own body or another. A cell that
        does not serve, or is too slow, gets an answer that is `away`.
        """
        if not self.serves(cell):
            return _away(cell)
        inner = self._inner(cell, scope, body=body)
        collected = _Collected()
        inner["duly.exchange"] = exchange = Exchange(collected.send, scope["duly.request_id"].encode(), "")
        try:
            async with asyncio.timeout(seconds):
                await self._routes(inner, _whole(inner), exchange.send)
        except TimeoutError:
            return _away(cell)
        if collected.status is None:
            return _away(cell)
        return CellAnswer(cell, collected.status, collected.headers, collected.body(), exchange.code)

    async def ask_all(
        self,
        scope: Scope,
        *,
        cells: Iterable[int] | None = None,
        bodies: Mapping[int, bytes] | None = None,
        seconds: float | None = ASK_SECONDS,
    ) -> list[CellAnswer]:
        """Returns the answers of several cells, asked at once, in order of their numbers; see `ask`.

        Args:
            scope: an authenticated scope.
            cells: the cells to ask (default: those of `bodies`, or all).
            bodies: a body for each cell.
            seconds: time limit of each.
        """
        chosen = bodies or {}
        if cells is None:
            cells = range(self.count) if bodies is None else bodies
        asked = (self.ask(cell, scope, body=chosen.get(cell), seconds=seconds) for cell in sorted(cells))
        return await asyncio.gather(*asked)

    def _inner(self, cell: int, scope: Scope, *, body: bytes | None) -> Scope:
        headers = {name: value for name, value in headers_of(scope).items() if name not in _OUTER}
        inner = self.scope_at(cell, scope, **{HEADERS: headers, "root_path": "", "duly.inner": True})
        inner["headers"] = list(headers.items())
        root: str = scope.get("root_path", "")
        inner["path"] = scope["path"].removeprefix(root)
        inner["raw_path"] = inner["path"].encode()
        if body is not None:
            inner[BODY] = body
            headers |= {b"content-type": headers.get(b"content-type", _JSON), b"content-length": b"%d" % len(body)}
            inner["headers"] = list(headers.items())
        for name in (RESPOND, PARSED, "route", "path_params", "endpoint", "router", "app", "state"):
            inner.pop(name, None)
        return inner


def _by_place(serves: Callable[[int], bool], numbers: Sequence[int]) -> Callable[[int], bool]:
    """Returns whether a cell serves, as a function of its place in a list of numbers."""
    if list(numbers) == list(range(len(numbers))):
        return serves
    return lambda place: serves(numbers[place])


def _away(cell: int) -> CellAnswer:
    return CellAnswer(cell, AWAY_STATUS, {}, b"", CellAway.code)


def _whole(scope: Scope) -> Receive:
    """Returns a channel with the body of an inner request. Its client never leaves: the caller cancels it."""
    given = False

    async def receive() -> Message:
        nonlocal given
        if given:
            await asyncio.Event().wait()
        given = True
        return {"type": "http.request", "body": scope.get(BODY, b""), "more_body": False}

    return receive


class _Collected:
    """Whole answer."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.headers: Mapping[bytes, bytes] = {}
        self._pieces: list[bytes] = []

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
        else:
            self._pieces.append(message.get("body", b""))

    def body(self) -> bytes:
        return b"".join(self._pieces)
