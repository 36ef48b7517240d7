"""The table `breakers`: the circuits of job types. `probe_at` is when an open one lets the next job through."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from duly.domain.job_type_breaker import BreakerState, Circuit
from duly.store.postgres.database import Connection

ENSURE = """
insert into breakers (type, state, failures, code) select name, 0, 0, '' from unnest($1::text[]) as name
order by name on conflict do nothing
"""
# A success of a type that has nothing counted against it finds no row, locks none, and writes nothing.
LOCK = """
select b.type, b.state, b.failures, b.code, coalesce(b.probe_at <= now(), false)
from unnest($1::text[], $2::bool[]) as a (type, failed) cross join lateral (
    select * from breakers where type = a.type and (a.failed or state <> 0 or failures <> 0) for update
) b
"""


async def lock_breakers(connection: Connection, failed: Mapping[str, bool]) -> dict[str, BreakerState]:
    """The breakers of these types, locked until the caller's transaction ends. The value says whether attempts of the
    type have failed; one that has not, and nothing counted against it, is not among the returned.
    """
    types = sorted(failed)
    if failing := [name for name in types if failed[name]]:
        await connection.execute(ENSURE, failing)
    rows = await connection.fetch(LOCK, types, [failed[name] for name in types])
    return {row[0]: BreakerState(Circuit(row[1]), *row[2:]) for row in rows}


class BreakerChange(NamedTuple):
    """How a breaker stands now, and stood before. `opens_for_seconds`: it opens, or opens again."""

    type: str
    before: Circuit
    state: BreakerState
    opens_for_seconds: float | None


RECORD = """
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


async def record_breakers(connection: Connection, changes: Sequence[BreakerChange]) -> None:
    """Writes what was decided of locked breakers."""
    rows = [(change.type, *change.state[:3], change.opens_for_seconds) for change in changes]
    await connection.execute(RECORD, *zip(*rows, strict=True))


class BreakerView(NamedTuple):
    """What a reader sees of a breaker; `open_until` where it is not closed."""

    circuit: Circuit
    failures: int
    code: str
    open_until: datetime | None


READ = """
select type, case when state = 1 and probe_at <= now() then 2 else state end, failures, code, probe_at from breakers
where type = any($1::text[])
"""


async def read_breakers(connection: Connection, types: Sequence[str]) -> dict[str, BreakerView]:
    """Those of these types that have ever counted a failure."""
    rows = await connection.fetch(READ, types)
    return {row[0]: BreakerView(Circuit(row[1]), *row[2:]) for row in rows}
