"""Compares the secret keys with those that the database was written with, and reseals secrets with the first key."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from duly.domain.ids import SMALLEST
from duly.domain.job_template import with_secret
from duly.domain.sealing import CannotUnseal, Keyring
from duly.store.maintenance.sealed_secrets import (
    StoredSecret,
    count_by_key,
    delete_keys,
    page_of_endpoints,
    page_of_schedules,
    page_of_thens,
    read_proofs,
    record_key,
    write_endpoint,
    write_schedule,
    write_then,
)
from duly.store.postgres.database import Connection, Database


class SecretKeyMismatch(Exception):
    """The database was written with another key of the same id."""

    def __init__(self, key_id: str) -> None:
        super().__init__(f'the secret key with the id "{key_id}" is not the one that the database was written with')


class SecretKeyNotInUse(Exception):
    """Error: some services may not have this key, as none seals with it yet."""

    def __init__(self, key_id: str) -> None:
        super().__init__(
            f'no service has started yet with "{key_id}" as the first of its secret keys: '
            "start all of them so, then reseal"
        )


async def recognise(database: Database, keyring: Keyring) -> list[str]:
    """Records the key that seals from now on. Returns the ids of keys that sealed secrets here and are not in the ring.

    Raises:
        SecretKeyMismatch: a key of the ring differs from the one of the same id that sealed secrets here.
    """
    async with database.connection() as connection:
        await record_key(connection, keyring.sealing_id, keyring.proof())
        return _lacking(await read_proofs(connection), keyring)


def _lacking(proofs: Mapping[str, str], keyring: Keyring) -> list[str]:
    for key_id, proof in proofs.items():
        if key_id in keyring.ids and not keyring.proves(proof):
            raise SecretKeyMismatch(key_id)
    return [key_id for key_id in proofs if key_id not in keyring.ids]


@dataclass(slots=True)
class Resealed:
    """Numbers of secrets resealed, and of those left under other keys, by key id (empty: not sealed) and table.

    Attributes:
        unopened: number of secrets whose key is not in the ring.
        forgotten: ids of keys that seal nothing now; the database forgets them.
    """

    resealed: int = 0
    unopened: int = 0
    left: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    forgotten: tuple[str, ...] = ()


async def reseal(database: Database, keyring: Keyring) -> Resealed:
    """Reseals with the first key the secrets of schedules, of jobs that follow a batch, and of endpoints. Secrets of
    jobs stay as they were recorded. Safe to repeat and to interrupt.

    Raises:
        SecretKeyMismatch: as `recognise`.
        SecretKeyNotInUse: no service seals with the first key yet.
    """
    done = Resealed()
    async with database.connection() as connection:
        proofs = await read_proofs(connection)
        _lacking(proofs, keyring)
        if keyring.sealing_id not in proofs:
            raise SecretKeyNotInUse(keyring.sealing_id)
        await _kept_jobs(connection, keyring, done, page_of_schedules, write_schedule, after=(0, ""))
        await _kept_jobs(connection, keyring, done, page_of_thens, write_then, after=(0, SMALLEST))
        await _endpoints(connection, keyring, done)
        counts = await count_by_key(connection)
        done.left = {key_id: places for key_id, places in counts.items() if key_id != keyring.sealing_id}
        done.forgotten = tuple(key_id for key_id in proofs if key_id not in {*counts, keyring.sealing_id})
        await delete_keys(connection, done.forgotten)
    return done


async def _kept_jobs(
    connection: Connection,
    keyring: Keyring,
    done: Resealed,
    page: Callable[[Connection, Any], Awaitable[list[StoredSecret]]],
    write: Callable[[Connection, StoredSecret, str], Awaitable[None]],
    *,
    after: tuple[int, Any],
) -> None:
    """Reseals the secrets in job templates of one table."""
    while stored := await page(connection, after):
        for one in stored:
            reseal_one = partial(keyring.reseal, tenant_id=one.tenant_id, purpose="callback")
            try:
                text = with_secret(one.text, reseal_one)
            except CannotUnseal:
                done.unopened += 1
                continue
            if text != one.text:
                await write(connection, one, text)
                done.resealed += 1
        after = (stored[-1].tenant_id, stored[-1].key)


async def _endpoints(connection: Connection, keyring: Keyring, done: Resealed) -> None:
    """Reseals the secrets of endpoints."""
    after = (0, SMALLEST)
    while stored := await page_of_endpoints(connection, after):
        for one in stored:
            try:
                texts = [
                    text and keyring.reseal_within(text, tenant_id=one.tenant_id, purpose="endpoint")
                    for text in one.texts
                ]
            except CannotUnseal:
                done.unopened += 1
                continue
            if texts != list(one.texts):
                await write_endpoint(connection, one, texts)
                done.resealed += 1
        after = (stored[-1].tenant_id, stored[-1].key)
