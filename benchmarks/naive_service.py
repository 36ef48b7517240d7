"""Naive service, as a team would write it by hand in an afternoon, without batching and without a ledger.

FastAPI with a pydantic body, one INSERT per request on an asyncpg pool, workers that claim one job per query with SKIP
LOCKED, and httpx for the callback. `BENCHMARK_ROLES` sets its roles, `BENCHMARK_DATABASE_URL` its database and
`BENCHMARK_WORKERS` the number of workers.
"""

import asyncio
import hashlib
import hmac
import json
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Annotated, Any

import asyncpg
import httpx
from fastapi import Body, FastAPI
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from benchmarks.start_signal import StartSignal

POLL_SECONDS = 0.1
CALLBACK_TRIES = 3

SCHEMA = """
create table job (
    id uuid primary key,
    type text not null,
    status text not null default 'pending',
    priority smallint not null,
    parameters jsonb not null,
    callback_url text,
    callback_secret text,
    result jsonb,
    created_at timestamptz not null default now(),
    started_at timestamptz,
    finished_at timestamptz
);
create index job_pending on job (priority desc, created_at) where status = 'pending'
"""
INSERT = """
insert into job (id, type, priority, parameters, callback_url, callback_secret)
values ($1, $2, $3, $4, $5, $6) returning created_at
"""
CLAIM = """
update job set status = 'running', started_at = clock_timestamp()
where id = (select id from job where status = 'pending' order by priority desc, created_at
            limit 1 for update skip locked)
returning id, type, parameters, callback_url, callback_secret
"""
LEASE = """
update job set status = 'running', started_at = clock_timestamp()
where id in (select id from job where status = 'pending' order by priority desc, created_at
             limit $1 for update skip locked)
returning id, type, parameters
"""
FINISH = "update job set status = 'completed', result = $2, finished_at = clock_timestamp() where id = $1"


class Submission(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel)

    type: str = Field(min_length=1, max_length=100)
    parameters: dict[str, Any] = {}
    priority: int = Field(default=0, ge=-100, le=100)
    callback_url: str | None = None
    callback_secret: str | None = None


class Claim(BaseModel):
    max: int = Field(ge=1, le=500)


class Completed(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel)

    lease_id: uuid.UUID
    result: Any


class Accepted(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    job_id: uuid.UUID
    status: str
    created_at: datetime


def row(job: Submission) -> tuple[object, ...]:
    parameters = json.dumps(job.parameters)
    return uuid.uuid4(), job.type, job.priority, parameters, job.callback_url, job.callback_secret


async def noop(parameters: dict[str, Any], signal: StartSignal) -> dict[str, Any]:
    signal.send(parameters["index"])
    return {"index": parameters["index"]}


async def call_back(client: httpx.AsyncClient, job: asyncpg.Record, result: dict[str, Any]) -> None:
    body = json.dumps({"type": "job.completed", "jobId": str(job["id"]), "result": result}).encode()
    signature = hmac.new(job["callback_secret"].encode(), body, hashlib.sha256).hexdigest()
    headers = {"Content-Type": "application/json", "X-Webhook-Signature": f"sha256={signature}"}
    for _ in range(CALLBACK_TRIES):
        with suppress(httpx.TransportError):
            response = await client.post(job["callback_url"], content=body, headers=headers)
            if response.is_success:
                return


async def run_one(pool: asyncpg.Pool, client: httpx.AsyncClient, signal: StartSignal) -> bool:
    async with pool.acquire() as connection:
        job = await connection.fetchrow(CLAIM)
    if job is None:
        return False
    result = await noop(json.loads(job["parameters"]), signal)
    async with pool.acquire() as connection:
        await connection.execute(FINISH, job["id"], json.dumps(result))
    if job["callback_url"]:
        await call_back(client, job, result)
    return True


async def work(pool: asyncpg.Pool, client: httpx.AsyncClient, signal: StartSignal) -> None:
    while True:
        if not await run_one(pool, client, signal):
            await asyncio.sleep(POLL_SECONDS)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    url = os.environ["BENCHMARK_DATABASE_URL"]
    works = "worker" in os.environ["BENCHMARK_ROLES"]
    worker_count = int(os.environ["BENCHMARK_WORKERS"])
    signal = StartSignal()
    async with asyncpg.create_pool(url, min_size=16, max_size=16) as pool, httpx.AsyncClient() as client:
        app.state.pool = pool
        workers = [asyncio.create_task(work(pool, client, signal)) for _ in range(worker_count if works else 0)]
        yield
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


def create() -> FastAPI:
    app = FastAPI(lifespan=lifespan)

    @app.post("/api/v1/jobs", status_code=202)
    async def submit(job: Submission) -> Accepted:
        values = row(job)
        async with app.state.pool.acquire() as connection:
            created_at = await connection.fetchval(INSERT, *values)
        return Accepted.model_validate({"job_id": values[0], "status": "pending", "created_at": created_at})

    @app.post("/api/v1/leases")
    async def lease(claim: Claim) -> dict[str, Any]:
        async with app.state.pool.acquire() as connection:
            jobs = await connection.fetch(LEASE, claim.max)
        leases = [
            {"leaseId": str(job["id"]), "job": {"type": job["type"], "parameters": json.loads(job["parameters"])}}
            for job in jobs
        ]
        return {"leases": leases}

    @app.post("/api/v1/leases/complete")
    async def complete(leases: Annotated[list[Completed], Body(embed=True)]) -> dict[str, int]:
        async with app.state.pool.acquire() as connection:
            await connection.executemany(FINISH, [(done.lease_id, json.dumps(done.result)) for done in leases])
        return {"completed": len(leases)}

    @app.post("/api/v1/jobs/batch", status_code=202)
    async def submit_many(jobs: Annotated[list[Submission], Body(embed=True, max_length=10_000)]) -> list[Accepted]:
        rows = [row(job) for job in jobs]
        async with app.state.pool.acquire() as connection, connection.transaction():
            await connection.executemany(INSERT, rows)
        now = datetime.now(UTC)
        return [
            Accepted.model_validate({"job_id": values[0], "status": "pending", "created_at": now}) for values in rows
        ]

    return app
