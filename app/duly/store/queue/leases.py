"""Tables `leases` and `lease_ends`: attempts on workers over HTTP. Every write is fenced by the lease token."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple, TypeAlias
from uuid import UUID

from duly.domain.events import EventKind
from duly.domain.job import Finish, Finished, Mark
from duly.store.ledger.outbox import oldest_job
from duly.store.postgres.database import Connection
from duly.store.queue.running import (
    FINISH_COMPENSATING_LEASES_IF_HELD,
    FINISH_LEASES_IF_HELD,
    all_finished,
    finish_columns,
)

LeaseKey: TypeAlias = tuple[UUID, int]  # job and lease token


FIND_LEASED_SINCE = f"""
select job_id, token from running
where node_id = $1 and started_at > coalesce($2, '-infinity'::timestamptz) and marks & {Mark.LEASED:d} <> 0
"""


async def find_leased_since(connection: Connection, node_id: UUID, started_at: datetime | None) -> dict[UUID, int]:
    """Returns the leased attempts that this node started after this time, with their tokens; None: all of them."""
    return {row[0]: row[1] for row in await connection.fetch(FIND_LEASED_SINCE, node_id, started_at)}


class Extension(NamedTuple):
    """Heartbeat of an attempt; `lines` is the number of log lines that come with it."""

    tenant_id: int
    job_id: UUID
    token: int
    lines: int

    @property
    def key(self) -> LeaseKey:
        """Job and lease token."""
        return self.job_id, self.token


class Extended(NamedTuple):
    """Extended lease; `lines` is the number of log lines of the attempt, including those of the heartbeat."""

    expires_at: datetime
    cancel_requested: bool
    lines: int


# An expired lease is not extended, even if no sweeper has found it: the job may already be running elsewhere when the
# response arrives.
EXTEND_LEASES_IF_HELD = f"""
with told as (
    select * from unnest($1::int[], $2::uuid[], $3::int[], $4::int[]) as t (tenant_id, job_id, token, lines)
),
held as (
    select t.*, n.cancel_requested_at is not null as cancelled from told t cross join lateral (
        select cancel_requested_at from running
        where job_id = t.job_id and tenant_id = t.tenant_id and token = t.token and marks & {Mark.LEASED:d} <> 0
        offset 0
    ) n
)
update leases l
set expires_at = now() + l.lease_seconds * interval '1 second', lines = l.lines + h.lines,
    cancel_told_at = case when h.cancelled then coalesce(l.cancel_told_at, now()) end
from held h
where l.job_id >= h.job_id and l.job_id <= h.job_id and l.token = h.token and l.tenant_id = h.tenant_id
  and l.expires_at > now()
returning l.job_id, l.token, l.expires_at, h.cancelled, l.lines
"""


async def extend_leases_if_held(connection: Connection, extensions: Sequence[Extension]) -> dict[LeaseKey, Extended]:
    """Extends leases that have not expired, at most one for each attempt. Returns them by (job, token)."""
    rows = await connection.fetch(EXTEND_LEASES_IF_HELD, *zip(*extensions, strict=True))
    return {(row[0], row[1]): Extended(*row[2:]) for row in rows}


class LeaseEnd(NamedTuple):
    """End of an attempt as its worker reports it, with a digest of the request."""

    finish: Finish
    tenant_id: int
    digest: bytes

    @property
    def key(self) -> LeaseKey:
        """Job and lease token."""
        return self.finish.job_id, self.finish.token


class RecordedLeaseEnds(NamedTuple):
    """Recorded ends by (job, token), and the jobs whose checkpoint may have been recorded at the same moment."""

    finished: dict[LeaseKey, Finished]
    checkpointed: list[UUID]


async def finish_leases_if_held(
    connection: Connection, ends: Sequence[LeaseEnd], *, source: str, cancelled_error: str
) -> RecordedLeaseEnds:
    """Records the ends of attempts, each at most once, and remembers them. Nothing is changed for an attempt that lost
    its lease.
    """
    finishes = [end.finish for end in ends]
    tenants, digests = [end.tenant_id for end in ends], [end.digest for end in ends]
    given = (*finish_columns(finishes), cancelled_error, source, oldest_job(finishes), tenants, digests)
    rows = await connection.fetch(FINISH_LEASES_IF_HELD, *given)
    if len(rows) < len(ends):
        rows += await connection.fetch(FINISH_COMPENSATING_LEASES_IF_HELD, *given)
    forgets = (EventKind.COMPLETED, EventKind.CANCELLED)
    return RecordedLeaseEnds(
        {(row[0], row[11]): done for row, done in zip(rows, all_finished(rows), strict=True)},
        [row[0] for row in rows if row[1] in forgets and row[12] & Mark.CHECKPOINT],
    )


class RememberedEnd(NamedTuple):
    """End of an attempt that a worker reported before."""

    job_id: UUID
    kind: EventKind
    sequence: int
    digest: bytes


REMEMBER_LEASE_ENDS = """
insert into lease_ends (tenant_id, job_id, token, kind, sequence, digest)
select * from unnest($1::int[], $2::uuid[], $3::int[], $4::smallint[], $5::int[], $6::bytea[])
"""


async def remember_lease_ends(connection: Connection, ends: Sequence[tuple[LeaseEnd, RememberedEnd]]) -> None:
    """Remembers ends that another statement recorded, in the transaction of the caller."""
    rows = [(end.tenant_id, *end.key, known.kind, known.sequence, known.digest) for end, known in ends]
    await connection.execute(REMEMBER_LEASE_ENDS, *zip(*rows, strict=True))


READ_LEASE_ENDS = """
select e.job_id, e.token, e.kind, e.sequence, e.digest
from unnest($1::int[], $2::uuid[], $3::int[]) as a (tenant_id, job_id, token)
cross join lateral (
    select job_id, token, kind, sequence, digest from lease_ends
    where job_id = a.job_id and token = a.token and tenant_id = a.tenant_id offset 0
) e
"""


async def read_lease_ends(connection: Connection, ends: Collection[LeaseEnd]) -> dict[LeaseKey, RememberedEnd]:
    """Returns those of these attempts whose end was reported before, by (job, token)."""
    columns = zip(*((end.tenant_id, *end.key) for end in ends), strict=True)
    rows = await connection.fetch(READ_LEASE_ENDS, *columns)
    return {(row[0], row[1]): RememberedEnd(row[0], EventKind(row[2]), row[3], row[4]) for row in rows}


DROP_LEFT_CHECKPOINTS = "delete from checkpoints where job_id = any($1::uuid[])"


async def drop_left_checkpoints(connection: Connection, jobs: Sequence[UUID]) -> None:
    """Deletes checkpoints of ended jobs that their end did not see."""
    await connection.execute(DROP_LEFT_CHECKPOINTS, jobs)


DELETE_STALE_LEASES = """
delete from leases l
where expires_at < now() - interval '1 minute'
  and not exists (select from running n where n.job_id = l.job_id and n.token = l.token)
"""


async def delete_stale_leases(connection: Connection) -> None:
    """Deletes leases of attempts whose end a release without leases recorded."""
    await connection.execute(DELETE_STALE_LEASES)
