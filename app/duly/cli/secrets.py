"""Body of `duly secrets reseal`."""

import asyncio
from collections.abc import Mapping
from typing import Any

import typer

from duly.cli.command_setup import new_database, opened_database, read_settings, secret_keys
from duly.cli.each_cell import in_each_cell
from duly.cli.errors import FAILED, stop
from duly.cli.prepare_database import CannotServe, prepare
from duly.domain.cells import CellNumber
from duly.domain.sealing import Keyring
from duly.lifecycle.maintenance.key_rotation import Resealed, SecretKeyMismatch, SecretKeyNotInUse, reseal
from duly.settings import Settings
from duly.store.postgres.database import DatabaseError


def run_reseal(flags: dict[str, Any]) -> None:
    """Re-encrypts all secrets, prints the counts, and exits with 1 if a secret could not be decrypted."""
    in_each_cell(read_settings(flags), _reseal_and_print)


def _reseal_and_print(settings: Settings, _cell: CellNumber) -> None:
    keyring = Keyring.read(secret_keys(settings))
    with opened_database(settings) as opened:
        try:
            done = asyncio.run(_reseal(settings, opened.url, keyring))
        except (CannotServe, SecretKeyMismatch, SecretKeyNotInUse) as error:
            stop(str(error))
        except DatabaseError as error:
            stop(f"{error.line}; secrets already re-encrypted stay valid; run it again")
    _print(done, keyring)
    if done.unopened:
        raise typer.Exit(FAILED)


async def _reseal(settings: Settings, url: str, keyring: Keyring) -> Resealed:
    database = new_database(settings, url)
    try:
        await prepare(database, migrates=False)
        return await reseal(database, keyring)
    finally:
        await database.close()


def _print(done: Resealed, keyring: Keyring) -> None:
    print(f'encrypted with "{keyring.sealing_id}": {done.resealed:,}')
    if done.unopened:
        print(f"not decrypted, because DULY_SECRET_KEYS lacks their key: {done.unopened:,}")
    for key_id, places in done.left.items():
        under = f'under "{key_id}"' if key_id else "in plain text"
        print(f"remaining {under}: {_counted(places)}")
    for key_id in done.forgotten:
        print(f'no secret is encrypted with "{key_id}": it can be removed from DULY_SECRET_KEYS')


def _counted(places: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} in {place}" for place, count in places.items())
