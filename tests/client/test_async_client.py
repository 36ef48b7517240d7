"""Faults of one client only: connections of cancelled tasks, and use by several threads."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from duly.client import AsyncClient, Client, JobNotCompleted
from duly.client.ndjson import LineBuffer
from tests.support.handlers import gate, has_entered
from tests.support.service import Service


class Text(BaseModel):
    text: str


def open_connections(client: AsyncClient) -> int:
    """Returns the connections that a request or a stream still uses."""
    pool = client._http._transport._pool  # type: ignore[attr-defined]  # of httpx's own transport
    return sum(not connection.is_idle() and not connection.is_closed() for connection in pool.connections)


async def test_a_cancelled_wait_leaves_no_connection(service: Service) -> None:
    async with AsyncClient(service.url) as client:
        job = await client.submit("wait-for-gate", {"name": "cancelled wait"})
        waiting = asyncio.create_task(client.wait(job["jobId"]))
        await has_entered("cancelled wait").wait()
        while not open_connections(client):
            await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert open_connections(client) == 0
        gate("cancelled wait").set()
        assert (await client.wait(job["jobId"], timeout=60))["status"] == "completed"


async def test_a_stream_that_is_left_early_leaves_no_connection(service: Service) -> None:
    async with AsyncClient(service.url) as client:
        job = await client.submit("wait-for-gate", {"name": "left early"})
        async with aclosing(client.stream(job["jobId"])) as frames:
            assert (await anext(frames))["type"] == "job_submitted"
            assert open_connections(client) == 1
        assert open_connections(client) == 0
        gate("left early").set()


async def test_lines_of_an_asynchronous_iterable_are_read_while_they_are_sent(service: Service) -> None:
    async def jobs() -> AsyncIterator[dict[str, object]]:
        for number in range(500):
            await asyncio.sleep(0)
            yield {"type": "plain", "parameters": {"n": number}, "delay_seconds": 3600}

    async with AsyncClient(service.url) as client:
        batch = await client.submit_lines(jobs())  # type: ignore[arg-type]  # mappings, as other code makes them
        assert len(set(batch["jobIds"])) == 500
    with Client(service.url) as blocking, pytest.raises(TypeError, match="needs an AsyncClient"):
        await asyncio.to_thread(blocking.submit_lines, jobs())  # type: ignore[arg-type]  # as above


async def test_results_are_instances_of_the_model(service: Service) -> None:
    async with AsyncClient(service.url) as client:
        job = await client.submit("plain", Text(text="½"))
        done = await client.wait(job["jobId"], timeout=60, result=Text)
        assert done["result"] == Text(text="½") == await client.result(job["jobId"], Text)
        assert (await client.get(job["jobId"], result=dict[str, object]))["result"] == {"thread": True, "text": "½"}
        with pytest.raises(ValidationError):
            await client.result(job["jobId"], int)
        failed = await client.submit("fail")
        with pytest.raises(JobNotCompleted, match="failed: CUSTOMER_UNKNOWN: ") as caught:
            await client.result(failed["jobId"], Text, timeout=60)
        assert caught.value.job["status"] == "failed"
        assert (await client.get(failed["jobId"], result=Text))["result"] is None


async def test_threads_share_a_client(service: Service) -> None:
    def run(client: Client, number: int) -> object:
        job = client.submit("plain", {"text": str(number)})
        assert [frame["sequence"] for frame in client.stream(job["jobId"])][:2] == [0, 1]
        return client.result(job["jobId"], Text, timeout=60).text

    def run_all() -> list[object]:
        with Client(service.url) as client, ThreadPoolExecutor(8) as threads:
            return list(threads.map(lambda number: run(client, number), range(40)))

    assert await asyncio.to_thread(run_all) == [str(number) for number in range(40)]


def test_many_lines_are_sent_in_bounded_memory() -> None:
    read = 0

    def documents() -> Iterator[object]:
        nonlocal read
        for number in range(100_000):
            read = number
            yield {"type": "plain", "parameters": {"n": number}}

    sent = 0
    for piece in LineBuffer().pieces(documents()):
        assert len(piece) < 2 * 64 * 1024
        sent += piece.count(b"\n")
        assert read - sent <= 0
    assert sent == 100_000
    assert json.loads(piece.splitlines()[-1])["parameters"] == {"n": 99_999}


DIGITS = [Decimal("0.10"), Decimal("12345678901234567890.123456789"), 12345678901234567890]


async def test_numbers_keep_their_digits_if_they_are_read_as_decimals(service: Service) -> None:
    body = '{"type": "echo", "parameters": {"n": [0.10, 12345678901234567890.123456789, 12345678901234567890]}}'
    job = (await service.client.post("/api/v1/jobs", content=body, headers={"Content-Type": "application/json"})).json()
    async with AsyncClient(service.url, parse_float=Decimal) as client:
        done = await client.wait(job["jobId"], timeout=60)
        frames = [frame async for frame in client.stream(job["jobId"])]
        [listed] = [found async for found in client.list(types=["echo"])]
    with Client(service.url, parse_float=Decimal) as blocking:
        again = await asyncio.to_thread(blocking.get, job["jobId"])
    assert [str(found["parameters"]["n"]) for found in (done, listed, again)] == [str(DIGITS)] * 3
    # The handler of this type reads floats.
    results: list[Any] = [found["result"] for found in (done, frames[-1], again)]
    assert [repr(result["n"][0]) for result in results] == ["Decimal('0.1')"] * 3
