"""Table `messages`: webhooks that report no event of a job."""

from uuid import UUID

from duly.domain.webhook_events import BATCH_BIT, MessageKind
from duly.store.postgres.database import Connection

# Without a subscribed endpoint nothing is written.
INSERT_BATCH_MESSAGE = """
with told as materialized (
    select endpoint_id from endpoints where tenant_id = $1 and events & $5 <> 0 and disabled_at is null
),
written as (
    insert into messages (tenant_id, message_id, kind, body) select $1, $2, $3, $4 where exists (select from told)
),
addressed as (
    insert into deliveries (tenant_id, job_id, sequence, kind, receiver_id, registered)
    select $1, $2, 0, $3, endpoint_id, true from told
)
select count(*) from told
"""


async def insert_batch_message(connection: Connection, tenant_id: int, *, message_id: UUID, body: str) -> bool:
    """Writes deliveries to the endpoints that subscribe to batches, in the caller's transaction. Returns whether there
    are any.
    """
    kind = int(MessageKind.BATCH_COMPLETED)
    count: int = await connection.fetchval(INSERT_BATCH_MESSAGE, tenant_id, message_id, kind, body, BATCH_BIT)
    return count > 0


INSERT_TEST = """
with written as (
    insert into messages (tenant_id, message_id, kind, body)
    select $1, $2, $3, $4 where exists (select from endpoints where tenant_id = $1 and endpoint_id = $5)
    returning message_id
)
insert into deliveries (tenant_id, job_id, sequence, kind, receiver_id, registered)
select $1, message_id, 0, $3, $5, true from written
returning delivery_id
"""


async def insert_test(
    connection: Connection, tenant_id: int, endpoint_id: UUID, *, message_id: UUID, body: str
) -> UUID | None:
    """Writes a test delivery to one endpoint. Returns its id; None if the tenant has no such endpoint."""
    kind = int(MessageKind.TEST)
    delivery_id: UUID | None = await connection.fetchval(INSERT_TEST, tenant_id, message_id, kind, body, endpoint_id)
    return delivery_id
