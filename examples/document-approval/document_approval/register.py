"""The register of documents and decisions: an SQLite database of the application."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from document_approval.documents import Document, read_document

_TABLES = """
create table if not exists documents (
    job_id text primary key, package text not null, version text not null, licence text not null,
    digest text not null, text text not null, state text not null
);
create table if not exists answers (
    job_id text, role text, choice text not null, comment text not null, primary key (job_id, role)
);
"""
_ADD = "insert or replace into documents values (?, ?, ?, ?, ?, ?, 'in review')"
_SET_STATE = "update documents set state = ? where job_id = ?"
_ANSWER = "insert or replace into answers values (?, ?, ?, ?)"


@contextmanager
def transaction() -> Iterator[sqlite3.Connection]:
    """Opens the database for one transaction, committed at the end of the block."""
    path = Path(os.environ["APPROVAL_FOLDER"], "register.db")
    with closing(sqlite3.connect(path, timeout=20)) as connection, connection:
        connection.executescript(_TABLES)
        yield connection


def add(job_id: str, package: str) -> Document:
    """Adds the text as it is now: people approve exactly this text, even if the package is upgraded meanwhile."""
    document, text = read_document(package)
    with transaction() as connection:
        row = [job_id, document.package, document.version, document.licence, document.digest, text]
        connection.execute(_ADD, row)
    return document


def withdraw(job_id: str, package: str) -> None:
    """Undoes `add`; the entry stays visible."""
    with transaction() as connection:
        connection.execute(_SET_STATE, ["withdrawn", job_id])


def decide(job_id: str, state: str, answers: list[tuple[str, str, str]]) -> None:
    """Records the decision with the role, the choice and the comment of each answer."""
    with transaction() as connection:
        connection.executemany(_ANSWER, [(job_id, *answer) for answer in answers])
        connection.execute(_SET_STATE, [state, job_id])


def state_of(job_id: str) -> str:
    with transaction() as connection:
        row = connection.execute("select state from documents where job_id = ?", [job_id]).fetchone()
        return str(row[0]) if row else "unknown"


def answers_of(job_id: str) -> list[tuple[str, str, str]]:
    with transaction() as connection:
        found = connection.execute("select role, choice, comment from answers where job_id = ? order by role", [job_id])
        return found.fetchall()
