"""Submitting from your own transaction: a row of `job_outbox` is written with your data, `relay.py` submits it."""

import json
import secrets
import time
import uuid
from typing import Any

import asyncpg


async def add_job(connection: asyncpg.Connection, job_type: str, parameters: object, **options: Any) -> uuid.UUID:
    """Adds a job to the outbox, in the transaction that `connection` is in. Returns the id that the job will have.

    `options` are the other members of a submission, such as `queue="mail"` or `delaySeconds=60`.
    """
    job_id = new_job_id()
    submission = json.dumps({"type": job_type, "parameters": parameters, **options})
    await connection.execute("insert into job_outbox (job_id, submission) values ($1, $2)", job_id, submission)
    return job_id


def new_job_id() -> uuid.UUID:
    """Returns a UUID of version 7; from Python 3.14 on `uuid.uuid7()` does the same."""
    milliseconds = time.time_ns() // 1_000_000
    random = secrets.randbits(12) << 64 | 0b10 << 62 | secrets.randbits(62)
    return uuid.UUID(int=milliseconds << 80 | 0x7 << 76 | random)
