"""Steps, waits and signals of all jobs, as their events and as their rows have them, and their repair."""

import json
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from duly.domain.derived_steps import KINDS_OF_STEPS, StepsOfJob, StepState, derive_steps
from duly.domain.events import EventKind
from duly.domain.json_reader import read_json
from duly.domain.json_writer import digest_of
from duly.domain.outcome import COMPENSATION_FAILED
from duly.domain.steps import StepKind, StepStatus
from duly.store.postgres.catalog_types import Record
from duly.store.postgres.database import Connection

# Bodies were accepted with the limit of their time.
DEPTH = 10_000


class StepFacts(NamedTuple):
    """Steps of one job: by its events (`expected`), and by its rows."""

    tenant_id: int
    job_id: UUID
    expected: StepsOfJob
    actual: StepsOfJob


_KINDS = ", ".join(f"{kind:d}" for kind in KINDS_OF_STEPS)
# Without results and bodies, which may be large.
_DATA = """json_strip_nulls(json_build_object(
    'step', data -> 'step', 'compensation', data -> 'compensation', 'waits', data -> 'waits',
    'reason', data -> 'reason', 'timers', data -> 'timers', 'signals', data -> 'signals', 'signal', data -> 'signal',
    'forgotten', data -> 'forgotten', 'fromStep', data -> 'fromStep'
))"""
_FACTS = f"""
with told as (
    select job_id, min(tenant_id) as tenant_id,
           json_agg(json_build_array(sequence, kind, {_DATA}) order by sequence)::text as events
    from events
    where kind in ({_KINDS}) and (kind <> {EventKind.REQUEUED:d} or data -> 'forgotten' is not null) {{of_job}}
    group by job_id
),
kept as (
    select job_id, min(tenant_id) as tenant_id,
           json_agg(json_build_array(kind, name, sequence, status, compensable))::text as rows
    from steps where true {{of_job}} group by job_id
),
sent as (
    select job_id, min(tenant_id) as tenant_id, json_object_agg(name, sequence)::text as signals
    from signals where true {{of_job}} group by job_id
)
select coalesce(t.tenant_id, k.tenant_id, s.tenant_id), job_id, coalesce(t.events, '[]'), coalesce(k.rows, '[]'),
       coalesce(s.signals, '{{{{}}}}')
from told t full join kept k using (job_id) full join sent s using (job_id)
"""
READ_ALL_STEPS = _FACTS.format(of_job="")
READ_STEPS_OF = _FACTS.format(of_job="and job_id = any($1::uuid[])")


async def read_all_steps(connection: Connection) -> AsyncIterator[StepFacts]:
    """Yields the jobs that have steps, waits or signals, in the caller's transaction."""
    async for row in connection.cursor(READ_ALL_STEPS, prefetch=500):
        yield _facts(row)


async def read_steps_of(connection: Connection, jobs: Sequence[UUID]) -> list[StepFacts]:
    """Returns those of these jobs that have steps, waits or signals."""
    return [_facts(row) for row in await connection.fetch(READ_STEPS_OF, jobs)]


def _facts(row: Record) -> StepFacts:
    tenant_id, job_id, events, rows, signals = row
    actual = {
        (StepKind(kind), name): StepState(sequence, StepStatus(status), compensable)
        for kind, name, sequence, status, compensable in json.loads(rows)
    }
    return StepFacts(tenant_id, job_id, derive_steps(json.loads(events)), StepsOfJob(actual, json.loads(signals)))


# Of jobs that failed or were cancelled. A failed compensation names the steps that it left.
FIND_UNCOMPENSATED = f"""
select s.tenant_id, s.job_id, array_agg(s.name order by s.sequence)
from steps s cross join lateral (
    select kind, data from events where job_id = s.job_id and tenant_id = s.tenant_id order by sequence desc limit 1
) e
where s.kind = {StepKind.STEP:d} and s.compensable and s.status = {StepStatus.COMPLETED:d}
  and (e.kind = {EventKind.CANCELLED:d} or e.kind = {EventKind.FAILED:d} and not coalesce(
      e.data ->> 'code' = '{COMPENSATION_FAILED}' and (e.data -> 'details' -> 'steps')::jsonb ? s.name, false
  ))
group by s.tenant_id, s.job_id
"""


class Uncompensated(NamedTuple):
    """Job that ended without the compensation of some of its steps."""

    tenant_id: int
    job_id: UUID
    steps: Sequence[str]


async def find_uncompensated(connection: Connection) -> list[Uncompensated]:
    """Returns the jobs that failed or were cancelled with steps that are neither compensated nor named as left."""
    return [Uncompensated(*row) for row in await connection.fetch(FIND_UNCOMPENSATED)]


READ_PARKINGS = f"""
select a.job_id, coalesce((e.data ->> 'until')::timestamptz, case when e.data -> 'jobs' is not null then now() end),
       json_array_length(e.data -> 'signals') > 0,
       (e.data -> 'jobs')::text
from unnest($1::int[], $2::uuid[]) as a (tenant_id, job_id)
cross join lateral (
    select data from events where job_id = a.job_id and tenant_id = a.tenant_id and kind = {EventKind.PARKED:d}
    order by sequence desc limit 1
) e
"""


class Parking(NamedTuple):
    """Wait of a parked job: until a time (None: as long as it takes), and for a signal if `for_signal`; or for child
    jobs, with the current time.
    """

    until: datetime | None
    for_signal: bool
    children: tuple[UUID, ...] = ()


async def read_parkings(connection: Connection, keys: Sequence[tuple[int, UUID]]) -> dict[UUID, Parking]:
    """Returns how each of these (tenant, job) parked last."""
    if not keys:
        return {}
    rows = await connection.fetch(READ_PARKINGS, *zip(*keys, strict=True))
    return {row[0]: Parking(row[1], row[2], tuple(map(UUID, json.loads(row[3] or "[]")))) for row in rows}


DELETE_STEPS = "delete from steps where job_id = any($1::uuid[])"
DELETE_SIGNALS = "delete from signals where job_id = any($1::uuid[])"
INSERT_STEPS = """
insert into steps (tenant_id, job_id, kind, name, sequence, status, compensable, until)
select tenant_id, job_id, kind, name, sequence, status, compensable, until::timestamptz
from unnest($1::int[], $2::uuid[], $3::smallint[], $4::text[], $5::int[], $6::smallint[], $7::bool[], $8::text[])
    as a (tenant_id, job_id, kind, name, sequence, status, compensable, until)
"""
READ_BODIES = """
select a.sequence, (e.data -> 'body')::text
from unnest($3::int[]) as a (sequence)
cross join lateral (
    select data from events where tenant_id = $1 and job_id = $2 and sequence = a.sequence offset 0
) e
"""
INSERT_SIGNALS = """
insert into signals (tenant_id, job_id, name, sequence, digest)
select $1, $2, * from unnest($3::text[], $4::int[], $5::bytea[])
"""


async def rewrite_steps(connection: Connection, jobs: Sequence[StepFacts]) -> None:
    """Replaces the rows of these jobs by those that their events give."""
    job_ids = [job.job_id for job in jobs]
    await connection.execute(DELETE_STEPS, job_ids)
    await connection.execute(DELETE_SIGNALS, job_ids)
    rows = [
        (job.tenant_id, job.job_id, int(kind), name, state.sequence, int(state.status), state.compensable, state.until)
        for job in jobs
        for (kind, name), state in job.expected.rows.items()
    ]
    if rows:
        await connection.execute(INSERT_STEPS, *zip(*rows, strict=True))
    for job in jobs:
        if signals := job.expected.signals:
            await _insert_signals(connection, job, signals)


async def _insert_signals(connection: Connection, job: StepFacts, signals: dict[str, int]) -> None:
    found = await connection.fetch(READ_BODIES, job.tenant_id, job.job_id, list(signals.values()))
    digests = {row[0]: digest_of(read_json(row[1].encode(), max_depth=DEPTH)) for row in found}
    chosen = [digests[sequence] for sequence in signals.values()]
    await connection.execute(INSERT_SIGNALS, job.tenant_id, job.job_id, list(signals), list(signals.values()), chosen)
