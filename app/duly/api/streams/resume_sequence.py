"""Sequence of a job after which a client resumes, also one that a restore of the database took back."""

from duly.domain.job import JobView
from duly.node import Node
from duly.store.postgres.epochs import began_since


async def resume_sequence(node: Node, view: JobView, after: int) -> int | None:
    """Returns the sequence from which to follow a job for a client that has its events up to `after`; None if the job
    has not reached that.

    After a restore, a job may be behind what its client has seen. The client then gets what happens from now on, or the
    end if the job has ended.
    """
    if after <= view.sequence:
        return after
    async with node.database.connection() as connection:
        if not await began_since(connection, view.created_at):
            return None
    return view.sequence - 1 if view.ended else view.sequence
