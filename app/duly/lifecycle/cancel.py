"""Cancel: end a job that waits at once; tell the handler of one that runs."""

from enum import Enum
from uuid import UUID

from duly.domain.job import JobView, Lane
from duly.domain.outcome import cancelled_error
from duly.errors import JobAlreadyEnded, NotFound, Unavailable
from duly.lifecycle.signals import Signals
from duly.store.database import Database
from duly.store.jobs import view_job
from duly.store.running import CancelWish, request_cancel
from duly.store.scheduled import cancel_waiting

TRIES = 5


class CancelAnswer(Enum):
    CANCELLED = "cancelled"
    REQUESTED = "requested"


async def cancel(database: Database, signals: Signals, tenant_id: int, job_id: UUID) -> CancelAnswer:
    """Cancels a job.

    Raises:
        NotFound: this tenant has no such job.
        JobAlreadyEnded: it has ended.
    """
    for _ in range(TRIES):
        async with database.connection() as connection:
            view = _unfinished(await view_job(connection, tenant_id, job_id))
            if await cancel_waiting(
                connection, tenant_id, job_id, lane=lane_of(view), source="api", error=cancelled_error()
            ):
                signals.changed([job_id])
                signals.deliveries()
                return CancelAnswer.CANCELLED
            wish = await request_cancel(connection, tenant_id, job_id, source="api")
            if wish is CancelWish.NOTED:
                signals.changed([job_id])
                signals.cancel(job_id)
            if wish is not CancelWish.GONE:
                return CancelAnswer.REQUESTED
        # It moved between the look and the statement: look again.
    raise Unavailable("The job keeps changing hands; try again.")


def lane_of(view: JobView) -> Lane:
    return Lane(view.queue, view.type, view.priority)


def _unfinished(view: JobView | None) -> JobView:
    if view is None:
        raise NotFound("There is no such job.")
    if view.ended:
        raise JobAlreadyEnded(f"The job has ended already: {view.status}.")
    return view
