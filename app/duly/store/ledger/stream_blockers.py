"""Transactions that hold the tenant's event stream: those that have written and not ended, in any database of the
server.

A stream shows what transactions older than every open one wrote (`duly.store.ledger.event_tail`). A transaction is open
from its first write, which assigns its id; a prepared one has no session, and is open until it is committed or rolled
back by its name. Snapshots without writes, vacuum and replication slots hold nothing.
"""

from enum import StrEnum
from typing import Any, NamedTuple

from duly.store.postgres.catalog_types import Connection, only


class HolderKind(StrEnum):
    """Kind of holder, as in the metric's label."""

    SESSION = "session"
    PREPARED = "prepared_transaction"
    UNKNOWN = "unknown"


class StreamHolder(NamedTuple):
    """Open transaction. `name` is its pid, or its quoted name; `seconds` its age, if this role may see it."""

    tx: int
    kind: HolderKind
    name: str
    user: str
    database: str
    application: str
    state: str
    seconds: float | None

    @property
    def words(self) -> str:
        """Returns a description for operators."""
        if self.kind is HolderKind.PREPARED:
            return f"prepared transaction {self.name} (user {self.user}, database {self.database})"
        shown = (self.application or "without application_name", f"user {self.user}", f"database {self.database}")
        return f"pid {self.name} ({', '.join(part for part in (*shown, self.state) if part)})"

    @property
    def remedy(self) -> str:
        """Returns the action that ends it."""
        if self.kind is HolderKind.PREPARED:
            return f"in database {self.database}: COMMIT PREPARED {self.name}, or ROLLBACK PREPARED {self.name}"
        return f"let it end, or end it: SELECT pg_terminate_backend({self.name})"


class Held(NamedTuple):
    """Bounds of open transactions: every transaction below `settled` has ended, none from `future` on has begun;
    `holder` has the id `settled`.
    """

    settled: int
    future: int
    holder: StreamHolder | None


WRITERS = """
    select backend_xid as xid, 'session' as kind, pid::text as name, usename::text as role, datname::text as database,
           coalesce(application_name, '') as application, coalesce(state, '') as state,
           extract(epoch from clock_timestamp() - xact_start)::float8 as seconds
    from pg_stat_activity where backend_xid is not null
    union all
    select transaction, 'prepared_transaction', quote_literal(gid), owner::text, database::text, '', '',
           extract(epoch from clock_timestamp() - prepared)::float8
    from pg_prepared_xacts
"""
READ_HELD = f"""
select m.settled::text::bigint, m.future::text::bigint, w.xid::text::bigint, w.kind, w.name, w.role, w.database,
       w.application, w.state, w.seconds
from (select pg_snapshot_xmin(s) as settled, pg_snapshot_xmax(s) as future from pg_current_snapshot() as s) as m
left join ({WRITERS}) as w on w.xid = m.settled::xid
limit 1
"""


async def read_held(connection: Connection) -> Held:
    """Returns the bounds of the stream, and the transaction that it waits for."""
    settled, future, *holder = only(await connection.fetchrow(READ_HELD))
    return Held(settled, future, _holder(*holder) if holder[0] is not None else None)


# Unknown ages are shown: they may be the oldest.
FIND_OLD_WRITERS = f"""
select xid::text::bigint, kind, name, role, database, application, state, seconds
from ({WRITERS}) as w where coalesce(seconds >= $1, true) and name <> pg_backend_pid()::text
order by age(xid) desc limit 10
"""


async def find_old_writers(connection: Connection, *, seconds: float) -> list[StreamHolder]:
    """Returns the open transactions that are at least this old, the oldest first."""
    return [_holder(*row) for row in await connection.fetch(FIND_OLD_WRITERS, seconds)]


def _holder(*row: Any) -> StreamHolder:
    tx, kind, name, user, database, application, state, seconds = row
    return StreamHolder(tx, HolderKind(kind), name, user or "", database or "", application, state, seconds)
