"""Waiting for a job on a client's behalf: the long poll of a read, and `Prefer: wait` of a submission."""

import time
from uuid import UUID

from duly.domain.field_values import delay_seconds, read_members
from duly.domain.job import JobView
from duly.errors import NotFound
from duly.lifecycle.read.wait import LOOK_SECONDS, wait_until
from duly.node import Node

LONGEST_WAIT_SECONDS = 60


def preferred_wait(prefer: str) -> int | None:
    """Returns the seconds of `Prefer: wait=N` (RFC 7240, section 4.3), 60 at most; None where it is not asked for.

    The first `wait` counts, also where it means nothing (section 2).
    """
    values = (preference.value for preference in read_members(prefer) if preference.name == "wait")
    seconds = delay_seconds(next(values, None) or "")
    return min(seconds, LONGEST_WAIT_SECONDS) if seconds is not None else None


async def read_job(node: Node, tenant_id: int, job_id: UUID) -> JobView:
    """The job as it stands.

    Raises:
        NotFound: this tenant has none of this id.
    """
    view = await node.job_reader.look(tenant_id, job_id)
    if view is None:
        raise NotFound("There is no such job.")
    return view


async def wait_for_end(node: Node, tenant_id: int, job_id: UUID, *, seconds: float) -> JobView | None:
    """The job once it has ended, or None where it has not within the time.

    It was accepted: that the database goes away meanwhile is no reason to tell its client of a failure.
    """

    async def ended() -> JobView | None:
        view = await read_job(node, tenant_id, job_id)
        return view if view.ended else None

    with node.hub.watch(job_id) as watch:
        return await wait_until(watch, ended, over=lambda: node.hub.closing, seconds=seconds)


async def wait_for_change(
    node: Node, tenant_id: int, job_id: UUID, *, known_sequence: int | None, seconds: float
) -> JobView:
    """The job as soon as it is newer than `known_sequence` (None: as soon as its status changes), or as it stands
    when the time is over.
    """
    deadline = time.monotonic() + seconds
    with node.hub.watch(job_id) as watch:
        first = view = await read_job(node, tenant_id, job_id)
        while not view.ended and not node.hub.closing and (left := deadline - time.monotonic()) > 0:
            changed = view.sequence > known_sequence if known_sequence is not None else view.status != first.status
            if changed:
                break
            await watch.wait(timeout=min(left, LOOK_SECONDS))
            view = await read_job(node, tenant_id, job_id)
    return view
