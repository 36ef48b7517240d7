"""examples/web-backend: in Chromium over restarts of the service and of the backend, and by its one command."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from web_backend import database, jobs
from web_backend.__main__ import sample

from tests.support.browser import Relay, running_browser, running_relay
from tests.support.example_programs import running_module
from tests.support.examples import run_example
from tests.support.service import NO_TLS, Service, running_service
from tests.support.tcp_servers import free_port

NAME = "web-backend"
KEY = "sk-a-long-and-secret-key"
SECRET = "whsec_dGVzdA=="
WRONG = "toolong,Nowhere,Nowhere,XX,USA,10,10\nQQQ,Nowhere,Nowhere,XX,USA,91,10\n"
AIRPORTS = 3376
UPLOAD = """
const chosen = new DataTransfer()
chosen.items.add(new File([arguments[0]], "airports.csv"))
document.getElementById("file").files = chosen.files
document.getElementById("upload").requestSubmit()
"""


@asynccontextmanager
async def running_backend(address: str, duly: str, folder: Path) -> AsyncIterator[None]:
    variables = {"DULY_URL": duly, "DULY_API_KEY": KEY, "WEB_BACKEND_URL": address, "WEB_BACKEND_FOLDER": str(folder)}
    # Without a limit, uvicorn waits for the end of all streams before it stops.
    command = ("uvicorn", "web_backend.app:app", "--port", address.rpartition(":")[2], "--log-level", "critical")
    limit = ("--timeout-graceful-shutdown", "1")
    async with running_module(NAME, *command, *limit, url=address, WEB_BACKEND_WEBHOOK_SECRET=SECRET, **variables):
        yield


@asynccontextmanager
async def running_duly(database_url: str, relay: Relay) -> AsyncIterator[Service]:
    async with running_service(database_url, api_key=KEY, handlers=("web_backend.jobs",)) as service:
        service.client.headers["Authorization"] = f"Bearer {KEY}"
        relay.target = service.url
        yield service
        relay.target = None
        relay.cut()


async def test_the_page_shows_an_import_to_its_end_over_restarts_of_the_service_and_of_the_backend(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "FOLDER", tmp_path)
    file = f"{sample().read_text().rstrip()}\n{WRONG}"
    address = f"http://127.0.0.1:{free_port()}"
    async with running_relay("") as relay, running_browser() as browser, AsyncExitStack() as before:
        await before.enter_async_context(running_backend(address, relay.url, tmp_path))
        await browser.open(address)
        monkeypatch.setattr(jobs, "ROWS_PER_SECOND", 0.1)  # the import waits after its first portion
        async with running_duly(database_url, relay):
            await browser.run(UPLOAD, file)
            await browser.until("return document.getElementById('text').textContent === '100 of 3,378 rows'")
        await before.aclose()
        monkeypatch.setattr(jobs, "ROWS_PER_SECOND", 1e9)
        async with running_backend(address, relay.url, tmp_path), running_duly(database_url, relay) as service:
            ended = f"{AIRPORTS} airports imported, 2 rows rejected."
            await browser.until("return document.getElementById('text').textContent === arguments[0]", ended)
            lines = "return [...document.querySelectorAll('#errors li')].map(one => one.textContent.split(':', 2))"
            assert await browser.run(lines) == [["line 3378", " iata"], ["line 3379", " latitude"]]
            assert database.count_airports() == AIRPORTS
            await _each_portion_was_imported_once(service)
            await _a_forged_webhook_is_refused(address, await browser.run("return location.hash.slice(1)"))
            await browser.run("location.hash = arguments[0]; location.reload()", str(UUID(int=1)))
            await browser.until("return document.getElementById('text').textContent === 'Import not found.'")


async def _each_portion_was_imported_once(service: Service) -> None:
    (job,) = (await service.client.get("/api/v1/jobs")).json()["items"]
    events = await service.events(job["jobId"])
    messages = [event["data"]["message"] for event in events if event["eventType"] == "JobProgressed"]
    assert len(messages) == len(set(messages)) == 34
    assert [event["eventType"] for event in events].count("JobStarted") == 2


async def _a_forged_webhook_is_refused(address: str, import_id: str) -> None:
    headers = {"webhook-id": "forged", "webhook-timestamp": "1769508300", "webhook-signature": "v1,AAAA"}
    body = {"type": "job.failed", "status": "failed", "labels": {"import": import_id}}
    async with httpx.AsyncClient(base_url=address, timeout=60, verify=NO_TLS) as client:
        assert (await client.post("/webhooks/duly", json=body, headers=headers)).status_code == 401
        assert (await client.get(f"/imports/{import_id}")).json()["status"] == "completed"


async def test_the_example_runs_by_its_one_command(database_url: str, tmp_path: Path) -> None:
    options = ("--short", "--rows-per-second", "5000")
    printed = await run_example(NAME, *options, database_url=database_url, output=tmp_path / "output")
    assert "Killing the service" in printed
    assert '{"read": 3376, "stored": 3376, "errors": []}' in printed
