"""Orders with FastAPI: submits in the transaction of a view, shows progress, and receives the webhook."""

import os
from uuid import UUID

from fastapi import FastAPI, Request, Response
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from duly.client import AsyncClient, SignatureError, verify_webhook
from duly.transactional import submit

SECRET, WEBHOOK = os.environ["WEBHOOK_SECRET"], os.environ["WEBHOOK_URL"]
engine = create_async_engine(os.environ["SHOP_DATABASE"])
duly = AsyncClient(os.environ["DULY_URL"])
app = FastAPI()
INSERT = text("insert into orders (number) values (:number)")


@app.post("/short-orders/{number}")
async def short_order(number: int) -> dict[str, UUID]:
    async with AsyncSession(engine) as session, session.begin():
        await session.execute(INSERT, {"number": number})
        return {"jobId": await submit(session, "echo", {"order": number})}


@app.post("/orders/{number}", status_code=202)
async def order(number: int) -> dict[str, str]:
    # Not in a dependency with `yield`, which would commit after the response.
    async with AsyncSession(engine) as session, session.begin():
        await session.execute(INSERT, {"number": number})
        job_id = await submit(session, "echo", {"order": number}, callback_url=WEBHOOK, callback_secret=SECRET)
    return {"jobId": str(job_id)}


@app.get("/progress/{job_id}")
async def progress(job_id: str) -> dict[str, object]:
    job = await duly.get(job_id)
    return {"status": job["status"], "progress": job["progress"]}


@app.post("/webhooks/duly")
async def webhook(request: Request) -> Response:
    try:
        event = verify_webhook(request.headers, await request.body(), SECRET)
    except SignatureError:
        return Response(status_code=401)
    async with AsyncSession(engine) as session, session.begin():
        number = event.body["result"]["order"]
        await session.execute(text("update orders set confirmed = true where number = :number"), {"number": number})
    return Response(status_code=204)
