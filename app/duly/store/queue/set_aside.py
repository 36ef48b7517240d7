"""Table `set_aside`: records of jobs that the database rejects, and the reason. Written only in that case."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from duly.store.postgres.database import Connection


class Stage(StrEnum):
    """Stages of a job that can be refused. Stored names."""

    CLAIM = "claim"  # the start of an attempt
    FINISH = "finish"  # the outcome of an attempt
    FOLLOW_UP = "follow-up"  # what an end means for other jobs


class SetAside(NamedTuple):
    """Rejected record of a job; `token` is that of the attempt, 0 without one. The tenant may be None for a job that
    runs, or whose end has follow-ups.
    """

    job_id: UUID
    token: int
    reason: str
    tenant_id: int | None = None


class SetAsideView(NamedTuple):
    """Reason of a rejection, the time since when, and the number of tries."""

    reason: str
    since: datetime
    tries: int


RECORD_SET_ASIDE = """
insert into set_aside (tenant_id, job_id, stage, token, node_id, reason)
select coalesce(a.tenant_id, r.tenant_id, e.tenant_id), a.job_id, $5, a.token, $6, a.reason
from unnest($1::uuid[], $2::int[], $3::text[], $4::int[]) as a (job_id, token, reason, tenant_id)
left join running r on r.job_id = a.job_id and r.token = a.token
left join lateral (select tenant_id from endings where job_id = a.job_id limit 1) e on true
where coalesce(a.tenant_id, r.tenant_id, e.tenant_id) is not null
on conflict (job_id, stage) do update
set token = excluded.token, node_id = excluded.node_id, reason = excluded.reason, noted_at = now(),
    tries = case when set_aside.token = excluded.token then set_aside.tries + 1 else 1 end,
    since = case when set_aside.token = excluded.token then set_aside.since else now() end
"""


async def record_set_aside(
    connection: Connection, items: Sequence[SetAside], *, stage: Stage, node_id: UUID | None
) -> None:
    """Records or refreshes these, at most one for each job. A record that is not refreshed is ignored after some
    minutes.
    """
    await connection.execute(RECORD_SET_ASIDE, *zip(*items, strict=True), stage, node_id)


DELETE_SET_ASIDE = "delete from set_aside where job_id = any($1) and stage = $2"


async def delete_set_aside(connection: Connection, jobs: Sequence[UUID], *, stage: Stage) -> None:
    """Deletes the records of these jobs, which are recorded now."""
    await connection.execute(DELETE_SET_ASIDE, jobs, stage)


DELETE_OLD_SET_ASIDE = "delete from set_aside where noted_at < now() - interval '1 day'"


async def delete_old_set_aside(connection: Connection) -> None:
    """Deletes records that are no longer refreshed."""
    await connection.execute(DELETE_OLD_SET_ASIDE)


READ_SET_ASIDE = """
select reason, since, tries from set_aside s
where tenant_id = $1 and job_id = $2 and stage = $3 and noted_at > now() - interval '5 minutes'
  and (stage <> 'finish' or exists (select from running r where r.job_id = s.job_id and r.token = s.token))
"""


async def read_set_aside(connection: Connection, tenant_id: int, job_id: UUID, *, stage: Stage) -> SetAsideView | None:
    """Returns the reason why this stage of the job cannot be recorded; None if no node reports one."""
    row = await connection.fetchrow(READ_SET_ASIDE, tenant_id, job_id, stage)
    return SetAsideView(*row) if row is not None else None
