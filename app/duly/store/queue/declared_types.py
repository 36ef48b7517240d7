"""The table `declared_types`: job types that workers and clients have declared, and their version.

The version is in `control`, under the id 3. Every change raises it in its own transaction; nodes that know an earlier
one read the types again.
"""

import json
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

from duly.domain.declared_type import EVERY_TENANT, DeclaredType, HandlerFacts, retry_members, retry_of
from duly.store.postgres.catalog_types import Record, only
from duly.store.postgres.database import Connection

_MEMBERS = (
    "type, description, parameters_schema, result_schema, timeout_seconds, max_attempts, retry, queue, handler, "
    "digest, holds"
)
_DECLARED = """
tenant_id, type, description, parameters_schema::text, result_schema::text, timeout_seconds, max_attempts, retry::text,
queue, handler::text, declared_at, holds
"""


class DeclaredRecord(NamedTuple):
    """Declared type with its owner, `EVERY_TENANT` for those of handlers, and the time of its last change."""

    tenant_id: int
    declared: DeclaredType
    declared_at: datetime


READ_VERSION = "select coalesce((select version from control where id = 3), 0)"


async def read_types_version(connection: Connection) -> int:
    """Returns the version of the declared types."""
    version: int = await connection.fetchval(READ_VERSION)
    return version


RAISE_VERSION = """
insert into control as c (id, version) values (3, 1) on conflict (id) do update set version = c.version + 1
"""


async def raise_types_version(connection: Connection) -> None:
    """Raises the version, in a transaction of the caller's that changes a declared type."""
    await connection.execute(RAISE_VERSION)


READ_TYPES = f"select {_DECLARED} from declared_types where tenant_id = any($1::int[])"


async def read_declared_types(connection: Connection, tenant_ids: Collection[int]) -> list[DeclaredRecord]:
    """Returns the types that these tenants have declared."""
    return [_record(row) for row in await connection.fetch(READ_TYPES, list(tenant_ids))]


# A type of a handler precedes one of the same name that a tenant declared before.
READ_TYPE = f"""
select {_DECLARED} from declared_types where tenant_id in ({EVERY_TENANT:d}, $1) and type = $2
order by tenant_id limit 1
"""
HOLD_TYPE = READ_TYPE + " for update"


async def read_declared_type(connection: Connection, tenant_id: int, job_type: str) -> DeclaredRecord | None:
    """Returns a type that this tenant, or a handler, has declared."""
    row = await connection.fetchrow(READ_TYPE, tenant_id, job_type)
    return _record(row) if row is not None else None


async def hold_declared_type(connection: Connection, tenant_id: int, job_type: str) -> DeclaredRecord | None:
    """Returns the same, locked until the caller's transaction ends."""
    row = await connection.fetchrow(HOLD_TYPE, tenant_id, job_type)
    return _record(row) if row is not None else None


LIST_TYPES = f"""
select distinct on (type) {_DECLARED} from declared_types where tenant_id in ({EVERY_TENANT:d}, $1) and type > $2
order by type, tenant_id limit $3
"""


async def list_declared_types(
    connection: Connection, tenant_id: int, *, after: str, limit: int
) -> list[DeclaredRecord]:
    """Returns a page of the types that this tenant and handlers have declared, by name."""
    return [_record(row) for row in await connection.fetch(LIST_TYPES, tenant_id, after, limit)]


# Serializes declarations of one tenant, which would otherwise exceed the limits together.
LOCK_TENANT = "select from tenants where tenant_id = $1 for update"
MEASURE = """
select count(*), coalesce(sum(length(parameters_schema::text) + length(result_schema::text)), 0)::int
from declared_types where tenant_id = $1 and type <> $2
"""


async def measure_declared_types(connection: Connection, tenant_id: int, *, exclude: str) -> tuple[int, int]:
    """Returns the number of types of a tenant and the characters of their schemas, without one type. The tenant is
    locked until the caller's transaction ends.
    """
    await connection.execute(LOCK_TENANT, tenant_id)
    count, length = only(await connection.fetchrow(MEASURE, tenant_id, exclude))
    return count, length


_REPLACE = f"""
on conflict (tenant_id, type) do update set ({_MEMBERS}) = row ({
    ", ".join(f"excluded.{name}" for name in _MEMBERS.split(", "))
}), declared_at = now(), seen_at = now()
"""
DECLARE = f"""
insert into declared_types (tenant_id, {_MEMBERS})
values ($1, $2, $3, $4::json, $5::json, $6, $7, $8::json, $9, $10::json, $11, $12)
{_REPLACE} returning {_DECLARED}
"""


async def declare_type(connection: Connection, tenant_id: int, declared: DeclaredType) -> DeclaredRecord:
    """Inserts or replaces a type that a tenant has declared."""
    return _record(only(await connection.fetchrow(DECLARE, tenant_id, *_members(declared))))


# What has not changed is neither written nor locked, so that nodes may start in any number.
DECLARE_HANDLERS = f"""
with given as (
    select * from unnest($1::text[], $2::text[], $3::json[], $4::json[], $5::float8[], $6::int[], $7::json[],
                         $8::text[], $9::json[], $10::bytea[], $11::bool[]) as g ({_MEMBERS})
),
changed as (
    insert into declared_types as d (tenant_id, {_MEMBERS})
    select {EVERY_TENANT:d}, g.* from given g
    where not exists (
        select from declared_types k where k.tenant_id = {EVERY_TENANT:d} and k.type = g.type and k.digest = g.digest
    )
    order by g.type
    {_REPLACE} where d.digest <> excluded.digest
    returning d.type
),
raised as (
    insert into control as c (id, version) select 3, 1 where exists (select from changed)
    on conflict (id) do update set version = c.version + 1
)
select type from changed order by type
"""


async def declare_handler_types(connection: Connection, declared: Sequence[DeclaredType]) -> list[str]:
    """Records the types of handlers, for every tenant. Returns the names of those that are new or have changed."""
    columns = zip(*(_members(each) for each in declared), strict=True)
    return [row[0] for row in await connection.fetch(DECLARE_HANDLERS, *map(list, columns))] if declared else []


DELETE_TYPE = "delete from declared_types where tenant_id = $1 and type = $2"


async def delete_declared_type(connection: Connection, tenant_id: int, job_type: str) -> None:
    """Deletes a type that a tenant, or `EVERY_TENANT`, has declared."""
    await connection.execute(DELETE_TYPE, tenant_id, job_type)


# Written once a day, so that a start of a node writes nothing.
SEE_TYPES = f"""
update declared_types d set seen_at = now()
where tenant_id = {EVERY_TENANT:d} and seen_at < now() - interval '1 day'
  and exists (select from nodes n where d.type = any(n.job_types) and 'worker' = any(n.roles))
"""
FORGET_TYPES = f"""
delete from declared_types d
where tenant_id = {EVERY_TENANT:d} and seen_at < now() - $1 * interval '1 day' and not exists (
    select from ready where type = d.type union all select from scheduled where type = d.type
    union all select from blocked where type = d.type union all select from running where type = d.type
)
returning type
"""


async def forget_unused_types(connection: Connection, *, days: int) -> list[str]:
    """Deletes types of handlers that no worker has had for some days and no job waits for. Returns their names."""
    async with connection.transaction():
        await connection.execute(SEE_TYPES)
        forgotten = [row[0] for row in await connection.fetch(FORGET_TYPES, days)]
        if forgotten:
            await raise_types_version(connection)
    return forgotten


def _members(declared: DeclaredType) -> tuple[object, ...]:
    return (
        declared.type,
        declared.description,
        declared.parameters_schema,
        declared.result_schema,
        declared.timeout_seconds,
        declared.max_attempts,
        json.dumps(retry_members(declared.retry)),
        declared.queue,
        json.dumps(declared.handler) if declared.handler is not None else None,
        declared.digest,
        declared.holds,
    )


def _record(row: Record) -> DeclaredRecord:
    tenant_id, type_, description, parameters, result, timeout, attempts, retry, queue, handler, declared_at, holds = (
        row
    )
    declared = DeclaredType(
        type=type_,
        description=description,
        parameters_schema=parameters,
        result_schema=result,
        timeout_seconds=timeout,
        max_attempts=attempts,
        retry=retry_of(json.loads(retry)),
        queue=queue,
        holds=holds,
        handler=HandlerFacts(*json.loads(handler)) if handler is not None else None,
    )
    return DeclaredRecord(tenant_id, declared, declared_at)
