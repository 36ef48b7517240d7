"""The feed of one job: its history, then what happens, until it has ended."""

import time
from collections.abc import AsyncGenerator
from uuid import UUID

from duly.store.database import Database, DatabaseAway
from duly.store.events import events_after, read_origin
from duly.stream.frames import KEEP_ALIVE, RETRY_HINT, frame
from duly.stream.hub import Hub

PAGE = 200
LOOK_SECONDS = 2.0
KEEP_ALIVE_SECONDS = 10.0


async def follow(database: Database, hub: Hub, *, tenant_id: int, job_id: UUID, after: int) -> AsyncGenerator[bytes, None]:
    """SSE messages of every event beyond `after` (-1: from the beginning), none missed and none twice.

    It ends after the job's last event, or with a hint to come back when the service goes down. No connection is held
    between reads.
    """
    sent, quiet_since = after, time.monotonic()
    with hub.watch(job_id) as watch:
        yield RETRY_HINT
        while True:
            last = hub.closing  # looked at before the read: what ended by then is still shown
            frames, ended, sent = await _read(database, tenant_id=tenant_id, job_id=job_id, after=sent)
            if frames:
                quiet_since = time.monotonic()
                yield frames
            if ended or last:
                return
            if not frames:
                if time.monotonic() - quiet_since >= KEEP_ALIVE_SECONDS:
                    quiet_since = time.monotonic()
                    yield KEEP_ALIVE
                await watch.news(timeout=LOOK_SECONDS)


async def _read(database: Database, *, tenant_id: int, job_id: UUID, after: int) -> tuple[bytes, bool, int]:
    """The next frames, whether the job's present end is among them, and the sequence reached.

    While the database is away there is nothing new; the stream stays open.
    """
    try:
        async with database.connection() as connection:
            events = []
            if after < 0:
                origin = await read_origin(connection, tenant_id, job_id)
                events = [origin.event] if origin else []
            more = await events_after(connection, tenant_id, job_id, sequence=max(after, 0), limit=PAGE + 1)
    except DatabaseAway:
        return b"", False, after
    events += more[:PAGE]
    if not events:
        return b"", False, after
    # A page may stop at an end in the middle of the history: of a job that was run again by hand.
    ended = events[-1].kind.terminal and len(more) <= PAGE
    return b"".join(frame(event) for event in events), ended, events[-1].sequence
