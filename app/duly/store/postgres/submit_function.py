"""The function `duly.submit`, by which other roles submit jobs in their own transactions.

An installation in the schema `public` has it in a schema `duly`. An installation in a schema of its own has it there,
and in `duly` too unless another installation of the database has it.
"""

import structlog

from duly.store.postgres.advisory_locks import MIGRATION, hold
from duly.store.postgres.catalog_types import Connection, only
from duly.store.postgres.notify import channel_of

log = structlog.stdlib.get_logger("duly.migrate")

SHARED_SCHEMA = "duly"
# Larger submissions are refused at the call: nodes read several rows at once.
LONGEST_BYTES = 16 << 20
# A commit with a NOTIFY waits for all others that have one: 300 commits/s instead of 1,500 with 16 callers. Submissions
# within this time of the last hint send none; nodes look again for a while after each that they find.
HINT_GAP_MILLISECONDS = 20

READ_TABLES = """
select current_schema(), quote_ident(current_schema()),
       to_regclass('inbox') is not null and pg_has_role(
           (select relowner from pg_class where oid = to_regclass('inbox')), 'USAGE')
"""
READ_PLACE = """
select exists (select from pg_namespace where nspname = $1),
       case when exists (select from pg_namespace where nspname = $1)
            then has_schema_privilege(current_user, $1, 'USAGE, CREATE')
            else has_database_privilege(current_database(), 'CREATE') end,
       (select prosrc from pg_proc p join pg_namespace n on n.oid = p.pronamespace
        where n.nspname = $1 and p.proname = 'submit' and p.prosecdef)
"""
# A database without the table or without a row is the only one.
HAS_CELL = "select to_regclass('cell_record') is not null"
READ_CELL = "select number, count from cell_record"
_INSERTS = "insert into {schema}.inbox "

# Runs with the privileges of the owner, so nothing is found by a search path that others could fill. Inserts one row.
# The id is a UUIDv7 (RFC 9562, section 6.2, method 3: microseconds follow the milliseconds). A role without a row in
# `submitters` submits for the tenant `default`. The tenants are those of the role that logged in, whatever `set role`.
CREATE_FUNCTION = """
create or replace function {place}.submit(type text, parameters text default '{{}}', options text default '{{}}')
returns uuid language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $body$
declare
    chosen json := coalesce(submit.options, '{{}}')::json;
    given json := coalesce(submit.parameters, '{{}}')::json;
    moment timestamptz := clock_timestamp();
    microseconds bigint := floor(extract(epoch from moment) * 1000000);
    bytes bigint := octet_length(given::text)::bigint + octet_length(chosen::text) + octet_length(submit.type);
    made uuid := (lpad(to_hex(microseconds / 1000), 12, '0')
                  || '7' || lpad(to_hex(microseconds % 1000 * 4096 / 1000), 3, '0')
                  || {random})::uuid;
    owner int;
    granted int;
begin
    if submit.type is null or json_typeof(chosen) <> 'object' then
        raise exception 'duly.submit takes a job type, and options as a JSON object' using errcode = '22023';
    end if;
    if bytes > {longest} then
        raise exception 'duly.submit takes at most {longest} bytes; these are %', bytes using errcode = '54000';
    end if;
    if chosen ->> 'tenant' is null then
        select coalesce(min(s.tenant_id), 1), count(*) into owner, granted from {schema}.submitters s
        where s.role = session_user;
        if granted > 1 then
            raise exception 'the role "%" submits for several tenants', session_user
                using errcode = '22023', hint = 'Name one of them: options => ''{{"tenant": …}}''';
        end if;
    else
        select t.tenant_id into owner from {schema}.tenants t
        where t.name = chosen ->> 'tenant' and case
            when exists (select from {schema}.submitters s where s.role = session_user)
            then exists (select from {schema}.submitters s where s.role = session_user and s.tenant_id = t.tenant_id)
            else t.tenant_id = 1 end;
        if owner is null then
            raise exception 'the role "%" may not submit for the tenant "%"', session_user, chosen ->> 'tenant'
                using errcode = '42501', hint = 'An operator grants it: duly submitters grant ROLE --tenant TENANT';
        end if;
    end if;
    insert into {schema}.inbox (tenant_id, job_id, called_at, size, queue, type, parameters, options)
    values (owner, made, moment, bytes, left(coalesce(chosen ->> 'queue', 'default'), 200), submit.type, given, chosen);
    if current_setting('duly.hint', true) is distinct from 'off'
            and microseconds / 1000 - (select last_value from {schema}.inbox_hints) not between 0 and {gap} then
        perform setval('{schema}.inbox_hints', microseconds / 1000);
        perform pg_notify({channel}, '["inbox"]');
    end if;
    return made;
end
$body$
"""
# The second half of the id: random, but for the last byte where that names the cell.
RANDOM = "substr(replace(gen_random_uuid()::text, '-', ''), 17)"
RANDOM_OF_CELL = """substr(replace(gen_random_uuid()::text, '-', ''), 17, 14)
                  || lpad(to_hex(floor(random() * {bytes})::int * {count} + {number}), 2, '0')"""
# Literals without a type are text. These accept values that are `json` or `jsonb`.
CREATE_OVERLOAD = """
create or replace function {place}.submit(type text, parameters {json}, options {json} default '{{}}')
returns uuid language sql volatile as $body$ select {place}.submit($1, $2::text, $3::text) $body$
"""
SIGNATURES = ("text, text, text", "text, json, json", "text, jsonb, jsonb")


FIND_PLACES = """
select quote_ident(n.nspname) from pg_proc p join pg_namespace n on n.oid = p.pronamespace
where p.proname = 'submit' and p.prosecdef and position($1 in p.prosrc) > 0
order by n.nspname
"""


async def find_places(connection: Connection) -> list[str]:
    """Returns the schemas, quoted, that have the function of this installation."""
    _, name, _ = only(await connection.fetchrow(READ_TABLES))
    return [row[0] for row in await connection.fetch(FIND_PLACES, _INSERTS.format(schema=name))]


async def lend_submitting(connection: Connection) -> None:
    """Creates or replaces the function for roles that are not the owner, which need EXECUTE on it."""
    async with connection.transaction():
        await hold(connection, MIGRATION)
        schema, name, owns = only(await connection.fetchrow(READ_TABLES))
        if not owns:
            return
        random = await _random_part(connection)
        for place in {schema, SHARED_SCHEMA} - {"public"}:
            shared = place != schema
            await _create_in(connection, place, schema=name, channel=channel_of(schema), random=random, shared=shared)


async def _random_part(connection: Connection) -> str:
    """Returns the expression of the random part of an id, which names the cell of the database."""
    cell = await connection.fetchrow(READ_CELL) if await connection.fetchval(HAS_CELL) else None
    if cell is None or cell["count"] == 1:
        return RANDOM
    number, count = cell["number"], cell["count"]
    return RANDOM_OF_CELL.format(bytes=(255 - number) // count + 1, count=count, number=number)


async def _create_in(
    connection: Connection, place: str, *, schema: str, channel: str, random: str, shared: bool
) -> None:
    """Creates the function in a schema, unless another installation has it there or the role may not create it."""
    exists, may_create, body = only(await connection.fetchrow(READ_PLACE, place))
    if shared and body is not None and _INSERTS.format(schema=schema) not in body:
        return
    quoted = await connection.fetchval("select quote_ident($1)", place)
    if not may_create:
        grant = f"CREATE ON SCHEMA {quoted}" if exists else "CREATE ON DATABASE"
        log.warning(
            f"{quoted}.submit is not created: the role lacks {grant}; create the schema for it and run `duly migrate`",
            action="submit_function_lacking",
        )
        return
    if not exists:
        await connection.execute(f"create schema {quoted}")
    literal = await connection.fetchval("select quote_literal($1)", channel)
    values = {"place": quoted, "schema": schema, "channel": literal, "longest": LONGEST_BYTES, "random": random}
    values["gap"] = HINT_GAP_MILLISECONDS
    await connection.execute(CREATE_FUNCTION.format(**values))
    for json in ("json", "jsonb"):
        await connection.execute(CREATE_OVERLOAD.format(place=quoted, json=json))
    if body is None:
        for signature in SIGNATURES:
            await connection.execute(f"revoke execute on function {quoted}.submit({signature}) from public")
