"""The backend of the shop. It has Duly's API key; the page gets tickets for single streams."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import FileResponse
from pydantic import BaseModel

from duly.client import SignatureError, verify_webhook

SHOP = os.environ.get("SHOP_URL", "http://127.0.0.1:8080")  # where Duly reaches this backend
DULY = os.environ.get("DULY_URL", "http://127.0.0.1:8000")  # where this backend reaches Duly
STREAMS = os.environ.get("SHOP_STREAMS_URL", DULY)  # where browsers reach Duly
WEBHOOK_SECRET = os.environ["SHOP_WEBHOOK_SECRET"]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    key = {"Authorization": f"Bearer {os.environ['DULY_API_KEY']}"}
    async with httpx.AsyncClient(base_url=DULY, headers=key, timeout=30) as duly:
        app.state.duly = duly
        yield


app = FastAPI(title="shop", lifespan=lifespan)
finished: dict[str, Any] = {}  # an application keeps this in its database
seen: set[str] = set()  # and this


@app.get("/")
async def page() -> FileResponse:
    return FileResponse(Path(__file__).with_name("page.html"))


class ReportRequest(BaseModel):
    requestId: UUID  # made by the page: the same when it sends a request again
    startDate: date
    endDate: date


@app.post("/reports", status_code=202)
async def start_report(report: ReportRequest) -> dict[str, str]:
    submission = {
        "type": "sales-report",
        "parameters": report.model_dump(mode="json", exclude={"requestId"}),
        "callbackUrl": f"{SHOP}/webhooks/duly",
        "callbackSecret": WEBHOOK_SECRET,
    }
    headers = {"Idempotency-Key": f"sales-report-{report.requestId}"}
    job = await post("/api/v1/jobs", submission, headers)
    return {"jobId": job["jobId"]}


@app.post("/reports/{job_id}/stream")
async def open_stream(job_id: UUID) -> dict[str, str]:
    # An application checks here that this user may see this job.
    ticket = await post("/api/v1/stream-tickets", {"jobId": str(job_id)})
    return {"url": f"{STREAMS}/api/v1/jobs/{job_id}/events/stream?ticket={ticket['ticket']}"}


@app.get("/reports/{job_id}")
async def finished_report(job_id: UUID) -> Any:
    if str(job_id) not in finished:
        raise HTTPException(404)
    return finished[str(job_id)]


@app.post("/webhooks/duly", status_code=204)
async def receive(request: Request) -> None:
    try:
        event = verify_webhook(request.headers, await request.body(), WEBHOOK_SECRET)
    except SignatureError as error:
        raise HTTPException(401, str(error)) from error
    if event.id in seen:  # sent again: the first response was lost
        return
    seen.add(event.id)
    finished[event.body["jobId"]] = {"status": event.body["status"], "result": event.body.get("result")}


async def post(path: str, body: object, headers: dict[str, str] | None = None) -> Any:
    """Returns the response of Duly, or passes its refusal on."""
    try:
        response = await app.state.duly.post(path, json=body, headers=headers)
    except httpx.TransportError as error:
        raise HTTPException(503, "Duly cannot be reached.") from error
    if response.is_error:
        raise HTTPException(response.status_code, response.json()["error"])
    return response.json()
