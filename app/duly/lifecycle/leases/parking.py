"""Parks attempts of workers over HTTP: their jobs wait for a time or a signal without a worker."""

from collections.abc import Sequence

from duly.domain.events import EventKind
from duly.domain.steps import StepKind
from duly.store.postgres.database import Connection
from duly.store.queue.leases import (
    LeaseEnd,
    RecordedLeaseEnds,
    RememberedEnd,
    finish_leases_if_held,
    remember_lease_ends,
)
from duly.store.queue.park import park_if_held
from duly.store.queue.signals import find_sent


async def park_leases(
    connection: Connection, ends: Sequence[LeaseEnd], *, source: str, cancelled_error: str
) -> RecordedLeaseEnds:
    """Parks attempts and remembers their ends, in one transaction. A job whose signal was sent before returns to its
    queue at once, and one with a cancel request ends as cancelled.
    """
    async with connection.transaction():
        arrived = await _find_arrived(connection, ends)
        parks = [end for end in ends if end not in arrived]
        parked = await park_if_held(connection, [end.finish for end in parks], source=source) if parks else []
        by_job = {end.finish.job_id: end for end in parks}
        finished = {by_job[one.job_id].key: one for one in parked}
        remembered = [
            (end, RememberedEnd(one.job_id, one.kind, one.sequence, end.digest))
            for one in parked
            for end in (by_job[one.job_id],)
        ]
        if remembered:
            await remember_lease_ends(connection, remembered)
        others = [_not_parked(end, arrived=end in arrived) for end in ends if end.key not in finished]
        if not others:
            return RecordedLeaseEnds(finished, [])
        ended = await finish_leases_if_held(connection, others, source=source, cancelled_error=cancelled_error)
        return ended._replace(finished=finished | ended.finished)


async def _find_arrived(connection: Connection, ends: Sequence[LeaseEnd]) -> list[LeaseEnd]:
    """Returns those of these ends that wait for a signal which was sent already."""
    waits = [(end, wait) for end in ends for wait in end.finish.waits if wait.kind is StepKind.SIGNAL]
    if not waits:
        return []
    sent = await find_sent(connection, [(end.tenant_id, end.finish.job_id, wait.name) for end, wait in waits])
    return [end for (end, _), is_sent in zip(waits, sent, strict=True) if is_sent]


def _not_parked(end: LeaseEnd, *, arrived: bool) -> LeaseEnd:
    """Returns the end of an attempt that does not park."""
    if arrived:
        data = '{"reason":"its signal had arrived"}'
        return end._replace(finish=end.finish._replace(kind=EventKind.REQUEUED, data=data, waits=()))
    return end._replace(finish=end.finish._replace(kind=EventKind.CANCELLED, charged=True, waits=()))
