"""The table `api_keys`. Of a secret it holds the SHA-256 only."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from duly.domain.key_scope import KeyScope, KeyScopes
from duly.domain.principal import KeyRate
from duly.store.postgres.catalog_types import Record
from duly.store.postgres.database import Connection


@dataclass(frozen=True, slots=True)
class KeyRights:
    """Name, scopes, bounds and expiry of a key."""

    name: str
    scopes: KeyScopes
    types: Sequence[str] | None = None
    queues: Sequence[str] | None = None
    rate: KeyRate | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key as it is stored. `valid_until`: it was rotated, and is refused from then on."""

    key_id: str
    tenant_id: int
    rights: KeyRights
    created_at: datetime
    created_by: str
    last_used_at: datetime | None
    valid_until: datetime | None


class StoredKey(NamedTuple):
    """Valid key, to compare with a presented one. `refused_at`: the earlier of its expiry and its end by rotation."""

    tenant_id: int
    tenant: str
    key_id: str
    digest: bytes
    rights: KeyRights
    refused_at: datetime | None


_RIGHTS = "name, scopes, types, queues, rate_count, rate_seconds, expires_at"
_COLUMNS = f"key_id, tenant_id, created_at, created_by, last_used_at, valid_until, {_RIGHTS}"
_LIVE = """
revoked_at is null and coalesce(expires_at > now(), true) and coalesce(valid_until > now(), true)
"""

FIND = f"""
select t.name, k.tenant_id, k.key_id, k.digest, least(k.expires_at, k.valid_until),
       {", ".join(f"k.{name}" for name in _RIGHTS.split(", "))}
from api_keys k join tenants t on t.tenant_id = k.tenant_id
where k.key_id = any($1::text[]) and k.revoked_at is null and coalesce(k.expires_at > now(), true)
  and coalesce(k.valid_until > now(), true)
"""


async def find_keys(connection: Connection, key_ids: Collection[str]) -> dict[str, StoredKey]:
    """Returns those of these keys that are valid now, by id."""
    rows = await connection.fetch(FIND, list(key_ids))
    return {row[2]: StoredKey(row[1], row[0], row[2], row[3], _rights(row[5:]), row[4]) for row in rows}


# Two that add the last one at the same time must not both find room.
LOCK = "select from tenants where tenant_id = $1 for update"
ADD = f"""
insert into api_keys (key_id, tenant_id, digest, created_by, {_RIGHTS})
select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11
where (select count(*) from api_keys where tenant_id = $2 and {_LIVE})
    < coalesce((select max_keys from tenants where tenant_id = $2), $12)
returning {_COLUMNS}
"""


class NewKey(NamedTuple):
    """A key to store."""

    key_id: str
    tenant_id: int
    digest: bytes
    created_by: str


async def add_key(connection: Connection, new: NewKey, rights: KeyRights, *, most: int) -> KeyRecord | None:
    """Stores a key, in a transaction of the caller's. Returns None if its tenant has reached its limit: `most`, if
    its row names none.
    """
    await connection.execute(LOCK, new.tenant_id)
    row = await connection.fetchrow(ADD, *new, *_values(rights), most)
    return _record(row) if row is not None else None


LIST = f"""
select {_COLUMNS} from api_keys
where tenant_id = $1 and (created_at, key_id) < ($2, $3) and revoked_at is null
order by created_at desc, key_id desc limit $4
"""


async def list_keys(
    connection: Connection, tenant_id: int, *, before: tuple[datetime, str], limit: int
) -> list[KeyRecord]:
    """Returns a page of the keys of a tenant that were not revoked, newest first."""
    return [_record(row) for row in await connection.fetch(LIST, tenant_id, *before, limit)]


HOLD = f"select {_COLUMNS} from api_keys where tenant_id = $1 and key_id = $2 and revoked_at is null for update"


async def hold_key(connection: Connection, tenant_id: int, key_id: str) -> KeyRecord | None:
    """Returns a key of a tenant that was not revoked, locked until the end of the caller's transaction."""
    row = await connection.fetchrow(HOLD, tenant_id, key_id)
    return _record(row) if row is not None else None


REVOKE = "update api_keys set revoked_at = now() where tenant_id = $1 and key_id = $2"


async def revoke_key(connection: Connection, tenant_id: int, key_id: str) -> None:
    """Revokes a key. Its row is kept."""
    await connection.execute(REVOKE, tenant_id, key_id)


END = """
update api_keys set valid_until = now() + $3::float8 * interval '1 second' where tenant_id = $1 and key_id = $2
"""


async def end_key(connection: Connection, tenant_id: int, key_id: str, *, overlap_seconds: float) -> None:
    """Sets when a key that was rotated ends."""
    await connection.execute(END, tenant_id, key_id, overlap_seconds)


USED = """
update api_keys set last_used_at = date_trunc('minute', now())
where key_id = any($1::text[]) and coalesce(last_used_at < date_trunc('minute', now()), true)
"""


async def note_used(connection: Connection, key_ids: Collection[str]) -> None:
    """Records that these keys were used in the current minute. In one order, so that nodes cannot deadlock."""
    await connection.execute(USED, sorted(key_ids))


async def has_passed(connection: Connection, moment: datetime | None) -> bool:
    """Returns whether a time has passed by the database's clock; False for None."""
    return bool(moment is not None and await connection.fetchval("select $1::timestamptz <= now()", moment))


def _values(rights: KeyRights) -> tuple[object, ...]:
    rate = rights.rate
    return (
        rights.name,
        [str(scope) for scope in KeyScope if scope in rights.scopes],
        list(rights.types) if rights.types is not None else None,
        list(rights.queues) if rights.queues is not None else None,
        rate.count if rate else None,
        rate.seconds if rate else None,
        rights.expires_at,
    )


def _record(row: Record) -> KeyRecord:
    key_id, tenant_id, created_at, created_by, last_used_at, valid_until, *rights = row
    return KeyRecord(key_id, tenant_id, _rights(rights), created_at, created_by, last_used_at, valid_until)


def _rights(values: Sequence[Any]) -> KeyRights:
    name, scopes, types, queues, rate_count, rate_seconds, expires_at = values
    known = frozenset(KeyScope)
    return KeyRights(
        name=name,
        scopes=frozenset(KeyScope(scope) for scope in scopes if scope in known),
        types=types,
        queues=queues,
        rate=KeyRate(rate_count, rate_seconds) if rate_count is not None else None,
        expires_at=expires_at,
    )
