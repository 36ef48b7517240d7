"""Table `breakers`: circuit breakers of job types. `probe_at` is the time of an open circuit's next probe."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from duly.domain.job_type_breaker import CircuitState, JobTypeBreaker
from duly.store.postgres.database import Connection

INSERT_BREAKERS = """
insert into breakers (type, state, failures, code) select name, 0, 0, '' from unnest($1::text[]) as name
order by name on conflict do nothing
"""
# A success of a type without counted failures finds no row, so it locks and writes nothing.
LOCK_BREAKERS = """
select b.type, b.state, b.failures, b.code, coalesce(b.probe_at <= now(), false)
from unnest($1::text[], $2::bool[]) as a (type, failed) cross join lateral (
    select * from breakers where type = a.type and (a.failed or state <> 0 or failures <> 0) for update
) b
"""


async def lock_breakers(connection: Connection, failed: Mapping[str, bool]) -> dict[str, JobTypeBreaker]:
    """Returns the breakers of these types, locked until the caller's transaction ends.

    The value says whether attempts of the type have failed. A type without failures, now or counted, is left out.
    """
    types = sorted(failed)
    if failing := [name for name in types if failed[name]]:
        await connection.execute(INSERT_BREAKERS, failing)
    rows = await connection.fetch(LOCK_BREAKERS, types, [failed[name] for name in types])
    return {row[0]: JobTypeBreaker(CircuitState(row[1]), *row[2:]) for row in rows}


class JobTypeBreakerChange(NamedTuple):
    """Change of a breaker. `opens_for_seconds`: it opens, or opens again, for this time."""

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
from unnest($1::text[], $2::smallint[], $3::int[], $4::text[], $5::float8[])
    as c (type, state, failures, code, seconds)
where b.type >= c.type and b.type <= c.type
"""


async def record_breakers(connection: Connection, changes: Sequence[JobTypeBreakerChange]) -> None:
    """Updates breakers that the caller has locked."""
    rows = [(change.type, *change.state[:3], change.opens_for_seconds) for change in changes]
    await connection.execute(UPDATE_BREAKERS, *zip(*rows, strict=True))


class JobTypeBreakerView(NamedTuple):
    """Breaker as the API shows it. `open_until` is set unless it is closed."""

    circuit: CircuitState
    failures: int
    code: str
    open_until: datetime | None


READ_BREAKERS = """
select type, case when state = 1 and probe_at <= now() then 2 else state end, failures, code, probe_at from breakers
where type = any($1::text[])
"""


async def read_breakers(connection: Connection, types: Sequence[str]) -> dict[str, JobTypeBreakerView]:
    """Returns the breakers of those types that have ever counted a failure."""
    rows = await connection.fetch(READ_BREAKERS, types)
    return {row[0]: JobTypeBreakerView(CircuitState(row[1]), *row[2:]) for row in rows}
