"""The jobs of the backend. They run in Duly's workers, on any machine that shares the files and the database."""

import asyncio
import csv
import os
from collections.abc import Iterator
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, Field, ValidationError

from duly import Fail, Handlers, JobContext
from web_backend import database

handlers = Handlers()
PORTION = 100
ROWS_PER_SECOND = float(os.environ.get("WEB_BACKEND_ROWS_PER_SECOND", "1000"))  # leaves the database to others too
SHOWN_ERRORS = 20


class Airport(BaseModel):
    iata: Annotated[str, Field(pattern=r"^[A-Z0-9]{3,4}$")]
    name: Annotated[str, Field(min_length=1)]
    state: str
    latitude: Annotated[float, Field(ge=-90, le=90)]
    longitude: Annotated[float, Field(ge=-180, le=180)]


class ImportParameters(BaseModel):
    importId: UUID


class Imported(BaseModel):
    """The state of an import: the checkpoint of its attempts, and at last its result."""

    read: int = 0
    stored: int = 0
    errors: list[str] = []


@handlers.register("import-airports", timeout=3600, max_attempts=5)
async def import_airports(parameters: ImportParameters, job: JobContext) -> Imported:
    """Imports a file of airports; invalid rows are reported by line."""
    rows = list(await asyncio.to_thread(read_rows, str(parameters.importId)))
    done = Imported.model_validate(job.restored or {})
    job.log("started", after=done.read)
    return await import_rows(rows, done, job)


async def import_rows(rows: list[dict[str, Any]], done: Imported, job: JobContext) -> Imported:
    while done.read < len(rows):
        portion = rows[done.read : done.read + PORTION]
        done = await asyncio.to_thread(store, portion, done)
        await job.checkpoint(done)  # the next attempt goes on here
        await job.progress(100 * done.read / len(rows), f"{done.read:,} of {len(rows):,} rows")
        await asyncio.sleep(len(portion) / ROWS_PER_SECOND)
    return done


def read_rows(import_id: str) -> Iterator[dict[str, Any]]:
    try:
        with database.file_of(import_id).open(encoding="utf-8", newline="") as file:
            yield from csv.DictReader(file)
    except (FileNotFoundError, UnicodeDecodeError, csv.Error) as error:
        raise Fail(f"The file of import {import_id} cannot be read: {error}", code="FILE_INVALID") from error


def store(portion: list[dict[str, Any]], done: Imported) -> Imported:
    """Stores the valid rows of a portion, and returns the state after it."""
    valid: list[Airport] = []
    errors: list[str] = []
    for line, row in enumerate(portion, done.read + 2):  # line 1 has the names
        try:
            valid.append(Airport.model_validate(row))
        except ValidationError as error:
            first = error.errors()[0]
            errors.append(f"line {line}: {'.'.join(map(str, first['loc']))}: {first['msg']}")
    database.store_airports((row.iata, row.name, row.state, row.latitude, row.longitude) for row in valid)
    return Imported(
        read=done.read + len(portion),
        stored=done.stored + len(valid),
        errors=[*done.errors, *errors][:SHOWN_ERRORS],
    )
