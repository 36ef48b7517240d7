"""Batch handlers: collects jobs of one type for one call, after which each job has its own end.

For the pool, a job in a group is an attempt like any other: it has a slot and a deadline, and can be stopped.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, NamedTuple

from duly.handlers.registry import Batch, RegisteredHandler
from duly.handlers.serialization import ResultInvalid
from duly.worker.attempt import Attempt


class MemberEnd(NamedTuple):
    """Result of the call for one job: a value, or the error to raise in its attempt.

    One error may end many jobs. Each raises it with its original traceback; otherwise it would collect the lines of all
    that raised it before.
    """

    value: Any = None
    error: BaseException | None = None
    traceback: TracebackType | None = None


@dataclass(slots=True, eq=False)
class Member:
    """One job of a group. `end` is cancelled if its attempt is stopped."""

    attempt: Attempt
    parameters: Any
    end: asyncio.Future[MemberEnd]


@dataclass(slots=True, eq=False)
class Group:
    """Jobs for one call.

    Attributes:
        waiting: number of jobs that have not been stopped.
        given_up: True if all have been: the result of the call is not used.
    """

    handler: RegisteredHandler
    members: list[Member] = field(default_factory=list)
    waiting: int = 0
    given_up: bool = False
    timer: asyncio.Handle | None = None
    call: asyncio.Task[None] | None = None


CallGroup = Callable[[Group], Awaitable[Any]]


class BatchCalls:
    """The groups of one worker: for each type at most one collects jobs, while others may run.

    Args:
        slots: most jobs that can be here at once; a group of this size does not wait for more.
        call_group: calls the handler with the parameters of the group's members.
    """

    def __init__(self, *, slots: int, call_group: CallGroup) -> None:
        self._slots = slots
        self._call_group = call_group
        self._gathering: dict[str, Group] = {}
        self._calls: set[asyncio.Task[None]] = set()

    async def call(self, attempt: Attempt, batch: Batch, parameters: Any) -> Any:
        """Returns what the handler returned for this job; raises what it raised, or returned as this job's failure."""
        group = self._gathering.get(attempt.handler.type) or self._open(attempt.handler, batch)
        member = Member(attempt, parameters, asyncio.get_running_loop().create_future())
        group.members.append(member)
        attempt.start_clock(batch.linger_seconds)
        group.waiting += 1
        if group.waiting >= min(batch.size, self._slots):
            self._begin(group)
        try:
            end = await member.end
        except asyncio.CancelledError:
            await _left(group)
            raise
        if end.error is not None:
            raise end.error.with_traceback(end.traceback)
        return end.value

    def _open(self, handler: RegisteredHandler, batch: Batch) -> Group:
        """Opens a group, which is called when it is full or has lingered."""
        group = self._gathering[handler.type] = Group(handler)
        loop = asyncio.get_running_loop()
        if batch.linger_seconds:
            group.timer = loop.call_later(batch.linger_seconds, self._begin, group)
        else:  # jobs that start together take their first steps in one round of the event loop
            group.timer = loop.call_soon(self._begin, group)
        return group

    def _begin(self, group: Group) -> None:
        del self._gathering[group.handler.type]
        if group.timer is not None:
            group.timer.cancel()
        group.call = asyncio.get_running_loop().create_task(run_group(group, self._call_group))
        self._calls.add(group.call)
        group.call.add_done_callback(self._calls.discard)


async def _left(group: Group) -> None:
    """Removes a stopped attempt. The last one cancels the call and waits for its end, so that its slot stays taken
    while the call runs.
    """
    group.waiting -= 1
    if group.waiting == 0 and group.call is not None:
        group.given_up = True
        group.call.cancel()
        await asyncio.wait([group.call])


async def run_group(group: Group, call_group: CallGroup) -> None:
    """Calls the handler with the members that still wait, and sets the end of each."""
    group.members = [member for member in group.members if not member.end.done()]
    if not group.members:
        return
    for member in group.members:
        member.attempt.start_clock()
    try:
        ends = _member_ends(await call_group(group), len(group.members))
    except BaseException as error:  # noqa: BLE001  # any error is the end of each attempt
        ends = [MemberEnd(error=error, traceback=error.__traceback__)] * len(group.members)
    for member, end in zip(group.members, ends, strict=True):
        if not member.end.done():
            member.end.set_result(end)


def _member_ends(returned: Any, count: int) -> list[MemberEnd]:
    """Returns the end of each job from what the handler returned.

    Raises:
        ResultInvalid: it is not a list with one item for each job.
    """
    if returned is None:
        return [MemberEnd()] * count
    if not isinstance(returned, list | tuple):
        what = type(returned).__name__
        raise ResultInvalid(f"the handler returned {what}, not a list with one item for each of its {count} jobs")
    if len(returned) != count:
        raise ResultInvalid(f"the handler returned {len(returned)} items for {count} jobs")
    return [
        MemberEnd(error=item, traceback=item.__traceback__) if isinstance(item, BaseException) else MemberEnd(item)
        for item in returned
    ]
