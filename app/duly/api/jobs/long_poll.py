"""Waiting for a job: the long poll of a read, and `Prefer: wait` of a submission."""

import time
from uuid import UUID

from duly.domain.http_field_values import delay_seconds, read_members
from duly.domain.job import JobView
from duly.errors import NotFound
from duly.lifecycle.read.wait import LOOK_SECONDS, wait_until
from duly.node import Node

LONGEST_WAIT_SECONDS = 60


def preferred_wait(prefer: str) -> int | None:
    """Returns the seconds of `Prefer: wait=N` (RFC 7240, section 4.3), at most 60; None without it.

    The first `wait` counts, even if it is malformed (section 2).
    """
    values = (preference.value for preference in read_members(prefer) if preference.name == "wait")
    seconds = delay_seconds(next(values, None) or "")
    return min(seconds, LONGEST_WAIT_SECONDS) if seconds is not None else None


async def find_job(node: Node, tenant_id: int, job_id: UUID) -> JobView:
    """Returns a job in its current state.

    Raises:
        NotFound: the tenant has no job of this id.
    """
    view = await node.job_reader.look(tenant_id, job_id)
    if view is None:
        raise NotFound("Job not found.")
    return view


async def wait_for_end(node: Node, tenant_id: int, job_id: UUID, *, seconds: float) -> JobView | None:
    """Waits until a job has ended. Returns None if it has not within the time, or the database became unavailable: the
    job was accepted, so its client must not receive an error.
    """

    async def ended() -> JobView | None:
        view = await find_job(node, tenant_id, job_id)
        return view if view.ended else None

    with node.hub.watch(job_id) as watch:
        return await wait_until(watch, ended, over=lambda: node.hub.closing, seconds=seconds)


async def wait_for_change(
    node: Node, tenant_id: int, job_id: UUID, *, known_sequence: int | None, seconds: float
) -> JobView:
    """Waits until a job is newer than `known_sequence` (None: until its status changes), or the time is over. Returns
    its current state.
    """
    deadline, first = time.monotonic() + seconds, None
    with node.hub.watch(job_id) as watch:
        while True:
            closing = node.hub.closing  # before the read, so that an end recorded by then is still seen
            view = await find_job(node, tenant_id, job_id)
            first = first or view
            changed = view.sequence > known_sequence if known_sequence is not None else view.status != first.status
            left = deadline - time.monotonic()
            if view.ended or changed or closing or left <= 0:
                return view
            await watch.wait(timeout=min(left, LOOK_SECONDS))
