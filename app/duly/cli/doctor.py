"""Body of `duly doctor`."""

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import typer

from duly.cli.command_setup import data_dir, known_secret_keys, opened_database, read_settings
from duly.cli.each_cell import in_each_cell
from duly.cli.errors import FAILED
from duly.cli.output import print_json
from duly.domain.cells import CellNumber
from duly.domain.safe_str import one_line
from duly.domain.sealing import Keyring
from duly.lifecycle.maintenance.doctor import Doctor
from duly.lifecycle.maintenance.finding import Finding
from duly.lifecycle.maintenance.settings_findings import settings_findings
from duly.settings import Settings, unknown_variables
from duly.store.postgres.database import Database
from duly.telemetry.structured_logs import configure_logs


def run_doctor(flags: dict[str, Any], *, as_json: bool) -> None:
    """Diagnoses the database, or each cell, prints the findings, and exits with 1 if there are any."""
    settings = read_settings(flags)
    configure_logs(settings.log_format, settings.log_level)
    in_each_cell(settings, partial(_diagnose_and_print, as_json=as_json), as_json=as_json)


def _diagnose_and_print(settings: Settings, _cell: CellNumber, *, as_json: bool) -> None:
    with opened_database(settings) as opened:
        folder = data_dir(settings) if opened.server is not None else None
        found = settings_findings(settings, unknown=unknown_variables())
        found += asyncio.run(_examine(settings, opened.url, folder=folder))
    if as_json:
        print_json({"healthy": not found, "findings": [finding._asdict() for finding in found]}, indent=2)
    else:
        _print(found)
    if found:
        raise typer.Exit(FAILED)


async def _examine(settings: Settings, url: str, *, folder: Path | None) -> list[Finding]:
    keys = known_secret_keys(settings)
    database = Database(
        url, connections=1, transaction_pooling=settings.transaction_pooling, schema=settings.database_schema
    )
    try:
        return await Doctor(
            database,
            lease_seconds=settings.lease_seconds,
            schema=settings.database_schema,
            keyring=None if keys is None else Keyring.read(keys),
            folder=folder,
            settings=settings,
        ).examine()
    finally:
        await database.close()


def _print(found: list[Finding]) -> None:
    for finding in found:
        print(one_line(f"{finding.code}: {finding.reason} Remedy: {finding.remedy}"))
    print("healthy" if not found else "1 finding" if len(found) == 1 else f"{len(found)} findings")
