"""The examples of FastAPI, Flask and Django: each runs in a process of its own, and takes an order."""

import json
import os
import re
import sys
from asyncio import create_subprocess_exec
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from tests.support.service import Service
from tests.support.webhook_receiver import Receiver

FOLDER = Path(__file__).parents[2] / "examples" / "web-frameworks"
PAGE = Path(__file__).parents[2] / "docs" / "submit" / "from-a-web-framework.md"
SECRET = "whsec_dGVzdA=="
WSGI = """
from wsgiref.simple_server import make_server
with make_server("127.0.0.1", 0, application) as server:
    print(server.server_port, flush=True)
    server.serve_forever()
"""
PROGRAMS = {
    "fastapi": """
import asyncio, socket, uvicorn
from fastapi_shop import app
listening = socket.socket()
listening.bind(("127.0.0.1", 0))
listening.listen()
print(listening.getsockname()[1], flush=True)
asyncio.run(uvicorn.Server(uvicorn.Config(app, log_level="error")).serve(sockets=[listening]))
""",
    "flask": f"from flask_shop import app as application\n{WSGI}",
    "django": f"import django_shop\nfrom django.core.wsgi import get_wsgi_application\n"
    f"application = get_wsgi_application()\n{WSGI}",
}


def _database(framework: str, url: str) -> str:
    if framework == "django":
        parts = psycopg.conninfo.conninfo_to_dict(url)
        names = {"NAME": "dbname", "USER": "user", "HOST": "host", "PORT": "port"}
        return json.dumps({name: str(parts[key]) for name, key in names.items() if key in parts})
    driver = "asyncpg" if framework == "fastapi" else "psycopg"
    return url.replace("postgresql://", f"postgresql+{driver}://", 1)


@asynccontextmanager
async def running_shop(framework: str, service: Service, receiver: Receiver) -> AsyncIterator[httpx.AsyncClient]:
    environment = os.environ | {
        "SHOP_DATABASE": _database(framework, service.database_url),
        "DULY_URL": service.url,
        "WEBHOOK_SECRET": SECRET,
        "WEBHOOK_URL": receiver.url,
    }
    shop = await create_subprocess_exec(
        sys.executable, "-c", PROGRAMS[framework], cwd=FOLDER, env=environment, stdout=PIPE, stderr=PIPE
    )
    assert shop.stdout is not None
    try:
        port = (await shop.stdout.readline()).decode().strip()
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            yield client
    finally:
        shop.kill()
        await shop.communicate()


@pytest.mark.parametrize("framework", PROGRAMS)
async def test_an_order_submits_its_job_shows_progress_and_is_confirmed_by_the_webhook(
    service: Service, receiver: Receiver, framework: str
) -> None:
    await service.sql("create table orders (number int primary key, confirmed boolean not null default false)")
    async with running_shop(framework, service, receiver) as shop:
        ordered = await shop.post("/orders/7")
        assert ordered.status_code == 202
        delivered = await receiver.next()
        assert (await shop.get(f"/progress/{ordered.json()['jobId']}")).json() == {
            "status": "completed",
            "progress": 100,
        }
        headers = {name: value for name, value in delivered.headers.items() if name.lower().startswith("webhook-")}
        changed = await shop.post("/webhooks/duly", content=delivered.body + b" ", headers=headers)
        sent = await shop.post("/webhooks/duly", content=delivered.body, headers=headers)
        assert (changed.status_code, sent.status_code) == (401, 204)
        assert (await shop.post("/orders/7")).status_code == 500  # the number is taken, so nothing is submitted
    rows: list[Any] = await service.sql("select confirmed, (select count(*) from jobs)::int from orders")
    assert [tuple(row) for row in rows] == [(True, 1)]


@pytest.mark.parametrize("framework", PROGRAMS)
async def test_five_lines_submit_in_the_transaction_of_the_view(
    service: Service, receiver: Receiver, framework: str
) -> None:
    await service.sql("create table orders (number int primary key)")
    async with running_shop(framework, service, receiver) as shop:
        ordered = await shop.post("/short-orders/7")
        assert (await service.ended(ordered.json()["jobId"]))["result"] == {"order": 7}
        assert (await shop.post("/short-orders/7")).status_code == 500  # the number is taken, so nothing is submitted
    rows: list[Any] = await service.sql("select number, (select count(*) from jobs)::int from orders")
    assert [tuple(row) for row in rows] == [(7, 1)]


@pytest.mark.parametrize("framework", PROGRAMS)
def test_the_page_shows_the_examples(framework: str) -> None:
    page, parts = PAGE.read_text(), (FOLDER / f"{framework}_shop.py").read_text().split("\n\n\n")
    views = {name: part.strip() for part in parts for name in re.findall(r"def (\w+)\(", part)}
    assert views["order"] in page
    assert views["short_order"] in page
    assert len(views["short_order"].splitlines()) == 5
