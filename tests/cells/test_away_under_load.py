"""Drill: a cell goes away under load and comes back. What was accepted ends, once, and the stream lacks nothing."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.cells.test_merged_reads import JOBS, complete
from tests.support.cells import CellService
from tests.support.service import BOUND_SECONDS, eventually
from tests.support.tenant_stream import Frame, following_all

AWAY = 1
CLIENTS = 4


class Load:
    """Clients that submit jobs one after the other.

    Attributes:
        accepted: the ids of jobs that were accepted.
        during_outage: those whose requests were sent while `outage` was set.
    """

    def __init__(self, cells: CellService) -> None:
        self._cells = cells
        self.accepted: list[str] = []
        self.outage = False
        self.during_outage: list[str] = []

    async def submit(self) -> None:
        while True:
            outage = self.outage
            answer = await self._cells.client.post(JOBS, json={"type": "echo", "parameters": {}, "queue": "load"})
            assert answer.status_code in {202, 503}, answer.text
            if answer.status_code == 202:
                self.accepted.append(answer.json()["jobId"])
                if outage:
                    self.during_outage.append(self.accepted[-1])

    async def until_accepted(self, count: int) -> None:
        """Waits until as many more jobs were accepted."""
        await self._until(self.accepted, len(self.accepted) + count)

    async def until_accepted_during_outage(self, count: int) -> None:
        """Waits until as many jobs were accepted that were sent during the outage."""
        await self._until(self.during_outage, count)

    @staticmethod
    async def _until(jobs: list[str], count: int) -> None:
        async def reached() -> bool:
            return len(jobs) >= count

        await eventually(reached)


@asynccontextmanager
async def under_load(cells: CellService) -> AsyncIterator[Load]:
    load = Load(cells)
    clients = [asyncio.create_task(load.submit()) for _ in range(CLIENTS)]
    try:
        yield load
    finally:
        for client in clients:
            client.cancel()
        results = await asyncio.gather(*clients, return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in results), results


async def test_a_cell_goes_away_under_load_and_comes_back(cells: CellService) -> None:
    ended: Counter[str] = Counter()
    changes: list[Frame] = []
    begun = asyncio.Event()

    async def follow() -> None:
        async with following_all(cells, queue="load") as frames:
            await anext(frames)
            begun.set()
            async for frame in frames:
                if frame.event == "job_completed":
                    ended[frame.place[0]] += 1
                elif frame.event is not None and frame.event.startswith("duly."):
                    changes.append(frame)

    following = asyncio.create_task(follow())
    await asyncio.wait_for(begun.wait(), BOUND_SECONDS)
    async with under_load(cells) as load:
        await load.until_accepted(40)
        await cells.take_away(AWAY)
        load.outage = True
        await load.until_accepted_during_outage(40)
        assert AWAY not in {cells.cell_of(job_id) for job_id in load.during_outage}
        listed = await cells.request("GET", JOBS, params={"queue": "load"})
        assert (listed.status_code, AWAY in listed.json()["cellsAway"]) == (200, True)
        load.outage = False
        await cells.bring_back(AWAY)
        await load.until_accepted(40)

    async def all_ended() -> bool:
        assert not following.done(), following.result()
        back = any(frame.data == {"type": "duly.cell_back", "cell": AWAY} for frame in changes)
        return back and ended.keys() >= set(load.accepted)

    await eventually(all_ended)
    following.cancel()
    assert set(ended.values()) == {1}, [job_id for job_id, times in ended.items() if times > 1]
    # A busy machine may let another cell seem silent for a moment.
    for cell in range(cells.count):
        events = [frame.event for frame in changes if frame.data == {"type": frame.event, "cell": cell}]
        assert events == ["duly.cell_away", "duly.cell_back"] * (len(events) // 2)
        assert events or cell != AWAY
    assert {cells.cell_of(job_id) for job_id in load.accepted} == {0, 1, 2, 3}
    await complete(cells, JOBS, queue="load", limit=1)
