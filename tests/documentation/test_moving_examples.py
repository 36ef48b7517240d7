"""The worked examples for those who come from another queue: the side of Duly runs on a real service."""

import asyncio
import importlib.util
import re
import sys
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.conftest import StartService
from tests.support.service import Service, eventually

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = ROOT / "examples" / "coming-from"
SHOWN = re.compile(r"<!-- run-by: \S+ -->\n```python\n(.*?)```", re.DOTALL)

Start = Callable[[str, str], Any]


@pytest.fixture
def start(start_service: StartService, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts a service with the handlers of an example; returns it with the example's client."""
    clients: list[ModuleType] = []

    async def started(example: str, handlers: str) -> tuple[Service, ModuleType]:
        monkeypatch.syspath_prepend(EXAMPLES / example / "after")
        monkeypatch.delitem(sys.modules, handlers, raising=False)
        service = await start_service(handlers=(handlers,))
        monkeypatch.delitem(sys.modules, handlers)
        monkeypatch.setenv("DULY_URL", service.url)
        clients.append(load(EXAMPLES / example / "after" / "client.py"))
        return service, clients[-1]

    yield started
    for client in clients:
        if hasattr(client, "duly"):  # a client for the whole process
            client.duly.close()


def load(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"client_of_{file.parent.parent.name}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*/before/*.py")), ids=lambda file: file.parent.parent.name)
def test_the_side_before_compiles(file: Path) -> None:
    compile(file.read_text("utf-8"), str(file), "exec")


@pytest.mark.parametrize("example", ["celery", "rq", "procrastinate"])
def test_a_page_shows_lines_of_its_example(example: str) -> None:
    page = (ROOT / "docs" / "get-started" / f"coming-from-{example}.md").read_text("utf-8")
    files = "\n".join(file.read_text("utf-8") for file in (EXAMPLES / example / "after").glob("*.py"))
    lines = {line.strip() for line in files.splitlines()} | {"..."}
    blocks = SHOWN.findall(page)
    assert blocks
    assert [line for block in blocks for line in block.splitlines() if line.strip() not in lines] == []


async def test_files_get_checksums_a_retry_and_a_manifest_as_with_celery(start: Start, tmp_path: Path) -> None:
    service, client = await start("celery", "archive")
    there, late = tmp_path / "there", tmp_path / "late"
    there.write_bytes(b"1")
    batch = await asyncio.to_thread(client.start_archive, [str(there), str(late)])
    jobs = (await service.client.get("/api/v1/jobs", params={"batchId": batch, "type": "checksum"})).json()["items"]
    second = next(job["jobId"] for job in jobs if job["parameters"]["path"] == str(late))
    await service.until(second, lambda view: view["waitingFor"] == "retry")
    late.write_bytes(b"2")
    assert (await service.ended(second))["attempt"] > 1
    assert await asyncio.to_thread(client.progress, second) == ("completed", 100)

    async def manifest() -> Any:
        return await asyncio.to_thread(client.archive_result, batch)

    assert await eventually(manifest) == {str(there): sha256(b"1").hexdigest(), str(late): sha256(b"2").hexdigest()}


async def test_the_nightly_checksum_is_scheduled_once(start: Start) -> None:
    service, client = await start("celery", "archive")
    await asyncio.to_thread(client.run_every_night)
    await asyncio.to_thread(client.run_every_night)
    items = (await service.client.get("/api/v1/schedules")).json()["items"]
    assert [schedule["name"] for schedule in items] == ["nightly-index"]


async def test_a_file_is_imported_and_reported_as_with_rq(start: Start, tmp_path: Path) -> None:
    _, client = await start("rq", "imports")
    file = tmp_path / "customers.csv"
    file.write_text("name\n" + "ann\n" * 250)
    job_id = await asyncio.to_thread(client.start_import, str(file))
    assert await asyncio.to_thread(client.result, job_id) == f"{file}: 250 rows"
    assert (await asyncio.to_thread(client.progress, job_id))[0] == "completed"


async def test_charges_are_retried_and_serialized_and_rebuilds_collapse_as_with_procrastinate(start: Start) -> None:
    service, client = await start("procrastinate", "shop")
    dear = await client.charge_order("order-1", "c-42", 200_000)
    next_one = await client.charge_order("order-2", "c-42", 100)
    ended = await service.ended(next_one)
    first = await service.job(dear)
    assert (first["result"], first["attempt"]) == ("order-1: 200000 cents", 2)
    assert (ended["result"], ended["attempt"]) == ("order-2: 100 cents", 1)
    assert first["completedAt"] <= ended["startedAt"]
    assert await client.index_later("north") == await client.index_later("north")
    await client.close_every_day()
    await client.close_every_day()
    run = await service.client.post("/api/v1/schedules/close-day/run")
    assert (await service.ended(run.json()["jobId"]))["status"] == "completed"
