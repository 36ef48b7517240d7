"""Event stream of all jobs of a tenant: matching events in one order, each once."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import NamedTuple

from duly.domain.stream_position import StreamPosition
from duly.lifecycle.cluster.hub import Watch
from duly.stream.filter import EventFilter
from duly.stream.ledger_tail import LedgerTail, TailEntry, TailPage
from duly.stream.sse import OPENING, OVERFLOW, StreamText, joined, position_message

LOOK_SECONDS = 2.0
KEEP_ALIVE_SECONDS = 10.0
# A reader that takes this long to accept a message, and is behind what the tail keeps, is too slow.
PATIENCE_SECONDS = 5.0


class TenantEvents(NamedTuple):
    """Events to send next. Without entries, it only reports that everything up to `reached` was read."""

    entries: list[TailEntry]
    reached: StreamPosition
    too_slow: bool = False  # the last item


async def tenant_events(
    tail: LedgerTail, *, after: StreamPosition, event_filter: EventFilter, payload: bool
) -> AsyncGenerator[TenantEvents, None]:
    """Yields the matching events after a position, then new ones; without `payload`, without what it contains. Ends on
    shutdown.
    """
    reader, reached, told_at = tail.reader(), after, time.monotonic()
    with tail.watch() as watch:
        while True:
            last = tail.closing
            page = (None if last else tail.after(reached)) or await tail.from_ledger(reader, reached)
            reached = page.reached
            entries = [entry for entry in page.entries if event_filter.matches(entry.facts)]
            if not payload:
                entries = [entry.redacted for entry in entries]
            if entries or time.monotonic() - told_at >= KEEP_ALIVE_SECONDS:
                began = time.monotonic()
                yield TenantEvents(entries, reached)
                told_at = time.monotonic()
                if told_at - began > PATIENCE_SECONDS and not tail.holds(reached):
                    yield TenantEvents([], reached, too_slow=True)
                    return
            if last:  # a late reader resumes elsewhere
                return
            await _wait(watch, page)


async def _wait(watch: Watch, page: TailPage) -> None:
    """Waits until there may be more events."""
    if page.to_now:
        await watch.wait(timeout=LOOK_SECONDS)
    else:
        await asyncio.sleep(0)


async def tenant_stream(
    tail: LedgerTail, *, after: StreamPosition, event_filter: EventFilter, payload: bool
) -> AsyncGenerator[StreamText, None]:
    """Yields `tenant_events` as server-sent events. The first one tells the client from where to resume."""
    yield joined([OPENING, position_message(str(after))])
    async with aclosing(tenant_events(tail, after=after, event_filter=event_filter, payload=payload)) as page:
        async for item in page:
            if item.too_slow:
                yield OVERFLOW
            elif item.entries:
                yield joined(entry.message for entry in item.entries)
            else:
                yield position_message(str(item.reached))
