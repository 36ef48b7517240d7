"""The table `idempotency`: which submission each client's key stands for, for 24 hours."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from duly.domain.job import NewJob
from duly.store.database import Connection

LIFETIME = "24 hours"

# A key that another transaction is just recording makes this one wait for its end, two seconds at most.
PATIENCE = "set local lock_timeout = '2s'"

# In key order, so that two nodes with the same keys wait for each other and never in a circle.
RESERVE = f"""
insert into idempotency as i (tenant_id, key, job_id, digest)
select * from unnest($1::int[], $2::text[], $3::uuid[], $4::bytea[]) as a (tenant_id, key, job_id, digest)
order by tenant_id, key
on conflict (tenant_id, key) do update
    set job_id = excluded.job_id, digest = excluded.digest, created_at = now()
    where i.created_at < now() - interval '{LIFETIME}' or i.job_id = excluded.job_id
returning tenant_id, key
"""

EXISTING = """
select i.tenant_id, i.key, i.job_id, i.digest, j.created_at
from unnest($1::int[], $2::text[]) as a (tenant_id, key)
cross join lateral (select * from idempotency where tenant_id = a.tenant_id and key = a.key offset 0) i
cross join lateral (select created_at from jobs where tenant_id = i.tenant_id and job_id = i.job_id offset 0) j
"""


class Earlier(NamedTuple):
    """The submission that used a key first."""

    job_id: UUID
    digest: bytes
    created_at: datetime


async def reserve_keys(connection: Connection, jobs: Sequence[NewJob]) -> dict[tuple[int, str], Earlier]:
    """Takes the keys for these jobs, in the caller's transaction; no two of them share one.

    Returns the submissions that hold a key already; the jobs whose keys are not among them may be recorded.
    """
    await connection.execute(PATIENCE)
    keyed = [
        (job.tenant_id, job.idempotency.key, job.job_id, job.idempotency.digest) for job in jobs if job.idempotency
    ]
    rows = await connection.fetch(RESERVE, *(list(column) for column in zip(*keyed, strict=True)))
    taken = {(row["tenant_id"], row["key"]) for row in rows}
    held = [(tenant_id, key) for tenant_id, key, _, _ in keyed if (tenant_id, key) not in taken]
    if not held:
        return {}
    rows = await connection.fetch(EXISTING, *(list(column) for column in zip(*held, strict=True)))
    return {(row["tenant_id"], row["key"]): Earlier(row["job_id"], row["digest"], row["created_at"]) for row in rows}


FORGET = f"""
delete from idempotency where (tenant_id, key) in (
    select tenant_id, key from idempotency where created_at < now() - interval '{LIFETIME}' limit $1
)
"""


async def forget_old_keys(connection: Connection, *, limit: int) -> int:
    """Deletes keys past their lifetime, in bounded batches. Returns how many."""
    return int((await connection.execute(FORGET, limit)).rpartition(" ")[2])
