"""Stream tickets: valid for one stream, on any node, within a minute."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from tests.support.response_checks import TIME, refused
from tests.support.service import Service
from tests.support.websocket_client import socket_to

KEY = "sk-a-long-and-secret-key"
HEADERS = {"Authorization": f"Bearer {KEY}"}
PATH = "/api/v1/stream-tickets"
STREAM = "/api/v1/events/stream"
StartService = Callable[..., Awaitable[Service]]


async def ticket_of(service: Service) -> str:
    response = await service.client.post(PATH, headers=HEADERS, json={"all": True})
    assert response.status_code == 201, response.text
    ticket: str = response.json()["ticket"]
    return ticket


async def opened(service: Service, path: str, ticket: str) -> httpx.Response:
    """Returns the beginning of the response, or the error."""
    async with asyncio.timeout(60), service.client.stream("GET", path, params={"ticket": ticket}) as response:
        if response.status_code != 200:
            await response.aread()
        return response


async def test_a_ticket_is_made_for_who_has_the_key(start_service: StartService) -> None:
    service = await start_service(api_key=KEY)
    refused(await service.client.post(PATH, json={"all": True}), 401, "UNAUTHORIZED")
    response = await service.client.post(PATH, headers=HEADERS, json={"all": True})
    assert response.status_code == 201
    assert set(response.json()) == {"ticket", "expiresAt"}
    assert response.headers["Cache-Control"] == "no-store"
    assert TIME.fullmatch(response.json()["expiresAt"])
    left = datetime.fromisoformat(response.json()["expiresAt"]) - datetime.now(UTC)
    assert timedelta(seconds=30) < left <= timedelta(seconds=61)
    assert len({await ticket_of(service) for _ in range(20)}) == 20


async def test_a_ticket_opens_each_kind_of_stream_once(start_service: StartService) -> None:
    service = await start_service(api_key=KEY)
    service.client.headers.update(HEADERS)
    job = await service.run("echo")
    del service.client.headers["Authorization"]
    for path in (STREAM, f"/api/v1/jobs/{job['jobId']}/events/stream"):
        refused(await service.client.get(path), 401, "UNAUTHORIZED")
        ticket = await ticket_of(service)
        assert (await opened(service, path, ticket)).headers["content-type"].startswith("text/event-stream")
        refused(await opened(service, path, ticket), 401, "UNAUTHORIZED")
    ticket = await ticket_of(service)
    async with socket_to(service, f"/ws/jobs?ticket={ticket}") as socket:
        await socket.is_open()
        with pytest.raises(InvalidStatus) as again:
            async with socket_to(service, f"/ws/jobs?ticket={ticket}"):
                pass
        assert again.value.response.status_code == 401


async def test_a_ticket_of_one_node_is_used_up_on_all(start_service: StartService) -> None:
    nodes = [await start_service(api_key=KEY), await start_service(api_key=KEY)]
    for _ in range(5):
        ticket = await ticket_of(nodes[0])
        responses = await asyncio.gather(*(opened(node, STREAM, ticket) for node in nodes for _ in range(3)))
        assert sorted(response.status_code for response in responses) == [200, *[401] * 5]


async def test_a_ticket_is_no_good_after_its_time(start_service: StartService) -> None:
    service = await start_service(api_key=KEY)
    ticket = await ticket_of(service)
    await service.sql("update stream_tickets set expires_at = now() - interval '1 millisecond'")
    refused(await opened(service, STREAM, ticket), 401, "UNAUTHORIZED")
    for wrong in ("", "x", ticket[:-1], "\x00", "é" * 50):
        refused(await opened(service, STREAM, wrong), 401, "UNAUTHORIZED")


async def test_tickets_that_nobody_used_do_not_gather(start_service: StartService) -> None:
    service = await start_service(api_key=KEY)
    for _ in range(5):
        await ticket_of(service)
    await service.sql("update stream_tickets set expires_at = now() - interval '1 second'")
    await ticket_of(service)
    assert await service.total("select count(*) from stream_tickets") == 1


async def test_a_ticket_opens_nothing_but_streams(start_service: StartService) -> None:
    service = await start_service(api_key=KEY)
    ticket = await ticket_of(service)
    for method, path in (
        ("GET", "/api/v1/jobs"),
        ("POST", "/api/v1/jobs"),
        ("POST", STREAM),
        ("GET", f"{STREAM}/"),
        ("GET", f"/x{STREAM}"),
        ("GET", "/api/v1/jobs/a/b/events/stream"),
        ("POST", PATH),
    ):
        refused(await service.client.request(method, path, params={"ticket": ticket}), 401, "UNAUTHORIZED")
    assert (await opened(service, STREAM, ticket)).status_code == 200


async def test_the_key_goes_before_a_ticket_which_is_then_not_used(start_service: StartService) -> None:
    service = await start_service(api_key=KEY)
    ticket = await ticket_of(service)
    async with service.client.stream("GET", STREAM, params={"ticket": ticket}, headers=HEADERS) as response:
        assert response.status_code == 200
    assert (await opened(service, STREAM, ticket)).status_code == 200


async def test_without_a_key_configured_a_ticket_works_and_has_to_be_good(service: Service) -> None:
    ticket = (await service.client.post(PATH, json={"all": True})).json()["ticket"]
    assert (await opened(service, STREAM, ticket)).status_code == 200
    refused(await opened(service, STREAM, ticket), 401, "UNAUTHORIZED")
    async with service.client.stream("GET", STREAM) as response:
        assert response.status_code == 200


async def test_a_ticket_is_written_down_nowhere(
    start_service: StartService, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    service = await start_service(api_key=KEY)
    good, spent, unused = [await ticket_of(service) for _ in range(3)]
    kept = str(await service.sql("select * from stream_tickets"))
    await opened(service, STREAM, good)
    told = ""
    for query in (f"ticket={spent}&bad=1", f"ticket={good}", f"ticket={spent}"):
        response = await service.client.get(f"{STREAM}?{query}")
        assert response.status_code in {401, 422}
        told += response.text + str(response.headers)
    for path in (f"/ws/jobs?ticket={unused}", f"/ws/jobs?ticket={unused}"):
        try:
            async with socket_to(service, path) as socket:
                await socket.is_open()
        except InvalidStatus as error:
            told += str(error) + str(error.response.body)
    # The client under test says what it does, too.
    logged = "".join(record.getMessage() for record in caplog.records if record.name.startswith(("duly", "uvicorn")))
    written = service.written(capfd) + logged + told + kept
    for ticket in (good, spent, unused):
        assert ticket not in written
