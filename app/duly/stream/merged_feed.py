"""Event stream of all jobs of a tenant over several cells: in one order within each cell, and each event once.

One follower reads the tails of all cells in turn, in one task: a stream costs as many positions as there are cells, not
as many tasks. A cell that is away delays no other. When it is back, it goes on from its position.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import ExitStack, aclosing
from typing import NamedTuple, TypeAlias

from duly.domain.stream_position import StreamPosition
from duly.domain.stream_vector import StreamVector, write_others, write_vector
from duly.lifecycle.cluster.hub import Watch
from duly.store.postgres.database import DatabaseError
from duly.stream.filter import EventFilter
from duly.stream.ledger_tail import LedgerTail, TailEntry, TailPage
from duly.stream.sse import OPENING, OVERFLOW, StreamText, cell_message, joined, position_message, with_identity
from duly.stream.tenant_feed import KEEP_ALIVE_SECONDS, LOOK_SECONDS, PATIENCE_SECONDS

# Shortest pause between two reads of the ledger that found nothing new, which double until they are as long as a look.
SHORTEST_PAUSE_SECONDS = 0.05
LAST_READ_SECONDS = 2.0


class CellEvents(NamedTuple):
    """Events of one cell to send next. Without entries, it only reports that everything up to `reached` was read."""

    number: int
    entries: Sequence[TailEntry]
    reached: StreamVector
    too_slow: bool = False  # the last item


class CellChange(NamedTuple):
    """A cell that is away from now on, or is back."""

    number: int
    away: bool


News: TypeAlias = CellEvents | CellChange


class _CellFollower:
    """Position of one follower in one cell, and its read of the ledger if it needs one."""

    def __init__(self, tail: LedgerTail, after: StreamPosition | None, watch: Watch) -> None:
        self.tail = tail
        self.reached = after
        self._watch = watch
        self._reader = tail.reader()
        self._reading: asyncio.Task[TailPage | None] | None = None
        self._pause = SHORTEST_PAUSE_SECONDS
        self._due = float("-inf")

    def next_page(self) -> TailPage | None:
        """Returns what is there now, and moves on. None while it is read, and until the next read is due."""
        page = self.tail.after(self.reached) if self._reading is None and self.reached is not None else None
        if page is None:
            page = self._read()
        if page is not None:
            self.reached = page.reached
        return page

    def _read(self) -> TailPage | None:
        if self._reading is None:
            if time.monotonic() >= self._due:
                self._reading = asyncio.create_task(self._from_ledger())
                self._reading.add_done_callback(lambda _: self._watch.notify())
            return None
        if not self._reading.done():
            return None
        page, self._reading = self._reading.result(), None
        found = page is not None and (bool(page.entries) or not page.to_now)
        self._pause = SHORTEST_PAUSE_SECONDS if found else min(2 * self._pause, LOOK_SECONDS)
        self._due = time.monotonic() + (0 if found else self._pause)
        return page

    def pause(self) -> float:
        """Returns the seconds until there is something to read without a notification."""
        if self._reading is not None or (self.reached is not None and self.tail.holds(self.reached)):
            return LOOK_SECONDS
        return self._due - time.monotonic()

    async def _from_ledger(self) -> TailPage | None:
        """Returns the next page, or the present position if there is none yet; None if the cell cannot be read."""
        if self.reached is not None:
            return await self.tail.from_ledger(self._reader, self.reached)
        try:
            return TailPage([], await self.tail.now(), to_now=True)
        except DatabaseError:
            return None

    async def last_page(self) -> TailPage | None:
        """Returns what was recorded before a shutdown."""
        self.close()
        try:
            async with asyncio.timeout(LAST_READ_SECONDS):
                page = await self._from_ledger()
        except TimeoutError:
            return None
        if page is not None:
            self.reached = page.reached
        return page

    def close(self) -> None:
        """Ends a read in progress."""
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None


class MergedFeed:
    """Feed of one follower.

    Args:
        tails: those of all cells, by number.
        after: where to begin, by cell.
        away: returns the cells that are away now.
    """

    def __init__(
        self,
        tails: Sequence[LedgerTail],
        *,
        after: StreamVector,
        event_filter: EventFilter,
        payload: bool,
        away: Callable[[], Collection[int]],
    ) -> None:
        self._watch = Watch(announced=True)
        self._cells = [_CellFollower(tail, each, self._watch) for tail, each in zip(tails, after, strict=True)]
        self._filter = event_filter
        self._payload = payload
        self._away = away
        self._known_away: frozenset[int] = frozenset()
        self._told_at = time.monotonic()

    async def news(self) -> AsyncGenerator[News, None]:
        """Yields the matching events after the position, then new ones, and cells that go away or are back. Ends on
        shutdown.
        """
        with ExitStack() as watches:
            for cell in self._cells:
                watches.enter_context(cell.tail.watch(self._watch))
                watches.callback(cell.close)
            while True:
                last = any(cell.tail.closing for cell in self._cells)
                for change in self._changes():
                    yield change
                busy = False
                for number, cell in enumerate(self._cells):
                    page = await cell.last_page() if last else cell.next_page()
                    if page is None:
                        continue
                    busy = busy or not page.to_now
                    if entries := self._matching(page):
                        began = time.monotonic()
                        yield CellEvents(number, entries, self._reached)
                        self._told_at = time.monotonic()
                        if self._told_at - began > PATIENCE_SECONDS and not cell.tail.holds(page.reached):
                            yield CellEvents(number, [], self._reached, too_slow=True)
                            return
                if last:  # a late reader resumes elsewhere
                    return
                if time.monotonic() - self._told_at >= KEEP_ALIVE_SECONDS:
                    yield CellEvents(0, [], self._reached)
                    self._told_at = time.monotonic()
                await self._wait(busy=busy)

    @property
    def _reached(self) -> StreamVector:
        return [cell.reached for cell in self._cells]

    def _matching(self, page: TailPage) -> Sequence[TailEntry]:
        entries = [entry for entry in page.entries if self._filter.matches(entry.facts)]
        return entries if self._payload else [entry.redacted for entry in entries]

    def _changes(self) -> Sequence[News]:
        """Returns the cells whose state has changed since the last call. One is back once its position is known, which
        comes with it: all later events follow.
        """
        unread = {number for number, cell in enumerate(self._cells) if cell.reached is None}
        away = frozenset(self._away()) | unread
        if away == self._known_away:
            return ()
        before, self._known_away = self._known_away, away
        return [
            *(CellChange(number, number in away) for number in sorted(before ^ away)),
            *(CellEvents(number, [], self._reached) for number in sorted(before - away)),
        ]

    async def _wait(self, *, busy: bool) -> None:
        """Waits until there may be more events."""
        if busy:
            await asyncio.sleep(0)
        else:
            pause = min(cell.pause() for cell in self._cells)
            await self._watch.wait(timeout=min(LOOK_SECONDS, max(pause, SHORTEST_PAUSE_SECONDS)))


async def merged_stream(feed: MergedFeed, *, after: StreamVector) -> AsyncGenerator[StreamText, None]:
    """Yields the news of a feed as server-sent events. The first one tells the client from where to resume."""
    yield joined([OPENING, position_message(write_vector(after))])
    async with aclosing(feed.news()) as news:
        async for item in news:
            match item:
                case CellChange():
                    yield cell_message(item.number, away=item.away)
                case CellEvents(too_slow=True):
                    yield OVERFLOW
                case CellEvents(entries=[]):
                    yield position_message(write_vector(item.reached))
                case CellEvents():
                    others = write_others(item.reached, item.number)
                    yield joined(with_identity(entry.head, f"{others}{entry.position}") for entry in item.entries)
