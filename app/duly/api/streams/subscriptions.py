"""The subscriptions of one WebSocket: to single jobs, each until it has ended, and to all jobs that fit a filter."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from typing import Any
from uuid import UUID

from duly.api.streams.tenant_events import StreamFilter, resume_point
from duly.api.streams.ticket_rights import read_granted, within
from duly.domain.event_views import frame_text
from duly.domain.grant import Grant
from duly.domain.job import DEFAULT_TENANT
from duly.domain.stream_position import StreamPosition
from duly.errors import Invalid, Overloaded, PathError
from duly.node import Node
from duly.stream.filter import ALL_EVENTS, EventFilter
from duly.stream.job_feed import job_events
from duly.stream.tenant_feed import tenant_events

MOST = 1_000
MOST_OWN = 10_000
Say = Callable[[str], Coroutine[Any, Any, None]]
Target = UUID | EventFilter


class Subscriptions:
    """Of one socket. `grant` is that of its ticket; `say` sends one frame; `overflow` ends a conversation whose client
    is too slow.
    """

    def __init__(
        self,
        node: Node,
        tasks: asyncio.TaskGroup,
        *,
        grant: Grant | None,
        say: Say,
        overflow: Callable[[], Coroutine[Any, Any, None]],
    ) -> None:
        self._node = node
        self._grant = grant
        self.own: dict[UUID, None] = {}  # jobs that this socket submitted with a ticket; the newest of them
        self._tasks = tasks
        self._say = say
        self._overflow = overflow
        self._running: dict[Target, asyncio.Task[None]] = {}

    def make_sure_of_room(self) -> None:
        """Raises:
        Overloaded: this socket follows as much as it may.
        """
        if len(self._running) >= MOST:
            raise Overloaded(
                f"This socket follows {MOST:,} jobs or filters, which is as many as it may.",
                reason="Nothing was recorded; unsubscribe, wait for jobs to end, or open another socket.",
            )

    async def start_of_job(self, job_id: UUID, after: int | str | None) -> int:
        """The sequence after which a job is told of; -1: from the beginning.

        Raises:
            NotFound: there is no such job.
            Invalid: it has not come so far yet.
        """
        view = await read_granted(self._node, self._grant, job_id, own=self.own)
        if isinstance(after, str):
            after = int(after) if after.isascii() and after.isdecimal() and len(after) <= 10 else view.sequence + 1  # noqa: PLR2004  # digits of the largest sequence
        if after is not None and after > view.sequence:
            raise Invalid.at([PathError("after", "is no sequence of this job")])
        return -1 if after is None else after

    async def start_of_many(self, after: int | str | None) -> StreamPosition:
        """Where a stream of all jobs begins.

        Raises:
            Invalid: no frame has this id.
            Forbidden: the ticket opens a single job.
        """
        within(self._grant, ALL_EVENTS)
        return await resume_point(self._node, None if after is None else str(after), "after")

    def to_job(self, job_id: UUID, *, after: int) -> None:
        """Tells of this job until it has ended; anew, where it is followed already."""
        self._begin(job_id, self._tell_job(job_id, after))

    def to_many(self, wanted: StreamFilter, *, after: StreamPosition) -> None:
        """Tells of all jobs that fit."""
        chosen = wanted.as_wanted()
        self._begin(chosen, self._tell_many(within(self._grant, chosen), after))

    def to_own(self, job_id: UUID) -> None:
        """Tells of a job that this socket submitted, from its beginning."""
        if self._grant is not None:
            self.own[job_id] = None
            if len(self.own) > MOST_OWN:
                del self.own[next(iter(self.own))]
        self.to_job(job_id, after=-1)

    def end(self, target: Target) -> None:
        """Tells no more of this; what is not followed needs no end."""
        if task := self._running.pop(target, None):
            task.cancel()

    async def ended(self, *, seconds: float) -> None:
        """Waits until no subscription tells anything any more, or for so long."""
        if self._running:
            await asyncio.wait(self._running.values(), timeout=seconds)

    def _begin(self, target: Target, telling: Coroutine[Any, Any, None]) -> None:
        self.end(target)
        task = self._running[target] = self._tasks.create_task(telling)
        task.add_done_callback(lambda done: self._over(target, done))

    def _over(self, target: Target, task: asyncio.Task[None]) -> None:
        if self._running.get(target) is task:
            del self._running[target]

    async def _tell_job(self, job_id: UUID, after: int) -> None:
        node = self._node
        told = job_events(node.database, node.hub, tenant_id=DEFAULT_TENANT, job_id=job_id, after=after)
        async with aclosing(told):
            async for events in told:
                for event in events:
                    await self._say(f'{{"id":{event.sequence},{frame_text(event)[1:]}')

    async def _tell_many(self, wanted: EventFilter, after: StreamPosition) -> None:
        told = tenant_events(self._node.tail, after=after, event_filter=wanted)
        async with aclosing(told):
            async for news in told:
                if news.too_slow:
                    await self._overflow()
                for entry in news.entries:
                    await self._say(entry.text)
