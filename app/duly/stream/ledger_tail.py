"""Tail of the ledger: the newest events of all jobs, read once for all followers on this node.

One loop reads new events and keeps the newest. Each follower has its own position in them, so a follower costs no
memory, and a slow one delays no other: it reads what the tail has dropped from the ledger itself.
"""

import asyncio
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import date, timedelta
from functools import cached_property
from typing import NamedTuple

from duly.domain.database_clock import DatabaseClock
from duly.domain.event_views import frame_text, without_payload
from duly.domain.ids import made_at
from duly.domain.stream_position import StreamPosition, before_transaction
from duly.lifecycle.cluster.hub import Watch
from duly.store.ledger.event_tail import TailRow, read_moment, summarize
from duly.store.postgres.database import Database, DatabaseError, RecordRefused
from duly.stream.ledger_reader import LedgerReader
from duly.stream.sse import StreamText, message, message_head

# Shortest interval of reads; without new events, the interval grows.
GAP_SECONDS = 0.01
SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.05, 1.0
UNFOLLOWED_SECONDS = 60.0
SUMMARIZE_SECONDS = 1.0
MOST_BYTES = 32 << 20
# Most events that a follower gets at a time, to be written at once.
SLICE, SLICE_BYTES = 200, 256 << 10
# Most followers that read from the ledger themselves at a time.
TURNS = 2


class TailEntry:
    """One event, serialized once for all followers."""

    def __init__(self, row: TailRow) -> None:
        self.position, self.event, self.facts = row

    @cached_property
    def redacted(self) -> "TailEntry":
        """The entry for readers who may not see payloads."""
        return TailEntry(TailRow(self.position, without_payload(self.event), self.facts))

    @cached_property
    def message(self) -> StreamText:
        """The event as a server-sent event."""
        return message(self.event, str(self.position))

    @cached_property
    def text(self) -> str:
        """The event as JSON, with its id."""
        return f'{{"id":"{self.position}",{frame_text(self.event)[1:]}'

    @cached_property
    def head(self) -> bytes:
        """The event as a server-sent event, up to its id."""
        return message_head(self.event)

    @cached_property
    def members(self) -> str:
        """The event as JSON without the brace that opens it, so that members can precede."""
        return frame_text(self.event)[1:]

    @property
    def size(self) -> int:
        """Characters of its data."""
        return len(self.event.data or "")


class TailPage(NamedTuple):
    """Entries in order, up to position `reached`. `to_now`: there is nothing beyond them yet."""

    entries: list[TailEntry]
    reached: StreamPosition
    to_now: bool


class LedgerTail:
    """The tail of one process.

    Args:
        wake: wakes the loop that runs `step`.
        on_follow: called with True when the first follower comes, and False when the last one leaves.
    """

    def __init__(
        self,
        database: Database,
        *,
        tenant_id: int,
        buffer: int,
        clock: DatabaseClock,
        wake: Callable[[], None],
        on_follow: Callable[[bool], None],
    ) -> None:
        self._clock = clock
        self._database = database
        self._tenant_id = tenant_id
        self._buffer = buffer
        self._turns = asyncio.Semaphore(TURNS)
        self._watches: set[Watch] = set()
        self._readings: set[asyncio.Task[TailPage]] = set()
        self._pause = SHORTEST_PAUSE_SECONDS
        self._read_at = self._summarized_at = float("-inf")
        self._days: set[date] = set()
        self._wake = wake
        self._on_follow = on_follow
        self.closing = False
        self._forget()

    def _forget(self) -> None:
        self._entries: list[TailEntry] = []
        self._bytes = 0
        self._start: StreamPosition | None = None
        self._end: StreamPosition | None = None
        self._reader = LedgerReader(self._database, tenant_id=self._tenant_id)

    async def now(self) -> StreamPosition:
        """Returns the position from which only future events follow.

        Raises:
            DatabaseOutage: the database cannot be read now.
        """
        async with self._database.connection() as connection:
            return before_transaction((await read_moment(connection)).settled)

    async def may_resume(self, position: StreamPosition) -> bool:
        """Returns True if the ledger has reached this position; one of its future cannot be resumed.

        Raises:
            DatabaseOutage: the database cannot be read now.
        """
        async with self._database.connection() as connection:
            return position.tx <= (await read_moment(connection)).future

    @contextmanager
    def watch(self, watch: Watch | None = None) -> Iterator[Watch]:
        """Follows all jobs while the block runs, with a watch that other tails may notify too (default: a new one)."""
        watch = watch or Watch(announced=True)
        self._watches.add(watch)
        if len(self._watches) == 1:
            self._on_follow(True)  # noqa: FBT003  # the value to announce
            self._wake()
        if self.closing:
            watch.notify()
        try:
            yield watch
        finally:
            self._watches.discard(watch)
            if not self._watches:
                self._on_follow(False)  # noqa: FBT003
                self._wake()

    def ledger_grew(self) -> None:
        """Reads soon: events were recorded, here or on another node."""
        if self._watches:
            self._pause = SHORTEST_PAUSE_SECONDS
            self._wake()

    def close(self) -> None:
        """Notifies all followers, so that streams end on shutdown."""
        self.closing = True
        self._notify()

    def _notify(self) -> None:
        for watch in self._watches:
            watch.notify()

    async def step(self) -> float:
        """Runs one round of its loop: reads and announces new events. Returns the seconds until the next."""
        if not self._watches:
            self._forget()
            return UNFOLLOWED_SECONDS
        await self._keep_the_gap()
        if self._end is None:
            await self._begin()
            return 0
        stretch = await self._reader.read(self._end)
        if stretch.rows:
            self._keep([TailEntry(row) for row in stretch.rows])
            self._days.update(made_at(row.event.job_id).date() for row in stretch.rows)
        self._end = stretch.reached
        if stretch.rows:
            self._notify()
        await self._summarize()
        if not stretch.to_now:
            return 0
        pause, self._pause = self._pause, min(2 * self._pause, LONGEST_PAUSE_SECONDS)
        return pause

    async def _keep_the_gap(self) -> None:
        left = self._read_at + GAP_SECONDS - time.monotonic()
        if left > 0:
            await asyncio.sleep(left)
        self._read_at = time.monotonic()

    async def _begin(self) -> None:
        self._start = self._end = await self.now()
        today = self._clock.now().date()
        self._days = {today, today - timedelta(days=1)}
        self._notify()

    def _keep(self, entries: list[TailEntry]) -> None:
        """Keeps new entries, and drops the oldest beyond the limits."""
        self._pause = SHORTEST_PAUSE_SECONDS
        self._entries += entries
        self._bytes += sum(entry.size for entry in entries)
        gone = max(0, len(self._entries) - self._buffer)
        left = self._bytes - sum(entry.size for entry in self._entries[:gone])
        while left > MOST_BYTES:
            left -= self._entries[gone].size
            gone += 1
        if gone:
            self._start = self._entries[gone - 1].position
            del self._entries[:gone]
            self._bytes = left

    async def _summarize(self) -> None:
        """Summarizes the index under many new rows, so that later reads need not go through all of them again."""
        if self._days and self._read_at - self._summarized_at > SUMMARIZE_SECONDS:
            self._summarized_at = self._read_at
            days, self._days = self._days, set()
            with suppress(RecordRefused):  # a matter of speed: a vacuum does it too, and the role may lack the right
                async with self._database.connection() as connection:
                    await summarize(connection, days)

    def holds(self, position: StreamPosition) -> bool:
        """Returns True if all events after this position are kept here."""
        return self._start is not None and self._start <= position

    def after(self, position: StreamPosition) -> TailPage | None:
        """Returns the events after this position; None if not all of them are here."""
        if not self.holds(position) or self._end is None:
            return None
        index = bisect_right(self._entries, position, key=_position_of)
        entries = _few(self._entries[index : index + SLICE])
        if index + len(entries) < len(self._entries):
            return TailPage(entries, entries[-1].position, to_now=False)
        return TailPage(entries, max(self._end, position), to_now=True)

    async def from_ledger(self, reader: LedgerReader, position: StreamPosition) -> TailPage:
        """Returns the events after a position from the ledger; none while the database is away.

        A follower that leaves meanwhile does not cancel the read, which would leave a transaction open.
        """
        reading = asyncio.create_task(self._from_ledger(reader, position))
        self._readings.add(reading)
        reading.add_done_callback(self._readings.discard)
        return await asyncio.shield(reading)

    async def _from_ledger(self, reader: LedgerReader, position: StreamPosition) -> TailPage:
        try:
            async with self._turns:
                stretch = await reader.read(position)
        except DatabaseError:
            return TailPage([], position, to_now=True)
        return TailPage([TailEntry(row) for row in stretch.rows], stretch.reached, stretch.to_now)

    def reader(self) -> LedgerReader:
        """Returns a reader for one follower."""
        return LedgerReader(self._database, tenant_id=self._tenant_id)


def _few(entries: list[TailEntry]) -> list[TailEntry]:
    """Returns the first entries that fit a slice; at least one."""
    size = 0
    for index, entry in enumerate(entries):
        size += entry.size
        if index and size > SLICE_BYTES:
            return entries[:index]
    return entries


def _position_of(entry: TailEntry) -> StreamPosition:
    return entry.position
