"""Silent, slow and non-reading clients: each is closed in time, without effect on others."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress

import pytest

from duly.api.server import connection_limits
from duly.api.server.connection_limits import Limits
from duly.api.server.load_shedding import LoadShedder
from tests.support.database_pool import TestDatabases
from tests.support.postgres_servers import Server
from tests.support.raw_client import SUBMISSION, raw_client, request, submission
from tests.support.service import Service, eventually, running_service

HEALTH = request("GET", "/healthz")
LOOK = 0.3
SHORT = Limits(head=LOOK, idle=0.5, body_check=LOOK, body=3 * LOOK, response_check=LOOK, linger=0.2)


@pytest.fixture(scope="module")
async def impatient(server: Server, databases_of: Callable[[Server], TestDatabases]) -> AsyncIterator[Service]:
    """Returns a service with short timeouts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connection_limits, "LIMITS", SHORT)
        async with databases_of(server).lent() as url, running_service(url) as running:
            yield running


def _submits(announced: int) -> bytes:
    return request("POST", "/api/v1/jobs", "Content-Type: application/json", f"Content-Length: {announced}")


def _closed_count(service: Service, reason: str) -> float:
    # Not by HTTP: on a busy machine, the client of that request may be slow itself, and be closed.
    return float(service.node.metrics.connections_closed.labels(reason)._value.get())


async def _all_left(service: Service) -> None:
    """Returns once no connection of an earlier test is open, which the service might close now."""

    async def look() -> bool:
        return bool(service.node.metrics.connections._value.get() == 0)

    await eventually(look)


async def test_a_connection_that_says_nothing_is_closed(impatient: Service) -> None:
    await _all_left(impatient)
    before = _closed_count(impatient, "silent")
    for said in (b"", b"\r\n"):
        async with raw_client(impatient) as client:
            await client.send(said)
            assert await client.closed()
    assert _closed_count(impatient, "silent") == before + 2


@pytest.mark.parametrize("before", [b"", HEALTH])
async def test_half_a_head_is_408_however_slowly_it_goes_on(impatient: Service, before: bytes) -> None:
    async with raw_client(impatient) as client:
        if before:
            assert (await client.ask(before)).status == 200
        began = time.monotonic()
        dripping = asyncio.ensure_future(client.send(b"GET /heal", *[b"x"] * 200))
        (await client.response()).refused(408, "REQUEST_TIMEOUT")
        assert time.monotonic() - began >= LOOK * 0.8
        assert await client.closed()
        dripping.cancel()
        await asyncio.gather(dripping, return_exceptions=True)


@pytest.mark.parametrize("path", ["/api/v1/jobs", "/api/v1/jobs/batch", "/api/v1/schedules"])
async def test_a_body_that_does_not_come_is_408(impatient: Service, path: str) -> None:
    asks = request("POST", path, "Content-Type: application/json", "Content-Length: 1000", "X-Request-Id: slow")
    before = await impatient.sql("select count(*) from jobs")
    for began in (b"", SUBMISSION):
        async with raw_client(impatient) as client:
            response = await client.ask(asks + began)
            response.refused(408, "REQUEST_TIMEOUT")
            assert response.headers["x-request-id"] == "slow"
            assert response.headers["connection"] == "close"
            assert await client.closed()
    assert await impatient.sql("select count(*) from jobs") == before


async def test_a_chunked_body_that_stops_is_408(impatient: Service) -> None:
    async with raw_client(impatient) as client:
        head = request("POST", "/api/v1/jobs", "Content-Type: application/json", "Transfer-Encoding: chunked")
        (await client.ask(head + b"%x\r\n%b" % (len(SUBMISSION), SUBMISSION))).refused(408, "REQUEST_TIMEOUT")


async def test_a_body_that_keeps_its_rate_must_be_whole_in_the_end(impatient: Service) -> None:
    async with raw_client(impatient) as client:
        began = time.monotonic()
        dripping = asyncio.ensure_future(client.send(_submits(1_000_000), *[b" " * 100] * 1000))
        (await client.response()).refused(408, "REQUEST_TIMEOUT")
        assert time.monotonic() - began > 2 * LOOK
        dripping.cancel()
        await asyncio.gather(dripping, return_exceptions=True)


async def test_a_refused_submission_whose_body_stops_is_408_once(
    impatient: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LoadShedder, "refuses", lambda _self, **_: True)
    async with raw_client(impatient) as client:
        (await client.ask(_submits(100) + SUBMISSION)).refused(408, "REQUEST_TIMEOUT")
        client.writer.write(b" " * 100)
        assert await client.closed()


async def test_a_connection_is_kept_after_an_early_refusal(impatient: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    async def kept() -> bool:
        with suppress(EOFError, ConnectionError):  # on a busy machine, this client may be slow itself
            async with raw_client(impatient) as client:
                with monkeypatch.context() as patch:
                    patch.setattr(LoadShedder, "refuses", lambda _self, **_: True)
                    (await client.ask(submission())).refused(503, "OVERLOADED")
                return (await client.ask(submission())).status == 202
        return False

    assert await eventually(kept)


async def test_lines_may_take_as_long_as_they_keep_their_rate_and_no_longer(impatient: Service) -> None:
    line = b'{"type":"sleep","delaySeconds":60}' + b" " * 100 + b"\n"
    head = request("POST", "/api/v1/jobs/batch", "Content-Type: application/x-ndjson", "Transfer-Encoding: chunked")
    chunk = b"%x\r\n%b\r\n" % (len(line), line)
    async with raw_client(impatient) as client:
        began = time.monotonic()
        await client.send(head)
        while time.monotonic() - began < 5 * LOOK:
            await client.send(chunk * 5, b"")
        assert (await client.ask(b"0\r\n\r\n")).status == 202
    async with raw_client(impatient) as client:
        (await client.ask(head, chunk)).refused(408, "REQUEST_TIMEOUT")


async def test_the_body_of_a_request_that_is_answered_already_is_not_waited_for(impatient: Service) -> None:
    async with raw_client(impatient) as client:
        assert (await client.ask(request("GET", "/healthz", "Content-Length: 1000"))).status == 200
        assert await client.closed()


async def test_a_kept_connection_is_closed_after_a_while_and_not_before(impatient: Service) -> None:
    async with raw_client(impatient) as client:
        assert (await client.ask(HEALTH)).status == 200
        began = time.monotonic()
        assert await client.closed()
        assert time.monotonic() - began >= SHORT.idle * 0.8


async def test_a_request_under_way_is_not_cut(impatient: Service) -> None:
    async with raw_client(impatient) as client:
        job = await impatient.submit("sleep", {"seconds": 60})
        began = time.monotonic()
        asks = request("GET", f"/api/v1/jobs/{job['jobId']}?wait=2", 'If-None-Match: "100"')
        assert (await client.ask(asks + b"GET /hal")).status == 200
        assert time.monotonic() - began > 3 * LOOK
        (await client.response()).refused(408, "REQUEST_TIMEOUT")
        await impatient.client.post(f"/api/v1/jobs/{job['jobId']}/cancel")


async def test_a_reader_that_takes_nothing_is_cut(impatient: Service) -> None:
    """Four megabytes exceed the socket buffers of both sides."""
    await _all_left(impatient)
    before = _closed_count(impatient, "slow_reader")
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(raw_client(impatient))
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # typeshed has it on the reading side
        await client.send(request("GET", "/openapi.json", "Accept-Encoding: identity") * 40)

        async def cut() -> bool:
            return _closed_count(impatient, "slow_reader") > before

        await eventually(cut)


async def test_a_client_that_never_stops_sending_is_cut_after_its_refusal(impatient: Service) -> None:
    async with raw_client(impatient) as client:

        async def flood() -> None:
            await client.send(b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n")
            while True:
                client.writer.write(b"x" * 65536)
                await client.writer.drain()
                await asyncio.sleep(0)

        flooding = asyncio.ensure_future(flood())
        (await client.response()).refused(400, "BAD_REQUEST")
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(flooding, 60)


async def test_slow_clients_hold_up_nobody(impatient: Service) -> None:
    async with AsyncExitStack() as stack:
        pieces = [b"", b"GET /heal", _submits(100), _submits(100) + SUBMISSION]
        for number in range(40):
            client = await stack.enter_async_context(raw_client(impatient))
            await client.send(pieces[number % len(pieces)])
        # This client may be slow itself, on a busy machine.
        assert await eventually(lambda: _is_accepted(impatient))


async def _is_accepted(service: Service) -> bool:
    with suppress(EOFError, ConnectionError):
        async with raw_client(service) as client:
            return (await client.ask(submission())).status == 202
    return False
