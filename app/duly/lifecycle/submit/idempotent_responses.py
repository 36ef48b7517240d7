"""Responses stored with an idempotency key, and their form when the request is repeated.

Most responses can be derived from the ledger, and nothing is stored of them. Stored are those that cannot: which job a
deduplicated submission got and its status then, and that the job of a client's id existed already.
"""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

import orjson

from duly.domain.job import Accepted, IdempotencyKey
from duly.store.postgres.database import Connection
from duly.store.read.access_paths import KINDS
from duly.store.submit.idempotency import EarlierSubmission, keep_answer, redirect_key

_STANDING = '{"standing":true}'


async def store_response(
    connection: Connection, tenant_id: int, key: IdempotencyKey, response: Accepted
) -> tuple[Accepted, EarlierSubmission]:
    """Stores the response to a single submission, if it must be. Returns it as given now, and as it will be found."""
    stored = None
    if response.deduplicated:
        stored = await redirect_key(connection, tenant_id, key.key, response.job_id)
    elif response.standing:
        stored = _STANDING
        await keep_answer(connection, tenant_id, key.key, stored)
    earlier = EarlierSubmission(response.job_id, key.digest, response.created_at, stored)
    return replayed_response(earlier)._replace(replayed=False), earlier


def replayed_response(earlier: EarlierSubmission) -> Accepted:
    """Returns the first response again."""
    accepted = Accepted(earlier.job_id, earlier.created_at, replayed=True)
    if earlier.answer is None:
        return accepted
    stored = orjson.loads(earlier.answer)
    if "standing" in stored:
        return accepted._replace(standing=True)
    status = next(status for status, kinds in KINDS.items() if stored["kind"] in kinds)
    return accepted._replace(created_at=datetime.fromisoformat(stored["createdAt"]), deduplicated=True, status=status)


async def store_batch_response(
    connection: Connection, tenant_id: int, key: IdempotencyKey, others: Mapping[int, UUID]
) -> None:
    """Stores, by index, the jobs that were returned in place of deduplicated ones of a batch."""
    if others:
        stored = {str(index): str(job_id) for index, job_id in others.items()}
        await keep_answer(connection, tenant_id, key.key, orjson.dumps(stored).decode())


def stored_substitutes(earlier: EarlierSubmission) -> dict[int, UUID]:
    """Returns, by index, the jobs that were returned in place of deduplicated ones of a batch."""
    stored = orjson.loads(earlier.answer or "{}")
    return {int(index): UUID(job_id) for index, job_id in stored.items()}
