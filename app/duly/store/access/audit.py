"""The table `audit`: who changed what, in the transaction of the change. Rows are never changed."""

from datetime import datetime
from typing import NamedTuple

from duly.domain.audit import Actor, AuditEntry
from duly.domain.json_writer import dump_text
from duly.store.postgres.database import Connection

RECORD = """
insert into audit (tenant_id, actor, request_id, action, subject, before, after)
values ($1, $2, $3, $4, $5, $6::json, $7::json)
"""


async def record_change(connection: Connection, tenant_id: int, actor: Actor | None, entry: AuditEntry) -> None:
    """Records a change of a tenant, in a transaction of the caller's. Without an actor it is not recorded: the service
    made it by itself.
    """
    if actor is None:
        return
    before, after = (dump_text(members) if members is not None else None for members in (entry.before, entry.after))
    await connection.execute(
        RECORD, tenant_id, actor.name, actor.request_id, entry.action, entry.subject, before, after
    )


class AuditRecord(NamedTuple):
    """A recorded change. `before` and `after` are JSON text."""

    number: int
    at: datetime
    actor: str
    action: str
    subject: str
    before: str | None
    after: str | None
    request_id: str | None


# The order of numbers is that in which changes began; the newest may become visible late.
LIST = """
select id, at, actor, action, subject, before::text, after::text, request_id from audit
where tenant_id = $1 and id < $2 and ($3::text is null or actor = $3) and ($4::text is null or action = $4)
  and ($5::timestamptz is null or at >= $5)
order by id desc limit $6
"""


async def list_changes(
    connection: Connection,
    tenant_id: int,
    *,
    before: int,
    actor: str | None,
    action: str | None,
    since: datetime | None,
    limit: int,
) -> list[AuditRecord]:
    """Returns changes of a tenant with numbers below `before`, newest first."""
    rows = await connection.fetch(LIST, tenant_id, before, actor, action, since, limit)
    return [AuditRecord(*row) for row in rows]
