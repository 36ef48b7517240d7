"""A follower that does not read costs a bounded amount of memory and delays no other."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from uuid import UUID

import pytest

from duly.domain.events import Event
from duly.stream import job_feed
from duly.stream.sse import frame
from tests.support.job_stream import read_stream
from tests.support.service import Service, eventually

# A history of 32 MB, more than any socket buffers, written at once like that of hours of work.
LONG_HISTORY = """
with gone as (delete from scheduled where job_id = $1)
insert into events (job_id, tenant_id, sequence, kind, attempt, source, data)
select $1::uuid, 1, n, case n when 1 then 1 when 4000 then 10 else 2 end, 1, 'test',
       json_build_object('progress', 1, 'message', repeat('m', 8000))
from generate_series(1, 4000) n
"""


async def test_a_follower_that_does_not_read_holds_up_nobody_and_gathers_nothing(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = (await service.submit("echo", delaySeconds=3600))["jobId"]
    await service.sql(LONG_HISTORY, UUID(job_id))
    made = _counted_frames(monkeypatch)
    idle = await _idle_follower(service, job_id)
    try:
        await eventually(_so(lambda: made[0] > 0))
        assert (await service.run("echo"))["status"] == "completed"
        assert len(await read_stream(service, job_id)) == 4001
        # While the other follower got everything, the idle one got only what its socket buffers.
        assert made[0] - 4001 < 2000
    finally:
        idle.close()
    await eventually(_so(lambda: not service.node.hub._watches))


def _counted_frames(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    made, really = [0], frame

    def counted(event: Event) -> bytes:
        made[0] += 1
        return really(event)

    monkeypatch.setattr(job_feed, "frame", counted)
    return made


def _so(holds: Callable[[], bool]) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return holds()

    return look


async def _idle_follower(service: Service, job_id: str) -> socket.socket:
    """Requests a stream and never reads a byte of it."""
    host, _, port = service.url.removeprefix("http://").partition(":")
    idle = socket.socket()
    idle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    idle.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(idle, (host, int(port)))
    await loop.sock_sendall(idle, f"GET /api/v1/jobs/{job_id}/events/stream HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    return idle
