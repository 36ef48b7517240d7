"""Jobs that wait for a signal, as rows: what an attempt leaves behind when it parks."""

from uuid import UUID

from duly.domain.events import EventKind
from duly.domain.job import WaitReason
from duly.domain.steps import StepKind, StepStatus
from tests.support.service import Service

LATER = "2100-01-01T00:00:00.000Z"
PARK = f"""
with parked as (
    update scheduled set reason = {WaitReason.SIGNAL:d}, run_at = $3, sequence = sequence + 2 where job_id = $1
    returning tenant_id, job_id, sequence
),
told as (
    insert into events (tenant_id, job_id, sequence, kind, attempt, source, data)
    select tenant_id, job_id, sequence - 1, {EventKind.STARTED:d}, 1, 'test', null from parked
    union all
    select tenant_id, job_id, sequence, {EventKind.PARKED:d}, 0, 'test',
           json_build_object(
               'until', nullif($4, 'infinity'), 'signals', $2::text[],
               'waits', (
                   select json_agg(json_build_object('kind', 'signal', 'name', w, 'until', nullif($4, 'infinity')))
                   from unnest($2::text[]) as w
               )
           )
    from parked
)
insert into steps (tenant_id, job_id, sequence, kind, status, name, until)
select tenant_id, job_id, sequence, {StepKind.SIGNAL:d}, {StepStatus.WAITING:d}, name, nullif($3, 'infinity')
from parked, unnest($2::text[]) as w (name)
"""  # noqa: S608  # codes of our own


async def parked_job(
    service: Service, *names: str, type_: str = "echo", until: str = "infinity", **members: object
) -> str:
    """Submits a job, and parks it until one of these signals arrives."""
    job_id: str = (await service.submit(type_, {}, runAt=LATER, **members))["jobId"]
    statement = PARK.replace("$3", f"'{until}'::timestamptz").replace("$4", f"'{until}'")
    await service.sql(statement, UUID(job_id), list(names))
    return job_id
