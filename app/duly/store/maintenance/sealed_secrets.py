"""Sealed secrets table by table, read in pages and written one by one; and the table `secret_keys`, with the keys that
sealed them and a proof of each.

A secret is written only if it is unchanged since it was read, so nothing is locked in between and a concurrent change
wins.
"""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from duly.store.postgres.database import Connection

PAGE = 500


class StoredSecret(NamedTuple):
    """Text with sealed secrets: its tenant, the rest of its key, and the text."""

    tenant_id: int
    key: Any
    text: str


READ_SCHEDULES = """
select tenant_id, name, (submission -> 'job')::text from schedules
where (tenant_id, name) > ($1, $2) and submission -> 'job' ->> 'callback_secret' is not null
order by tenant_id, name limit $3
"""


async def page_of_schedules(connection: Connection, after: tuple[int, str]) -> list[StoredSecret]:
    """Returns a page of templates, as JSON, of schedules with a callback secret."""
    return [StoredSecret(*row) for row in await connection.fetch(READ_SCHEDULES, *after, PAGE)]


WRITE_SCHEDULE = """
update schedules set submission = json_build_object('asked', submission -> 'asked', 'job', $4::json)
where tenant_id = $1 and name = $2 and (submission -> 'job')::text = $3
"""


async def write_schedule(connection: Connection, stored: StoredSecret, text: str) -> None:
    """Replaces the template, if it is unchanged."""
    await connection.execute(WRITE_SCHEDULE, *stored, text)


READ_THENS = """
select tenant_id, batch_id, then_job::text from batches
where (tenant_id, batch_id) > ($1, $2) and then_job_id is null and then_job ->> 'callback_secret' is not null
order by tenant_id, batch_id limit $3
"""


async def page_of_thens(connection: Connection, after: tuple[int, UUID]) -> list[StoredSecret]:
    """Returns a page of templates, as JSON, of jobs that follow a batch and have a callback secret."""
    return [StoredSecret(*row) for row in await connection.fetch(READ_THENS, *after, PAGE)]


WRITE_THEN = """
update batches set then_job = $4::json
where tenant_id = $1 and batch_id = $2 and then_job_id is null and then_job::text = $3
"""


async def write_then(connection: Connection, stored: StoredSecret, text: str) -> None:
    """Replaces the template, if it is unchanged."""
    await connection.execute(WRITE_THEN, *stored, text)


ENDPOINT_COLUMNS = ("secret", "previous_secret", "signing_key", "previous_signing_key", "headers")

_LISTED = ", ".join(ENDPOINT_COLUMNS)
READ_ENDPOINTS = f"""
select tenant_id, endpoint_id, {_LISTED} from endpoints
where (tenant_id, endpoint_id) > ($1, $2) order by tenant_id, endpoint_id limit $3
"""


class StoredEndpoint(NamedTuple):
    """Sealed texts of an endpoint, in the order of `ENDPOINT_COLUMNS`."""

    tenant_id: int
    key: UUID
    texts: Sequence[str | None]


async def page_of_endpoints(connection: Connection, after: tuple[int, UUID]) -> list[StoredEndpoint]:
    """Returns a page of endpoints."""
    return [StoredEndpoint(row[0], row[1], row[2:]) for row in await connection.fetch(READ_ENDPOINTS, *after, PAGE)]


WRITE_ENDPOINT = f"""
update endpoints set ({_LISTED}) = ($8::text, $9::text, $10::text, $11::text, $12::text)
where tenant_id = $1 and endpoint_id = $2 and ({_LISTED}) is not distinct from ($3, $4, $5, $6, $7)
"""


async def write_endpoint(connection: Connection, stored: StoredEndpoint, texts: Sequence[str | None]) -> None:
    """Replaces the sealed texts, if they are unchanged."""
    await connection.execute(WRITE_ENDPOINT, stored.tenant_id, stored.key, *stored.texts, *texts)


# The key of what is not sealed is the empty text. A job that follows a batch is not looked at again once it was made.
_KEY = "case when secret ~ '^sealed:[A-Za-z0-9._-]{1,32}:' then split_part(secret, ':', 2) else '' end"
COUNT_BY_KEY = f"""
with stored as (
    select 'jobs' as place, callback_secret as secret from jobs where callback_secret is not null
    union all
    select 'schedules', submission -> 'job' ->> 'callback_secret' from schedules
    union all
    select 'batches', then_job ->> 'callback_secret' from batches where then_job_id is null
    union all
    select 'endpoints', found[1] from endpoints
    cross join lateral unnest(array[{_LISTED}]) as texts (text)
    cross join lateral regexp_matches(text, '(sealed:[A-Za-z0-9._-]{{1,32}}:)', 'g') as found
)
select {_KEY}, place, count(*) from stored where secret is not null group by 1, 2 order by 1, 2
"""


async def count_by_key(connection: Connection) -> dict[str, dict[str, int]]:
    """Returns the number of secrets by key id and table; secrets that are not sealed have the empty id.

    Reads all jobs.
    """
    counts: dict[str, dict[str, int]] = {}
    for key_id, place, count in await connection.fetch(COUNT_BY_KEY):
        counts.setdefault(key_id, {})[place] = count
    return counts


INSERT_KEY = "insert into secret_keys (key_id, proof) values ($1, $2) on conflict do nothing"


async def record_key(connection: Connection, key_id: str, proof: str) -> None:
    """Records that this key seals from now on. The first proof of an id is kept."""
    await connection.execute(INSERT_KEY, key_id, proof)


READ_PROOFS = "select key_id, proof from secret_keys order by created_at, key_id"


async def read_proofs(connection: Connection) -> dict[str, str]:
    """Returns the proof of each key by its id, oldest first."""
    return {row[0]: row[1] for row in await connection.fetch(READ_PROOFS)}


DELETE_KEYS = "delete from secret_keys where key_id = any($1::text[])"


async def delete_keys(connection: Connection, key_ids: Collection[str]) -> None:
    """Deletes keys that no secret is sealed with."""
    await connection.execute(DELETE_KEYS, list(key_ids))
