"""First answers: what is kept of them with an idempotency key, and what they are again when the request is repeated.

Most say nothing that the ledger does not tell later, and nothing is kept of them. What would be told otherwise is kept:
which job stands for a deduplicated submission and how it stood, and that a job stood already under a client's id.
"""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

import orjson

from duly.domain.job import Accepted, IdempotencyKey
from duly.store.postgres.database import Connection
from duly.store.schema.access_paths import KINDS
from duly.store.submit.idempotency import Earlier, keep_answer, redirect_key

_STANDING = '{"standing":true}'


async def store_response(
    connection: Connection, tenant_id: int, key: IdempotencyKey, answer: Accepted
) -> tuple[Accepted, Earlier]:
    """Keeps the answer to a single submission. Returns it as it is given now, and as it will be found."""
    kept = None
    if answer.deduplicated:
        kept = await redirect_key(connection, tenant_id, key.key, answer.job_id)
    elif answer.standing:
        kept = _STANDING
        await keep_answer(connection, tenant_id, key.key, kept)
    earlier = Earlier(answer.job_id, key.digest, answer.created_at, kept)
    return replayed_response(earlier)._replace(replayed=False), earlier


def replayed_response(earlier: Earlier) -> Accepted:
    """The first answer once more."""
    accepted = Accepted(earlier.job_id, earlier.created_at, replayed=True)
    if earlier.answer is None:
        return accepted
    kept = orjson.loads(earlier.answer)
    if "standing" in kept:
        return accepted._replace(standing=True)
    status = next(status for status, kinds in KINDS.items() if kept["kind"] in kinds)
    return accepted._replace(created_at=datetime.fromisoformat(kept["createdAt"]), deduplicated=True, status=status)


async def store_batch_response(
    connection: Connection, tenant_id: int, key: IdempotencyKey, others: Mapping[int, UUID]
) -> None:
    """Keeps which of a batch's submissions other jobs stand for, by their places."""
    if others:
        kept = {str(index): str(job_id) for index, job_id in others.items()}
        await keep_answer(connection, tenant_id, key.key, orjson.dumps(kept).decode())


def stored_substitutes(earlier: Earlier) -> dict[int, UUID]:
    """Which of a batch's submissions other jobs stand for, by their places."""
    kept = orjson.loads(earlier.answer or "{}")
    return {int(index): UUID(job_id) for index, job_id in kept.items()}
