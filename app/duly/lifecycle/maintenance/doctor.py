"""Diagnoses an installation: checks what a service needs of its database, and names each problem with a remedy."""

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from duly.domain.counted_noun import counted_noun
from duly.domain.database_clock import DatabaseClock
from duly.domain.durations import duration_words
from duly.domain.node_role import Role
from duly.domain.sealing import Keyring
from duly.domain.web_origin import is_loopback
from duly.lifecycle.maintenance.finding import Finding
from duly.lifecycle.maintenance.server_findings import (
    budget_findings,
    epoch_findings,
    lock_findings,
    session_findings,
    vacuum_findings,
    version_findings,
)
from duly.lifecycle.maintenance.settings_findings import needs_public_url
from duly.settings import Settings
from duly.store.access.version import has_keys
from duly.store.ledger.stream_blockers import StreamHolder, find_old_writers
from duly.store.maintenance.diagnosis import count_set_aside, has_signals, list_nodes, read_time
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
CLOCK_SECONDS = 2.0
DISK_SHARE, DISK_BYTES = 0.05, 1 << 30
INODES_SHARE = 0.02


_POOLED = Finding(
    "POOLER_TRANSACTION_MODE",
    "A pooler in transaction mode is before the database: LISTEN hears nothing, and prepared statements are lost.",
    "set DULY_TRANSACTION_POOLING=true, or connect to the server or to a pooler in session mode",
)
_WITHOUT_PUBLIC_URL = Finding(
    "PUBLIC_URL_MISSING",
    "Jobs are sent signals, and links to them need the address under which people reach the service.",
    "set DULY_PUBLIC_URL",
)


@dataclass(frozen=True)
class Doctor:
    """Examines one installation.

    Attributes:
        keyring: secret keys of the service; without them, they are not checked.
        folder: folder of an embedded database.
        settings: settings of the service; without them, what it needs is not checked.
    """

    database: Database
    lease_seconds: float
    schema: str | None = None
    keyring: Keyring | None = None
    folder: Path | None = None
    settings: Settings | None = None

    async def examine(self) -> list[Finding]:
        """Returns all findings; for a database that cannot be used, only why."""
        try:
            if self.database.listens and not await self.database.keeps_sessions():
                return [_POOLED]
            async with self.database.connection() as connection:
                if lacking := await version_findings(connection) or await _lacking(connection, self.schema):
                    return lacking
        except DatabaseNewer as error:
            if not error.serves:
                return [
                    Finding("DATABASE_SCHEMA_NEWER", f"A newer release migrated the database: {error}.", "upgrade Duly")
                ]
        except DatabaseError as error:
            return [_of(error)]
        looks = (
            *(_writers, vacuum_findings, _partitions, _submission, _clock, _refused, session_findings, epoch_findings),
            *(self._nodes, self._roles, self._keys, self._needs),
        )
        found = [finding for look in looks for finding in await self._looked(look)]
        return found + await self._hosts() + _disk(self.folder)

    async def _hosts(self) -> list[Finding]:
        """Returns the hosts of the URL that could not take over."""
        return [
            Finding(
                "DATABASE_HOST_UNAVAILABLE",
                f"A fail-over to {host} would fail. {_of(error).reason}",
                "start it, or remove it from DULY_DATABASE_URL",
            )
            for host, error in (await self.database.failing_hosts()).items()
        ]

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
                f"Node {node.name} has been silent for {duration_words(node.silent_seconds)}; its jobs wait.",
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

    async def _needs(self, connection: Connection) -> list[Finding]:
        """Returns what the service as it is configured lacks in its database."""
        if self.settings is None:
            return []
        found = await budget_findings(connection, self.settings) + await lock_findings(connection, self.settings)
        if self.settings.api_key is None and not is_loopback(self.settings.host) and not await has_keys(connection):
            found.append(_without_key(self.settings.host))
        if needs_public_url(self.settings) and await has_signals(connection):
            found.append(_WITHOUT_PUBLIC_URL)
        return found


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


def _without_key(host: str) -> Finding:
    return Finding(
        "API_KEY_MISSING",
        f"The service listens on {host}, which other machines can reach, and has no API key.",
        "create one with `duly keys create`, set DULY_API_KEY, or listen on 127.0.0.1",
    )


async def _writers(connection: Connection) -> list[Finding]:
    writers = await find_old_writers(connection, seconds=WRITER_SECONDS)
    if any(writer.seconds is None for writer in writers):
        await asyncio.sleep(LOOK_AGAIN_SECONDS)
        still = {writer.tx for writer in await find_old_writers(connection, seconds=WRITER_SECONDS)}
        writers = [writer for writer in writers if writer.tx in still]
    return [_held(writers[0]), *map(_open, writers[1:])] if writers else []


def _held(writer: StreamHolder) -> Finding:
    age = f" for {duration_words(writer.seconds)}" if writer.seconds is not None else ""
    return Finding("STREAM_BLOCKED", f"The stream of all jobs is held{age} by {writer.words}.", writer.remedy)


def _open(writer: StreamHolder) -> Finding:
    age = f" for {duration_words(writer.seconds)}" if writer.seconds is not None else ""
    return Finding("LONG_TRANSACTION", f"A transaction that writes has been open{age}: {writer.words}.", writer.remedy)


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
    side = "ahead of" if offset > 0 else "behind"
    reason = f"This machine's clock is {duration_words(abs(offset))} {side} the database's."
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
            f"The database refuses records of {counted_noun(counted.jobs, 'job')} ({counted.stage}): {counted.reason}",
            "mend what refuses them; they are tried again",
        )
        for counted in await count_set_aside(connection)
    ]


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
    """Returns what runs out on the disk of an embedded database."""
    if folder is None:
        return []
    found = []
    disk, files = shutil.disk_usage(folder), os.statvfs(folder)
    if disk.free < min(DISK_SHARE * disk.total, DISK_BYTES):
        reason = f"The disk of {folder} has {disk.free >> 20:,} MiB left."
        found.append(Finding("DISK_FULL", reason, "free space on it"))
    if files.f_files and files.f_favail < INODES_SHARE * files.f_files:
        reason = f"The disk of {folder} has {files.f_favail:,} inodes left."
        found.append(Finding("INODES_LOW", reason, "delete files on it"))
    return found
