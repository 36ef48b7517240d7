"""Table `breakers`: circuit breakers, one for each tenant and job type. `probe_at`: time of the next probe, if open."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from duly.domain.job_type_breaker import CircuitState, JobTypeBreaker
from duly.store.postgres.database import Connection

Key = tuple[int, str]  # tenant and job type

INSERT_BREAKERS = """
insert into breakers (tenant_id, type, state, failures, code)
select tenant_id, type, 0, 0, '' from unnest($1::int[], $2::text[]) as a (tenant_id, type)
order by tenant_id, type on conflict do nothing
"""
# A success of a type without counted failures finds no row, so it locks and writes nothing.
LOCK_BREAKERS = """
select b.tenant_id, b.type, b.state, b.failures, b.code, coalesce(b.probe_at <= now(), false)
from unnest($1::int[], $2::text[], $3::bool[]) as a (tenant_id, type, failed) cross join lateral (
    select * from breakers
    where tenant_id = a.tenant_id and type = a.type and (a.failed or state <> 0 or failures <> 0) for update
) b
"""


async def lock_breakers(connection: Connection, failed: Mapping[Key, bool]) -> dict[Key, JobTypeBreaker]:
    """Returns these breakers, locked until the caller's transaction ends.

    The value says whether attempts of the type have failed. A breaker without failures, now or counted, is left out.
    """
    keys = sorted(failed)
    if failing := [key for key in keys if failed[key]]:
        await connection.execute(INSERT_BREAKERS, *zip(*failing, strict=True))
    rows = await connection.fetch(LOCK_BREAKERS, *zip(*keys, strict=True), [failed[key] for key in keys])
    return {(row[0], row[1]): JobTypeBreaker(CircuitState(row[2]), *row[3:]) for row in rows}


class JobTypeBreakerChange(NamedTuple):
    """Change of a breaker. `opens_for_seconds`: it opens, or opens again, for this time."""

    tenant_id: int
    type: str
    before: CircuitState
    state: JobTypeBreaker
    opens_for_seconds: float | None


UPDATE_BREAKERS = """
update breakers b
set state = c.state, failures = c.failures, code = c.code,
    opened_at = case when c.seconds is not null then now() when c.state = 0 then null else b.opened_at end,
    probe_at = case when c.seconds is not null then now() + c.seconds * interval '1 second'
                    when c.state = 0 then null else b.probe_at end,
    probe_id = case when c.seconds is not null or c.state = 0 then null else b.probe_id end
from unnest($1::int[], $2::text[], $3::smallint[], $4::int[], $5::text[], $6::float8[])
    as c (tenant_id, type, state, failures, code, seconds)
where b.tenant_id = any(array[c.tenant_id]) and b.type >= c.type and b.type <= c.type
"""


async def record_breakers(connection: Connection, changes: Sequence[JobTypeBreakerChange]) -> None:
    """Updates breakers that the caller has locked."""
    rows = [(change.tenant_id, change.type, *change.state[:3], change.opens_for_seconds) for change in changes]
    await connection.execute(UPDATE_BREAKERS, *zip(*rows, strict=True))


class JobTypeBreakerView(NamedTuple):
    """Breaker as the API shows it. `open_until` is set unless it is closed."""

    circuit: CircuitState
    failures: int
    code: str
    open_until: datetime | None


READ_BREAKERS = """
select type, case when state = 1 and probe_at <= now() then 2 else state end, failures, code, probe_at from breakers
where tenant_id = $1 and type = any($2::text[])
"""


async def read_breakers(connection: Connection, tenant_id: int, types: Sequence[str]) -> dict[str, JobTypeBreakerView]:
    """Returns a tenant's breakers of those types that have ever counted a failure."""
    rows = await connection.fetch(READ_BREAKERS, tenant_id, types)
    return {row[0]: JobTypeBreakerView(CircuitState(row[1]), *row[2:]) for row in rows}
