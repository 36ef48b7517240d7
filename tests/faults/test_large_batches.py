"""Batches of many lines: they take a bounded share of memory, and a death midway leaves nothing of them."""

import asyncio
import json
from collections.abc import AsyncIterator

import psutil
import pytest

from tests.support.reused_connections import asking
from tests.support.service import eventually
from tests.support.service_process import Processes, ServiceProcess

# The behavior of a process does not depend on the server's version.
pytestmark = pytest.mark.parametrize("server", ["embedded 18"], indirect=True, scope="session")

HEADERS = {"Content-Type": "application/x-ndjson"}
LINES = 50_000
LINE = json.dumps({"type": "quick", "parameters": {"text": "x" * 1_000}}).encode() + b"\n"
# 50 MB come in; as jobs in memory they would take twice that.
MOST_GROWTH = 16 << 20


async def _lines(count: int, *, last: bytes = b"") -> AsyncIterator[bytes]:
    """Yields this number of lines, a hundred at a time."""
    for _ in range(count // 100):
        yield LINE * 100
    yield last


async def _jobs(service: ServiceProcess) -> int:
    return int((await service.sql("select count(*) from jobs"))[0][0])


async def _post(service: ServiceProcess, body: AsyncIterator[bytes]) -> tuple[int, bytes]:
    answer = await service.client.post("/api/v1/jobs/batch", content=body, headers=HEADERS, timeout=300)
    return answer.status_code, answer.content


async def test_fifty_thousand_lines_pass_through_little_memory(database_url: str, processes: Processes) -> None:
    service = await processes.serve(database_url, "--role", "api")
    await _post(service, _lines(2_000))
    process = psutil.Process(service.command.pid)
    before = most = process.memory_info().rss
    sending = asyncio.create_task(_post(service, _lines(LINES)))
    while not sending.done():
        most = max(most, process.memory_info().rss)
        await asyncio.wait([sending], timeout=0.02)
    status, body = sending.result()
    assert status == 202
    assert len(set(json.loads(body)["jobIds"])) == LINES
    assert await _jobs(service) == LINES + 2_000
    assert most - before < MOST_GROWTH, f"grew by {(most - before) >> 20} MiB"


async def test_a_bad_line_after_many_leaves_nothing(database_url: str, processes: Processes) -> None:
    service = await processes.serve(database_url, "--role", "api")
    status, body = await _post(service, _lines(20_000, last=b'{"type":"quik"}'))
    assert status == 422
    [error] = json.loads(body)["error"]["details"]["errors"]
    assert (error["index"], error["path"]) == (20_000, "jobs[20000].type")
    assert await _jobs(service) == 0


@pytest.mark.fresh_database  # no other service's sessions are there
async def test_a_service_killed_while_it_records_has_recorded_nothing(database_url: str, processes: Processes) -> None:
    service = await processes.serve(database_url, "--role", "api")
    async with asking(database_url) as connection, connection.transaction():
        await connection.execute("lock table batches in share mode")  # which it records last
        sending = asyncio.create_task(_post(service, _lines(30_000)))
        await eventually(lambda: _records(service), seconds=300)
        service.kill()
        await asyncio.wait([sending])
    assert isinstance(sending.exception(), Exception)
    await eventually(lambda: _is_alone(service))
    assert await _jobs(service) == 0
    assert await service.sql("select from batches") == []

    again = await processes.serve(database_url, "--role", "api")
    status, _ = await _post(again, _lines(500))
    assert (status, await _jobs(again)) == (202, 500)


async def _records(service: ServiceProcess) -> bool:
    """Returns True if all jobs are in an open transaction, which waits to record their batch."""
    return bool(await service.sql("select from pg_locks where not granted and relation = 'batches'::regclass"))


async def _is_alone(service: ServiceProcess) -> bool:
    """Returns True if the server has noticed that its client is gone."""
    others = "select from pg_stat_activity where datname = current_database() and application_name = 'duly'"
    return not await service.sql(others)
