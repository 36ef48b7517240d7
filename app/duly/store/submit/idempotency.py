"""Table `idempotency`: the submission of each client's idempotency key, for 24 hours."""

from collections.abc import Container, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from duly.domain.job import IdempotencyKey, NewJob
from duly.store.postgres.database import Connection

LIFETIME = "24 hours"

# Bound of the wait for another transaction that is recording the same key.
PATIENCE = "set local lock_timeout = '2s'"

# A key may belong to the same job or batch already: after a lost response it is recorded again. With a client-made id
# that is a repeat (`mine` is false), which gets the first response.
# Inserts are in key order, so that two nodes with the same keys cannot deadlock.
RESERVE_KEYS = f"""
insert into idempotency as i (tenant_id, key, job_id, digest)
select * from unnest($1::int[], $2::text[], $3::uuid[], $4::bytea[]) as a (tenant_id, key, job_id, digest)
order by tenant_id, key
on conflict (tenant_id, key) do update
    set job_id = excluded.job_id, digest = excluded.digest,
        created_at = case when i.job_id = excluded.job_id then i.created_at else now() end,
        answer = case when i.job_id = excluded.job_id then i.answer end
    where i.created_at < now() - interval '{LIFETIME}' or (i.job_id, i.digest) = (excluded.job_id, excluded.digest)
returning tenant_id, key, created_at = now() as mine
"""

# A key is recorded in the transaction of its job or batch, so both have the same time.
READ_EXISTING = """
select i.tenant_id, i.key, i.job_id, i.digest, i.created_at, i.answer
from unnest($1::int[], $2::text[]) as a (tenant_id, key)
cross join lateral (select * from idempotency where tenant_id = a.tenant_id and key = a.key offset 0) i
"""


class EarlierSubmission(NamedTuple):
    """First submission with a key: a job, or a batch. `answer` is the stored part of its response (JSON text)."""

    job_id: UUID
    digest: bytes
    created_at: datetime
    answer: str | None = None


async def reserve_keys(connection: Connection, jobs: Sequence[NewJob]) -> dict[tuple[int, str], EarlierSubmission]:
    """Reserves the keys of these jobs, no two of which share one, in the caller's transaction.

    Returns the submissions that hold a key already; jobs whose keys are not in the result may be recorded.
    """
    keyed = [
        (job.tenant_id, job.idempotency.key, job.job_id, job.idempotency.digest) for job in jobs if job.idempotency
    ]
    named = {(job.tenant_id, job.idempotency.key) for job in jobs if job.idempotency and job.flow and job.flow.digest}
    return await _reserve(connection, keyed, named)


async def reserve_key(
    connection: Connection, tenant_id: int, key: IdempotencyKey, batch_id: UUID
) -> EarlierSubmission | None:
    """Reserves the key for a batch, in the caller's transaction. Returns the submission that holds it
    already, if any.
    """
    held = await _reserve(connection, [(tenant_id, key.key, batch_id, key.digest)])
    return held.get((tenant_id, key.key))


async def _reserve(
    connection: Connection, keyed: Sequence[tuple[int, str, UUID, bytes]], named: Container[tuple[int, str]] = ()
) -> dict[tuple[int, str], EarlierSubmission]:
    await connection.execute(PATIENCE)
    rows = await connection.fetch(RESERVE_KEYS, *(list(column) for column in zip(*keyed, strict=True)))
    taken = {(row[0], row[1]) for row in rows if row["mine"] or (row[0], row[1]) not in named}
    held = [(tenant_id, key) for tenant_id, key, _, _ in keyed if (tenant_id, key) not in taken]
    if not held:
        return {}
    rows = await connection.fetch(READ_EXISTING, *(list(column) for column in zip(*held, strict=True)))
    return {(row[0], row[1]): EarlierSubmission(*row[2:]) for row in rows}


DELETE_KEY = "delete from idempotency where tenant_id = $1 and key = $2"
# A key whose submission was deduplicated belongs to the other job, from now on and not since that job was recorded.
REDIRECT_KEY = """
update idempotency i set job_id = $3, answer = json_build_object(
    'createdAt', j.created_at,
    'kind', coalesce((
        select kind from events where tenant_id = $1 and job_id = $3 order by sequence desc limit 1
    ), 0)
)
from jobs j where i.tenant_id = $1 and i.key = $2 and j.tenant_id = $1 and j.job_id = $3
returning i.answer
"""
STORE_RESPONSE = "update idempotency set answer = $3::json where tenant_id = $1 and key = $2"


async def delete_key(connection: Connection, tenant_id: int, key: str) -> None:
    """Deletes a key whose submission was refused."""
    await connection.execute(DELETE_KEY, tenant_id, key)


async def redirect_key(connection: Connection, tenant_id: int, key: str, job_id: UUID) -> str:
    """Assigns the key to another job than the one it came with. Returns the stored part of the response."""
    answer: str = await connection.fetchval(REDIRECT_KEY, tenant_id, key, job_id)
    return answer


async def keep_answer(connection: Connection, tenant_id: int, key: str, answer: str) -> None:
    """Stores the parts of a key's first response that the ledger does not have, as JSON text."""
    await connection.execute(STORE_RESPONSE, tenant_id, key, answer)


# The age is checked twice: the outer condition keeps a key that was used again since it was found.
DELETE_EXPIRED = f"""
delete from idempotency where (tenant_id, key) in (
    select tenant_id, key from idempotency where created_at < now() - interval '{LIFETIME}' limit $1
) and created_at < now() - interval '{LIFETIME}'
"""


async def forget_old_keys(connection: Connection, *, limit: int) -> int:
    """Deletes keys past their lifetime, in bounded batches. Returns how many."""
    return int((await connection.execute(DELETE_EXPIRED, limit)).rpartition(" ")[2])
