"""Events of all the tenant's jobs, from one database or from all cells: where they begin, and how they are sent."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import NamedTuple

from starlette.types import Scope

from duly.api.server.cell_reads import Cells, cell_count, cells_of, read_numbered_cells
from duly.api.server.scope_values import RequestScope, node_of, reads_payload, tenant_of
from duly.api.streams.stream_response import unknown_frame
from duly.domain.stream_position import StreamPosition, read_position
from duly.domain.stream_vector import StreamVector, read_vector, write_others, write_vector
from duly.errors import Invalid, PathError
from duly.node import Node
from duly.stream.filter import EventFilter
from duly.stream.ledger_tail import LedgerTail
from duly.stream.merged_feed import CellChange, CellEvents, MergedFeed, merged_stream
from duly.stream.sse import StreamText, cell_text
from duly.stream.tenant_feed import tenant_events, tenant_stream


class Start(NamedTuple):
    """Position in each cell after which events are sent; of one database, there is one."""

    positions: StreamVector

    def __str__(self) -> str:
        """Returns the id of a frame from which a client resumes here."""
        first = self.positions[0]
        return str(first) if len(self.positions) == 1 else write_vector(self.positions)


async def find_start(scope: RequestScope, last: str | None, member: str) -> Start:
    """Returns the position after the frame with the id `last`, or that of now. A cell that is away begins where it was,
    or when it is back.

    Raises:
        Invalid: not the id of a frame of such a stream; `member` names it in the error.
        DatabaseError: no cell can be read.
    """
    count, tenant_id = cell_count(scope), tenant_of(scope)
    given = [None] * count if last is None or not last.strip() else _read(last.strip(), count, member)

    async def find(node: Node, number: int) -> StreamPosition:
        tail, position = node.tails.of(tenant_id), given[number]
        if position is None:
            return await tail.now()
        if not await tail.may_resume(position):
            raise unknown_frame(member)
        return position

    found, _ = await read_numbered_cells(scope, find)
    return Start([found.get(number, position) for number, position in enumerate(given)])


def _read(text: str, count: int, member: str) -> StreamVector:
    single = read_position(text)
    if count == 1:
        vector: StreamVector | None = None if single is None else [single]
    elif single is not None:
        message = f"the id of a frame of one database, and there are {count} cells; begin without it and list the jobs"
        raise Invalid.at([PathError(member, message)])
    else:
        vector = read_vector(text, count)
    if vector is None:
        raise unknown_frame(member)
    return vector


def sse_events(scope: RequestScope, start: Start, event_filter: EventFilter) -> AsyncGenerator[StreamText, None]:
    """Yields the matching events after a position as server-sent events."""
    cells = cells_of(scope)
    if cells is not None:
        return merged_stream(_feed(scope, cells, start, event_filter), after=start.positions)
    tail, after = _only(scope, start)
    return tenant_stream(tail, after=after, event_filter=event_filter, payload=reads_payload(scope))


class TooSlow(Exception):
    """The reader of a socket is too slow."""


async def socket_events(scope: Scope, start: Start, event_filter: EventFilter) -> AsyncGenerator[str, None]:
    """Yields the matching events after a position as messages of a WebSocket.

    Raises:
        TooSlow: the reader is behind what can be kept for it.
    """
    cells = cells_of(scope)
    if cells is None:
        tail, after = _only(scope, start)
        feed = tenant_events(tail, after=after, event_filter=event_filter, payload=reads_payload(scope))
        async with aclosing(feed):
            async for page in feed:
                if page.too_slow:
                    raise TooSlow
                for entry in page.entries:
                    yield entry.text
        return
    async with aclosing(_feed(scope, cells, start, event_filter).news()) as news:
        async for item in news:
            match item:
                case CellChange():
                    yield cell_text(item.number, away=item.away)
                case CellEvents(too_slow=True):
                    raise TooSlow
                case CellEvents():
                    others = write_others(item.reached, item.number)
                    for entry in item.entries:
                        yield f'{{"id":"{others}{entry.position}",{entry.members}'


def _only(scope: RequestScope, start: Start) -> tuple[LedgerTail, StreamPosition]:
    [after] = start.positions
    assert after is not None  # noqa: S101  # only a cell of several may be away
    return node_of(scope).tails.of(tenant_of(scope)), after


def _feed(scope: RequestScope, cells: Cells, start: Start, event_filter: EventFilter) -> MergedFeed:
    tenant_id = tenant_of(scope)
    return MergedFeed(
        [node.tails.of(tenant_id) for node in cells.nodes],
        after=start.positions,
        event_filter=event_filter,
        payload=reads_payload(scope),
        away=cells.away,
    )
