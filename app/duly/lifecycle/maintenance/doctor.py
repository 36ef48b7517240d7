"""Diagnoses an installation: checks what a service needs of its database, and names each problem with a remedy."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from duly.domain.database_clock import DatabaseClock
from duly.domain.node_role import Role
from duly.domain.sealing import Keyring
from duly.store.ledger.stream_blockers import StreamHolder, find_old_writers
from duly.store.maintenance.diagnosis import count_sessions, count_set_aside, find_old_readers, list_nodes, read_time
from duly.store.maintenance.sealed_secrets import read_proofs
from duly.store.postgres.catalog_types import Connection
from duly.store.postgres.database import Database, DatabaseError
from duly.store.postgres.partition_function import days_ahead
from duly.store.postgres.partitions import PARTITIONED
from duly.store.schema.required_rights import missing_rights
from duly.store.schema.revisions import DatabaseNewer, revisions_missing
from duly.store.submit.rehearsal import rehearse_submission

WRITER_SECONDS = 60.0
# Wait before a second look at transactions whose age is hidden from this role: one that is still open is not short.
LOOK_AGAIN_SECONDS = 3.0
READER_SECONDS = 3600.0
CLOCK_SECONDS = 2.0
SESSIONS_SHARE = 0.9
DISK_SHARE, DISK_BYTES = 0.05, 1 << 30


class Finding(NamedTuple):
    """A problem in one sentence, and its remedy."""

    code: str
    reason: str
    remedy: str


@dataclass(frozen=True)
class Doctor:
    """Examines one installation. Without a `keyring`, secret keys are not checked; `folder` is that of an embedded
    database.
    """

    database: Database
    lease_seconds: float
    schema: str | None = None
    keyring: Keyring | None = None
    folder: Path | None = None

    async def examine(self) -> list[Finding]:
        """Returns all findings; for a database that cannot be used, only why."""
        try:
            async with self.database.connection() as connection:
                if lacking := await _lacking(connection, self.schema):
                    return lacking
        except DatabaseNewer as error:
            if not error.serves:
                return [
                    Finding("DATABASE_SCHEMA_NEWER", f"A newer release migrated the database: {error}.", "upgrade Duly")
                ]
        except DatabaseError as error:
            return [_of(error)]
        looks = (
            *(_writers, _readers, _partitions, _submission, _clock, _refused, _sessions),
            *(self._nodes, self._roles, self._keys),
        )
        found = [finding for look in looks for finding in await self._looked(look)]
        return found + _disk(self.folder)

    async def _looked(self, look: Callable[[Connection], Awaitable[list[Finding]]]) -> list[Finding]:
        """Returns the findings of one check. An error of the database is a finding too."""
        try:
            async with self.database.connection() as connection:
                return await look(connection)
        except DatabaseError as error:
            return [_of(error)]

    async def _nodes(self, connection: Connection) -> list[Finding]:
        """Returns the nodes without a heartbeat whose jobs wait for a sweeper."""
        return [
            Finding(
                "NODE_UNRESPONSIVE",
                f"Node {node.name} has been silent for {_time(node.silent_seconds)}; its jobs wait.",
                "run a node with the role sweeper",
            )
            for node in await list_nodes(connection)
            if node.silent_seconds > 2 * self.lease_seconds
        ]

    async def _roles(self, connection: Connection) -> list[Finding]:
        """Returns the roles that no live node has, if the service runs at all."""
        nodes = await list_nodes(connection)
        alive = {role for node in nodes if node.silent_seconds <= self.lease_seconds for role in node.roles}
        return [
            Finding("ROLE_MISSING", f"No running node has the role {role.value}.", f"start one: --role {role.value}")
            for role in Role
            if alive and role.value not in alive
        ]

    async def _keys(self, connection: Connection) -> list[Finding]:
        return [] if self.keyring is None else _keys_lacking(self.keyring, await read_proofs(connection))


async def _lacking(connection: Connection, schema: str | None) -> list[Finding]:
    """Returns missing rights and migrations, without which nothing else can be checked."""
    rights = await missing_rights(connection, schema)
    if rights.grants:
        return [Finding("PRIVILEGE_MISSING", f"The role {rights.role} lacks rights.", grant) for grant in rights.grants]
    if missing := await revisions_missing(connection):
        return [
            Finding("DATABASE_SCHEMA_OUTDATED", f"Migrations are missing: {', '.join(missing)}.", "run `duly migrate`")
        ]
    return []


def _of(error: DatabaseError) -> Finding:
    error_class = error.error_class
    text = f" ({error.words.removesuffix('.')})" if error.words else ""
    return Finding(error_class.code, f"{error_class.message.removesuffix('.')}{text}.", error_class.remedy)


async def _writers(connection: Connection) -> list[Finding]:
    writers = await find_old_writers(connection, seconds=WRITER_SECONDS)
    if any(writer.seconds is None for writer in writers):
        await asyncio.sleep(LOOK_AGAIN_SECONDS)
        still = {writer.tx for writer in await find_old_writers(connection, seconds=WRITER_SECONDS)}
        writers = [writer for writer in writers if writer.tx in still]
    return [_held(writers[0]), *map(_open, writers[1:])] if writers else []


def _held(writer: StreamHolder) -> Finding:
    age = f" for {_time(writer.seconds)}" if writer.seconds is not None else ""
    return Finding("STREAM_BLOCKED", f"The stream of all jobs is held{age} by {writer.words}.", writer.remedy)


def _open(writer: StreamHolder) -> Finding:
    age = f" for {_time(writer.seconds)}" if writer.seconds is not None else ""
    return Finding("LONG_TRANSACTION", f"A transaction that writes has been open{age}: {writer.words}.", writer.remedy)


async def _readers(connection: Connection) -> list[Finding]:
    """Returns transactions that have been open for too long for vacuum."""
    return [
        Finding(
            "LONG_SNAPSHOT",
            f"Vacuum cannot clean up behind a transaction that has read for {_time(reader.seconds)}: "
            f"pid {reader.pid} ({reader.application}, user {reader.user}).",
            f"let it end, or end it: SELECT pg_terminate_backend({reader.pid})",
        )
        for reader in await find_old_readers(connection, seconds=READER_SECONDS)
    ]


async def _partitions(connection: Connection) -> list[Finding]:
    ahead = await days_ahead(connection, PARTITIONED)
    if ahead > 1:
        return []
    reason = "Today has no partition." if ahead < 0 else f"Only {ahead} days after today have their partitions."
    return [Finding("PARTITIONS_LOW", reason, "run `duly migrate` as the owner, or a node with the role sweeper")]


async def _submission(connection: Connection) -> list[Finding]:
    """Rehearses a submission, which fails if a disk is full or a trigger refuses it."""
    if await days_ahead(connection, PARTITIONED) >= 0:
        clock = await _clock_of(connection)
        await rehearse_submission(connection, clock.ids.new(), large=True)
    return []


async def _clock(connection: Connection) -> list[Finding]:
    offset = (await _clock_of(connection)).offset_seconds
    if abs(offset) <= CLOCK_SECONDS:
        return []
    reason = f"This machine's clock is {_time(abs(offset))} {'ahead of' if offset > 0 else 'behind'} the database's."
    return [Finding("CLOCK_SKEW", reason, "synchronise both by NTP")]


async def _clock_of(connection: Connection) -> DatabaseClock:
    clock = DatabaseClock()
    sent_at = clock.elapsed()
    clock.correct(await read_time(connection), sent_at=sent_at, received_at=clock.elapsed())
    return clock


async def _refused(connection: Connection) -> list[Finding]:
    """Returns what the database refuses to record, by stage and reason."""
    return [
        Finding(
            "SET_ASIDE",
            f"The database refuses records of {counted.jobs:,} jobs ({counted.stage}): {counted.reason}",
            "mend what refuses them; they are tried again",
        )
        for counted in await count_set_aside(connection)
    ]


async def _sessions(connection: Connection) -> list[Finding]:
    sessions = await count_sessions(connection)
    if sessions.open <= SESSIONS_SHARE * sessions.most:
        return []
    reason = f"{sessions.open} of the server's {sessions.most} connections are in use."
    return [Finding("CONNECTIONS_LOW", reason, "raise max_connections, or lower DULY_DATABASE_CONNECTIONS")]


def _keys_lacking(keyring: Keyring, proofs: Mapping[str, str]) -> list[Finding]:
    """Returns the secret keys that are missing or differ."""
    found = []
    for key_id, proof in proofs.items():
        if key_id not in keyring.ids:
            reason = f'The secret key "{key_id}" has sealed secrets here, and is not among DULY_SECRET_KEYS.'
            found.append(
                Finding("SECRET_KEY_MISSING", reason, "add it, or run `duly secrets reseal` where it is known")
            )
        elif not keyring.proves(proof):
            reason = f'The secret key "{key_id}" is not the one that the database was written with.'
            found.append(Finding("SECRET_KEY_MISMATCH", reason, "use the key that it was"))
    return found


def _disk(folder: Path | None) -> list[Finding]:
    if folder is None:
        return []
    disk = shutil.disk_usage(folder)
    if disk.free >= min(DISK_SHARE * disk.total, DISK_BYTES):
        return []
    return [Finding("DISK_FULL", f"The disk of {folder} has {disk.free >> 20:,} MiB left.", "free space on it")]


def _time(seconds: float) -> str:
    """Returns a duration as `12 s`, `3 min` or `2 h 5 min`."""
    minutes = int(seconds // 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60:,} h {minutes % 60} min"  # noqa: PLR2004  # an hour's
