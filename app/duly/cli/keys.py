"""Bodies of `duly keys`."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from duly.api.access.key_models import KeyRequest
from duly.cli.access_database import checked, tenant_id_of, with_database
from duly.cli.command_setup import actor
from duly.cli.errors import USAGE, stop
from duly.cli.output import print_json
from duly.domain.key_scope import ALL_SCOPES, KeyScope
from duly.domain.principal import KeyRate
from duly.domain.safe_str import one_line
from duly.lifecycle.access.keys import DisclosedKey, KeyManager, create_key, key_members, revoke, rotate
from duly.store.access.api_keys import KeyRecord, KeyRights, list_keys
from duly.store.postgres.database import Database

PAGE = 200
_END = datetime(9999, 1, 1, tzinfo=UTC)
_FLAGS = {"types": "--type", "queues": "--queue", "rate": "--rate", "scopes": "--scope"}
_RATE = re.compile(r"([1-9]\d{0,6})/([1-9]\d{0,6})")


class KeyFlags(NamedTuple):
    """Flags of `duly keys create`."""

    name: str
    scopes: Sequence[KeyScope]
    types: Sequence[str] | None
    queues: Sequence[str] | None
    expires_at: datetime | None
    rate: str | None


def run_create(flags: dict[str, Any], tenant: str, key: KeyFlags, *, as_json: bool) -> None:
    """Creates a key and prints it."""
    rights = _rights(key)

    async def create(database: Database) -> DisclosedKey:
        return await create_key(database, await tenant_id_of(database, tenant), rights, by=_manager())

    _disclose(with_database(flags, create), as_json=as_json)


def run_list(flags: dict[str, Any], tenant: str, *, as_json: bool) -> None:
    """Prints the keys of a tenant that were not revoked, newest first."""

    async def read(database: Database) -> list[KeyRecord]:
        tenant_id, found, before = await tenant_id_of(database, tenant), [], (_END, "")
        async with database.connection() as connection:
            while page := await list_keys(connection, tenant_id, before=before, limit=PAGE):
                found += page
                before = page[-1].created_at, page[-1].key_id
        return found

    found = with_database(flags, read)
    if as_json:
        print_json([key_members(record) for record in found], indent=2)
        return
    for record in found:
        print(one_line(_line(record)))


def run_revoke(flags: dict[str, Any], tenant: str, key_id: str) -> None:
    """Revokes a key."""

    async def revoke_one(database: Database) -> None:
        await revoke(database, await tenant_id_of(database, tenant), key_id, by=_manager())

    with_database(flags, revoke_one)
    print(f"revoked {one_line(key_id)}; running services refuse it within 5 seconds")


def run_rotate(flags: dict[str, Any], tenant: str, key_id: str, *, overlap_seconds: int, as_json: bool) -> None:
    """Replaces a key and prints the new one."""

    async def rotate_one(database: Database) -> DisclosedKey:
        tenant_id = await tenant_id_of(database, tenant)
        return await rotate(database, tenant_id, key_id, overlap_seconds=overlap_seconds, by=_manager())

    _disclose(with_database(flags, rotate_one), as_json=as_json)


def _rights(key: KeyFlags) -> KeyRights:
    """Returns the rights of a key, or ends the command if a flag is invalid."""
    expires_at = key.expires_at.replace(tzinfo=UTC) if key.expires_at is not None else None
    if expires_at is not None and expires_at <= datetime.now(UTC):  # noqa: TID251  # the machine's clock is the user's
        stop("--expires-at must be in the future", code=USAGE)
    if not 1 <= len(key.name) <= 200 or not key.name.isprintable():  # noqa: PLR2004  # as over HTTP
        stop("NAME must have 1 to 200 printable characters", code=USAGE)
    rate, scopes = _rate(key.rate), frozenset(key.scopes)
    members = {"name": key.name, "scopes": list(scopes), "types": key.types, "queues": key.queues}
    checked(KeyRequest, members | {"rate": rate and {"count": rate.count, "seconds": rate.seconds}}, flags=_FLAGS)
    return KeyRights(key.name, scopes, key.types, key.queues, rate, expires_at)


def _rate(text: str | None) -> KeyRate | None:
    """Returns the rate of a key, or ends the command if it is malformed."""
    if text is None:
        return None
    if (read := _RATE.fullmatch(text)) is None:
        stop("--rate must be N/SECONDS, such as 100/60", code=USAGE)
    return KeyRate(int(read[1]), float(read[2]))


def _manager() -> KeyManager:
    return KeyManager(actor(), ALL_SCOPES)


def _disclose(created: DisclosedKey, *, as_json: bool) -> None:
    """Prints a new key: alone on standard output, so that it can be piped into a secret store."""
    if as_json:
        print_json({**key_members(created.record), "key": created.text}, indent=2)
    else:
        print(created.text)


def _line(record: KeyRecord) -> str:
    members = key_members(record)
    words = [record.key_id, ",".join(members["scopes"]), f"last used {members['lastUsedAt'] or 'never'}"]
    words += [f"expires {members['expiresAt']}"] if members["expiresAt"] else []
    words += [f"rotated, valid until {members['validUntil']}"] if members["validUntil"] else []
    return "  ".join([*words, record.rights.name])
