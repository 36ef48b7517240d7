"""Epochs of the ledger: numbers of transactions that rise across restores and fail-overs.

`tx` of an event orders the stream of all jobs, and clients resume by it. After a restore, the server counts its
transactions from a lower number, or from any number if it is another server. Each server that the database runs on
therefore begins an epoch, at a number that no earlier one has reached; the defaults of the columns add the difference
(`shift`).

A server is known by the time of its start: nothing can be restored into a running server without its counter going on,
and a promoted standby has a start of its own. An epoch begins at the milliseconds of the clock, times 2**20. No server
begins as many transactions, so each number of an epoch is below those of every later one, even if the row of an epoch
was lost in a restore. Positions of clients therefore stay valid in any case: events that were recorded after a restore
follow them, and events from before a position do not.
"""

from datetime import datetime
from typing import NamedTuple

from duly.store.postgres.advisory_locks import MIGRATION, hold
from duly.store.postgres.catalog_types import Connection, only
from duly.store.postgres.database_errors import DatabaseMisconfigured
from duly.store.postgres.error_classes import PERMISSION

READ_SERVER = """
select pg_postmaster_start_time(), (select server_started_at from epochs order by began desc limit 1)
"""
# Privileges of this role: as the owner, or on the owner's function.
READ_PRIVILEGES = """
select coalesce((select pg_has_role(relowner, 'USAGE') from pg_class where oid = to_regclass('epochs')), false),
       coalesce(has_function_privilege(to_regprocedure('duly_begin_epoch()'), 'EXECUTE'), false),
       current_user, quote_ident(current_schema())
"""
BEGAN_SINCE = "select exists (select from epochs where began > 0 and began_at > $1)"
BEGIN_EPOCH = "select duly_begin_epoch()"

# Runs with the privileges of the owner, and ignores the search path of the caller. It has an effect once for each start
# of the server. Writers hold a lock of the tables until they end, so none of them writes a number of the epoch before
# afterwards; one that has not come to the tables may have an older transaction than this one. The wait for the lock is
# shorter than `deadlock_timeout`, and holds up others as briefly.
CREATE_FUNCTION = """
create or replace function duly_begin_epoch() returns boolean
language plpgsql security definer set search_path = {schema}, pg_temp set lock_timeout = '200ms'
set enable_seqscan = off as $body$
declare
    newest epochs;
    first bigint;
    shift bigint;
    numbers text;
begin
    lock table only jobs, only events in access exclusive mode;
    select * into newest from epochs order by began desc limit 1;
    if newest.server_started_at = pg_postmaster_start_time() then
        return false;
    end if;
    first := greatest(
        (extract(epoch from clock_timestamp() - timestamptz '2020-01-01 00:00:00+00') * 1000)::bigint << 20,
        coalesce(newest.began, 0) + (1::bigint << 20)
    );
    while exists (select from jobs where tx >= first) or exists (select from events where tx >= first) loop
        first := first + (1::bigint << 44);
    end loop;
    shift := first - pg_snapshot_xmin(pg_current_snapshot())::text::bigint;
    numbers := format('(pg_current_xact_id()::text::bigint + %s)', shift);
    execute 'alter table only jobs alter column tx set default ' || numbers;
    execute 'alter table only events alter column tx set default ' || numbers;
    insert into epochs (began, shift, server_started_at) values (first, shift, pg_postmaster_start_time());
    return true;
end
$body$
"""
READ_SCHEMA = "select quote_ident(current_schema())"
REVOKE_PUBLIC = "revoke execute on function duly_begin_epoch() from public"
# Roles that may make partitions serve, so they need both functions.
FIND_SERVING = """
select distinct grantee::regrole::text
from pg_proc p, aclexplode(p.proacl) as a
where p.oid = to_regprocedure('duly_make_partition(text, date)') and a.privilege_type = 'EXECUTE'
  and a.grantee <> 0 and a.grantee <> p.proowner
"""


async def lend_epochs(connection: Connection) -> None:
    """Creates the function for roles that are not the owner, and grants it to those that may make partitions."""
    async with connection.transaction():
        await hold(connection, MIGRATION)
        owns, _, _, schema = only(await connection.fetchrow(READ_PRIVILEGES))
        if not owns:
            return
        await connection.execute(CREATE_FUNCTION.format(schema=schema))
        await connection.execute(REVOKE_PUBLIC)
        for (role,) in await connection.fetch(FIND_SERVING):
            await connection.execute(f"grant execute on function duly_begin_epoch() to {role}")


class Server(NamedTuple):
    """Server that the database runs on: when it was started, and when that of the newest epoch was."""

    started_at: datetime
    epoch_started_at: datetime | None

    @property
    def has_begun_epoch(self) -> bool:
        """Returns whether the newest epoch is of this server."""
        return self.epoch_started_at == self.started_at


async def read_server(connection: Connection) -> Server:
    """Returns the server that the database runs on."""
    return Server(*only(await connection.fetchrow(READ_SERVER)))


async def lacking_grant(connection: Connection) -> str | None:
    """Returns the GRANT that this role needs to begin an epoch, or None if it may."""
    _, may, role, schema = only(await connection.fetchrow(READ_PRIVILEGES))
    return None if may else f"GRANT EXECUTE ON FUNCTION {schema}.duly_begin_epoch() TO {role}"


async def begin_epoch(connection: Connection) -> bool:
    """Begins an epoch if this server has begun none. Returns whether it did.

    Raises:
        RecordBusy: a statement held the tables; try again.
        DatabaseMisconfigured: this role may not.
    """
    if (await read_server(connection)).has_begun_epoch:
        return False
    if (grant := await lacking_grant(connection)) is not None:
        error_class = PERMISSION._replace(
            message="The database role may not begin an epoch of the ledger on this server.",
            remedy=f"run as the owner: `duly migrate`, and once {grant}",
        )
        raise DatabaseMisconfigured("duly_begin_epoch()", error_class)
    return bool(await connection.fetchval(BEGIN_EPOCH))


async def began_since(connection: Connection, at: datetime) -> bool:
    """Returns whether an epoch has begun since: the database may have been restored."""
    return bool(await connection.fetchval(BEGAN_SINCE, at))
