"""Creates, revokes and rotates API keys. Each change is audited in its transaction."""

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from duly.domain.api_key import generate_key, parse_key
from duly.domain.audit import Actor, AuditEntry
from duly.domain.key_scope import KeyScope, KeyScopes, may_manage, ordered
from duly.domain.tenant import MOST_KEYS
from duly.domain.timestamps import rfc3339
from duly.errors import KeyLimitReached, KeyNotRotatable, NotFound, ScopeMissing
from duly.store.access.api_keys import (
    KeyRecord,
    KeyRights,
    NewKey,
    add_key,
    end_key,
    has_passed,
    hold_key,
    revoke_key,
)
from duly.store.access.audit import record_change
from duly.store.access.version import raise_access_version
from duly.store.postgres.database import Connection, Database
from duly.store.submit.submission_limits import BucketKey, drop_bucket

OVERLAP_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class DisclosedKey:
    """A new key with its text, for the one response that shows it."""

    record: KeyRecord
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeyManager:
    """Author of changes to keys: its name for the audit log, and its scopes."""

    actor: Actor
    scopes: KeyScopes


async def create_key(database: Database, tenant_id: int, rights: KeyRights, *, by: KeyManager) -> DisclosedKey:
    """Creates a key of a tenant.

    Raises:
        ScopeMissing: only an operator may make a key with `operator`.
        KeyLimitReached: the tenant has as many keys as it may.
    """
    _check_manages(by, rights.scopes)
    async with database.connection() as connection, connection.transaction():
        created = await _add(connection, tenant_id, rights, by=by)
        entry = AuditEntry("key.created", created.record.key_id, None, key_members(created.record))
        await record_change(connection, tenant_id, by.actor, entry)
        await raise_access_version(connection)
    return created


async def revoke(database: Database, tenant_id: int, key_id: str, *, by: KeyManager) -> None:
    """Revokes a key: it is refused on this node at once, on all within five seconds.

    Raises:
        NotFound: the tenant has no such key.
        ScopeMissing: as `create_key`.
    """
    async with database.connection() as connection, connection.transaction():
        held = await _held(connection, tenant_id, key_id, by=by)
        await revoke_key(connection, tenant_id, key_id)
        await drop_bucket(connection, BucketKey.of_key(tenant_id, key_id))
        await record_change(connection, tenant_id, by.actor, AuditEntry("key.revoked", key_id, key_members(held)))
        await raise_access_version(connection)


async def rotate(
    database: Database, tenant_id: int, key_id: str, *, overlap_seconds: float, by: KeyManager
) -> DisclosedKey:
    """Creates a key with the same rights; the old one is valid for `overlap_seconds` more.

    Raises:
        NotFound, ScopeMissing, KeyLimitReached: as `revoke` and `create_key`.
        KeyNotRotatable: the key has expired, or was rotated before.
    """
    async with database.connection() as connection, connection.transaction():
        held = await _held(connection, tenant_id, key_id, by=by)
        if held.valid_until is not None or await has_passed(connection, held.rights.expires_at):
            raise KeyNotRotatable("The key has expired or was rotated before.", reason="Create another key instead.")
        await end_key(connection, tenant_id, key_id, overlap_seconds=overlap_seconds)
        created = await _add(connection, tenant_id, held.rights, by=by)
        entry = AuditEntry("key.rotated", key_id, key_members(held), key_members(created.record))
        await record_change(connection, tenant_id, by.actor, entry)
        await raise_access_version(connection)
    return created


def key_members(record: KeyRecord) -> dict[str, Any]:
    """Returns a key as the API and the audit log show it."""
    rights = record.rights
    return {
        "keyId": record.key_id,
        "name": rights.name,
        "scopes": ordered(rights.scopes),
        "types": list(rights.types) if rights.types is not None else None,
        "queues": list(rights.queues) if rights.queues is not None else None,
        "rate": asdict(rights.rate) if rights.rate is not None else None,
        "expiresAt": _time(rights.expires_at),
        "validUntil": _time(record.valid_until),
        "createdAt": rfc3339(record.created_at),
        "createdBy": record.created_by,
        "lastUsedAt": _time(record.last_used_at),
    }


def _time(moment: datetime | None) -> str | None:
    return rfc3339(moment) if moment is not None else None


async def _add(connection: Connection, tenant_id: int, rights: KeyRights, *, by: KeyManager) -> DisclosedKey:
    text = generate_key()
    key = parse_key(text.encode())
    assert key is not None  # noqa: S101  # it was just generated
    new = NewKey(key.key_id, tenant_id, key.digest, by.actor.name)
    record = await add_key(connection, new, rights, most=MOST_KEYS)
    if record is None:
        raise KeyLimitReached.of()
    return DisclosedKey(record, text)


async def _held(connection: Connection, tenant_id: int, key_id: str, *, by: KeyManager) -> KeyRecord:
    held = await hold_key(connection, tenant_id, key_id)
    if held is None:
        raise NotFound("API key not found.")
    _check_manages(by, held.rights.scopes)
    return held


def _check_manages(by: KeyManager, scopes: KeyScopes) -> None:
    if not may_manage(by.scopes, scopes):
        raise ScopeMissing.of(KeyScope.OPERATOR)
