"""Clients that close their sending side after a request get its response; disconnected ones leave nothing behind."""

import asyncio
import json
import time

import pytest

from duly.api.server.http_protocol import REQUESTS_BYTES, BoundedProtocol
from tests.support.durations import shortest
from tests.support.handlers import gate, has_entered
from tests.support.raw_client import RawClient, raw_client, request, submission
from tests.support.service import Service, eventually

# Less than the time between two signs of life.
LEAVING_SECONDS = 8.0
HEALTH = request("GET", "/healthz")
BATCH = json.dumps({"jobs": [{"type": "echo"}] * 3}).encode()
LINES = b'{"type":"echo"}\n' * 5_000
REQUESTS = {
    "read": (HEALTH, 200),
    "submission": (submission(), 202),
    "wait": (submission("Prefer: wait=60"), 200),
    "batch": (request("POST", "/api/v1/jobs/batch", "Content-Type: application/json", body=BATCH), 202),
    "lines": (request("POST", "/api/v1/jobs/batch", "Content-Type: application/x-ndjson", body=LINES), 202),
    "refused": (request("GET", "/nowhere"), 404),
    "faulty": (request("GET", "/nowhere", "Host: again"), 400),
    "upgrade": (submission("Connection: Upgrade", "Upgrade: h2c"), 202),
}


@pytest.mark.parametrize("name", REQUESTS)
async def test_a_client_that_closes_its_sending_side_gets_its_response(contract: Service, name: str) -> None:
    asks, status = REQUESTS[name]
    async with raw_client(contract) as client:
        await client.send(asks)
        client.end_sending()
        assert (await client.response()).status == status
        assert await client.closed()


async def test_all_requests_before_the_half_close_are_answered(contract: Service) -> None:
    async with raw_client(contract) as client:
        await client.send(submission("Prefer: wait=60") + HEALTH * 2)
        client.end_sending()
        assert [(await client.response()).status for _ in range(3)] == [200] * 3
        assert await client.closed()


async def test_thousands_of_requests_sent_at_once_are_all_answered_and_few_of_them_wait(
    contract: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    most, really = 0, BoundedProtocol.on_headers_complete

    def counted(self: BoundedProtocol) -> None:
        nonlocal most
        really(self)
        most = max(most, len(self.pipeline))

    monkeypatch.setattr(BoundedProtocol, "on_headers_complete", counted)
    count = 4 * REQUESTS_BYTES // len(HEALTH)
    async with raw_client(contract) as client:
        await client.send(submission("Prefer: wait=60") + HEALTH * count + request("GET", "/healthz", "Host: again"))
        client.end_sending()
        assert {(await client.response()).status for _ in range(count + 1)} == {200}
        assert (await client.response()).status == 400
        assert await client.closed()
    assert 1 < most <= REQUESTS_BYTES // len(HEALTH) + 1


async def test_a_half_closed_long_poll_hears_of_the_change(contract: Service) -> None:
    job = await contract.submit("wait-for-gate", {"name": "half"})
    await has_entered("half").wait()
    running = await contract.job(job["jobId"])
    async with raw_client(contract) as client:
        etag = f'If-None-Match: "{running["sequence"]}"'
        await client.send(request("GET", f"/api/v1/jobs/{job['jobId']}?wait=60", etag))
        client.end_sending()
        gate("half").set()
        response = await client.response()
        assert response.json()["status"] == "completed"
        assert await client.closed()


async def _stream(client: RawClient, path: str) -> None:
    await client.send(request("GET", path, "Accept: text/event-stream"))
    async with asyncio.timeout(60):
        assert b" 200 " in await client.reader.readuntil(b"\r\n\r\n")


async def test_a_half_closed_stream_goes_on_to_the_end(contract: Service) -> None:
    job = await contract.submit("wait-for-gate", {"name": "stream"})
    async with raw_client(contract) as client:
        await _stream(client, f"/api/v1/jobs/{job['jobId']}/events/stream")
        client.end_sending()
        async with asyncio.timeout(60):
            await client.reader.readuntil(b"\r\n:\n\r\n")  # the service looks whether its client is there
        gate("stream").set()
        async with asyncio.timeout(60):
            frames = await client.reader.read(-1)
    assert b"event: job_completed" in frames
    assert frames.endswith(b"0\r\n\r\n")


async def test_a_client_that_has_gone_leaves_its_stream_within_a_second(contract: Service) -> None:
    async def left() -> bool:
        return contract.node.stream_capacity.taken == 0

    await eventually(left)  # those of other tests
    job = await contract.submit("wait-for-gate", {"name": "gone"})

    async def leaving() -> float:
        async with raw_client(contract) as client:
            await _stream(client, f"/api/v1/jobs/{job['jobId']}/events/stream")
            assert contract.node.stream_capacity.taken == 1
            client.writer.close()
            began = time.monotonic()
            await eventually(left)
            return time.monotonic() - began

    assert await shortest(leaving, below=LEAVING_SECONDS) < LEAVING_SECONDS
    gate("gone").set()


@pytest.mark.parametrize("piece", [b"GET /heal", submission()[:-5]])
async def test_a_request_that_can_never_be_whole_is_closed_and_does_nothing(contract: Service, piece: bytes) -> None:
    before = await contract.sql("select count(*) from jobs")
    async with raw_client(contract) as client:
        await client.send(piece)
        client.end_sending()
        assert await client.closed()
    assert await contract.sql("select count(*) from jobs") == before


async def test_a_half_request_behind_a_whole_one_does_not_cut_its_response(contract: Service) -> None:
    for half in (HEALTH[:-4], submission()[:-5]):
        async with raw_client(contract) as client:
            await client.send(submission("Prefer: wait=60") + half)
            client.end_sending()
            assert (await client.response()).status == 200
            assert await client.closed()
