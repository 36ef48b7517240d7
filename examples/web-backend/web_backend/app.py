"""The backend. It has Duly's API key; browsers speak to it alone."""

import json
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

from fastapi import FastAPI, Header, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, StreamingResponse

from duly.client import ApiError, AsyncClient, SignatureError, Unreachable, verify_webhook
from web_backend import database

HERE = os.environ.get("WEB_BACKEND_URL", "http://127.0.0.1:8080")  # where Duly reaches this backend
DULY = os.environ.get("DULY_URL", "http://127.0.0.1:8000")  # where this backend reaches Duly
WEBHOOK_SECRET = os.environ["WEB_BACKEND_WEBHOOK_SECRET"]
LARGEST_FILE = 5_000_000
STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # proxies pass each event on at once


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    await run_in_threadpool(database.create)
    async with AsyncClient(DULY, api_key=os.environ.get("DULY_API_KEY")) as duly:
        app.state.duly = duly
        yield


app = FastAPI(title="Web backend", lifespan=lifespan)


@app.get("/")
async def page() -> FileResponse:
    return FileResponse(Path(__file__).with_name("page.html"))


@app.put("/imports/{import_id}", status_code=202)
async def start_import(import_id: UUID, request: Request) -> dict[str, str]:
    """Saves the file and submits its job. The page makes the id, so it may send the request again."""
    key, file = str(import_id), bytearray()
    async for piece in request.stream():
        file += piece
        if len(file) > LARGEST_FILE:
            raise HTTPException(413, f"The file is larger than {LARGEST_FILE:,} bytes.")
    await run_in_threadpool(save, key, bytes(file))
    try:
        job_id = await submit(key)
    except (ApiError, Unreachable) as error:
        raise HTTPException(503, "The import cannot be started now.", {"Retry-After": "2"}) from error
    await run_in_threadpool(database.set_job, key, job_id)
    return {"importId": key, "jobId": job_id}


async def submit(import_id: str) -> str:
    """Submits the job of an import, once: further calls return the same job."""
    job = await app.state.duly.submit(
        "import-airports",
        {"importId": import_id},
        idempotency_key=f"import-{import_id}",
        labels={"import": import_id},
        callback_url=f"{HERE}/webhooks/duly",
        callback_secret=WEBHOOK_SECRET,
    )
    return str(job["jobId"])


def save(import_id: str, file: bytes) -> None:
    """Saves the file of an import; one that is there stays, because its job may be reading it."""
    if not database.file_of(import_id).exists():
        part = database.file_of(import_id).with_suffix(".part")
        part.write_bytes(file)
        part.replace(database.file_of(import_id))
    database.add_import(import_id)


@app.get("/imports/{import_id}")
def read_import(import_id: UUID) -> dict[str, Any]:
    # Here your application checks that this user may see this import.
    if (found := database.read_import(str(import_id))) is None:
        raise HTTPException(404, f"There is no import {import_id}.")
    return found


@app.get("/imports/{import_id}/events")
def follow_import(import_id: UUID, last_event_id: Annotated[str, Header()] = "") -> StreamingResponse:
    """Passes the events of the job on. The browser connects again by itself, with the id of the last event."""
    job_id = read_import(import_id)["jobId"]
    if job_id is None:
        raise HTTPException(503, "The import has not been submitted yet.")
    return StreamingResponse(
        frames(job_id, last_event_id or None), media_type="text/event-stream", headers=STREAM_HEADERS
    )


async def frames(job_id: str, after: str | None) -> AsyncIterator[str]:
    """Yields server-sent events. The client goes on across restarts of Duly, without gaps or repetitions."""
    yield f"retry: {random.randint(1000, 3000)}\n\n"  # milliseconds; not all pages connect again at the same moment
    with suppress(Unreachable):  # after 40 seconds without Duly: the stream ends, and the browser connects again
        async for frame in app.state.duly.stream(job_id, last_event_id=after):
            shown = {name: frame[name] for name in ("progress", "message", "error") if frame.get(name) is not None}
            yield f"id: {frame['sequence']}\nevent: {frame['type']}\ndata: {json.dumps(shown)}\n\n"


@app.post("/webhooks/duly", status_code=204)
async def receive(request: Request) -> None:
    try:
        event = verify_webhook(request.headers, await request.body(), WEBHOOK_SECRET)
    except SignatureError as error:
        raise HTTPException(401, str(error)) from error
    outcome = event.body.get("result") or event.body.get("error")
    await run_in_threadpool(
        database.end_import, event.id, event.body["labels"]["import"], event.body["status"], outcome
    )
