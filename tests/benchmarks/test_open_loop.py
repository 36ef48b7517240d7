"""The open loop: arrivals keep their rate, held-back requests are reported, and rejections are counted separately."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest

from benchmarks import open_loop
from benchmarks.http_messages import split_message
from benchmarks.open_loop_connections import OpenLoopPlan, Phase

ACCEPTED = b"HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\n{}"
REFUSED = b"HTTP/1.1 503 Later\r\nRetry-After: 1\r\ncontent-length: 0\r\n\r\n"


class Answering(asyncio.Protocol):
    """Gives its connection these answers in turn, again and again; without any it is silent."""

    def __init__(self, answers: tuple[bytes, ...]) -> None:
        self._answers = itertools.cycle(answers or (b"",))
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (message := split_message(self._received)) is not None:
            self._received = message.rest
            self._transport.write(next(self._answers))


@asynccontextmanager
async def answering(*answers: bytes) -> AsyncIterator[int]:
    server = await asyncio.get_running_loop().create_server(lambda: Answering(answers), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


async def test_the_requests_of_each_phase_arrive_at_its_rate() -> None:
    async with answering(ACCEPTED) as port:
        plan = OpenLoopPlan(port, "/", "{}", (Phase(0.5, 100), Phase(0.5, 300)), connections=10)
        outcome = await open_loop.run(plan)

    calm, busy = outcome.phases
    assert (calm.sent + calm.held_back, busy.sent + busy.held_back) == (50, 150)
    assert (calm.accepted, busy.accepted) == (calm.sent, busy.sent)
    assert outcome.statuses == {"202": calm.sent + busy.sent}
    assert outcome.unanswered == 0


async def test_who_is_told_to_wait_is_counted_apart_from_who_is_accepted() -> None:
    async with answering(ACCEPTED, REFUSED) as port:
        outcome = await open_loop.run(OpenLoopPlan(port, "/", "{}", (Phase(1, 100),), connections=1))

    (load,) = outcome.phases
    assert load.accepted > 0
    assert load.refused > 0
    assert load.with_retry_after == load.refused
    assert load.first_refusal_seconds is not None


async def test_no_more_than_the_crowd_is_outstanding_and_the_rest_is_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_loop, "GRACE_SECONDS", 0.1)
    async with answering() as port:
        outcome = await open_loop.run(OpenLoopPlan(port, "/", "{}", (Phase(1, 200),), connections=5))

    assert outcome.unanswered == 5
    assert (outcome.phases[0].sent, outcome.phases[0].held_back) == (5, 195)
