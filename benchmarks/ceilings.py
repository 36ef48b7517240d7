"""Ceilings: bare frameworks without a database, and two batched INSERTs as upper bounds for submitting."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated

import asyncpg
import orjson
from fastapi import Body, FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from benchmarks.naive_service import Accepted, Submission, row
from benchmarks.start_signal import StartSignal

LARGEST_FLUSH = 500
INSERT_MANY = """
insert into job (id, type, priority, parameters, callback_url, callback_secret)
select * from unnest($1::uuid[], $2::text[], $3::int2[], $4::jsonb[], $5::text[], $6::text[])
"""
RESPONSE = b'{"jobId":"00000000-0000-0000-0000-000000000000","status":"pending"}'
Row = tuple[object, ...]


def create_asgi() -> ASGIApp:
    """Bare ASGI, no database: the cost of uvicorn itself."""
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(RESPONSE)).encode())]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 202, "headers": headers})
        await send({"type": "http.response.body", "body": RESPONSE})

    return app


def accepted(job_id: uuid.UUID) -> Response:
    response = {"jobId": job_id, "status": "pending", "createdAt": datetime.now(UTC)}
    return Response(orjson.dumps(response), status_code=202, media_type="application/json")


def create_starlette() -> Starlette:
    """Starlette route, no database. It calls the handler at once, so it is also the ceiling of the pick-up latency."""
    signal = StartSignal()

    async def submit(request: Request) -> Response:
        job = orjson.loads(await request.body())
        signal.send(job["parameters"]["index"])
        return accepted(uuid.uuid4())

    return Starlette(routes=[Route("/api/v1/jobs", submit, methods=["POST"])])


def create_fastapi() -> FastAPI:
    """FastAPI route with the models of the naive service, no database."""
    app = FastAPI()

    @app.post("/api/v1/jobs", status_code=202)
    async def submit(job: Submission) -> Accepted:
        return Accepted.model_validate({"job_id": row(job)[0], "status": "pending", "created_at": datetime.now(UTC)})

    return app


def create_starlette_streams() -> Starlette:
    """Starlette with server-sent events from memory: each event of a batch goes to the queue of each stream."""
    queues: set[asyncio.Queue[bytes]] = set()

    async def submit_many(request: Request) -> Response:
        jobs = orjson.loads(await request.body())["jobs"]
        for job in jobs:
            event = {"jobId": uuid.uuid4(), "type": job["type"], "data": job, "occurredAt": datetime.now(UTC)}
            frame = b"event: job_submitted\ndata: " + orjson.dumps(event) + b"\n\n"
            for queue in queues:
                queue.put_nowait(frame)
            await asyncio.sleep(0)
        return Response(status_code=202)

    async def follow(_: Request) -> Response:
        return StreamingResponse(_from_queue(queues), media_type="text/event-stream")

    return Starlette(
        routes=[
            Route("/api/v1/jobs/batch", submit_many, methods=["POST"]),
            Route("/api/v1/events/stream", follow),
        ]
    )


async def _from_queue(queues: set[asyncio.Queue[bytes]]) -> AsyncIterator[bytes]:
    queue: asyncio.Queue[bytes] = asyncio.Queue()
    queues.add(queue)
    try:
        yield b"retry: 1000\n\n"
        while True:
            yield await queue.get()
    finally:
        queues.discard(queue)


class Flusher:
    """Inserts the collected rows when the last commit has returned; each caller waits for the commit of its row."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self._waiting: list[tuple[Row, asyncio.Future[None]]] = []
        self._filled = asyncio.Event()

    async def insert(self, values: Row) -> None:
        committed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((values, committed))
        self._filled.set()
        await committed

    async def flush_forever(self) -> None:
        statement = await self._connection.prepare(INSERT_MANY)
        while True:
            await self._filled.wait()
            batch, self._waiting = self._waiting[:LARGEST_FLUSH], self._waiting[LARGEST_FLUSH:]
            if not self._waiting:
                self._filled.clear()
            await statement.fetch(*zip(*(values for values, _ in batch), strict=True))
            for _, committed in batch:
                if not committed.done():
                    committed.set_result(None)


def create_starlette_batched() -> Starlette:
    """Starlette route with one flusher: submitting to a database as fast as Python and Starlette allow."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        connection = await asyncpg.connect(os.environ["BENCHMARK_DATABASE_URL"])
        app.state.flusher = Flusher(connection)
        task = asyncio.create_task(app.state.flusher.flush_forever())
        yield
        task.cancel()
        await connection.close()

    async def submit(request: Request) -> Response:
        job = orjson.loads(await request.body())
        job_id = uuid.uuid4()
        parameters = orjson.dumps(job["parameters"]).decode()
        callback = job.get("callbackUrl"), job.get("callbackSecret")
        await request.app.state.flusher.insert((job_id, job["type"], job["priority"], parameters, *callback))
        return accepted(job_id)

    return Starlette(routes=[Route("/api/v1/jobs", submit, methods=["POST"])], lifespan=lifespan)


def create_fastapi_many() -> FastAPI:
    """FastAPI with a pydantic body of many jobs and one INSERT for all of them, for row S2."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with asyncpg.create_pool(os.environ["BENCHMARK_DATABASE_URL"], min_size=8, max_size=8) as pool:
            app.state.pool = pool
            yield

    app = FastAPI(lifespan=lifespan)

    @app.post("/api/v1/jobs/batch", status_code=202)
    async def submit_many(jobs: Annotated[list[Submission], Body(embed=True, max_length=10_000)]) -> list[Accepted]:
        now, rows = datetime.now(UTC), [row(job) for job in jobs]
        async with app.state.pool.acquire() as connection:
            await connection.execute(INSERT_MANY, *zip(*rows, strict=True))
        return [
            Accepted.model_validate({"job_id": values[0], "status": "pending", "created_at": now}) for values in rows
        ]

    return app
