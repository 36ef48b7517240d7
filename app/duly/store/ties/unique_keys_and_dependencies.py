"""Submissions with ties to other jobs: their records, unique keys and dependencies."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from duly.domain.events import FIRST_TERMINAL, EventKind
from duly.domain.job import Flow, Mark, NewJob
from duly.store.ledger.ready_keys import at_key
from duly.store.postgres.database import Connection

# A key of another job is locked until this transaction ends, so that job cannot end meanwhile.
ACQUIRE_UNIQUE_KEYS = """
insert into unique_keys as u (tenant_id, type, key, job_id)
select * from unnest($1::int[], $2::text[], $3::text[], $4::uuid[]) as a (tenant_id, type, key, job_id)
order by tenant_id, type, key
on conflict (tenant_id, type, key) do update set job_id = u.job_id where u.job_id = excluded.job_id
returning tenant_id, type, key, xmax = 0
"""
READ_HOLDERS = """
select a.tenant_id, a.type, a.key, u.job_id, j.created_at
from unnest($1::int[], $2::text[], $3::text[]) as a (tenant_id, type, key)
cross join lateral (
    select job_id from unique_keys where tenant_id = a.tenant_id and type = a.type and key = a.key offset 0
) u
cross join lateral (select created_at from jobs where tenant_id = a.tenant_id and job_id = u.job_id offset 0) j
"""
UniqueKey = tuple[int, str, str]


class UniqueKeyHolder(NamedTuple):
    """Unfinished job that holds a unique key."""

    job_id: UUID
    created_at: datetime


class UniqueKeys(NamedTuple):
    """Result of acquiring unique keys: those acquired now, and the holders of the others."""

    fresh: set[UniqueKey]
    holders: dict[UniqueKey, UniqueKeyHolder]


async def acquire_unique_keys(connection: Connection, wanted: dict[UniqueKey, UUID]) -> UniqueKeys:
    """Acquires these keys (tenant, type, key) for their jobs."""
    if not wanted:
        return UniqueKeys(set(), {})
    keys = list(wanted)
    columns = [list(column) for column in zip(*keys, strict=True)]
    rows = await connection.fetch(ACQUIRE_UNIQUE_KEYS, *columns, list(wanted.values()))
    fresh = {(row[0], row[1], row[2]): bool(row[3]) for row in rows}
    rest = [key for key in keys if key not in fresh]
    if rest:
        rows = await connection.fetch(READ_HOLDERS, *(list(column) for column in zip(*rest, strict=True)))
    holders = {(row[0], row[1], row[2]): UniqueKeyHolder(row[3], row[4]) for row in rows} if rest else {}
    return UniqueKeys({key for key, is_fresh in fresh.items() if is_fresh}, holders)


RELEASE_UNIQUE_KEYS = """
delete from unique_keys u using unnest($1::int[], $2::uuid[]) as a (tenant_id, job_id)
where u.job_id >= a.job_id and u.job_id <= a.job_id and u.tenant_id = a.tenant_id
"""
TRANSFER_UNIQUE_KEY = "update unique_keys set job_id = $4 where tenant_id = $1 and type = $2 and key = $3"


async def release_unique_keys(connection: Connection, jobs: Sequence[tuple[int, UUID]]) -> None:
    """Releases the keys of these (tenant, job)."""
    if jobs:
        await connection.execute(RELEASE_UNIQUE_KEYS, *(list(column) for column in zip(*jobs, strict=True)))


async def transfer_unique_key(connection: Connection, key: UniqueKey, job_id: UUID) -> None:
    """Transfers the key to this job."""
    await connection.execute(TRANSFER_UNIQUE_KEY, *key, job_id)


# Before its first start the parameters of a job can be replaced: that is an event, which the claim reads because of the
# mark. A scheduled job then starts `$4` seconds from now, at most `$5` seconds after its submission.
MERGE_PARAMETERS = f"""
with asked as materialized (
    select tenant_id, job_id, queue, type, priority, created_at from jobs where tenant_id = $1 and job_id = $2
),
later as (
    update scheduled s set
        sequence = sequence + 1, marks = marks | {Mark.MERGED:d},
        run_at = least(now() + $4 * interval '1 second',
                       greatest((select created_at from asked) + $5 * interval '1 second', now()))
    where job_id = $2 and tenant_id = $1 and attempt = 0 and reason = 0
    returning job_id, sequence
),
now_ready as (
    update ready r set sequence = sequence + 1, marks = marks | {Mark.MERGED:d} from asked a
    where {at_key("r", "a")} and r.attempt = 0
    returning r.job_id, r.sequence
),
held_back as (
    update blocked set sequence = sequence + 1, marks = marks | {Mark.MERGED:d}
    where job_id = $2 and tenant_id = $1 and attempt = 0
    returning job_id, sequence
)
insert into events (tenant_id, job_id, sequence, kind, attempt, source, data)
select $1, job_id, sequence, {EventKind.REQUEUED:d}, 0, $6,
       json_build_object('reason', 'merged', 'parameters', $3::json)
from (select * from later union all select * from now_ready union all select * from held_back) m
returning sequence
"""


async def merge_parameters(
    connection: Connection, holder: UUID, job: NewJob, *, seconds: float, longest_seconds: float, source: str
) -> bool:
    """Replaces the parameters of the waiting job by those of this one; returns False if it has started."""
    merged = await connection.fetchval(
        MERGE_PARAMETERS, job.tenant_id, holder, job.parameters, seconds, longest_seconds, source
    )
    return merged is not None


# A client-made id may exist already, as may all of these after a lost response.
RECORD_TIED = """
insert into jobs (tenant_id, job_id, type, queue, priority, parameters, timeout_seconds, max_attempts,
                  run_at, labels, callback_url, callback_secret, callback_events, correlation_id, traceparent,
                  batch_id, expires_at, unique_key, concurrency_key, depends_on, despite_failure, parent_id, digest,
                  holds)
select tenant_id, job_id, type, queue, priority, parameters::json, timeout_seconds, max_attempts,
       coalesce(run_at, now() + delay_seconds * interval '1 second'), labels::jsonb, callback_url, callback_secret,
       callback_events, correlation_id, traceparent, batch_id, now() + expires_in * interval '1 second', unique_key,
       concurrency_key, string_to_array(depends_on, ',')::uuid[], despite_failure, parent_id, digest, holds
from unnest(
    $1::int[], $2::uuid[], $3::text[], $4::text[], $5::smallint[], $6::text[], $7::real[], $8::smallint[],
    $9::timestamptz[], $10::float8[], $11::text[], $12::text[], $13::text[], $14::smallint[], $15::text[], $16::text[],
    $17::uuid[], $18::float8[], $19::text[], $20::text[], $21::text[], $22::bool[], $23::uuid[], $24::bytea[],
    $25::bool[]
) as a (tenant_id, job_id, type, queue, priority, parameters, timeout_seconds, max_attempts, run_at, delay_seconds,
        labels, callback_url, callback_secret, callback_events, correlation_id, traceparent, batch_id, expires_in,
        unique_key, concurrency_key, depends_on, despite_failure, parent_id, digest, holds)
on conflict do nothing
returning job_id, created_at, run_at, expires_at
"""


class Tied(NamedTuple):
    """Recorded job with its times by the database's clock."""

    job_id: UUID
    created_at: datetime
    run_at: datetime | None
    expires_at: datetime | None


async def record_tied(connection: Connection, jobs: Sequence[NewJob]) -> dict[UUID, Tied]:
    """Records these submissions, each with an id of its own, without their hot rows. A job whose id exists, in any
    tenant, is not in the result.
    """
    rows = await connection.fetch(RECORD_TIED, *(list(column) for column in zip(*map(_columns, jobs), strict=True)))
    return {row[0]: Tied(*row) for row in rows}


def _columns(job: NewJob) -> tuple[object, ...]:
    flow = job.flow or Flow()
    return (
        *job[:17],
        flow.expires_in_seconds,
        flow.unique_key,
        flow.concurrency_key,
        ",".join(map(str, flow.depends_on)) or None,
        flow.despite_failure or None,
        flow.parent_id,
        flow.digest,
        flow.holds or None,
    )


class RecordedJob(NamedTuple):
    """Recorded job: its tenant, its creation time, and the digest of a submission with a client-made id."""

    tenant_id: int
    created_at: datetime
    digest: bytes | None


FIND_RECORDED = """
select a.tenant_id, a.job_id, j.created_at, j.digest from unnest($1::int[], $2::uuid[]) as a (tenant_id, job_id)
cross join lateral (
    select created_at, digest from jobs where tenant_id = a.tenant_id and job_id = a.job_id offset 0
) j
"""


async def find_recorded(
    connection: Connection, keys: Sequence[tuple[int, UUID]]
) -> dict[tuple[int, UUID], RecordedJob]:
    """Returns those of these (tenant, job) that are recorded."""
    if not keys:
        return {}
    rows = await connection.fetch(FIND_RECORDED, *(list(column) for column in zip(*keys, strict=True)))
    return {(row[0], row[1]): RecordedJob(row[0], row[2], row[3]) for row in rows}


# Over all tenants, by the unique index of ids; its condition is always true.
FIND_IDS = """
select a.job_id, j.tenant_id, j.created_at, j.digest from unnest($1::uuid[]) as a (job_id)
cross join lateral (
    select tenant_id, created_at, digest from jobs where job_id = a.job_id and type <> '' offset 0
) j
"""


async def find_ids(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, RecordedJob]:
    """Returns the jobs of any tenant that have these ids. What they contain must be shown to their tenant only."""
    if not ids:
        return {}
    return {row[0]: RecordedJob(*row[1:]) for row in await connection.fetch(FIND_IDS, ids)}


# Dependencies are marked in their hot row, so that their end has follow-ups. A job that moves at the same moment is
# found by the next look: in every snapshot it has one hot row or has ended.
MARK_READY = f"""
with lanes as materialized (
    select a.tenant_id, a.job_id, j.queue, j.type, j.priority
    from unnest($1::int[], $2::uuid[]) as a (tenant_id, job_id) cross join lateral (
        select queue, type, priority from jobs where tenant_id = a.tenant_id and job_id = a.job_id offset 0
    ) j
)
update ready r set marks = r.marks | {Mark.DEPENDED:d} from lanes l
where {at_key("r", "l")}
returning r.job_id
"""
MARK_ELSEWHERE = {
    table: f"""
update {table} w set marks = w.marks | {Mark.DEPENDED:d} from unnest($1::int[], $2::uuid[]) as a (tenant_id, job_id)
where w.job_id >= a.job_id and w.job_id <= a.job_id and w.tenant_id = a.tenant_id
returning w.job_id
"""  # names of our own
    for table in ("scheduled", "blocked", "running")
}
READ_ENDS = f"""
select a.job_id, e.kind from unnest($1::int[], $2::uuid[]) as a (tenant_id, job_id) cross join lateral (
    select kind from events where job_id = a.job_id and tenant_id = a.tenant_id order by sequence desc limit 1
) e
where e.kind >= {FIRST_TERMINAL:d}
"""
LOOKS = 20


class LockContention(Exception):
    """Job that changed its table at every look."""


async def watch_parents(connection: Connection, parents: Sequence[tuple[int, UUID]]) -> dict[UUID, EventKind]:
    """Marks these (tenant, job) as dependencies, in any table. Returns the ends of those that have
    ended.

    Raises:
        LockContention: a job changed its table at every look.
    """
    ended: dict[UUID, EventKind] = {}
    open_ = sorted(set(parents))
    for _ in range(LOOKS):
        if not open_:
            return ended
        keys = [list(column) for column in zip(*open_, strict=True)]
        found: set[UUID] = set()
        for statement in (MARK_READY, *MARK_ELSEWHERE.values()):
            found |= {row[0] for row in await connection.fetch(statement, *keys)}
        ends = {row[0]: EventKind(row[1]) for row in await connection.fetch(READ_ENDS, *keys)}
        ended |= {job_id: kind for job_id, kind in ends.items() if job_id not in found}
        open_ = [key for key in open_ if key[1] not in found and key[1] not in ended]
    if open_:
        raise LockContention(str(open_[0][1]))
    return ended


INSERT_DEPENDENCIES = """
insert into dependencies (tenant_id, parent_id, child_id)
select * from unnest($1::int[], $2::uuid[], $3::uuid[]) as a (tenant_id, parent_id, child_id)
"""


async def record_dependencies(connection: Connection, waits: Sequence[tuple[int, UUID, UUID]]) -> None:
    """Records (tenant, dependency, dependent)."""
    if waits:
        await connection.execute(INSERT_DEPENDENCIES, *(list(column) for column in zip(*waits, strict=True)))
