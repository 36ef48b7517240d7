"""Table `checkpoints`: one row for each job, the state that its next attempt continues from."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from duly.domain.job import Mark
from duly.store.postgres.catalog_types import Connection


class Checkpoint(NamedTuple):
    """Checkpoint of an attempt for the next one; `value` is JSON text."""

    job_id: UUID
    token: int
    value: str


# The mark makes the next claim read the checkpoint, and the finish delete it.
RECORD_CHECKPOINTS_IF_HELD = f"""
with told as (
    select * from unnest($1::uuid[], $2::int[], $3::text[]) as t (job_id, token, value)
),
marked as (
    update running n set marks = n.marks | {Mark.CHECKPOINT:d}
    from told t where n.job_id >= t.job_id and n.job_id <= t.job_id and n.token = t.token
    returning n.tenant_id, n.job_id, n.token, t.value
),
kept as (
    insert into checkpoints (tenant_id, job_id, token, value)
    select tenant_id, job_id, token, value::json from marked
    on conflict (job_id) do update set token = excluded.token, recorded_at = now(), value = excluded.value
)
select job_id, token from marked
"""


async def record_checkpoints_if_held(
    connection: Connection, checkpoints: Sequence[Checkpoint]
) -> set[tuple[UUID, int]]:
    """Records checkpoints of attempts that hold their lease, at most one for each job. Returns these (job, token)."""
    rows = await connection.fetch(RECORD_CHECKPOINTS_IF_HELD, *zip(*checkpoints, strict=True))
    return {(row[0], row[1]) for row in rows}


DELETE_CHECKPOINTS = """
delete from checkpoints where job_id in (
    select job_id from checkpoints where job_id >= $1 and job_id < $2 order by job_id limit $3
)
"""


async def delete_checkpoints(connection: Connection, *, since: UUID, before: UUID, limit: int) -> int:
    """Deletes up to `limit` checkpoints of jobs with these ids. Returns the number deleted."""
    status: str = await connection.execute(DELETE_CHECKPOINTS, since, before, limit)
    return int(status.rsplit(" ", 1)[1])
