"""The application's own database: imports, airports, and the webhooks that have been received."""

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

FOLDER = Path(os.environ.get("WEB_BACKEND_FOLDER", "web-backend-data"))
_TABLES = """
create table if not exists imports (import_id text primary key, job_id text, status text not null, result text);
create table if not exists airports (
    iata text primary key, name text not null, state text not null, latitude real not null, longitude real not null
);
create table if not exists webhooks (webhook_id text primary key);
"""
_SET_JOB = "update imports set job_id = ? where import_id = ?"
_END = "update imports set status = ?, result = ? where import_id = ?"
_STORE = "insert into airports values (?, ?, ?, ?, ?) on conflict do update set name = excluded.name"


@contextmanager
def transaction() -> Iterator[sqlite3.Connection]:
    """Opens the database for one transaction, committed at the end of the block."""
    with closing(sqlite3.connect(FOLDER / "application.db", timeout=20)) as connection, connection:
        connection.execute("pragma synchronous = full")
        yield connection


def create() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with transaction() as connection:
        connection.execute("pragma journal_mode = wal")
        connection.executescript(_TABLES)


def file_of(import_id: str) -> Path:
    return FOLDER / f"{import_id}.csv"


def add_import(import_id: str) -> None:
    """Records an import; the same again changes nothing."""
    with transaction() as connection:
        connection.execute(
            "insert into imports values (?, null, 'submitted', null) on conflict do nothing", [import_id]
        )


def set_job(import_id: str, job_id: str) -> None:
    with transaction() as connection:
        connection.execute(_SET_JOB, [job_id, import_id])


def read_import(import_id: str) -> dict[str, Any] | None:
    with transaction() as connection:
        row = connection.execute(
            "select job_id, status, result from imports where import_id = ?", [import_id]
        ).fetchone()
    return row and {"jobId": row[0], "status": row[1], "result": json.loads(row[2] or "null")}


def end_import(webhook_id: str, import_id: str, status: str, result: Any) -> bool:
    """Records an outcome together with its webhook, in one transaction; returns whether the webhook is new."""
    with transaction() as connection:
        new = connection.execute("insert into webhooks values (?) on conflict do nothing", [webhook_id]).rowcount == 1
        if new:
            connection.execute(_END, [status, json.dumps(result), import_id])
    return new


def store_airports(rows: Iterable[tuple[str, str, str, float, float]]) -> None:
    """Adds or updates airports, so that a portion may be stored twice."""
    with transaction() as connection:
        connection.executemany(_STORE, rows)


def count_airports() -> int:
    with transaction() as connection:
        return int(connection.execute("select count(*) from airports").fetchone()[0])
