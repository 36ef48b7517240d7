"""The feed of one job: its history, then what happens, until it has ended."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from uuid import UUID

from duly.domain.events import Event
from duly.lifecycle.cluster.hub import Hub
from duly.store.ledger.events import events_after, read_submission
from duly.store.postgres.database import Database, DatabaseError
from duly.stream.sse import KEEP_ALIVE, OPENING, StreamText, frame, joined

PAGE = 200
LOOK_SECONDS = 2.0
KEEP_ALIVE_SECONDS = 10.0


async def job_stream(
    database: Database, hub: Hub, *, tenant_id: int, job_id: UUID, after: int
) -> AsyncGenerator[StreamText, None]:
    """`job_events` as SSE messages, after a hint to come back where it ends before the job does."""
    yield OPENING
    async with aclosing(job_events(database, hub, tenant_id=tenant_id, job_id=job_id, after=after)) as told:
        async for events in told:
            yield joined(frame(event) for event in events) if events else KEEP_ALIVE


async def job_events(
    database: Database, hub: Hub, *, tenant_id: int, job_id: UUID, after: int
) -> AsyncGenerator[list[Event], None]:
    """Every event beyond `after` (-1: from the beginning), none missed and none twice; now and then none, to show that
    it is still there.

    It ends after the job's last event, or when the service goes down. No connection is held between reads.
    """
    sent, quiet_since = after, time.monotonic()
    with hub.watch(job_id) as watch:
        while True:
            last = hub.closing  # looked at before the read: what ended by then is still shown
            events, ended = await _read(database, tenant_id=tenant_id, job_id=job_id, after=sent)
            if events:
                sent, quiet_since = events[-1].sequence, time.monotonic()
                yield events
            if ended or last:
                return
            if not events:
                if time.monotonic() - quiet_since >= KEEP_ALIVE_SECONDS:
                    quiet_since = time.monotonic()
                    yield []
                await watch.wait(timeout=LOOK_SECONDS)


async def _read(database: Database, *, tenant_id: int, job_id: UUID, after: int) -> tuple[list[Event], bool]:
    """The next events, and whether the job's present end is among them.

    While the database is away there is nothing new; the stream stays open.
    """
    try:
        async with database.connection() as connection:
            events = []
            if after < 0:
                submitted = await read_submission(connection, tenant_id, job_id)
                events = [submitted.event] if submitted else []
            more = await events_after(connection, tenant_id, job_id, sequence=max(after, 0), limit=PAGE + 1)
    except DatabaseError:
        return [], False
    events += more[:PAGE]
    # A page may stop at an end in the middle of the history: of a job that was run again by hand.
    return events, bool(events) and events[-1].kind.terminal and len(more) <= PAGE
