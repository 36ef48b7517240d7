"""Client of the stream of all jobs, and the order that it must have."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg

from duly.domain.ids import new_job_id
from tests.support.service import BOUND_SECONDS, STREAM_SECONDS, Service, ServiceClient

PATH = "/api/v1/events/stream"
IN_ORDER = """
select job_id::text, sequence from (
    select tx, job_id, sequence from events union all select tx, job_id, 0 from jobs
) e order by tx, job_id, sequence
"""


class Frame(NamedTuple):
    """Event of the stream, or a position to resume from (`data` is None)."""

    id: str | None
    event: str | None
    data: dict[str, Any] | None

    @property
    def place(self) -> tuple[str, int]:
        assert self.data is not None
        return self.data["jobId"], self.data["sequence"]


async def frames_of(lines: AsyncIterator[str]) -> AsyncGenerator[Frame, None]:
    """Yields each message after checking its data and its type."""
    fields: dict[str, str] = {}
    async for line in lines:
        if line == "":
            yield _frame(fields)
            fields = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value


def _frame(fields: dict[str, str]) -> Frame:
    data = json.loads(fields["data"])
    assert fields["event"] == data["type"]
    return Frame(fields.get("id"), fields["event"], None if data == {"type": "position"} else data)


@asynccontextmanager
async def following_all(
    service: ServiceClient, *, last_event_id: str | None = None, **filters: Any
) -> AsyncIterator[AsyncGenerator[Frame, None]]:
    """Follows all jobs on a connection that ends with the block. The first frame has the start position."""
    headers = {"Last-Event-ID": last_event_id} if last_event_id is not None else {}
    async with (
        asyncio.timeout(STREAM_SECONDS),
        service.client.stream("GET", PATH, headers=headers, params=filters) as answer,
    ):
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        frames = frames_of(answer.aiter_lines())
        try:
            yield frames
        finally:
            await frames.aclose()


async def take(frames: AsyncGenerator[Frame, None], count: int) -> list[Frame]:
    """Returns the next `count` events."""
    taken: list[Frame] = []
    async with asyncio.timeout(BOUND_SECONDS):
        while len(taken) < count:
            frame = await anext(frames)
            if frame.data is not None:
                taken.append(frame)
    return taken


async def in_order(service: ServiceClient) -> list[tuple[str, int]]:
    """Returns all events of the ledger in the order that every stream must have."""
    return [(row[0], row[1]) for row in await service.sql(IN_ORDER)]


@asynccontextmanager
async def held_back(service: Service) -> AsyncIterator[UUID]:
    """Inserts a job in a transaction that begins before the block and commits after it."""
    job_id = new_job_id()
    connection = await asyncpg.connect(service.database_url)
    try:
        async with connection.transaction():
            await connection.execute(RECORD_BY_HAND, job_id)
            yield job_id
    finally:
        await connection.close()


# A job scheduled far in the future, as a submission inserts it.
RECORD_BY_HAND = """
with job as (
    insert into jobs (tenant_id, job_id, run_at, timeout_seconds, priority, max_attempts, callback_events,
                      type, queue, parameters)
    values (1, $1, now() + interval '1 day', 60, 0, 1, 0, 'echo', 'default', '{}')
    returning *
)
insert into scheduled (tenant_id, job_id, run_at, reason, token, sequence, timeout_seconds, priority, attempt, crashes,
                       callback_events, queue, type)
select tenant_id, job_id, run_at, 0, 0, 0, timeout_seconds, priority, 0, 0, callback_events, queue, type from job
"""
