"""Orders with Flask: submits in the transaction of a view, shows progress, and receives the webhook."""

import os
from uuid import UUID

from flask import Flask, request
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from duly.client import Client, SignatureError, verify_webhook
from duly.transactional import submit

SECRET, WEBHOOK = os.environ["WEBHOOK_SECRET"], os.environ["WEBHOOK_URL"]
engine = create_engine(os.environ["SHOP_DATABASE"])
duly = Client(os.environ["DULY_URL"])
app = Flask(__name__)
INSERT = text("insert into orders (number) values (:number)")


@app.post("/short-orders/<int:number>")
def short_order(number: int) -> dict[str, UUID]:
    with Session(engine) as session, session.begin():
        session.execute(INSERT, {"number": number})
        return {"jobId": submit(session, "echo", {"order": number})}


@app.post("/orders/<int:number>")
def order(number: int) -> tuple[dict[str, str], int]:
    with Session(engine) as session, session.begin():
        session.execute(INSERT, {"number": number})
        job_id = submit(session, "echo", {"order": number}, callback_url=WEBHOOK, callback_secret=SECRET)
    return {"jobId": str(job_id)}, 202


@app.get("/progress/<job_id>")
def progress(job_id: str) -> dict[str, object]:
    job = duly.get(job_id)
    return {"status": job["status"], "progress": job["progress"]}


@app.post("/webhooks/duly")
def webhook() -> tuple[str, int]:
    try:
        event = verify_webhook(request.headers, request.get_data(), SECRET)
    except SignatureError:
        return "", 401
    with Session(engine) as session, session.begin():
        number = event.body["result"]["order"]
        session.execute(text("update orders set confirmed = true where number = :number"), {"number": number})
    return "", 204
