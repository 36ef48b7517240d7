"""Overload: bursts are accepted, a lasting overload is refused early, and the service recovers by itself."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

from duly.api.server import acceptor, load_shedding
from duly.api.server.load_shedding import ALWAYS, BURST_SECONDS, OVERLOAD_SECONDS, UNREAD_SECONDS, LoadShedder, leave
from duly.api.server.shedding_protocol import refusal_of
from duly.api.server.tcp_info import unread_seconds
from tests.support.service import Service, eventually

StartService = Callable[..., Awaitable[Service]]
HEAD = b"POST /api/v1/jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
BODY = b'{"type":"echo"}'


def request(*headers: bytes) -> bytes:
    lines = b"".join(header + b"\r\n" for header in headers)
    return HEAD + lines + b"content-length: %d\r\n\r\n" % len(BODY) + BODY


class TimedShedder:
    """Load shedder with a clock of the test's own."""

    def __init__(self) -> None:
        self.now = 100.0
        self.unread = 0.0
        self.load_shedder = LoadShedder(clock=lambda: self.now)
        self.inside: list[dict[str, Any]] = []

    def accepts(self) -> bool:
        """Adds a submission. Returns whether it was accepted."""
        if self.load_shedder.refuses(unread=lambda: self.unread):
            return False
        self.inside.append({})
        self.load_shedder.enter(self.inside[-1])
        return True

    def done(self, count: int) -> None:
        for _ in range(count):
            leave(self.inside.pop())


def test_a_burst_is_taken_in_whole() -> None:
    shedder = TimedShedder()
    assert all(shedder.accepts() for _ in range(3000))


def test_what_goes_on_for_longer_than_a_burst_is_refused_until_it_is_over() -> None:
    shedder = TimedShedder()
    assert all(shedder.accepts() for _ in range(1000))
    shedder.now += BURST_SECONDS + 0.01
    assert not shedder.accepts()
    shedder.done(1000)
    assert shedder.accepts()
    shedder.now += OVERLOAD_SECONDS + 0.01
    assert all(shedder.accepts() for _ in range(1000))


def test_the_bound_follows_the_rate() -> None:
    shedder = TimedShedder()
    for _ in range(20):
        shedder.now += 0.1
        assert all(shedder.accepts() for _ in range(1000))
        shedder.done(1000)
    shedder.now += 0.1
    taken = 0
    while shedder.accepts() and taken < 5000:
        taken += 1
        shedder.now += 0.001
    assert ALWAYS < taken < 1000


def test_a_few_are_always_taken_in() -> None:
    shedder = TimedShedder()
    assert all(shedder.accepts() for _ in range(ALWAYS))
    shedder.now += 10
    assert shedder.accepts()


def test_in_an_overload_fresh_ones_go_before_late_ones_and_late_ones_before_none() -> None:
    shedder = TimedShedder()
    assert all(shedder.accepts() for _ in range(1000))
    shedder.now += BURST_SECONDS + 0.01
    assert not shedder.accepts()
    shedder.done(990)
    shedder.unread = UNREAD_SECONDS * 2
    assert not shedder.accepts()
    shedder.unread = 0
    assert shedder.accepts()
    shedder.done(len(shedder.inside))
    shedder.unread = UNREAD_SECONDS * 2
    assert shedder.accepts()


def test_a_request_leaves_once() -> None:
    shedder = TimedShedder()
    scope: dict[str, Any] = {}
    shedder.load_shedder.enter(scope)
    leave(scope)
    leave(scope)
    for _ in range(ALWAYS):
        shedder.accepts()
    shedder.now += 10
    assert shedder.accepts()


@pytest.mark.parametrize(
    "other",
    [
        request(b"accept: application/problem+json"),
        request(b"connection: close"),
        request(b"expect: 100-continue"),
        request().replace(b"HTTP/1.1", b"HTTP/1.0"),
        request().replace(b"/api/v1/jobs", b"/api/v1/jobs/batch"),
        request().replace(b"POST", b"GET"),
        HEAD + b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD,
    ],
)
def test_what_is_not_ordinary_goes_to_the_application(other: bytes) -> None:
    assert refusal_of(other) is None
    assert refusal_of(request()) is not None


@pytest.mark.parametrize("missing", [0, 1, len(BODY)])
def test_the_size_of_a_refused_request_is_known_before_its_body_is_there(missing: int) -> None:
    whole = request(b"connection: keep-alive")
    refused = refusal_of(whole[: len(whole) - missing])
    assert refused is not None
    assert refused[1] == len(whole)


async def test_a_refusal_looks_like_every_other_error_and_the_connection_goes_on(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await start_service()
    monkeypatch.setattr(LoadShedder, "refuses", lambda _self, **_: True)
    for _ in range(3):
        response = await service.client.post("/api/v1/jobs", json={"type": "echo"}, headers={"X-Request-Id": "mine"})
        assert response.status_code == 503
        assert (response.headers["retry-after"], response.headers["x-request-id"]) == ("1", "mine")
        assert response.headers["content-type"] == "application/json"
        error = response.json()["error"]
        assert (error["code"], error["details"]["retryable"]) == ("OVERLOADED", True)
    metrics = (await service.client.get("/metrics")).text
    assert 'code="OVERLOADED"} 3.0' in metrics
    monkeypatch.undo()
    assert (await service.client.post("/api/v1/jobs", json={"type": "echo"})).status_code == 202
    assert await service.total("select count(*) from jobs") == 1


@pytest.mark.parametrize(
    ("path", "early"), [(b"/api/v1/jobs", True), (b"/duly/api/v1/jobs", True), (b"/other/api/v1/jobs", False)]
)
async def test_an_overload_is_refused_early_behind_a_prefix_too(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch, path: bytes, early: bool
) -> None:
    service = await start_service(root_path="/duly")
    monkeypatch.setattr(LoadShedder, "refuses", lambda _self, **_: True)
    host, port = urlsplit(service.url).netloc.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request().replace(b"/api/v1/jobs", path))
    status = await reader.readline()
    writer.close()
    assert (b" 503 " in status) is early


async def test_a_refused_request_that_comes_in_pieces_is_answered_at_its_end(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await start_service()
    address = urlsplit(service.url)
    monkeypatch.setattr(LoadShedder, "refuses", lambda _self, **_: True)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    whole = request()
    for piece in (whole[:-10], whole[-10:-3], whole[-3:] + b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"):
        writer.write(piece)
        await writer.drain()
    received = b""
    async with asyncio.timeout(60):
        while b"HTTP/1.1 200" not in received:
            received += await reader.read(65536)
    assert received.startswith(b"HTTP/1.1 503")
    assert received.count(b"HTTP/1.1") == 2
    writer.close()


async def test_what_is_in_progress_is_counted_to_its_answer(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[int] = []
    left = LoadShedder.left

    def count(self: LoadShedder) -> None:
        counted.append(self._in_progress)
        left(self)

    monkeypatch.setattr(LoadShedder, "left", count)
    service = await start_service()
    bodies: list[Any] = [{"type": "echo"}, {"type": "nobody"}, [], {"type": "echo"}]
    for body in bodies:
        await service.client.post("/api/v1/jobs", json=body)
    await service.client.post("/api/v1/jobs", content=b"{", headers={"Content-Type": "text/plain"})
    await service.client.get("/api/v1/jobs")
    assert counted == [1] * 5


async def test_requests_whose_client_left_before_their_turn_are_not_counted_for_ever(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    shedders: set[LoadShedder] = set()
    enter = LoadShedder.enter

    def note(self: LoadShedder, scope: Any) -> None:
        shedders.add(self)
        enter(self, scope)

    monkeypatch.setattr(LoadShedder, "enter", note)
    service = await start_service()
    address = urlsplit(service.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(request() * 300)
    await writer.drain()
    assert (await reader.read(15)).startswith(b"HTTP/1.1 202")
    writer.transport.abort()

    async def nobody_inside() -> bool:
        return [shedder._in_progress for shedder in shedders] == [0]

    await eventually(nobody_inside)


async def test_a_crowd_of_new_connections_is_accepted_in_few_rounds(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await start_service()
    address = urlsplit(service.url)
    rounds: list[int] = []
    original = acceptor.Acceptor._accept

    def count(self: Any, listening: socket.socket) -> None:
        rounds.append(1)
        original(self, listening)

    monkeypatch.setattr(acceptor.Acceptor, "_accept", count)
    again = await start_service()
    address = urlsplit(again.url)
    sockets = [socket.create_connection((address.hostname or "", address.port or 0)) for _ in range(500)]
    try:
        assert (await again.client.get("/healthz")).status_code == 200
        responses = []
        for made in sockets[::50]:
            made.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
            responses.append((await asyncio.to_thread(made.recv, 65536))[:15])
        assert responses == [b"HTTP/1.1 200 OK"] * 10
        assert len(rounds) <= 500 // acceptor.AT_ONCE + 10
    finally:
        for made in sockets:
            made.close()


@pytest.mark.skipif(not hasattr(socket, "TCP_INFO"), reason="the system does not tell how long bytes lay unread")
def test_bytes_that_lay_unread_are_told_from_fresh_ones() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = socket.create_connection(listening.getsockname())
        served, _ = listening.accept()
        with client, served:
            fresh = 1.0
            while fresh >= 0.1:  # a busy machine may stop this process before it looks
                client.sendall(b"x")
                served.recv(1)
                fresh = unread_seconds(served)
            looks = 0
            while (later := unread_seconds(served)) < 0.1:
                looks += 1
            assert later >= 0.1
            assert looks > 0


def test_the_patience_is_short() -> None:
    assert load_shedding.PATIENCE_SECONDS < load_shedding.BURST_SECONDS < load_shedding.OVERLOAD_SECONDS


async def test_submissions_whose_bodies_do_not_come_are_no_overload(start_service: StartService) -> None:
    service = await start_service()
    address = urlsplit(service.url)
    writers = []
    for _ in range(4 * ALWAYS):
        _, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(request()[:-1])
        writers.append(writer)
    for _ in range(3):
        assert (await service.client.post("/api/v1/jobs", json={"type": "echo"})).status_code == 202
        await asyncio.sleep(BURST_SECONDS)  # from when on an overload would be one
    for writer in writers:
        writer.transport.abort()


async def test_a_body_that_ends_after_its_answer_is_not_counted_for_ever(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    shedders: set[LoadShedder] = set()
    refuses = LoadShedder.refuses

    def note(self: LoadShedder, **named: Any) -> bool:
        shedders.add(self)
        return refuses(self, **named)

    monkeypatch.setattr(LoadShedder, "refuses", note)
    service = await start_service(api_key="secret")
    address = urlsplit(service.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(request()[:-1])
    assert (await reader.readline()).startswith(b"HTTP/1.1 401")
    writer.write(request()[-1:] + b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
    async with asyncio.timeout(60):
        await reader.readuntil(b'{"status":"up"}')
    assert [shedder._in_progress for shedder in shedders] == [0]
    writer.close()
