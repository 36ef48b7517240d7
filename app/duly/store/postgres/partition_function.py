"""Function by which a role that is not the owner creates partitions, and checks for missing ones."""

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

from duly.store.postgres.advisory_locks import MIGRATION, PARTITIONS, hold
from duly.store.postgres.catalog_types import Connection, only
from duly.store.postgres.error_classes import PERMISSION, ErrorClass

# Privileges of this role: as the owner, or on the owner's function.
READ_PRIVILEGES = """
select coalesce(bool_and(pg_has_role(c.relowner, 'USAGE') and has_schema_privilege(c.relnamespace, 'CREATE')), false)
           as owns,
       coalesce(has_function_privilege(to_regprocedure('duly_make_partition(text, date)'), 'EXECUTE'), false) as lent,
       current_user, quote_ident(current_schema())
from pg_class c where c.oid in (select to_regclass(name) from unnest($1::text[]) as name)
"""
CALL_FUNCTION = "select duly_make_partition($1, $2)"

# Runs with the privileges of the owner, so it accepts only the tables of Duly and days that they may hold, and ignores
# the search path of the caller.
CREATE_FUNCTION = """
create or replace function duly_make_partition(parent text, day date) returns boolean
language plpgsql security definer set search_path = {schema}, pg_temp set lock_timeout = '5s' as $body$
declare
    name text := parent || to_char(day, '_YYYYMMDD');
    low bigint := extract(epoch from day::timestamp) * 1000;
    high bigint := extract(epoch from (day + 1)::timestamp) * 1000;
begin
    if not coalesce(parent = any (array[{tables}])
                    and day - (now() at time zone 'utc')::date between -400 and 31, false) then
        raise exception 'duly_make_partition takes a partitioned table of Duly, and a day of the last 400 or next 31'
            using errcode = '22023';
    end if;
    perform pg_advisory_xact_lock({lock});
    if to_regclass(quote_ident(name)) is not null then
        return false;
    end if;
    execute format('create table %I (like %I including defaults)', name, parent);
    execute format('alter table %I attach partition %I for values from (%L) to (%L)', parent, name,
                   rpad(lpad(to_hex(low), 12, '0'), 32, '0')::uuid, rpad(lpad(to_hex(high), 12, '0'), 32, '0')::uuid);
    return true;
end
$body$
"""
READ_SCHEMA = "select quote_ident(current_schema())"
REVOKE_PUBLIC = "revoke execute on function duly_make_partition(text, date) from public"

FIND_LACKING = """
select name || to_char(day, '_YYYYMMDD')
from unnest($1::text[]) with ordinality as p (name, place),
     generate_series((now() at time zone 'utc')::date, (now() at time zone 'utc')::date + 1, interval '1 day') as day
where not exists (
    select from pg_inherits
    where inhparent = to_regclass(name) and inhrelid = to_regclass(quote_ident(name || to_char(day, '_YYYYMMDD')))
)
order by place, day
"""

# Consecutive days from today on, in the table with the fewest.
COUNT_DAYS_AHEAD = """
select min(days) from (
    select count(*) filter (where whole) - 1 as days from (
        select name, bool_and(exists (
            select from pg_inherits where inhparent = to_regclass(name)
                and inhrelid = to_regclass(quote_ident(name || to_char(today + n, '_YYYYMMDD')))
        )) over (partition by name order by n) as whole
        from unnest($1::text[]) as name, generate_series(0, 31) as n,
             (select (now() at time zone 'utc')::date as today) as t
    ) as days group by name
) as tables
"""


class May(NamedTuple):
    """Ways in which this role can create partitions: as the owner, or by the owner's function."""

    owns: bool
    lent: bool
    role: str = ""
    schema: str = ""

    @property
    def error_class(self) -> ErrorClass:
        """Returns the error for a role that can do neither."""
        grant = f"GRANT EXECUTE ON FUNCTION {self.schema}.duly_make_partition(text, date) TO {self.role}"
        return PERMISSION._replace(
            message="The database role may not create the partitions of the coming days.",
            remedy=f"run as the owner: `duly migrate`, and once {grant}",
        )


async def may_make(connection: Connection, tables: Sequence[str]) -> May:
    """Returns the ways in which this role can create partitions of these tables."""
    return May(*only(await connection.fetchrow(READ_PRIVILEGES, tables)))


async def make_lent(connection: Connection, table: str, day: date) -> list[str]:
    """Creates this partition by the owner's function. Returns its name, or nothing if it existed."""
    return [f"{table}_{day:%Y%m%d}"] if await connection.fetchval(CALL_FUNCTION, table, day) else []


async def lend_making(connection: Connection, tables: Sequence[str]) -> None:
    """Creates the function for roles that are not the owner, which need EXECUTE on it."""
    async with connection.transaction():
        await hold(connection, MIGRATION)
        if not (await may_make(connection, tables)).owns:
            return
        schema = await connection.fetchval(READ_SCHEMA)
        key = await connection.fetchval(PARTITIONS.key)
        before = await connection.fetchval("select to_regprocedure('duly_make_partition(text, date)') is not null")
        names = ", ".join(f"'{name}'" for name in tables)
        await connection.execute(CREATE_FUNCTION.format(schema=schema, tables=names, lock=key))
        if not before:
            await connection.execute(REVOKE_PUBLIC)


async def lacking_partitions(connection: Connection, tables: Sequence[str]) -> list[str]:
    """Returns the missing partitions of today and tomorrow."""
    return [row[0] for row in await connection.fetch(FIND_LACKING, tables)]


async def days_ahead(connection: Connection, tables: Sequence[str]) -> int:
    """Returns the number of days after today for which every table has its partition; -1 if today's is missing."""
    return int(await connection.fetchval(COUNT_DAYS_AHEAD, tables))
