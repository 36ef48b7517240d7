"""Table `stream_tickets`: one row for each unused ticket, known by its digest only."""

from datetime import datetime

from duly.store.postgres.database import Connection

# Expired tickets are deleted with each new one, so the table has recent ones only.
INSERT_TICKET = """
with gone as (
    delete from stream_tickets where digest in (
        select digest from stream_tickets where expires_at < now() order by expires_at limit 100 for update skip locked
    )
)
insert into stream_tickets (digest, tenant_id, opens, expires_at)
values ($1, $2, $3, now() + $4::float8 * interval '1 second')
returning expires_at
"""


async def issue(connection: Connection, tenant_id: int, digest: bytes, *, opens: str, seconds: float) -> datetime:
    """Records a ticket and its grant (JSON). Returns the time when it expires."""
    until: datetime = await connection.fetchval(INSERT_TICKET, digest, tenant_id, opens, seconds)
    return until


# The node that deletes the row has consumed the ticket. Tickets of the previous release have no `opens`.
REDEEM_TICKET = "delete from stream_tickets where digest = $1 returning tenant_id, opens, expires_at > now()"


async def redeem(connection: Connection, digest: bytes) -> tuple[int, str] | None:
    """Consumes a ticket. Returns its tenant, and its grant as JSON; None if the ticket is unknown or has expired."""
    row = await connection.fetchrow(REDEEM_TICKET, digest)
    return (row[0], row[1]) if row is not None and row[1] is not None and row[2] else None
