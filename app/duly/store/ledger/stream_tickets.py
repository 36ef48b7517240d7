"""The table `stream_tickets`: one row for each unused ticket, known by its digest only."""

from datetime import datetime

from duly.store.postgres.database import Connection

# Tickets that nobody used go when new ones come: there are never more than were asked for lately.
ISSUE = """
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
    """Records a ticket and, as JSON, what it opens. Returns until when it is good."""
    until: datetime = await connection.fetchval(ISSUE, digest, tenant_id, opens, seconds)
    return until


# Whichever node deletes the row has used the ticket. Those of the release before have no `opens`.
REDEEM = "delete from stream_tickets where digest = $1 returning opens, expires_at > now()"


async def redeem(connection: Connection, digest: bytes) -> str | None:
    """Uses a ticket up. Returns what it opens, as JSON, or None where there is none, or its time is over."""
    row = await connection.fetchrow(REDEEM, digest)
    return row[0] if row is not None and row[1] else None
