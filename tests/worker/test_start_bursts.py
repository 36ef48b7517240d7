"""Bursts of starts: the event loop looks at its sockets between them."""

import asyncio
import itertools
import socket
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from duly.domain.job import ClaimedJob
from duly.worker.pool import Pool
from duly.worker.start_bursts import AT_ONCE, StartBursts
from tests.support.service import Service, eventually


async def test_a_socket_is_read_between_two_bursts() -> None:
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    started, seen = 0, list[int]()
    reader, writer = socket.socketpair()

    def start_all() -> None:
        nonlocal started
        while started < 5 * AT_ONCE and bursts.may_start():
            started += 1
        if started == 5 * AT_ONCE:
            done.set()

    def read() -> None:
        reader.recv(1)
        seen.append(started)
        writer.send(b"x")

    bursts = StartBursts(resume=start_all)
    with reader, writer:
        writer.send(b"x")
        loop.add_reader(reader, read)
        try:
            start_all()
            await done.wait()
        finally:
            loop.remove_reader(reader)
    assert started == 5 * AT_ONCE
    assert [later - before for before, later in itertools.pairwise(seen)] == [AT_ONCE] * (len(seen) - 1)
    assert len(seen) >= 4


async def test_a_burst_is_full_again_after_a_look_at_the_sockets() -> None:
    bursts = StartBursts(resume=lambda: None)
    assert bursts.may_start()
    await asyncio.sleep(0)
    assert [bursts.may_start() for _ in range(AT_ONCE + 1)] == [True] * AT_ONCE + [False]


async def test_a_claim_of_many_jobs_starts_them_in_bursts(
    start_service: Callable[..., Awaitable[Service]], monkeypatch: pytest.MonkeyPatch
) -> None:
    accepting = await start_service(roles=("api",))
    jobs = [{"type": "echo", "parameters": {"n": number}} for number in range(4 * AT_ONCE)]
    (await accepting.client.post("/api/v1/jobs/batch", json={"jobs": jobs})).raise_for_status()
    loop, rounds, over, starts = asyncio.get_running_loop(), 0, False, Counter[int]()

    def count() -> None:
        nonlocal rounds
        rounds += 1
        if not over:
            loop.call_soon(count)

    def start(pool: Pool, claimed: ClaimedJob, original: Callable[[Pool, ClaimedJob], None] = Pool._start) -> None:
        starts[rounds] += 1
        original(pool, claimed)

    monkeypatch.setattr(Pool, "_start", start)
    count()
    await start_service(worker_slots=4 * AT_ONCE)
    try:
        await eventually(lambda: accepting.sql(f"select from events where kind = 10 having count(*) = {4 * AT_ONCE}"))
    finally:
        over = True
    assert starts.total() == 4 * AT_ONCE
    assert max(starts.values()) <= AT_ONCE
