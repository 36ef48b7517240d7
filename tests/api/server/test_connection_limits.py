"""Limits of connections: in total and of one address, and the one that is closed for a new one."""

import asyncio
import errno
import gc
import resource
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from typing import Any

import pytest

from duly.api.server.acceptor import Acceptor
from duly.api.server.connection_limits import Connections, Limits, most_connections, network_of
from duly.api.server.http_protocol import BoundedProtocol
from duly.settings import Settings
from tests.support.raw_client import raw_client, request
from tests.support.service import Service, eventually

StartService = Callable[..., Awaitable[Service]]
HEALTH = request("GET", "/healthz")


class Known:
    """Connection that records its timeouts."""

    def __init__(self, connections: Connections, address: str) -> None:
        place = connections.take(address)
        assert place is not None
        self._all = connections
        self.place, self.address, self.closed = place, address, False

    def idle_over(self) -> None:
        self._all.forget(self)
        self.closed = True
        self.place.leave()

    half_over = head_late = check_body = check_response = linger_over = check_client = idle_over


@pytest.fixture
async def few() -> AsyncIterator[Connections]:
    """Returns limits for four connections, three of one address; 9.9.9.9 is a proxy."""
    made = Connections(
        most=4,
        most_of_address=3,
        is_proxy=lambda host: host == "9.9.9.9",
        closed=lambda _: None,
        counted=lambda _: None,
        limits=Limits(),
    )
    yield made
    made.close()


async def test_the_oldest_of_the_larger_crowd_makes_room(few: Connections) -> None:
    kept, *fresh = [Known(few, f"1.0.0.{number}") for number in range(4)]
    few.idle.put(kept)
    for each in fresh:
        few.heads.put(each)
    others = [Known(few, f"2.0.0.{number}") for number in range(2)]
    assert [each.closed for each in (kept, *fresh)] == [False, True, True, False]
    few.heads.take_out(fresh[2])  # it has a request under way now
    others.append(Known(few, "2.0.0.9"))
    assert kept.closed
    assert few.take("3.0.0.1") is None
    others[0].place.leave()
    assert few.take("3.0.0.1") is not None


async def test_those_that_keep_connections_make_room_where_they_are_more(few: Connections) -> None:
    fresh, *kept = [Known(few, f"1.0.0.{number}") for number in range(4)]
    few.heads.put(fresh)
    for each in kept:
        few.idle.put(each)
    Known(few, "2.0.0.1")
    assert [each.closed for each in (fresh, *kept)] == [False, True, False, False]


async def test_an_address_has_its_share_and_makes_room_by_its_own(few: Connections) -> None:
    theirs = [Known(few, "1.1.1.1") for _ in range(3)]
    assert few.take("1.1.1.1") is None
    other = Known(few, "2.2.2.2")
    few.heads.put(other)
    few.idle.put(theirs[1])
    assert few.take("1.1.1.1") is not None
    assert theirs[1].closed
    assert not other.closed


async def test_a_proxy_has_no_share(few: Connections) -> None:
    assert all(few.take("9.9.9.9") for _ in range(4))
    assert few.take("9.9.9.9") is None


async def test_a_place_is_left_once(few: Connections) -> None:
    place = few.take("1.1.1.1")
    assert place is not None
    place.leave()
    place.leave()
    assert few.count == 0


def test_one_client_has_one_network() -> None:
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff:1") != network_of("2001:db8:0:1::1")
    assert network_of("::ffff:1.2.3.4") == network_of("1.2.3.4") != network_of("1.2.3.5")
    assert network_of("fe80::1%eth0") == network_of("fe80::2")


@pytest.mark.parametrize(
    ("files", "most", "of_address"), [(256, 192, 144), (1024, 768, 576), (4096, 3496, 2622), (1 << 20, 10_000, 7500)]
)
def test_descriptors_bound_the_connections(files: int, most: int, of_address: int) -> None:
    assert most_connections(Settings(), files=files) == (most, of_address)
    assert most_connections(Settings(connections_per_address=5), files=files) == (most, 5)
    assert most_connections(Settings(connection_limit=7), files=files) == (7, 5)


def test_no_bound_of_descriptors_is_none() -> None:
    assert most_connections(Settings(), files=resource.RLIM_INFINITY)[0] == 10_000


async def test_a_connection_without_a_place_is_told_so_and_one_that_waits_makes_room(
    start_service: StartService,
) -> None:
    service = await start_service(connection_limit=3, connections_per_address=3)
    job = await service.submit("sleep", {"seconds": 600})
    await service.client.aclose()
    async with AsyncExitStack() as stack:
        poll = request("GET", f"/api/v1/jobs/{job['jobId']}?wait=60", 'If-None-Match: "100"')
        polls = [await stack.enter_async_context(raw_client(service)) for _ in range(3)]
        for client in polls:
            await client.send(poll)

        async def all_wait() -> bool:  # one whose request was not read yet would make room
            return sum(map(len, service.node.hub._watches.values())) == 3

        await eventually(all_wait)
        refused = await stack.enter_async_context(raw_client(service))
        response = await refused.response()
        response.refused(503, "TOO_MANY_CONNECTIONS")
        assert response.headers["retry-after"] == "1"
        assert await refused.closed()
        polls[0].writer.transport.abort()

        async def answered() -> bool:
            with suppress(EOFError, ConnectionError):  # of one that was refused, and closed before it asked
                async with raw_client(service) as client:
                    return (await client.ask(HEALTH)).status == 200
            return False

        await eventually(answered)
        idle = await stack.enter_async_context(raw_client(service))
        assert (await idle.ask(HEALTH)).status == 200
        assert await answered()
        assert await idle.closed()


async def test_a_connection_that_has_ended_leaves_nothing_to_the_garbage_collector(
    start_service: StartService,
) -> None:
    service = await start_service()
    await service.client.get("/healthz")
    gc.collect()
    gc.disable()
    try:
        before = _protocols()
        for piece in (b"", HEALTH, HEALTH[:-4], request("GET", "/healthz", "Host: again"), HEALTH + HEALTH):
            for _ in range(5):
                async with raw_client(service) as client:
                    await client.send(piece)
                    if piece.endswith(b"\r\n\r\n"):
                        await client.response()

        async def gone() -> bool:
            return _protocols() <= before

        await eventually(gone)
    finally:
        gc.enable()


def _protocols() -> int:
    return sum(issubclass(type(each), BoundedProtocol) for each in gc.get_objects())


class OutOfFiles(socket.socket):
    """Listening socket that runs out of file descriptors, once."""

    left = False

    def accept(self) -> tuple[socket.socket, Any]:
        if not self.left:
            self.left = True
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


async def test_without_a_descriptor_left_those_that_wait_are_closed_and_accepting_goes_on(few: Connections) -> None:
    waiting = Known(few, "1.1.1.1")
    few.idle.put(waiting)
    begun = asyncio.Event()

    class Noting(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            begun.set()
            transport.close()

    with OutOfFiles() as listening, socket.socket() as client:
        listening.bind(("127.0.0.1", 0))
        acceptor = Acceptor([listening], lambda *_: Noting(), connections=few, refuse=lambda _: b"", shared=False)
        acceptor.start()
        client.connect(listening.getsockname())
        await asyncio.wait_for(begun.wait(), 60)
        acceptor.close()
    assert waiting.closed
