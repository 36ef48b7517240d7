"""Event stream of one job: its history, then new events until it has ended."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from uuid import UUID

from duly.domain.event_views import without_payload
from duly.domain.events import Event
from duly.lifecycle.cluster.hub import Hub
from duly.store.ledger.read_events import events_after, read_submission
from duly.store.postgres.database import Database, DatabaseError
from duly.stream.sse import KEEP_ALIVE, OPENING, StreamText, frame, joined

PAGE = 200
LOOK_SECONDS = 2.0
KEEP_ALIVE_SECONDS = 10.0


async def job_stream(
    database: Database, hub: Hub, *, tenant_id: int, job_id: UUID, after: int, payload: bool
) -> AsyncGenerator[StreamText, None]:
    """Yields `job_events` as SSE messages, after the interval for reconnecting."""
    yield OPENING
    pages = job_events(database, hub, tenant_id=tenant_id, job_id=job_id, after=after, payload=payload)
    async with aclosing(pages):
        async for events in pages:
            yield joined(frame(event) for event in events) if events else KEEP_ALIVE


async def job_events(
    database: Database, hub: Hub, *, tenant_id: int, job_id: UUID, after: int, payload: bool
) -> AsyncGenerator[list[Event], None]:
    """Yields each event after sequence `after` once, in order (-1: from the beginning); an empty list as a keep-alive.
    Without `payload`, events come without what it contains.

    Ends after the job's last event, or on shutdown. Holds no connection between reads.
    """
    sent, quiet_since = after, time.monotonic()
    with hub.watch(job_id) as watch:
        while True:
            last = hub.closing  # before the read, so that an end recorded by then is still sent
            events, ended = await _read(database, tenant_id=tenant_id, job_id=job_id, after=sent)
            if events:
                sent, quiet_since = events[-1].sequence, time.monotonic()
                yield events if payload else [without_payload(event) for event in events]
            if ended or last:
                return
            if not events:
                if time.monotonic() - quiet_since >= KEEP_ALIVE_SECONDS:
                    quiet_since = time.monotonic()
                    yield []
                await watch.wait(timeout=LOOK_SECONDS)


async def _read(database: Database, *, tenant_id: int, job_id: UUID, after: int) -> tuple[list[Event], bool]:
    """Returns the next events, and whether they include the job's present end; none while the database is away."""
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
    # A page may stop at an end within the history of a job that was redriven.
    return events, bool(events) and events[-1].kind.terminal and len(more) <= PAGE
