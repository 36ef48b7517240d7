"""Subscriptions of one WebSocket: to single jobs, each until it ends, and to all jobs that match a filter."""

import asyncio
from collections.abc import Callable, Collection, Coroutine
from contextlib import aclosing
from typing import Any
from uuid import UUID

from starlette.types import Scope

from duly.api.server.scope_values import grant_of, node_of, reads_payload, tenant_of
from duly.api.streams.all_events import Start, TooSlow, find_start, socket_events
from duly.api.streams.resume_sequence import resume_sequence
from duly.api.streams.tenant_events import StreamFilter
from duly.api.streams.ticket_rights import read_granted, within
from duly.domain.event_views import frame_text
from duly.domain.job import JobView
from duly.errors import Invalid, Overloaded, PathError
from duly.stream.filter import ALL_EVENTS, EventFilter
from duly.stream.job_feed import job_events

MOST = 1_000
MOST_OWN = 10_000
SEQUENCE_DIGITS = 10
SendText = Callable[[str], Coroutine[Any, Any, None]]
Target = UUID | EventFilter


class Subscriptions:
    """Subscriptions of one socket.

    Args:
        scope: scope of the socket, with its node, tenant and ticket.
        tasks: group in which they run.
        send_text: sends one frame.
        overflow: ends a conversation whose client reads too slowly.
    """

    def __init__(
        self,
        scope: Scope,
        tasks: asyncio.TaskGroup,
        *,
        send_text: SendText,
        overflow: Callable[[], Coroutine[Any, Any, None]],
    ) -> None:
        self._scope = scope
        self._node, self._tenant_id, self._grant = node_of(scope), tenant_of(scope), grant_of(scope)
        self._payload = reads_payload(scope)
        self._own: dict[UUID, None] = {}  # jobs submitted on this socket with a ticket, at most the newest ones
        self._tasks = tasks
        self._send_text = send_text
        self._overflow = overflow
        self._running: dict[Target, asyncio.Task[None]] = {}

    @property
    def own(self) -> Collection[UUID]:
        """Returns the jobs that were submitted on this socket with a ticket."""
        return self._own.keys()

    async def read_granted(self, job_id: UUID) -> JobView:
        """Returns a job that the socket may read.

        Raises:
            NotFound: the tenant has no such job, or the ticket does not grant it.
        """
        return await read_granted(self._node, self._tenant_id, job_id, grant=self._grant, own=self._own)

    def check_limit(self) -> None:
        """Raises Overloaded if the socket has the maximum number of subscriptions."""
        if len(self._running) >= MOST:
            raise Overloaded(
                f"Subscription limit of this socket reached ({MOST:,}).",
                reason="Nothing was recorded. Unsubscribe, wait for jobs to end, or open another socket.",
            )

    async def start_of_job(self, job_id: UUID, after: int | str | None) -> int:
        """Returns the sequence after which the events of a job are sent; -1: from the beginning.

        Raises:
            NotFound: the tenant has no such job, or the ticket does not grant it.
            Invalid: `after` is not a sequence that the job has reached.
        """
        view = await self.read_granted(job_id)
        if isinstance(after, str):
            is_number = after.isascii() and after.isdecimal() and len(after) <= SEQUENCE_DIGITS
            after = int(after) if is_number else view.sequence + 1
        start = await resume_sequence(self._node, view, -1 if after is None else after)
        if start is None:
            raise Invalid.at([PathError("after", "not a sequence of this job")])
        return start

    async def start_of_filter(self, after: int | str | None) -> Start:
        """Returns the position from which the events of all jobs are sent.

        Raises:
            Invalid: not the id of a frame.
            Forbidden: the ticket is for a single job.
        """
        within(self._grant, ALL_EVENTS)
        return await find_start(self._scope, None if after is None else str(after), "after")

    def follow_job(self, job_id: UUID, *, after: int) -> None:
        """Sends the events of a job until it ends; restarts a subscription to the same job."""
        self._start(job_id, self._send_job(job_id, after))

    def follow_filter(self, stream_filter: StreamFilter, *, after: Start) -> None:
        """Sends the events of all jobs that match."""
        event_filter = stream_filter.as_filter()
        self._start(event_filter, self._send_filtered(within(self._grant, event_filter), after))

    def follow_own(self, job_id: UUID) -> None:
        """Sends the events of a job that was submitted on this socket, from its first one."""
        if self._grant is not None:
            self._own[job_id] = None
            if len(self._own) > MOST_OWN:
                del self._own[next(iter(self._own))]
        self.follow_job(job_id, after=-1)

    def end(self, target: Target) -> None:
        """Ends a subscription, if there is one."""
        if task := self._running.pop(target, None):
            task.cancel()

    async def wait_ended(self, *, seconds: float) -> None:
        """Waits until all subscriptions have ended, or for this time."""
        if self._running:
            await asyncio.wait(self._running.values(), timeout=seconds)

    def _start(self, target: Target, sending: Coroutine[Any, Any, None]) -> None:
        self.end(target)
        task = self._running[target] = self._tasks.create_task(sending)
        task.add_done_callback(lambda done: self._ended(target, done))

    def _ended(self, target: Target, task: asyncio.Task[None]) -> None:
        if self._running.get(target) is task:
            del self._running[target]

    async def _send_job(self, job_id: UUID, after: int) -> None:
        node, tenant_id = self._node, self._tenant_id
        feed = job_events(
            node.database, node.hub, tenant_id=tenant_id, job_id=job_id, after=after, payload=self._payload
        )
        async with aclosing(feed):
            async for events in feed:
                for event in events:
                    await self._send_text(f'{{"id":{event.sequence},{frame_text(event)[1:]}')

    async def _send_filtered(self, event_filter: EventFilter, after: Start) -> None:
        try:
            async with aclosing(socket_events(self._scope, after, event_filter)) as texts:
                async for text in texts:
                    await self._send_text(text)
        except TooSlow:
            await self._overflow()
